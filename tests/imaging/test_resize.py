"""`imresize` against MATLAB's definition, written out pixel by pixel."""

import math
from fractions import Fraction

import numpy as np
import pytest

from xunit_keras.imaging.resize import imresize


def kernel(x):
    """Keys' cubic, a = -0.5."""
    x = abs(x)
    if x <= 1:
        return 1.5 * x**3 - 2.5 * x**2 + 1
    if x <= 2:
        return -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return 0.0


def mirrored(index, length):
    """... 1 0 | 0 1 ... n-1 | n-1 n-2 ..."""
    while not 0 <= index < length:
        index = -1 - index if index < 0 else 2 * length - 1 - index
    return index


def resize_row(row, scale):
    """MATLAB's `contributions` for one row, in its own, one-based coordinates."""
    size = math.ceil(len(row) * scale)
    width = 4 / min(scale, 1)
    result = []
    for x in range(1, size + 1):
        u = x / scale + 0.5 * (1 - 1 / scale)
        left = math.floor(u - width / 2)
        total = weights = 0.0
        for index in range(left, left + math.ceil(width) + 2):
            weight = min(scale, 1) * kernel(min(scale, 1) * (u - index))
            total += weight * row[mirrored(index - 1, len(row))]
            weights += weight
        result.append(total / weights)
    return result


def reference(image, scale):
    columns = np.apply_along_axis(resize_row, 0, image.astype(float), scale)
    return np.apply_along_axis(resize_row, 1, columns, scale)


SCALES = [2, 3, 4, Fraction(1, 2), Fraction(1, 3), Fraction(1, 4), Fraction(3, 2)]


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("size", [(12, 12), (7, 13), (1, 5), (2, 1)])
def test_against_the_definition(scale, size):
    image = np.random.default_rng(0).random((*size, 3))
    resized = imresize(image, scale)
    expected = reference(image, float(scale))
    assert resized.shape == expected.shape
    assert resized.dtype == image.dtype
    np.testing.assert_allclose(resized, expected, rtol=0, atol=1e-12)


def test_bytes_are_rounded_and_clipped():
    image = np.zeros((8, 8, 1), np.uint8)
    image[2:5, 3:6] = 255
    resized = imresize(image, 3)
    expected = np.floor(np.clip(reference(image, 3.0), 0, 255) + 0.5)
    assert resized.dtype == np.uint8
    np.testing.assert_array_equal(resized, expected)
    assert reference(image, 3.0).max() > 256  # There was something to clip.


def test_known_values():
    """MATLAB: imresize([0 0 255 255], 0.5) and imresize(uint8(...), 2)."""
    edge = np.array([[0.0, 0.0, 1.0, 1.0]])[..., None].repeat(4, axis=0)
    # A symmetric edge shrinks to a symmetric edge.
    half = imresize(edge, Fraction(1, 2))[0, :, 0]
    assert half[0] + half[1] == pytest.approx(1)
    constant = np.full((5, 6, 3), 77, np.uint8)
    for scale in SCALES:
        assert np.unique(imresize(constant, scale)).tolist() == [77]
