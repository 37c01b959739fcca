"""Gray, luminance and chrominance by the coefficients of ITU-R BT.601.

Two scales are in use in this field, both with the same weights of red, green and
blue: *gray* spans the whole range of the samples (JPEG, Pillow, OpenCV), and *Y*, the
luminance of MATLAB's `rgb2ycbcr`, lies in 16..235 of 255.
"""

import numpy as np

RED, GREEN, BLUE = 0.299, 0.587, 0.114
"""Weights of the luminance of BT.601."""

_WEIGHTS = np.array([RED, GREEN, BLUE])

# Rows: Y in 16..235, Cb and Cr in 16..240, of R, G, B in 0..1, all over 255.
_MATRIX = (
    np.array(
        [
            219.0 * _WEIGHTS,
            112.0 * (np.array([0.0, 0.0, 1.0]) - _WEIGHTS) / (1.0 - BLUE),
            112.0 * (np.array([1.0, 0.0, 0.0]) - _WEIGHTS) / (1.0 - RED),
        ]
    )
    / 255.0
)
_OFFSET = np.array([16.0, 128.0, 128.0]) / 255.0


def rgb_to_ycbcr(image: np.ndarray) -> np.ndarray:
    """RGB `(..., 3)` in [0, 1] to Y, Cb, Cr over 255: Y lies in 16/255..235/255."""
    return (image @ _MATRIX.T + _OFFSET).astype(image.dtype)


def ycbcr_to_rgb(image: np.ndarray) -> np.ndarray:
    """The inverse of `rgb_to_ycbcr`, not clipped."""
    return ((image - _OFFSET) @ np.linalg.inv(_MATRIX).T).astype(image.dtype)


def luminance(image: np.ndarray) -> np.ndarray:
    """Y `(..., 1)` of an RGB image `(..., 3)` in [0, 1]; a gray image is its own Y."""
    if image.shape[-1] == 1:
        return image
    return (image @ _MATRIX[0] + _OFFSET[0]).astype(image.dtype)[..., None]


def y_weights() -> tuple[np.ndarray, float]:
    """Weights of R, G and B in [0, 1], and the offset, that give `luminance`."""
    return _MATRIX[0].copy(), float(_OFFSET[0])


def with_channels(image: np.ndarray, channels: int) -> np.ndarray:
    """A uint8 image `(height, width, 1 or 3)` as gray (1) or RGB (3).

    Gray is the weighted sum of R, G and B over the whole range, rounded half up.
    """
    if image.shape[2] == channels:
        return image
    if channels == 3:
        return np.repeat(image, 3, axis=2)
    return np.floor(image @ _WEIGHTS + 0.5).astype(np.uint8)[..., None]
