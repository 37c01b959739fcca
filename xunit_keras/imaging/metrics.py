"""PSNR and SSIM of images.

This file alone knows how scores treat borders (`shave`) and color (`on_luminance`).
"""

import numpy as np

from xunit_keras.imaging.color import luminance
from xunit_keras.imaging.pixels import LARGEST_SAMPLE

WINDOW = 11
"""Side of the Gaussian window of SSIM, in pixels."""

BLOCK = 8
"""Side of the blocks of JPEG, in pixels."""

C1, C2 = 0.01**2, 0.03**2
_SIGMA = 1.5


def gaussian_window() -> np.ndarray:
    """The `WINDOW` weights of SSIM along one axis; their sum is 1."""
    offsets = np.arange(WINDOW) - WINDOW // 2
    weights = np.exp(-(offsets**2) / (2 * _SIGMA**2))
    return weights / weights.sum()


def psnr(
    image: np.ndarray,
    reference: np.ndarray,
    shave: int = 0,
    on_luminance: bool = False,
) -> float:
    """Peak signal to noise ratio in decibels; infinite for equal images.

    Args:
        image: `(height, width, channels)`, float in [0, 1].
        reference: The ground truth, of the same shape.
        shave: Pixels to leave out at each border.
        on_luminance: Score the BT.601 Y channel of RGB images.

    Raises:
        ValueError: The shapes differ, the values are not floats of about [0, 1], or
            nothing is left after shaving.
    """
    image, reference = _prepare(image, reference, shave, on_luminance)
    error = np.mean(np.square(image.astype(np.float64) - reference))
    return float(-10.0 * np.log10(error)) if error else float("inf")


def ssim(
    image: np.ndarray,
    reference: np.ndarray,
    shave: int = 0,
    on_luminance: bool = False,
) -> float:
    """Structural similarity, 1 for equal images; channels are averaged.

    The arguments and errors are those of `psnr`. Images must be at least 11x11
    after shaving.

    Reference:
        Wang, Bovik, Sheikh, Simoncelli: Image Quality Assessment, IEEE Trans. Image
        Processing, 2004: Gaussian window of 11x11 with sigma 1.5, inside only,
        K1 = 0.01, K2 = 0.03.
    """
    image, reference = _prepare(image, reference, shave, on_luminance)
    if min(image.shape[:2]) < WINDOW:
        raise ValueError(
            f"SSIM needs images of at least {WINDOW}x{WINDOW} pixels after "
            f"shaving. Received: {image.shape[0]}x{image.shape[1]}"
        )
    return _ssim(reference.astype(np.float64), image.astype(np.float64))


def psnr_b(image: np.ndarray, reference: np.ndarray) -> float:
    """PSNR that counts the steps at the borders of JPEG's blocks as further errors.

    Args:
        image: `(height, width, channels)`, float in [0, 1], cut at no block: its
            first pixel is the first of a block of 8x8. Of RGB images, Y counts.
        reference: The ground truth, of the same shape.

    Raises:
        ValueError: See `psnr`; or the image is smaller than two blocks.

    Reference:
        Yim, Bovik: Quality Assessment of Deblocked Images, IEEE Trans. Image
        Processing, 2011.
    """
    image, reference = _prepare(image, reference, 0, on_luminance=True)
    if min(image.shape[:2]) < 2 * BLOCK:
        raise ValueError(
            f"PSNR-B needs images of at least {2 * BLOCK}x{2 * BLOCK} pixels. "
            f"Received: {image.shape[0]}x{image.shape[1]}"
        )
    image = image.astype(np.float64)[..., 0]
    error = np.mean(np.square(image - reference[..., 0])) + _blocking(image)
    return float(-10.0 * np.log10(error)) if error else float("inf")


def _blocking(image: np.ndarray) -> float:
    """The blocking effect factor of an image `(height, width)`."""
    at_borders, elsewhere = [], []
    for axis in (0, 1):
        steps = np.square(np.diff(image, axis=axis))
        border = np.arange(steps.shape[axis]) % BLOCK == BLOCK - 1
        at_borders.append(steps.compress(border, axis=axis).ravel())
        elsewhere.append(steps.compress(~border, axis=axis).ravel())
    excess = np.concatenate(at_borders).mean() - np.concatenate(elsewhere).mean()
    return max(excess, 0.0) * np.log2(BLOCK) / np.log2(min(image.shape))


def _prepare(image, reference, shave, on_luminance):
    image, reference = np.asarray(image), np.asarray(reference)
    if image.shape != reference.shape or image.ndim != 3:
        raise ValueError(
            "Images to compare must have the same shape (height, width, channels). "
            f"Received: {image.shape} and {reference.shape}"
        )
    for array in (image, reference):
        if not np.issubdtype(array.dtype, np.floating):
            raise ValueError(
                "Images to compare must be floats in [0, 1]. "
                f"Received: dtype={array.dtype}"
            )
        farthest = np.abs(array).max(initial=0)
        if not farthest <= LARGEST_SAMPLE:  # So that NaN is found, too.
            raise ValueError(
                "Images to compare must lie in [0, 1], beyond which only noise may "
                f"go. Received: values as far from 0 as {farthest:g}"
            )
    if on_luminance:
        image, reference = luminance(image), luminance(reference)
    if min(image.shape[:2]) <= 2 * shave:
        raise ValueError(
            f"Nothing is left of {image.shape[0]}x{image.shape[1]} pixels after "
            f"shaving {shave} at each border."
        )
    inside = slice(shave, -shave if shave else None)
    return image[inside, inside], reference[inside, inside]


def _ssim(reference, image) -> float:
    mean_r, mean_i = _blur(reference), _blur(image)
    variance_r = _blur(reference * reference) - mean_r * mean_r
    variance_i = _blur(image * image) - mean_i * mean_i
    covariance = _blur(reference * image) - mean_r * mean_i
    similarity = (2 * mean_r * mean_i + C1) * (2 * covariance + C2)
    similarity /= (mean_r**2 + mean_i**2 + C1) * (variance_r + variance_i + C2)
    return float(similarity.mean())


def _blur(image: np.ndarray) -> np.ndarray:
    """The weighted mean of each window that lies inside of the image."""
    for axis in (0, 1):
        length = image.shape[axis] - WINDOW + 1
        lines = np.moveaxis(image, axis, 0)
        mean = np.zeros((length, *lines.shape[1:]))
        for start, weight in enumerate(gaussian_window()):
            mean += weight * lines[start : start + length]
        image = np.moveaxis(mean, 0, axis)
    return image
