"""What happens between the rounds of a training, one callback at a time."""

from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from pipelines import callbacks
from pipelines.callbacks import (
    Curves,
    DivergenceError,
    Pictures,
    Samples,
    StopOnDivergence,
    Validation,
)
from pipelines.keeping import averaged_weights
from xunit_keras import activation_maps, tasks, xnet
from xunit_keras.imaging.metrics import psnr


@pytest.fixture
def example():
    pixels = np.random.default_rng(0).integers(0, 256, (24, 30, 1), dtype=np.uint8)
    return tasks.create("denoise").example("noise.png", pixels)


def brightened(by):
    """A model that adds a value: 0 is the network, `by` the average of its weights."""
    image = keras.Input((None, None, 1))
    layer = keras.layers.Conv2D(1, 1, kernel_initializer="ones")
    model = keras.Model(image, layer(image))
    model.compile(keras.optimizers.SGD(use_ema=True, ema_momentum=0.5), "mse")
    model.optimizer.build(model.trainable_variables)
    kernel, bias = model.optimizer._model_variables_moving_average
    kernel.assign(keras.ops.ones_like(kernel))
    bias.assign([by])
    model.optimizer.iterations.assign(7)
    return model


def attached(callback, model):
    callback.set_model(model)
    return callback


def test_the_averaged_weights_are_scored(example):
    task = tasks.create("denoise")
    model = brightened(0.1)
    logs = {}
    attached(Validation([example, example], task), model).on_epoch_end(0, logs)
    restored = (example.degraded + np.float32(0.1)).clip(0, 1)
    assert logs["val_psnr"] == pytest.approx(psnr(restored, example.clean), abs=1e-3)
    before = psnr(example.degraded.clip(0, 1), example.clean)
    assert logs["val_input_psnr"] == pytest.approx(before, abs=1e-9)
    assert model.get_weights()[1] == 0.0  # as they were


def test_the_weights_come_back_bit_by_bit():
    model = brightened(1e-30)
    model.layers[1].bias.assign([1e30])
    with pytest.raises(RuntimeError), averaged_weights(model):
        np.testing.assert_array_equal(model.get_weights()[1], np.float32(1e-30))
        raise RuntimeError
    np.testing.assert_array_equal(model.get_weights()[1], np.float32(1e30))


def test_samples_show_degraded_restored_and_clean(example, tmp_path):
    attached(Samples(tmp_path / "new", example), brightened(0.1)).on_epoch_end(0)
    (path,) = (tmp_path / "new").iterdir()
    assert path.name == "step-000007.png"
    shown = np.asarray(Image.open(path)) / 255
    degraded, restored, clean = np.split(shown, 3, axis=1)
    half = 0.5 / 255 + 1e-6
    np.testing.assert_allclose(clean, example.clean[..., 0], atol=half)
    np.testing.assert_allclose(degraded, example.baseline[..., 0], atol=half)
    brighter = (example.degraded[..., 0] + 0.1).clip(0, 1)
    np.testing.assert_allclose(restored, brighter, atol=half)


def test_curves_are_drawn_anew_every_round(tmp_path):
    row = {"step": "10", "loss": "0.1", "val_psnr": "20", "val_input_psnr": "inf"}
    log = SimpleNamespace(rows=[row])
    curves = Curves(log, tmp_path / "curves.png")
    curves.on_epoch_end(0)
    first = (tmp_path / "curves.png").read_bytes()
    log.rows.append({**row, "step": "20", "val_psnr": "25"})
    curves.on_epoch_end(1)
    assert (tmp_path / "curves.png").read_bytes() != first
    assert Image.open(tmp_path / "curves.png").size == (990, 385)
    assert [path.name for path in tmp_path.iterdir()] == ["curves.png"]


def test_tensorboard_has_pictures_of_what_the_network_does(tmp_path):
    task = tasks.create("denoise")
    pixels = np.random.default_rng(0).integers(0, 256, (210, 200, 1), dtype=np.uint8)
    example = task.example("noise.png", pixels)
    model = xnet(depth=3, filters=4, kernel_size=3)
    model.compile(keras.optimizers.SGD(use_ema=True), "mse")
    model.optimizer.build(model.trainable_variables)
    for step in (2, 4):
        model.optimizer.iterations.assign(step)
        attached(Pictures(tmp_path, example, task), model).on_epoch_end(0)
    events = EventAccumulator(str(tmp_path))
    events.Reload()
    assert {event.step for event in events.Tensors("images")} == {2, 4}
    with averaged_weights(model):
        maps = activation_maps(model, example.center(192).degraded, tile=0)
    assert [*maps] == ["xunit_1", "xunit_2"]
    for name, found in maps.items():
        *_, last = events.Tensors(f"mean weight map/{name}")
        width, height, png = last.tensor_proto.string_val
        assert (width, height) == (b"192", b"192")
        shown = tf.io.decode_png(png).numpy()[..., 0] / 255
        np.testing.assert_allclose(shown, found.weights.mean(axis=2), atol=0.004)
        *_, last = events.Tensors(f"channels in use/{name}")
        assert tf.make_ndarray(last.tensor_proto) == pytest.approx(
            found.effective_channels, rel=1e-3
        )


# ------------------------------------------------------------------- divergence


def rounds(*scores, steps=100, first=0.01):
    """Goes through rounds of a training, the last of which is its end."""
    optimizer = SimpleNamespace(iterations=1)
    stop = StopOnDivergence("set12")
    stop.set_params({"epochs": len(scores)})
    stop.set_model(SimpleNamespace(optimizer=optimizer))
    stop.on_train_batch_end(0, {"loss": first})
    for epoch, values in enumerate(scores):
        optimizer.iterations = steps * (epoch + 1) // len(scores)
        names = ("loss", "val_psnr", "val_input_psnr")
        stop.on_epoch_end(epoch, dict(zip(names, values, strict=True)))


@pytest.mark.parametrize("loss", [np.nan, np.inf, -np.inf])
def test_a_loss_that_is_no_number_ends_a_training_at_once(loss):
    stop = StopOnDivergence("set12")
    stop.set_model(SimpleNamespace(optimizer=SimpleNamespace(iterations=3)))
    stop.on_train_batch_end(0, {"loss": 0.1})
    with pytest.raises(DivergenceError, match=rf"became {loss} at step 3\. Lower"):
        stop.on_train_batch_end(1, {"loss": loss})


def test_a_loss_that_grows_a_thousandfold_ends_a_training():
    with pytest.raises(DivergenceError, match=r"grew from 0\.01 to 1e\+12 at step 50"):
        rounds((1e12, 4.0, 31.7), (1e12, 4.0, 31.7))
    # Of patches without noise, in a blind training, it may.
    rounds((0.01, 20.0, 20.0), (0.01, 30.0, 20.0), first=1e-9)


def test_what_is_worse_than_nothing_in_the_end_is_told():
    with pytest.raises(DivergenceError, match=r"set12 have 16\.00 dB .* 20\.20 dB"):
        rounds((0.02, 25.0, 20.2), (0.2, 16.0, 20.2))
    with pytest.raises(DivergenceError, match=r"20\.10 dB after the network"):
        rounds((0.002, 25.0, 20.2), (0.002, 20.1, 20.2), steps=1000)
    with pytest.raises(DivergenceError, match="nan dB after the network"):
        rounds((0.2, np.nan, 20.2))


def test_what_is_no_divergence():
    # At the peak of the learning rate.
    rounds((0.005, 14.0, 30.0), (0.002, 31.0, 30.0), steps=3000)
    # A try of a few steps that did not get anywhere.
    rounds((0.03, 12.0, 30.0), steps=20)
    # Or nearly so, on patches that are harder than the first ones were.
    rounds((0.2, 28.0, 30.0), steps=20)
    # Nothing is better than images without noise.
    rounds((0.0, 60.0, np.inf), steps=3000)


def test_divergence_is_an_error_that_programs_tell():
    assert issubclass(DivergenceError, callbacks.ProgramError)
