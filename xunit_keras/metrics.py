"""PSNR and SSIM, as array functions and as Keras metrics.

This file alone knows how scores treat borders (`shave`) and colour (`on_luminance`).
"""

import keras
import numpy as np
from keras import ops

from xunit_keras.colour import luminance

_WINDOW, _SIGMA = 11, 1.5
_C1, _C2 = 0.01**2, 0.03**2


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
        ValueError: The shapes differ, the values are not floats, or nothing is left
            after shaving.
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
    if min(image.shape[:2]) < _WINDOW:
        raise ValueError(
            f"SSIM needs images of at least {_WINDOW}x{_WINDOW} pixels after "
            f"shaving. Received: {image.shape[0]}x{image.shape[1]}"
        )
    return float(_ssim(reference[None], image[None])[0])


def _prepare(image, reference, shave, on_luminance):
    image, reference = np.asarray(image), np.asarray(reference)
    if image.shape != reference.shape or image.ndim != 3:
        raise ValueError(
            "Images to compare must have the same shape (height, width, channels). "
            f"Received: {image.shape} and {reference.shape}"
        )
    for dtype in (image.dtype, reference.dtype):
        if not np.issubdtype(dtype, np.floating):
            raise ValueError(
                f"Images to compare must be floats in [0, 1]. Received: dtype={dtype}"
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


def _ssim(reference, image):
    """SSIM of each image of a batch `(batch, height, width, channels)`."""
    reference = ops.cast(reference, "float32")
    image = ops.cast(image, "float32")
    offsets = np.arange(_WINDOW) - _WINDOW // 2
    window = np.exp(-(offsets**2) / (2 * _SIGMA**2))
    window = (window / window.sum()).astype("float32")

    def blur(x):
        channels = x.shape[-1]
        for shape in ((_WINDOW, 1, 1, 1), (1, _WINDOW, 1, 1)):
            kernel = np.repeat(window.reshape(shape), channels, axis=2)
            x = ops.depthwise_conv(
                x, kernel, padding="valid", data_format="channels_last"
            )
        return x

    mean_r, mean_i = blur(reference), blur(image)
    variance_r = blur(ops.square(reference)) - ops.square(mean_r)
    variance_i = blur(ops.square(image)) - ops.square(mean_i)
    covariance = blur(reference * image) - mean_r * mean_i
    similarity = (2 * mean_r * mean_i + _C1) * (2 * covariance + _C2)
    similarity /= (ops.square(mean_r) + ops.square(mean_i) + _C1) * (
        variance_r + variance_i + _C2
    )
    return ops.mean(similarity, axis=(1, 2, 3))


@keras.saving.register_keras_serializable(package="xunit_keras")
class PSNR(keras.metrics.Mean):
    """Mean over images of the PSNR in decibels, of values in [0, 1].

    Predictions are clipped to [0, 1], as a written image would be. Equal images
    count as 100 dB.

    Args:
        name: Name of the metric.
        **kwargs: Arguments of `keras.metrics.Mean`.
    """

    def __init__(self, name="psnr", **kwargs):
        super().__init__(name=name, **kwargs)

    def update_state(self, y_true, y_pred, sample_weight=None):
        y_true = ops.cast(y_true, "float32")
        y_pred = ops.clip(ops.cast(y_pred, "float32"), 0.0, 1.0)
        error = ops.mean(ops.square(y_true - y_pred), axis=(1, 2, 3))
        error = ops.maximum(error, 1e-10)
        decibels = -10.0 * ops.log(error) / np.log(10.0)
        return super().update_state(decibels, sample_weight=sample_weight)


@keras.saving.register_keras_serializable(package="xunit_keras")
class SSIM(keras.metrics.Mean):
    """Mean over images of the SSIM, of values in [0, 1].

    Images must be at least 11x11 pixels, `channels_last`. Predictions are clipped
    to [0, 1].

    Args:
        name: Name of the metric.
        **kwargs: Arguments of `keras.metrics.Mean`.
    """

    def __init__(self, name="ssim", **kwargs):
        super().__init__(name=name, **kwargs)

    def update_state(self, y_true, y_pred, sample_weight=None):
        similarity = _ssim(y_true, ops.clip(y_pred, 0.0, 1.0))
        return super().update_state(similarity, sample_weight=sample_weight)
