from collections import Counter

import numpy as np
import pytest

from pipelines.data import drawings
from xunit_keras.imaging.color import with_channels


@pytest.fixture(scope="module")
def drawn():
    return drawings.drawings()


def colors(image):
    """The colors of an image."""
    return np.unique(image.astype(int) @ (2**16, 2**8, 1))


def flat_areas(images, side=64):
    """The colors of which a square of one patch's size is full, in some image."""
    colors = set()
    for image in images:
        for top in range(0, image.shape[0] - side + 1, side // 4):
            for left in range(0, image.shape[1] - side + 1, side // 4):
                square = image[top : top + side, left : left + side]
                if (square == square[0, 0]).all():
                    colors.add(tuple(map(int, square[0, 0])))
    return colors


def test_drawings(drawn):
    kinds = (name.rpartition("-")[0] for name in drawn)
    assert Counter(kinds) == drawings.COUNTS
    for image in drawn.values():
        assert image.shape == (*drawings.SIZE, 3) and image.dtype == np.uint8
    different = {image.tobytes() for image in drawn.values()}
    assert len(different) == len(drawn)
    for name, again in drawings.drawings().items():
        np.testing.assert_array_equal(again, drawn[name])


def test_patches_of_every_corner_of_the_cube_and_of_other_colors(drawn):
    flat = flat_areas(drawn.values())
    corners = {tuple(map(int, corner)) for corner in drawings.CORNERS}
    assert len(corners) == 8 and corners < flat
    assert len(flat - corners) > 20


def test_drawings_in_gray(drawn):
    levels = flat_areas(with_channels(image, 1) for image in drawn.values())
    assert {(0,), (76,), (150,), (29,), (255,)} < levels


def test_kinds_show_what_they_are_called_after(drawn):
    for number in range(min(drawings.COUNTS.values())):
        image = drawn[f"gradient-{number}"].astype(int)
        for axis in (0, 1):  # Neighbors hardly differ, but the ends do.
            assert np.abs(np.diff(image, axis=axis)).max() <= 3
        assert np.ptp(image, axis=(0, 1)).max() > 30
        assert len(colors(drawn[f"pattern-{number}"])) == 2
        assert len(colors(drawn[f"flat-{number}"])) == 6
        # Text leaves most of an image as it was, and changes its color often.
        text = drawn[f"text-{number}"].astype(int)
        changes = np.abs(np.diff(text, axis=1)).max(axis=2) > 0
        assert 0.05 < changes.mean() < 0.5
