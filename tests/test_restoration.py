"""`restore`: tiles against the whole image, types, colour, self-ensemble."""

import itertools
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers

import xunit_keras
from xunit_keras import restoration, zoo
from xunit_keras.colour import rgb_to_ycbcr, ycbcr_to_rgb
from xunit_keras.images import from_float, to_float
from xunit_keras.receptive_field import receptive_field
from xunit_keras.resize import imresize
from xunit_keras.restoration import enlarge, restore


def randomize(model, seed=0):
    """Weights that leave no part of a network dead, moving averages included."""
    random = np.random.default_rng(seed)
    for weight in model.weights:
        if "variance" in weight.path:
            values = random.uniform(0.5, 1.5, weight.shape)
        else:
            fan_in = np.prod(weight.shape[:-1]) if len(weight.shape) > 1 else 16
            values = random.normal(scale=fan_in**-0.5, size=weight.shape)
        weight.assign(values)
    return model


@pytest.fixture(scope="module")
def denoiser():
    return randomize(xunit_keras.xdncnn(depth=3, filters=4))


@pytest.fixture(scope="module")
def colour_denoiser():
    return randomize(xunit_keras.xderain(depth=3, filters=4))


@pytest.fixture(scope="module")
def enlarger():
    return randomize(xunit_keras.xsrcnn_f(scale=3))


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
    return randomize(keras.Model(image, outputs))


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


@pytest.mark.parametrize("name", zoo.list_models())
def test_tiles_of_released_models(name):
    model = zoo.load(name)
    field = receptive_field(model)
    channels = zoo.card(name)["channels"]
    tile = 2 * field.radius
    image = random_image(3 * tile + 7, 4 * tile + 2, channels)
    np.testing.assert_allclose(
        restore(image, model, tile=tile), restore(image, model, tile=0), atol=1e-5
    )


@pytest.fixture
def windows(monkeypatch):
    """Shapes of what models are given."""
    shapes = []
    runner = restoration._runner

    def recording(*arguments):
        run = runner(*arguments)

        def recorded(batch):
            shapes.append(batch.shape)
            return run(batch)

        return recorded

    monkeypatch.setattr(restoration, "_runner", recording)
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


def test_automatic_tile(denoiser, windows):
    """Windows stay below their bound, in output pixels, and mostly useful."""
    for model in (denoiser, xunit_keras.xdncnn(), xunit_keras.xsrcnn_f(scale=4)):
        field = receptive_field(model)
        tile = restoration.auto_tile(field)
        window = tile + 2 * field.radius
        assert window * field.scale <= restoration.AUTO_WINDOW
        assert (window / tile) ** 2 < 1.3


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
        restore(random_image(*size), model, tile=8)
    if keras.config.backend() == "tensorflow":
        assert Counting.calls == 1


def test_integers(denoiser):
    for dtype in (np.uint8, np.uint16):
        image = from_float(random_image(20, 30), dtype)
        restored = restore(image, denoiser)
        assert (restored.dtype, restored.shape) == (dtype, (20, 30))
        expected = restore(to_float(image), denoiser)
        np.testing.assert_array_equal(restored, from_float(expected, dtype))


def test_floats_beyond_the_range_reach_the_model():
    image = keras.Input((None, None, 1))
    halving = keras.Model(image, image / 2)
    noisy = np.array([[-0.5, 0.5, 1.5, 3.0]])
    np.testing.assert_allclose(restore(noisy, halving), [[0, 0.25, 0.75, 1]])
    assert noisy.min() == -0.5


def test_grey_denoiser_on_colour(denoiser):
    image = random_image(20, 30, 3)
    restored = restore(image, denoiser)
    assert restored.shape == (20, 30, 3)
    for channel in range(3):
        expected = restore(image[..., channel], denoiser)
        np.testing.assert_allclose(restored[..., channel], expected, atol=1e-6)


@pytest.mark.parametrize("tile", [0, 5])
def test_luminance_enlarger_on_colour(enlarger, tile):
    image = random_image(14, 25, 3)
    ycbcr = rgb_to_ycbcr(image)
    expected = imresize(ycbcr, 3)
    expected[..., :1] = predict(enlarger, ycbcr[..., :1])
    expected = np.clip(ycbcr_to_rgb(expected), 0, 1)
    restored = restore(image, enlarger, tile=tile)
    np.testing.assert_allclose(restored, expected, rtol=0, atol=2e-5)


def test_colour_model_on_grey(colour_denoiser):
    image = random_image(20, 30)
    expected = predict(colour_denoiser, np.dstack([image] * 3)).mean(axis=2)
    restored = restore(image, colour_denoiser)
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


@pytest.mark.parametrize("shape", [(9, 11), (9, 11, 3), (1, 1)])
def test_enlarge(shape):
    image = from_float(random_image(*shape), np.uint8)
    expected = imresize(image.reshape(*shape[:2], -1), 4)
    enlarged = enlarge(image, 4)
    assert enlarged.dtype == np.uint8
    difference = enlarged.reshape(expected.shape).astype(int) - expected
    assert np.abs(difference).max() <= 1  # Rounding of halves.


def test_models_by_name_and_path(denoiser, tmp_path):
    card = {"task": "denoise", "sigma": [25.0], "channels": 1, "scale": 1}
    zoo.save(denoiser, tmp_path / "small", card)
    denoiser.save(tmp_path / "small.keras")
    image = random_image(15, 16)
    expected = restore(image, denoiser)
    for path in (tmp_path / "small", str(tmp_path / "small.keras")):
        np.testing.assert_array_equal(restore(image, path), expected)


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((4, 5), np.int32),
        np.zeros((4, 5), bool),
        np.zeros((4, 5, 4), np.uint8),
        np.zeros((1, 4, 5, 3), np.uint8),
        np.zeros(7, np.uint8),
        np.zeros((0, 5), np.uint8),
    ],
)
def test_images_refused(denoiser, image):
    with pytest.raises(ValueError, match="`image` must be"):
        restore(image, denoiser)


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
