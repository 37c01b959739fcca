"""Networks that start from the weights of others."""

import numpy as np
import pytest
from networks import as_trained

import xunit_keras
from pipelines.initializing import start_from
from xunit_keras import zoo
from xunit_keras.runtime.models import Card


def saved(model, folder, network):
    card = Card(name="", task="sr", network=network, channels=1, parameters=0)
    zoo.save(model, folder, card)
    return str(folder)


def test_another_scale_keeps_all_but_the_last_convolution(tmp_path, capsys):
    other = as_trained(xunit_keras.xespcn(scale=2, filters=8))
    model = xunit_keras.xespcn(scale=3, filters=8)
    before = model.get_layer("conv_5").get_weights()
    start_from(model, saved(other, tmp_path / "x2", "xespcn"))
    for ours, theirs in zip(model.weights[:-2], other.weights[:-2], strict=True):
        np.testing.assert_array_equal(ours, theirs)
    for ours, as_it_was in zip(
        model.get_layer("conv_5").get_weights(), before, strict=True
    ):
        np.testing.assert_array_equal(ours, as_it_was)
    assert "conv_5/kernel, conv_5/bias" in capsys.readouterr().out


@pytest.mark.parametrize(("theirs", "ours"), [(9, 5), (5, 9), (1, 3)])
def test_depthwise_kernels_of_another_side_keep_their_center(tmp_path, theirs, ours):
    other = as_trained(xunit_keras.xespcn(filters=8, kernel_size=theirs))
    model = xunit_keras.xespcn(filters=8, kernel_size=ours)
    start_from(model, saved(other, tmp_path / "other", "xespcn"))
    (wide,) = other.get_layer("xunit_2").depthwise.get_weights()
    (narrow,) = model.get_layer("xunit_2").depthwise.get_weights()
    if theirs < ours:
        wide, narrow = narrow, wide
    margin = abs(theirs - ours) // 2
    inside = np.s_[margin:-margin, margin:-margin]
    np.testing.assert_array_equal(wide[inside], narrow)
    if theirs < ours:
        outside = np.array(wide)
        outside[inside] = 0
        assert not outside.any()


def test_larger_kernels_compute_what_the_smaller_ones_did(tmp_path, capsys):
    other = as_trained(xunit_keras.xespcn(filters=8, kernel_size=3, first_kernel=3))
    model = xunit_keras.xespcn(filters=8, kernel_size=7, first_kernel=5)
    start_from(model, saved(other, tmp_path / "other", "xespcn"))
    images = np.random.default_rng(0).random((2, 12, 9, 1)).astype("float32")
    np.testing.assert_allclose(
        model(images).numpy(), other(images).numpy(), rtol=0, atol=1e-5
    )
    assert "conv_1/kernel, xunit_1/depthwise/kernel" in capsys.readouterr().out


def test_what_does_not_fit_leaves_the_network_as_it_was(tmp_path):
    other = saved(xunit_keras.xespcn(filters=12), tmp_path / "other", "xespcn")
    model = xunit_keras.xespcn(filters=8)
    before = model.get_weights()
    with pytest.raises(ValueError, match="do not fit the model 'xespcn': conv_1"):
        start_from(model, other)
    for ours, as_it_was in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(ours, as_it_was)
