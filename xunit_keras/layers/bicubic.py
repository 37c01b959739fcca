"""Bicubic up-sampling as MATLAB does it, as a layer that every exporter takes."""

import keras
import numpy as np
from keras import ops

from xunit_keras.imaging.resize import REACH, cubic

DATA_FORMATS = ("channels_last", "channels_first")


def phase_kernels(scale: int) -> np.ndarray:
    """The taps of each of the `scale` output phases: `(2 * REACH + 1, scale)`.

    Output sample `scale * n + p` lies at input coordinate
    `n + (p + 0.5) / scale - 0.5`, and sees inputs `n - REACH ... n + REACH`.
    """
    offset = (np.arange(scale) + 0.5) / scale - 0.5
    taps = np.arange(-REACH, REACH + 1)
    return cubic(taps[:, None] - offset[None, :])


@keras.saving.register_keras_serializable(package="xunit_keras")
class BicubicUpsampling(keras.layers.Layer):
    """Enlarges images by an integer factor, equal to MATLAB's `imresize`.

    A fixed convolution gives all `scale^2` output phases at once, and
    `depth_to_space` lays them out. Borders are mirrored (the edge pixel is
    repeated), as MATLAB's are, down to images of one pixel. The layer has no
    weights.

    Args:
        scale: Integer of at least 2.
        data_format: `"channels_last"` or `"channels_first"`; None is the one in
            the Keras configuration.
        **kwargs: Arguments of `keras.layers.Layer`.

    Input shape:
        `(batch, height, width, channels)`, any value range, or
        `(batch, channels, height, width)` for `data_format="channels_first"`.

    Output shape:
        Height and width times `scale`. Values are neither clipped nor rounded.

    Raises:
        ValueError: `scale` is not such an integer, or `data_format` is unknown.

    Example:
        >>> enlarge = xunit_keras.BicubicUpsampling(3)
        >>> tuple(enlarge(np.zeros((1, 20, 30, 1), "float32")).shape)
        (1, 60, 90, 1)
    """

    def __init__(self, scale, data_format=None, **kwargs):
        super().__init__(**kwargs)
        integer = isinstance(scale, int | np.integer) and not isinstance(scale, bool)
        if not integer or scale < 2:
            raise ValueError(
                f"`scale` must be an integer of at least 2. Received: scale={scale!r}"
            )
        data_format = data_format or keras.config.image_data_format()
        if data_format not in DATA_FORMATS:
            raise ValueError(
                f"`data_format` must be one of {DATA_FORMATS}. "
                f"Received: data_format={data_format!r}"
            )
        self.scale = int(scale)
        self.data_format = data_format
        self.input_spec = keras.layers.InputSpec(ndim=4)

    def build(self, input_shape):
        # (5, 5, C, scale^2 C): output channel (dy * scale + dx) * C + c is phase
        # (dy, dx) of input channel c, the order depth_to_space expects.
        channels = input_shape[-1 if self.data_format == "channels_last" else 1]
        taps = phase_kernels(self.scale)
        phases = np.einsum("iy,jx,cd->ijcyxd", taps, taps, np.eye(channels))
        side = 2 * REACH + 1
        self._kernel = phases.reshape(side, side, channels, -1).astype("float32")

    def call(self, inputs):
        # Keras hands integers on as they are, and the taps are fractions.
        inputs = ops.cast(inputs, self.compute_dtype)
        # TensorFlow has no channels_first convolution on a CPU.
        channels_first = self.data_format == "channels_first"
        if channels_first:
            inputs = ops.transpose(inputs, (0, 2, 3, 1))
        inputs = _mirror(_mirror(inputs, axis=1), axis=2)
        outputs = ops.conv(
            inputs,
            ops.cast(self._kernel, inputs.dtype),
            padding="valid",
            data_format="channels_last",
        )
        outputs = ops.depth_to_space(outputs, self.scale, data_format="channels_last")
        if channels_first:
            outputs = ops.transpose(outputs, (0, 3, 1, 2))
        return outputs

    def compute_output_shape(self, input_shape):
        shape = list(input_shape)
        for axis in (1, 2) if self.data_format == "channels_last" else (2, 3):
            shape[axis] = None if shape[axis] is None else shape[axis] * self.scale
        return tuple(shape)

    def get_config(self):
        return {
            **super().get_config(),
            "scale": self.scale,
            "data_format": self.data_format,
        }


def _mirror(x, axis):
    """Pads `axis` by `REACH` mirrored samples on each side, for any length >= 1.

    A symmetric pad of 2 is refused for a length of 1. Two pads of one sample,
    the second taken from the result of the first, are the same where both work,
    and repeat a single sample as MATLAB does.
    """

    def part(start, stop):
        index = [slice(None)] * 4
        index[axis] = slice(start, stop)
        return x[tuple(index)]

    x = ops.concatenate([part(0, 1), x, part(-1, None)], axis=axis)
    return ops.concatenate([part(2, 3), x, part(-3, -2)], axis=axis)
