"""MATLAB's `imresize` with the bicubic kernel, in NumPy."""

from fractions import Fraction

import numpy as np

from xunit_keras.layers.bicubic import cubic


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


def _resize_axis(image: np.ndarray, axis: int, scale: Fraction) -> np.ndarray:
    length = image.shape[axis]
    shrink = min(float(scale), 1.0)
    size = -(-length * scale.numerator // scale.denominator)
    centre = (np.arange(size) + 0.5) / float(scale) - 0.5
    reach = int(np.ceil(2.0 / shrink)) + 1
    taps = np.floor(centre)[:, None].astype(int) + np.arange(-reach, reach + 1)
    weights = cubic(shrink * (centre[:, None] - taps))
    weights /= weights.sum(axis=1, keepdims=True)
    # ... 1 0 | 0 1 2 ... n-1 | n-1 n-2 ...: mirrored with the edge repeated.
    period = taps % (2 * length)
    taps = np.where(period < length, period, 2 * length - 1 - period)
    image = np.moveaxis(image, axis, 0)
    result = np.zeros((size, *image.shape[1:]))
    for column in np.flatnonzero(weights.any(axis=0)):
        column_weights = weights[:, column].reshape(-1, *(1,) * (image.ndim - 1))
        result += column_weights * image[taps[:, column]]
    return np.moveaxis(result, 0, axis)
