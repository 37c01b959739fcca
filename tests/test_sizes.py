"""Sizes of results, chains of networks, and the exact way down."""

import math
from fractions import Fraction

import numpy as np
import pytest

from xunit_keras.imaging.resize import imresize
from xunit_keras.sizes import Size, passes, shrink


@pytest.mark.parametrize(
    ("size", "shape", "expected"),
    [
        (Size(width=100), (30, 40), (75, 100)),
        (Size(height=75), (30, 40), (75, 100)),
        (Size(scale=2.5), (30, 40), (75, 100)),
        (Size(scale=2.5), (3, 5), (8, 13)),  # Halves are rounded up.
        (Size(scale=1.1), (10, 10), (11, 11)),  # Not 12: 1.1 is no binary number.
        (Size(width=1001), (333, 1000), (333, 1001)),
        (Size(height=7), (1, 3), (7, 21)),
    ],
)
def test_sizes(size, shape, expected):
    assert size.of(*shape) == expected


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"width": 0}, "`width` must be at least 1"),
        ({"height": -3}, "`height` must be at least 1"),
        ({"scale": 0}, "`scale` must be more than 1"),
        ({"scale": 1}, "`scale` must be more than 1"),
        ({"scale": -2.5}, "`scale` must be more than 1"),
        ({"scale": math.nan}, "`scale` must be more than 1"),
        ({"scale": math.inf}, "`scale` must be more than 1"),
        ({"width": 10, "height": 10}, "one of width, height and scale"),
        ({}, "Received: none"),
    ],
)
def test_sizes_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Size(**arguments)


@pytest.mark.parametrize("size", [Size(width=40), Size(height=10)])
def test_images_that_are_large_enough(size):
    with pytest.raises(ValueError, match="40 x 30 pixels already"):
        size.of(30, 40)


@pytest.mark.parametrize(
    ("ratio", "scales", "expected"),
    [
        ("1.1", (2, 3, 4), (2,)),
        ("2", (2, 3, 4), (2,)),
        ("2.5", (2, 3, 4), (3,)),
        ("5", (2, 3, 4), (2, 3)),
        ("6.1", (2, 3, 4), (2, 4)),
        ("13", (2, 3, 4), (4, 4)),
        ("9", (3,), (3, 3)),
        ("2", (1, 2), (2,)),
    ],
)
def test_passes(ratio, scales, expected):
    assert passes(Fraction(ratio), scales) == expected


def test_too_many_passes():
    with pytest.raises(ValueError, match="takes more than 6 passes"):
        passes(Fraction(65), [2])


@pytest.mark.parametrize("ratio", ["1/2", "2/3", "5/6", "11/12", "1/4", "1"])
@pytest.mark.parametrize("rows", [1, 5, 36])
def test_shrinking_is_that_of_matlab(ratio, rows):
    image = np.random.default_rng(0).random((36, 60, 3))
    expected = imresize(image, Fraction(ratio))
    bands = (image[start : start + rows] for start in range(0, 36, rows))
    result = list(shrink(bands, (36, 60), expected.shape[:2]))
    np.testing.assert_allclose(np.concatenate(result), expected, atol=1e-6)
    if rows == 1:
        assert len(result) > 1  # The whole is never there.


def test_shrinking_to_any_size():
    """Each side by its own factor, one after the other."""
    image = np.random.default_rng(1).random((31, 47, 1))
    target = (17, 40)

    def axis(image, size):  # The other side is one pixel, which stays.
        return imresize(image, Fraction(size, len(image)))

    rows = np.stack([axis(image[:, i : i + 1], 17)[:, 0] for i in range(47)], 1)
    expected = np.stack([axis(row[:, None], 40)[:, 0] for row in rows])
    result = np.concatenate(list(shrink([image[:20], image[20:]], (31, 47), target)))
    assert result.shape == (*target, 1)
    np.testing.assert_allclose(result, expected, atol=1e-6)


@pytest.mark.parametrize("source", [(1, 1), (2, 1), (3, 5)])
def test_tiny_images(source):
    image = np.full((*source, 3), 0.25)
    for target in {(1, 1), source}:
        result = np.concatenate(list(shrink([image], source, target)))
        assert result.shape == (*target, 3)
        np.testing.assert_allclose(result, 0.25, atol=1e-6)
