"""Luminance and chrominance as MATLAB's `rgb2ycbcr` defines them (BT.601)."""

import numpy as np

# Rows: Y in 16..235, Cb and Cr in 16..240, of R, G, B in 0..1, all over 255.
_MATRIX = (
    np.array(
        [
            [65.481, 128.553, 24.966],
            [-37.797, -74.203, 112.0],
            [112.0, -93.786, -18.214],
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
    """Y `(..., 1)` of an RGB image `(..., 3)` in [0, 1]; a grey image is its own Y."""
    if image.shape[-1] == 1:
        return image
    return (image @ _MATRIX[0] + _OFFSET[0]).astype(image.dtype)[..., None]
