"""Exports are tried on what the model is for."""

import keras
import numpy as np
import pytest

import xunit_keras
from xunit_keras import tasks
from xunit_keras.exporting.examples import calibration, examples, task_of


def test_rain_removers_are_verified_on_rain():
    task = task_of(xunit_keras.xderain(depth=2, filters=2), scale=1, channels=3)
    for original, degraded in examples(task, 40, 32):
        assert degraded.shape == original.shape == (40, 32, 3)
        assert degraded.dtype == original.dtype == np.float32
        assert (degraded >= original - 1e-6).all()
        assert np.abs(degraded - original).max() > 0.01
        assert degraded.max() <= 1


def test_denoisers_are_verified_on_noise_of_their_level():
    card = {"task": "denoise", "sigma": (50.0,), "channels": 1, "scale": 1}
    model = xunit_keras.xdncnn(depth=2, filters=2)
    for known, level in ((None, 25), (card, 50)):
        task = task_of(model, scale=1, channels=1, card=known)
        noise = [degraded - clean for clean, degraded in examples(task, 64, 64)]
        assert len(noise) == 5
        assert np.std(noise) * 255 == pytest.approx(level, rel=0.02)


def test_networks_that_enlarge_are_verified_on_shrunk_photographs():
    task = task_of(xunit_keras.xsrcnn_f(scale=3), scale=3, channels=1)
    for original, degraded in examples(task, 20, 30):
        assert (original.shape, degraded.shape) == ((60, 90, 1), (20, 30, 1))
        blocks = original.reshape(20, 3, 30, 3).mean((1, 3))
        assert np.abs(degraded[..., 0] - blocks).mean() < 0.02


def test_networks_of_nobody_and_for_other_images():
    image = keras.Input((None, None, 3))
    assert task_of(keras.Model(image, image), 1, 3) == tasks.create(
        "denoise", channels=3
    )
    assert task_of(keras.Model(image, image), 2, 3).scale == 2
    # On images that are enlarged already.
    assert task_of(xunit_keras.srcnn(), 1, 1) == tasks.create("denoise")


def test_draws_are_reproducible_negatives_among_them():
    task = tasks.create("denoise", sigma=0)
    first, again = (list(examples(task, 16, 16, draws=2, seed=3)) for _ in range(2))
    assert len(first) == 10
    for (clean, degraded), (clean_again, _) in zip(first, again, strict=True):
        np.testing.assert_array_equal(clean, clean_again)
        np.testing.assert_array_equal(clean, degraded)
    means = [clean.mean() for clean, _ in examples(task, 300, 300, draws=2)]
    assert not np.allclose(means[::2], means[1::2], atol=0.05)


@pytest.mark.parametrize(("task", "scale"), [("denoise", 1), ("sr", 2)])
def test_calibration_reaches_from_black_to_white(task, scale):
    task = tasks.create(task, **({"sigma": 0} if scale == 1 else {"scale": scale}))
    black, white = (0, 1) if scale == 1 else (16 / 255, 235 / 255)  # of Y
    images = list(calibration(task))
    assert min(map(np.min, images)) == pytest.approx(black, abs=0.01)
    assert max(map(np.max, images)) == pytest.approx(white, abs=0.01)


def test_calibration_sees_other_parts():
    task = tasks.create("sr", scale=2)
    images = list(calibration(task, (16, 12)))
    tried = [degraded for _, degraded in examples(task, 16, 12, draws=4)]
    assert {image.shape for image in images} == {(16, 12, 1)}
    assert len(images) > len(tried)
    for image in images:
        assert not any(np.array_equal(image, other) for other in tried)


def test_parts_larger_than_the_photographs():
    task = tasks.create("denoise")
    shapes = {degraded.shape for _, degraded in examples(task, 700, 20)}
    assert shapes == {(700, 20, 1)}
