import keras
import numpy as np
import pytest
import references
from keras import ops
from layers.checks import check_layer

from xunit_keras import BicubicUpsampling


def pixels(*shape):
    """Values in 0..255, with the extremes side by side."""
    rng = np.random.default_rng(7)
    images = rng.integers(0, 256, shape).astype("float32")
    images[rng.random(shape) < 0.2] = 255.0
    images[rng.random(shape) < 0.2] = 0.0
    return images


@pytest.mark.parametrize("scale", [2, 3, 4, 5, 8])
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_layer(scale, data_format, tmp_path):
    last = data_format == "channels_last"
    small, large = (5, 4), (5 * scale, 4 * scale)
    check_layer(
        BicubicUpsampling,
        {"scale": scale, "data_format": data_format},
        input_shape=(2, *small, 3) if last else (2, 3, *small),
        output_shape=(2, *large, 3) if last else (2, 3, *large),
        tmp_path=tmp_path,
    )


@pytest.mark.parametrize("scale", [2, 3, 4, 5, 8])
@pytest.mark.parametrize(
    "size", [(1, 1), (1, 2), (2, 1), (2, 2), (1, 7), (3, 2), (4, 3), (7, 9)]
)
@pytest.mark.parametrize("channels", [1, 3])
def test_equals_matlab_up_to_the_borders(scale, size, channels):
    images = pixels(2, *size, channels)
    expected = np.stack([references.bicubic(image, scale) for image in images])
    result = ops.convert_to_numpy(BicubicUpsampling(scale)(images))
    np.testing.assert_allclose(result, expected, atol=1e-4, rtol=0)

    first = BicubicUpsampling(scale, data_format="channels_first")
    result = ops.convert_to_numpy(first(images.transpose(0, 3, 1, 2)))
    np.testing.assert_allclose(
        result.transpose(0, 2, 3, 1), expected, atol=1e-4, rtol=0
    )


def test_values_known_by_hand():
    """Scale 2 weighs four neighbors by -9, 29, 111 and -3 over 128."""
    row = np.array([0, 0, 128, 0, 0], "float32").reshape(1, 1, 5, 1)
    result = ops.convert_to_numpy(BicubicUpsampling(2)(row))[0, :, :, 0]
    expected = [0, -3, -9, 29, 111, 111, 29, -9, -3, 0]
    np.testing.assert_allclose(result, [expected, expected], atol=1e-4)


def test_integers_are_taken_as_numbers():
    images = pixels(1, 4, 5, 1)
    layer = BicubicUpsampling(2)
    np.testing.assert_array_equal(
        ops.convert_to_numpy(layer(images.astype("uint8"))),
        ops.convert_to_numpy(layer(images)),
    )


def test_one_layer_takes_images_of_any_size():
    inputs = keras.Input((None, None, 1))
    model = keras.Model(inputs, BicubicUpsampling(3)(inputs))
    for size in ((1, 1), (6, 2), (3, 5)):
        images = pixels(1, *size, 1)
        np.testing.assert_allclose(
            model.predict(images, verbose=0)[0],
            references.bicubic(images[0], 3),
            atol=1e-4,
        )


def test_the_configured_data_format_is_the_default(keras_settings):
    keras_settings.set_image_data_format("channels_first")
    layer = BicubicUpsampling(2)
    assert layer.data_format == "channels_first"
    assert layer(np.zeros((1, 3, 4, 5), "float32")).shape == (1, 3, 8, 10)


@pytest.mark.parametrize("scale", [1, 0, -2, 2.5, "2", None, True])
def test_bad_scale(scale):
    with pytest.raises(ValueError, match=f"scale={scale!r}"):
        BicubicUpsampling(scale)


def test_bad_data_format():
    with pytest.raises(ValueError, match="data_format='NHWC'"):
        BicubicUpsampling(2, data_format="NHWC")
