"""PSNR and SSIM as Keras metrics, for `compile` and for training."""

import keras
import numpy as np
from keras import ops

from xunit_keras.imaging.metrics import C1, C2, gaussian_window


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


def _ssim(reference, image):
    """SSIM of each image of a batch `(batch, height, width, channels)`."""
    reference = ops.cast(reference, "float32")
    image = ops.cast(image, "float32")
    window = gaussian_window().astype("float32")

    def blur(x):
        channels = x.shape[-1]
        for shape in ((-1, 1, 1, 1), (1, -1, 1, 1)):
            kernel = np.repeat(window.reshape(shape), channels, axis=2)
            x = ops.depthwise_conv(
                x, kernel, padding="valid", data_format="channels_last"
            )
        return x

    mean_r, mean_i = blur(reference), blur(image)
    variance_r = blur(ops.square(reference)) - ops.square(mean_r)
    variance_i = blur(ops.square(image)) - ops.square(mean_i)
    covariance = blur(reference * image) - mean_r * mean_i
    similarity = (2 * mean_r * mean_i + C1) * (2 * covariance + C2)
    similarity /= (ops.square(mean_r) + ops.square(mean_i) + C1) * (
        variance_r + variance_i + C2
    )
    return ops.mean(similarity, axis=(1, 2, 3))
