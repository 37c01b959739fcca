import numpy as np
import pytest
from skimage import color

from xunit_keras.colour import luminance, rgb_to_ycbcr, ycbcr_to_rgb

IMAGE = np.random.default_rng(0).random((5, 7, 3))


def test_against_scikit_image():
    np.testing.assert_allclose(
        255 * rgb_to_ycbcr(IMAGE), color.rgb2ycbcr(IMAGE), atol=1e-9
    )
    np.testing.assert_allclose(
        255 * luminance(IMAGE), color.rgb2ycbcr(IMAGE)[..., :1], atol=1e-9
    )


@pytest.mark.parametrize(
    ("rgb", "ycbcr"),
    [
        ((0, 0, 0), (16, 128, 128)),
        ((1, 1, 1), (235, 128, 128)),
        ((1, 0, 0), (81.481, 90.203, 240)),
        ((0, 1, 0), (144.553, 53.797, 34.214)),
        ((0, 0, 1), (40.966, 240, 109.786)),
    ],
)
def test_the_corners_of_bt601(rgb, ycbcr):
    pixel = np.array(rgb, "float64")
    np.testing.assert_allclose(255 * rgb_to_ycbcr(pixel), ycbcr, atol=1e-9)


def test_there_and_back():
    np.testing.assert_allclose(ycbcr_to_rgb(rgb_to_ycbcr(IMAGE)), IMAGE, atol=1e-12)
    image = IMAGE.astype("float32")
    np.testing.assert_allclose(ycbcr_to_rgb(rgb_to_ycbcr(image)), image, atol=1e-5)


def test_values_outside_are_not_clipped():
    image = 3.0 * IMAGE - 1.0
    np.testing.assert_allclose(ycbcr_to_rgb(rgb_to_ycbcr(image)), image, atol=1e-12)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_types_and_shapes(dtype):
    image = IMAGE.astype(dtype)
    for function in (rgb_to_ycbcr, ycbcr_to_rgb):
        assert function(image).dtype == dtype
        assert function(image[None]).shape == (1, 5, 7, 3)
    assert luminance(image).dtype == dtype
    assert luminance(image[None]).shape == (1, 5, 7, 1)


def test_a_grey_image_is_its_own_luminance():
    grey = IMAGE[..., :1]
    assert luminance(grey) is grey
