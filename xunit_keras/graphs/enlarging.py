"""Interpolation to a larger size, for images of any size and for every engine."""

from typing import Any

import keras
import numpy as np
from keras import ops

# How many samples to each side a kernel reaches.
_REACHES = {"bilinear": 1, "bicubic": 2, "lanczos3": 3, "lanczos5": 5}


class AnySizeUpSampling2D(keras.layers.UpSampling2D):
    """`keras.layers.UpSampling2D` as depthwise convolutions with fixed kernels.

    On TensorFlow, Keras' own layer cannot interpolate an image whose size is not known
    when the graph is made, and LiteRT and ONNX do not have all of its interpolations.
    Taps beyond the border count for nothing, and the others add up to 1, as in
    TensorFlow's kernels. For inference.
    """

    @staticmethod
    def is_needed_for(operation: Any) -> bool:
        """Whether an operation is one that this layer has to stand in for."""
        return (
            type(operation) is keras.layers.UpSampling2D
            and operation.interpolation in _REACHES
            and keras.config.backend() == "tensorflow"
        )

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self._taps = [_taps(self.interpolation, factor) for factor in self.size]

    def call(self, inputs):
        channels_first = self.data_format == "channels_first"
        outputs = ops.transpose(inputs, (0, 2, 3, 1)) if channels_first else inputs
        for axis, taps in enumerate(self._taps, start=1):
            outputs = _enlarged(outputs, taps, axis)
        return ops.transpose(outputs, (0, 3, 1, 2)) if channels_first else outputs


def _taps(interpolation, factor) -> np.ndarray:
    """The taps of each of the `factor` output phases: `(2 * reach + 1, factor)`.

    They are read off the backend's own response to an impulse, as TensorFlow looks its
    bicubic kernel up in a table.
    """
    reach = _REACHES[interpolation]
    length, middle = 4 * reach + 1, 2 * reach
    impulse = np.zeros((1, 1, length, 1), "float32")
    impulse[0, 0, middle] = 1.0
    response = ops.image.resize(
        impulse, (1, length * factor), interpolation, data_format="channels_last"
    )
    phases = ops.convert_to_numpy(response).reshape(length, factor)
    # Output n sees the impulse with the tap that is middle - n from its center.
    return phases[middle - reach : middle + reach + 1][::-1]


def _enlarged(images, taps, axis):
    """Images with more rows (axis 1) or columns (axis 2)."""
    count, height, width, channels = ops.shape(images)
    ones = ops.ones_like(images[..., :1])
    phases = []
    for phase in taps.T:
        kernel = phase.reshape((-1, 1, 1, 1) if axis == 1 else (1, -1, 1, 1))

        def seen(x, depth, kernel=kernel):
            kernels = ops.cast(np.repeat(kernel, depth, axis=2), x.dtype)
            return ops.depthwise_conv(
                x, kernels, padding="same", data_format="channels_last"
            )

        phases.append(seen(images, channels) / seen(ones, 1))
    size = [height, width]
    size[axis - 1] = size[axis - 1] * len(phases)
    return ops.reshape(ops.stack(phases, axis + 1), (count, *size, channels))
