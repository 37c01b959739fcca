import numpy as np
import pytest
from PIL import Image
from skimage import color

from xunit_keras.imaging.color import (
    BLUE,
    GREEN,
    RED,
    luminance,
    rgb_to_ycbcr,
    with_channels,
    y_weights,
    ycbcr_to_rgb,
)

IMAGE = np.random.default_rng(0).random((5, 7, 3))


def test_against_scikit_image():
    # Its weights of chroma have three decimals, those of luminance are exact.
    ours, theirs = 255 * rgb_to_ycbcr(IMAGE), color.rgb2ycbcr(IMAGE)
    np.testing.assert_allclose(ours[..., 0], theirs[..., 0], atol=1e-9)
    np.testing.assert_allclose(ours, theirs, atol=1e-3)
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
    ours = 255 * rgb_to_ycbcr(pixel)
    assert ours[0] == pytest.approx(ycbcr[0], abs=1e-9)
    np.testing.assert_allclose(ours, ycbcr, atol=5.1e-4)  # Three decimals are known.


def test_the_published_matrix():
    """ITU-R BT.601 as MATLAB documents it: of R, G and B in [0, 1], in levels."""
    published = [
        [65.481, 128.553, 24.966],
        [-37.797, -74.203, 112.0],
        [112.0, -93.786, -18.214],
    ]
    black = rgb_to_ycbcr(np.zeros(3))
    columns = [255 * (rgb_to_ycbcr(unit) - black) for unit in np.eye(3)]
    # Three decimals are published.
    np.testing.assert_allclose(np.transpose(columns), published, atol=5.1e-4)
    np.testing.assert_allclose(255 * black, [16, 128, 128], atol=1e-12)
    weights, offset = y_weights()
    np.testing.assert_allclose(255 * weights, published[0], atol=1e-9)
    assert 255 * offset == pytest.approx(16)
    assert sum((RED, GREEN, BLUE)) == pytest.approx(1, abs=1e-12)


def test_gray_is_that_of_pillow():
    """It rounds weights to 16 bits, so a level is all that may differ."""
    image = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)
    gray = with_channels(image, 1)
    assert gray.shape == (40, 50, 1) and gray.dtype == np.uint8
    expected = np.asarray(Image.fromarray(image).convert("L"))
    difference = gray[..., 0].astype(int) - expected
    assert abs(difference).max() <= 1 and (difference == 0).mean() > 0.99
    exact = image.astype(object) @ [299, 587, 114]  # Integers, over 1000.
    np.testing.assert_array_equal(gray[..., 0], (exact + 500) // 1000)


def test_gray_of_gray():
    levels = np.arange(256, dtype=np.uint8).reshape(16, 16, 1)
    color = with_channels(levels, 3)
    assert color.shape == (16, 16, 3)
    np.testing.assert_array_equal(color, np.repeat(levels, 3, axis=2))
    np.testing.assert_array_equal(with_channels(color, 1), levels)
    assert with_channels(levels, 1) is levels and with_channels(color, 3) is color


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


def test_a_gray_image_is_its_own_luminance():
    gray = IMAGE[..., :1]
    assert luminance(gray) is gray
