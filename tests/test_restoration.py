"""`restore`: tiles against the whole image, types, color, self-ensemble."""

import itertools
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers
from networks import as_trained, unet

import xunit_keras
from xunit_keras import zoo
from xunit_keras.exporting import serving
from xunit_keras.graphs.receptive_field import receptive_field
from xunit_keras.imaging.color import rgb_to_ycbcr, ycbcr_to_rgb
from xunit_keras.imaging.resize import imresize
from xunit_keras.restoration import open_network, restore
from xunit_keras.runtime import models
from xunit_keras.runtime.models import Card
from xunit_keras.runtime.network import Network


@pytest.fixture(scope="module")
def denoiser():
    return as_trained(xunit_keras.xdncnn(depth=3, filters=4))


@pytest.fixture(scope="module")
def color_denoiser():
    return as_trained(xunit_keras.xderain(depth=3, filters=4))


@pytest.fixture(scope="module")
def enlarger():
    return as_trained(xunit_keras.xsrcnn_f(scale=3))


@pytest.fixture(scope="module")
def hourglass():
    """A network whose tiles must start at multiples of 4, with an even kernel."""
    image = outputs = keras.Input((None, None, 1))
    for layer in (
        layers.Conv2D(4, 4, strides=2, padding="same", activation="relu"),
        layers.AveragePooling2D(2),
        layers.Conv2D(4, 3, padding="same", activation="relu"),
        layers.UpSampling2D(4),
        layers.Conv2D(1, 3, padding="same"),
    ):
        outputs = layer(outputs)
    return as_trained(keras.Model(image, outputs))


def random_image(*shape, seed=0):
    return np.random.default_rng(seed).random(shape, dtype=np.float32)


def predict(model, image):
    """The model on a whole image, by the plainest way there is."""
    return keras.ops.convert_to_numpy(model(image[None], training=False))[0]


SIZES = [(1, 1), (1, 40), (2, 3), (29, 61), (64, 52), (3, 500)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("tile", [1, 8, 27, "auto"])
def test_tiles_make_the_whole(denoiser, size, tile):
    if tile == 1 and max(size) > 64:
        pytest.skip("500 windows show no more than 64.")
    image = random_image(*size, 1)
    expected = np.clip(predict(denoiser, image), 0, 1)
    restored = restore(image, denoiser, tile=tile)
    assert restored.dtype == np.float32
    np.testing.assert_allclose(restored, expected, rtol=0, atol=1e-5)
    np.testing.assert_allclose(
        restore(image, denoiser, tile=0), expected, rtol=0, atol=1e-5
    )


@pytest.mark.parametrize("size", SIZES)
def test_tiles_of_an_enlarger(enlarger, size):
    image = random_image(*size, 1)
    expected = np.clip(predict(enlarger, image), 0, 1)
    restored = restore(image, enlarger, tile=16)
    assert restored.shape == (3 * size[0], 3 * size[1], 1)
    np.testing.assert_allclose(restored, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("size", [(8, 8), (64, 120), (132, 76)])
@pytest.mark.parametrize("tile", [1, 6, 16])
def test_tiles_keep_to_the_stride(hourglass, size, tile):
    image = random_image(*size)
    expected = np.clip(predict(hourglass, image[..., None])[..., 0], 0, 1)
    restored = restore(image, hourglass, tile=tile)
    np.testing.assert_allclose(restored, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("tile", [0, 16, "auto"])
def test_sizes_that_a_model_does_not_keep(hourglass, tile):
    with pytest.raises(ValueError, match="makes 28x40 pixels of 30x40"):
        restore(random_image(30, 40), hourglass, tile=tile)


@pytest.mark.parametrize("name", models.list_models())
def test_tiles_of_released_models(name):
    model = zoo.load(name)
    field = receptive_field(model)
    channels = models.card(name).channels
    tile = 2 * field.radius
    image = random_image(3 * tile + 7, 4 * tile + 2, channels)
    np.testing.assert_allclose(
        restore(image, model, tile=tile), restore(image, model, tile=0), atol=1e-5
    )


@pytest.fixture
def windows(monkeypatch):
    """Shapes of what models are given."""
    shapes = []
    runner = serving._runner

    def recording(*arguments):
        run = runner(*arguments)

        def recorded(batch):
            shapes.append(batch.shape)
            return run(batch)

        return recorded

    monkeypatch.setattr(serving, "_runner", recording)
    return shapes


def test_windows_are_few_small_and_of_one_shape(denoiser, windows):
    radius = receptive_field(denoiser).radius
    progress = []
    restore(
        random_image(97, 200),
        denoiser,
        tile=20,
        progress=lambda done, total: progress.append((done, total)),
    )
    rows, columns = (-(-(side - 2 * radius) // 20) for side in (97, 200))
    assert len(windows) == rows * columns
    assert len(set(windows)) == 1
    assert max(windows[0]) <= 20 + 2 * radius
    total = rows * columns
    assert progress == [(done, total) for done in range(total + 1)]


def test_one_window_where_the_image_is_small(denoiser, windows):
    restore(random_image(30, 100), denoiser, tile=20)
    assert {shape[1] for shape in windows} == {30}


def test_a_model_is_compiled_once(denoiser):
    class Counting(layers.ReLU):
        calls = 0

        def call(self, inputs):
            Counting.calls += 1
            return super().call(inputs)

    image = keras.Input((None, None, 1))
    model = keras.Model(image, Counting()(image))
    Counting.calls = 0
    for size in ((5, 6), (40, 30), (7, 7)):
        restore(random_image(*size), model, tile=8, tile_overlap=0)
    if keras.config.backend() == "tensorflow":
        assert Counting.calls == 1


def test_gray_denoiser_on_color(denoiser):
    image = random_image(20, 30, 3)
    restored = restore(image, denoiser)
    assert restored.shape == (20, 30, 3)
    for channel in range(3):
        expected = restore(image[..., channel], denoiser)
        np.testing.assert_allclose(restored[..., channel], expected, atol=1e-6)


@pytest.mark.parametrize("tile", [0, 5])
def test_luminance_enlarger_on_color(enlarger, tile):
    image = random_image(14, 25, 3)
    ycbcr = rgb_to_ycbcr(image)
    expected = imresize(ycbcr, 3)
    expected[..., :1] = predict(enlarger, ycbcr[..., :1])
    expected = np.clip(ycbcr_to_rgb(expected), 0, 1)
    restored = restore(image, enlarger, tile=tile)
    np.testing.assert_allclose(restored, expected, rtol=0, atol=2e-5)


def test_color_model_on_gray(color_denoiser):
    image = random_image(20, 30)
    expected = predict(color_denoiser, np.dstack([image] * 3)).mean(axis=2)
    restored = restore(image, color_denoiser)
    np.testing.assert_allclose(restored, np.clip(expected, 0, 1), atol=1e-5)


@pytest.mark.parametrize("tile", [0, 9])
def test_self_ensemble(denoiser, tile):
    image = random_image(21, 34, 1)
    results = []
    for transpose, up, left in itertools.product((False, True), repeat=3):

        def turn(x, transpose=transpose, up=up, left=left):
            x = x[:: -1 if up else 1, :: -1 if left else 1]
            return x.swapaxes(0, 1) if transpose else x

        def turn_back(x, transpose=transpose, up=up, left=left):
            x = x.swapaxes(0, 1) if transpose else x
            return x[:: -1 if up else 1, :: -1 if left else 1]

        results.append(turn_back(predict(denoiser, turn(image))))
    expected = np.clip(np.mean(results, axis=0), 0, 1)
    restored = restore(image, denoiser, tile=tile, self_ensemble=True)
    np.testing.assert_allclose(restored, expected, rtol=0, atol=1e-5)
    assert np.abs(restored - restore(image, denoiser)).max() > 1e-3


def test_channels_first():
    image = keras.Input((1, None, None))
    upsampling = xunit_keras.BicubicUpsampling(2, data_format="channels_first")
    model = keras.Model(image, upsampling(image))
    small = random_image(12, 40)
    restored = restore(small, model, tile=7)
    expected = np.clip(imresize(small[..., None], 2)[..., 0], 0, 1)
    np.testing.assert_allclose(restored, expected, atol=1e-5)


def test_models_by_name_and_path(denoiser, tmp_path):
    card = Card(name="", task="denoise", network="xdncnn", channels=1, parameters=0)
    zoo.save(denoiser, tmp_path / "small", card)
    denoiser.save(tmp_path / "small.keras")
    image = random_image(15, 16)
    expected = restore(image, denoiser)
    for path in (tmp_path / "small", str(tmp_path / "small.keras")):
        np.testing.assert_array_equal(restore(image, path), expected)


@pytest.mark.parametrize("tile", [-1, 2.5, True, "large", None])
def test_tiles_refused(denoiser, tile):
    with pytest.raises(ValueError, match="`tile` must be"):
        restore(random_image(4, 4), denoiser, tile=tile)


def test_models_refused():
    with pytest.raises(ValueError, match="There is no model 'no-such-model'"):
        restore(random_image(4, 4), "no-such-model")
    image = keras.Input((None, None, 1))
    whole = keras.Model(image, layers.GroupNormalization(1)(image))
    with pytest.raises(ValueError, match="use tile=0"):
        restore(random_image(4, 4), whole)
    assert restore(random_image(4, 4), whole, tile=0).shape == (4, 4)
    classifier = keras.Model(image, layers.GlobalAveragePooling2D()(image))
    with pytest.raises(ValueError, match="has one image"):
        restore(random_image(4, 4), classifier)


def test_models_as_users_write_them(denoiser):
    """One image in and one out, however that is said."""
    image = random_image(20, 19)
    expected = restore(image, denoiser, tile=6)
    x = keras.Input((None, None, 1))
    y = denoiser(x)
    nested = keras.Sequential([keras.Input((None, None, 1)), denoiser])
    for model in (
        keras.Model([x], [y]),
        keras.Model({"a": x}, {"b": y}),
        keras.Model([x], y),
        nested,
    ):
        restored = restore(image, model, tile=6)
        np.testing.assert_allclose(restored, expected, atol=1e-6)


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.convolution = layers.Conv2D(1, 3, padding="same")

    def call(self, inputs):
        return inputs + self.convolution(inputs)


def test_a_subclassed_model_is_looked_into():
    model = Subclassed()
    model.build((None, None, None, 1))
    as_trained(model)
    image = random_image(40, 50)
    expected = np.clip(predict(model, image[..., None])[..., 0], 0, 1)
    for tile in (0, 7):
        np.testing.assert_allclose(restore(image, model, tile), expected, atol=1e-5)


class Closed(layers.Layer):
    """A layer that does not tell how far it looks."""

    def build(self, shape):
        self.kernel = self.add_weight(shape=(3, 3, 1, 1), name="kernel")

    def call(self, inputs):
        return keras.ops.conv(inputs, self.kernel, padding="same")


def test_a_layer_that_does_not_tell_how_far_it_looks():
    x = keras.Input((None, None, 1))
    model = as_trained(keras.Model(x, Closed()(x)))
    image = random_image(40, 50)
    with pytest.raises(ValueError, match="tile_overlap"):
        restore(image, model)
    expected = np.clip(predict(model, image[..., None])[..., 0], 0, 1)
    for told in ({"tile": 0}, {"tile": 7, "tile_overlap": 1}):
        np.testing.assert_allclose(restore(image, model, **told), expected, atol=1e-5)


def test_a_normalization_of_the_pixel_needs_no_telling_or_can_be_told():
    image = keras.Input((None, None, 3))
    x = layers.Conv2D(4, 3, padding="same")(image)
    outputs = layers.Conv2D(3, 1)(layers.LayerNormalization()(x))
    model = as_trained(keras.Model(image, outputs))
    photograph = random_image(30, 33, 3)
    expected = restore(photograph, model, tile=0)
    restored = restore(photograph, model, tile=8, tile_overlap=1)
    np.testing.assert_allclose(restored, expected, atol=1e-5)


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "bicubic"])
def test_upsampling(interpolation):
    image = keras.Input((None, None, 1))
    x = layers.UpSampling2D(2, interpolation=interpolation)(image)
    model = as_trained(keras.Model(image, layers.Conv2D(1, 3, padding="same")(x)))
    photograph = random_image(24, 30, 1)
    expected = np.clip(predict(model, photograph), 0, 1)
    # Interpolations beyond the border differ from those inside: whole images only
    # where the layer says so.
    restored = restore(photograph, model, tile=9)
    np.testing.assert_allclose(restored, expected, atol=1e-4)


def test_an_open_network_keeps_its_weights():
    model = as_trained(xunit_keras.xdncnn(depth=3, filters=4))
    image = random_image(9, 8)
    network = open_network(model)
    assert isinstance(network, Network)
    before = restore(image, model)
    np.testing.assert_array_equal(restore(image, network), before)
    model.get_layer("conv_3").kernel.assign(model.get_layer("conv_3").kernel * 2)
    np.testing.assert_array_equal(restore(image, network), before)
    assert np.abs(restore(image, model) - before).max() > 1e-3


def test_exported_files(denoiser, tmp_path):
    image = random_image(30, 31)
    expected = restore(image, denoiser, tile=0)
    path = tmp_path / "model.onnx"
    xunit_keras.export(denoiser, path, "onnx")
    radius = receptive_field(denoiser).radius
    for told in ({"tile": 0}, {"tile": 9}, {"tile": 9, "tile_overlap": radius}):
        np.testing.assert_allclose(restore(image, path, **told), expected, atol=1e-4)
    silent = tmp_path / "model.tflite"
    xunit_keras.export(denoiser, silent, "litert")
    with pytest.raises(ValueError, match="does not tell how far its network looks"):
        restore(image, silent)
    restored = restore(image, silent, tile=9, tile_overlap=radius)
    np.testing.assert_allclose(restored, expected, atol=1e-4)
    with pytest.raises(ValueError, match=r"runs on onnxruntime.*engine='litert'"):
        restore(image, path, engine="litert")


def test_a_unet_of_an_odd_size():
    with pytest.raises(ValueError, match="multiples"):
        restore(random_image(31, 30), unet())


def test_what_is_no_model(denoiser):
    with pytest.raises(ValueError, match=r"`model` must be a Keras model.*Received: 7"):
        restore(random_image(4, 4), 7)
    with pytest.raises(ValueError, match="engine='gpu'"):
        restore(random_image(4, 4), denoiser, engine="gpu")
    with pytest.raises(ValueError, match="`threads` must be at least 1"):
        restore(random_image(4, 4), denoiser, threads=0)
    grayscale = keras.Input((None, None, 1))
    colorize = keras.Model(grayscale, layers.Conv2D(3, 3, padding="same")(grayscale))
    with pytest.raises(ValueError, match="channel"):
        restore(random_image(4, 4), colorize)


_OTHER_BACKEND = """
import numpy as np, xunit_keras
for model in (xunit_keras.xdncnn(depth=3, filters=4), xunit_keras.xsrcnn_f(scale=3)):
    image = np.random.default_rng(0).random((40, 50), dtype="float32")
    whole = xunit_keras.restore(image, model, tile=0)
    tiled = xunit_keras.restore(image, model, tile=15)
    np.testing.assert_allclose(tiled, whole, rtol=0, atol=1e-5)
"""


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_other_backends(backend):
    pytest.importorskip(backend)
    subprocess.run(
        [sys.executable, "-c", _OTHER_BACKEND],
        env={**os.environ, "KERAS_BACKEND": backend},
        cwd=Path(__file__).parents[1],
        check=True,
    )
