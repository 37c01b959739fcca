"""MATLAB's `imresize` with the bicubic kernel, in NumPy."""

from fractions import Fraction

import numpy as np

REACH = 2
"""Pixels to each side that a bicubic sample looks at, where an image is enlarged."""


def cubic(x: np.ndarray) -> np.ndarray:
    """Keys' cubic convolution kernel with a = -0.5, MATLAB's `bicubic`.

    Reference: R. Keys, Cubic convolution interpolation for digital image
    processing, IEEE Trans. ASSP 29(6), 1981.
    """
    x = np.abs(x)
    near = 1.5 * x**3 - 2.5 * x**2 + 1.0
    far = -0.5 * x**3 + 2.5 * x**2 - 4.0 * x + 2.0
    return np.where(x <= 1, near, np.where(x < 2, far, 0.0))


def imresize(image: np.ndarray, scale: int | Fraction) -> np.ndarray:
    """Resizes an image as MATLAB's `imresize(image, scale)` does.

    The kernel is bicubic, widened when shrinking (antialiasing); borders are
    mirrored, the edge pixel repeated; columns and rows are resized one after the
    other, and the result of `ceil(size * scale)` pixels is not rounded in between.

    Args:
        image: `(height, width, channels)`; uint8 in 0..255, or float of any range.
        scale: 2, 3, `Fraction(1, 3)`, ...

    Returns:
        The resized image: uint8 is rounded and clipped to uint8, float stays float
        of the same type, not clipped.
    """
    scale = Fraction(scale)
    result = image.astype(np.float64)
    for axis in (0, 1):
        result = _resize_axis(result, axis, scale)
    if image.dtype == np.uint8:
        return np.floor(np.clip(result, 0, 255) + 0.5).astype(np.uint8)
    return result.astype(image.dtype)


def crop_to_multiple(image: np.ndarray, scale: int) -> np.ndarray:
    """Cuts right and bottom so that height and width are multiples of `scale`."""
    height, width = (size - size % scale for size in image.shape[:2])
    return image[:height, :width]


def enlargement(length: int, scale: int) -> np.ndarray:
    """The matrix that enlarges an axis: `(scale * length, length)` float32.

    For windows of photographs a product with it is the fastest way of `imresize`.
    """
    return _resize_axis(np.eye(length), 0, Fraction(scale)).astype(np.float32)


def taps(length: int, size: int, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """The samples of an axis that each sample of the resized one is made of.

    Args:
        length: Samples of the axis.
        size: Those of the resized axis.
        scale: The factor between them, before rounding.

    Returns:
        Positions `(size, taps)`, mirrored at the borders, and their weights, float64,
        whose sums are 1. Where a weight is 0, its position is one that weighs more.
    """
    shrink = min(scale, 1.0)
    center = (np.arange(size) + 0.5) / scale - 0.5
    reach = int(np.ceil(2.0 / shrink)) + 1
    positions = np.floor(center)[:, None].astype(int) + np.arange(-reach, reach + 1)
    weights = cubic(shrink * (center[:, None] - positions))
    weights /= weights.sum(axis=1, keepdims=True)
    # ... 1 0 | 0 1 2 ... n-1 | n-1 n-2 ...: mirrored with the edge repeated.
    period = positions % (2 * length)
    positions = np.where(period < length, period, 2 * length - 1 - period)
    heaviest = positions[np.arange(size), weights.argmax(axis=1)]
    return np.where(weights == 0, heaviest[:, None], positions), weights


def _resize_axis(image: np.ndarray, axis: int, scale: Fraction) -> np.ndarray:
    length = image.shape[axis]
    size = -(-length * scale.numerator // scale.denominator)
    positions, weights = taps(length, size, float(scale))
    image = np.moveaxis(image, axis, 0)
    result = np.zeros((size, *image.shape[1:]))
    for column in np.flatnonzero(weights.any(axis=0)):
        column_weights = weights[:, column].reshape(-1, *(1,) * (image.ndim - 1))
        result += column_weights * image[positions[:, column]]
    return np.moveaxis(result, 0, axis)
