"""Samples of image files and float samples in [0, 1], one into the other."""

import numpy as np
from numpy.typing import DTypeLike

LARGEST_SAMPLE = 8.0
"""How far a float image in [0, 1] may reach: noise of sigma 255 stays below."""


def to_float(pixels: np.ndarray) -> np.ndarray:
    """Converts uint8 or uint16 samples to float32 in [0, 1].

    Args:
        pixels: samples of any shape.

    Returns:
        A new float32 array of the same shape.

    Raises:
        ValueError: if `pixels` is of another type.
    """
    white = _white(pixels.dtype)
    array = pixels.astype(np.float32)
    array /= white
    return array


def from_float(array: np.ndarray, dtype: DTypeLike) -> np.ndarray:
    """Converts samples in [0, 1] to uint8 or uint16: clips, then rounds halves up.

    The exact inverse of `to_float`.

    Args:
        array: floating-point samples of any shape; values outside [0, 1] are clipped.
        dtype: `uint8` or `uint16`.

    Returns:
        A new array of the same shape.

    Raises:
        ValueError: if `dtype` is another type, or a sample is not a number.
    """
    white = _white(np.dtype(dtype))
    scaled = np.array(array, np.float32)
    if np.isnan(scaled.max(initial=0)):
        raise ValueError(
            "`array` must hold numbers only. Received: an array with NaN in it"
        )
    np.clip(scaled, 0, 1, out=scaled)
    scaled *= white
    scaled += 0.5
    return scaled.astype(dtype)  # The cast cuts: with the half added, it rounds.


def _white(dtype: np.dtype) -> int:
    if dtype not in (np.uint8, np.uint16):
        raise ValueError(f"Samples must be uint8 or uint16. Received: dtype={dtype}")
    return np.iinfo(dtype).max
