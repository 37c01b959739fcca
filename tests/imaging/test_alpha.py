import numpy as np
import pytest
from PIL import Image, ImageDraw

from xunit_keras.imaging.alpha import fill_transparent
from xunit_keras.imaging.resize import imresize

RED = (240, 60, 40)


def disc(side=96):
    """The alpha of a disc with soft edges."""
    large = Image.new("L", (8 * side, 8 * side))
    ends = (side, side, 7 * side, 7 * side)
    ImageDraw.Draw(large).ellipse(ends, fill=255)
    return np.asarray(large.resize((side, side), Image.Resampling.BOX))


def fringe(pixels, alpha, scale=4):
    """How far the logo, enlarged and laid on white, is from its own color at most."""
    large = imresize(pixels, scale).astype(float)
    opacity = imresize(alpha[..., None], scale) / 255
    shown, ideal = (c * opacity + 255 * (1 - opacity) for c in (large, np.array(RED)))
    return abs(shown - ideal).max()


def test_a_logo_gets_no_dark_fringe():
    alpha = disc()
    pixels = np.zeros((*alpha.shape, 3), np.uint8)
    pixels[alpha > 0] = RED
    assert fringe(pixels, alpha) > 30
    filled = fill_transparent(pixels, alpha)
    assert fringe(filled, alpha) <= 0.5
    assert (filled == RED).all()  # There is no other color to be seen.


def test_a_logo_whose_colors_were_multiplied_by_alpha():
    """Where alpha is 1 or 2, such colors are hardly more than rounding."""
    alpha = disc()
    multiplied = np.round(np.array(RED) * (alpha[..., None] / 255))
    pixels = 255 * multiplied / np.maximum(alpha[..., None], 1)
    pixels = np.minimum(np.round(pixels), 255).astype(np.uint8)
    assert fringe(pixels, alpha) > 30
    assert fringe(fill_transparent(pixels, alpha), alpha) <= 3


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("shape", [(1, 1), (1, 7, 3), (5, 1), (301, 518, 3), (600, 40)])
def test_what_is_seen_stays(shape, dtype):
    random = np.random.default_rng(0)
    white = np.iinfo(dtype).max
    pixels = random.integers(0, white + 1, shape).astype(dtype)
    alpha = random.integers(0, white + 1, shape[:2])
    alpha = np.where(alpha % 3 == 0, 0, np.where(alpha % 3 == 1, white, alpha))
    alpha = alpha.astype(dtype)
    before = pixels.copy()
    filled = fill_transparent(pixels, alpha)
    np.testing.assert_array_equal(pixels, before)
    assert filled.shape == shape and filled.dtype == dtype
    np.testing.assert_array_equal(filled[alpha == white], pixels[alpha == white])
    opacity = alpha.reshape(*shape[:2], *(1,) * (len(shape) - 2)) / white
    change = abs(filled.astype(float) - pixels) * opacity
    assert change.max() <= 4.1 / 255 * white


def test_the_nearest_color_wins():
    pixels = np.zeros((9, 400, 3), np.uint8)
    alpha = np.zeros((9, 400), np.uint8)
    pixels[:, :20], pixels[:, -20:] = RED, (0, 0, 250)
    alpha[:, :20] = alpha[:, -20:] = 255
    filled = fill_transparent(pixels, alpha).astype(int)
    assert abs(filled[:, 20:28] - RED).max() <= 2
    assert abs(filled[:, -28:-20] - (0, 0, 250)).max() <= 2
    assert filled[..., 0].min(axis=0)[20:-20].max() <= 240  # Nothing but mixtures.


def test_bands_do_not_show(monkeypatch):
    random = np.random.default_rng(1)
    pixels = random.integers(0, 256, (600, 31, 3), np.uint8)
    alpha = (random.random((600, 31)) < 0.1).astype(np.uint8) * 200
    whole = fill_transparent(pixels, alpha)
    monkeypatch.setattr("xunit_keras.imaging.alpha._BAND", 6)
    np.testing.assert_array_equal(fill_transparent(pixels, alpha), whole)


def test_nothing_to_fill():
    pixels = np.zeros((4, 5, 3), np.uint8)
    for opacity in (0, 255):
        alpha = np.full((4, 5), opacity, np.uint8)
        assert fill_transparent(pixels, alpha) is pixels
