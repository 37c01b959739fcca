"""Depthwise convolution with a large kernel: one set of weights, three exact ways.

No single way to evaluate a 9x9 depthwise convolution is fast everywhere.
TensorFlow, PyTorch, OpenVINO and ONNX Runtime have a good native kernel. XLA's
grouped convolution is 25 times slower than a sum of 81 shifted products, which
it fuses into one loop. LiteRT's fast path ends at 25 taps, so there the kernel
is cut into blocks of at most 5x5.
"""

import itertools
from dataclasses import dataclass
from typing import NamedTuple

import keras
import numpy as np
from keras import ops

EVALUATIONS = ("auto", "native", "shifts", "blocks")
LARGEST_BLOCK = 5


class Taps(NamedTuple):
    """Some consecutive taps `start:stop` of a kernel along one axis.

    `shared` says that the first tap also belongs to the block before, which
    holds its weight; it counts as zero here.
    """

    start: int
    stop: int
    shared: bool


def split_taps(size: int) -> list[Taps]:
    """Cuts `size` taps into blocks of at most `LARGEST_BLOCK`.

    Two blocks that share the center tap each reach to one side only: their
    input is padded on that side and nothing is cropped, which is what LiteRT
    fuses. More than two blocks cannot all touch the center.
    """
    if size <= LARGEST_BLOCK:
        return [Taps(0, size, False)]
    if size <= 2 * LARGEST_BLOCK - 1 and size % 2:
        center = size // 2
        return [Taps(0, center + 1, False), Taps(center, size, True)]
    groups = np.array_split(np.arange(size), -(-size // LARGEST_BLOCK))
    return [Taps(int(g[0]), int(g[-1]) + 1, False) for g in groups]


@dataclass(frozen=True)
class Block:
    """A part of a large kernel, as a convolution of its own with "valid" padding.

    Attributes:
        taps: What it is of the kernel.
        keep: 0 where a tap of the whole kernel belongs to another block, `(height,
            width, 1, 1)` like the whole.
        pads: Zeros above and below, and left and right, to put around its input.
        crops: Rows above and below, and columns left and right, to cut off its result.
    """

    taps: tuple[slice, slice]
    keep: np.ndarray
    pads: tuple[tuple[int, int], ...]
    crops: tuple[tuple[int, int], ...]


def blocks(kernel_size: tuple[int, int], padding: str) -> list[Block]:
    """Blocks of at most `LARGEST_BLOCK` taps a side, whose results add up.

    Args:
        kernel_size: Height and width of the whole kernel.
        padding: Of the whole convolution, `"same"` or `"valid"`.
    """
    found = []
    for rows, columns in itertools.product(*map(split_taps, kernel_size)):
        # A tap that two blocks share is zeroed in the second.
        keep = np.ones((*kernel_size, 1, 1), dtype="float32")
        keep[rows.start, :] *= not rows.shared
        keep[:, columns.start] *= not columns.shared
        # Zeros that the block's taps need; where negative, the block does not reach
        # the border and the rows beyond belong to other blocks.
        ends = []
        for size, taps in zip(kernel_size, (rows, columns), strict=True):
            before, after = _margins(size, padding)
            ends.append((before - taps.start, taps.stop - size + after))
        pads, crops = (
            tuple((max(sign * a, 0), max(sign * b, 0)) for a, b in ends)
            for sign in (1, -1)
        )
        taps = (slice(rows.start, rows.stop), slice(columns.start, columns.stop))
        found.append(Block(taps, keep, pads, crops))
    return found


def _margins(size, padding):
    """Zeros before and after, as TensorFlow's `"same"` lays them."""
    return (0, 0) if padding == "valid" else ((size - 1) // 2, size // 2)


@keras.saving.register_keras_serializable(package="xunit_keras")
class LargeKernelDepthwiseConv2D(keras.layers.DepthwiseConv2D):
    """Depthwise 2D convolution that stays fast with kernels above 5x5.

    The weights and the result are those of `keras.layers.DepthwiseConv2D`; the
    weights of one load into the other. The evaluation is chosen by backend.

    Args:
        kernel_size: An integer or a pair of integers.
        evaluation: `"native"`: the backend's depthwise convolution;
            `"shifts"`: a sum of shifted products, for XLA;
            `"blocks"`: a sum of depthwise convolutions of at most 5x5 taps, for
            LiteRT; `"auto"`: `"shifts"` on JAX where it applies, `"native"`
            otherwise. `"shifts"` and `"blocks"` need strides, dilation rate and
            depth multiplier of 1.
        **kwargs: The other arguments of `keras.layers.DepthwiseConv2D`.

    Input shape:
        `(batch, height, width, channels)`, or `(batch, channels, height, width)` for
        `data_format="channels_first"`.

    Output shape:
        The same height and width for `padding="same"`.

    Raises:
        ValueError: `evaluation` is unknown, or cannot be used with the strides,
            dilation rate or depth multiplier.

    Example:
        >>> layer = xunit_keras.LargeKernelDepthwiseConv2D(9, padding="same")
        >>> tuple(layer(np.zeros((1, 32, 32, 64), "float32")).shape)
        (1, 32, 32, 64)
    """

    def __init__(self, kernel_size, evaluation="auto", **kwargs):
        if isinstance(kernel_size, np.integer):
            kernel_size = int(kernel_size)
        super().__init__(kernel_size, **kwargs)
        if evaluation not in EVALUATIONS:
            raise ValueError(
                f"`evaluation` must be one of {EVALUATIONS}. "
                f"Received: evaluation={evaluation!r}"
            )
        self.evaluation = evaluation
        self._plain = (
            self.strides == (1, 1)
            and self.dilation_rate == (1, 1)
            and self.depth_multiplier == 1
        )
        if evaluation in ("shifts", "blocks") and not self._plain:
            raise ValueError(
                f"evaluation={evaluation!r} needs strides, dilation_rate and "
                f"depth_multiplier of 1. Received: strides={self.strides}, "
                f"dilation_rate={self.dilation_rate}, "
                f"depth_multiplier={self.depth_multiplier}"
            )
        if evaluation == "auto":
            on_jax = keras.config.backend() == "jax"
            self._chosen = "shifts" if on_jax and self._plain else "native"
        else:
            self._chosen = evaluation
        if keras.config.backend() == "tensorflow":
            # Keras compiles with XLA by default, even on a CPU, where XLA's
            # grouped convolution is the slowest way of all.
            self.supports_jit = self._chosen == "shifts"

    def call(self, inputs, training=None):
        if self._chosen == "shifts":
            evaluate = self._shifts
        elif self._chosen == "blocks":
            evaluate = self._blocks
        elif (
            training
            and self._plain
            and self.data_format == "channels_last"
            and keras.config.backend() == "tensorflow"
        ):
            evaluate = self._tensorflow_training
        else:
            return super().call(inputs)
        bias = ops.reshape(self.bias, self._per_channel) if self.use_bias else None
        outputs = evaluate(inputs, ops.convert_to_tensor(self.kernel), bias)
        if self.activation is not None:
            outputs = self.activation(outputs)
        return outputs

    @property
    def _per_channel(self):
        """Shape that lines a vector of channels up with the input."""
        last = self.data_format == "channels_last"
        return (1, 1, 1, -1) if last else (1, -1, 1, 1)

    def _pad(self, inputs, rows, columns):
        spatial = ((0, 0), rows, columns, (0, 0))
        if self.data_format == "channels_first":
            spatial = ((0, 0), (0, 0), rows, columns)
        if any(amount for side in spatial for amount in side):
            inputs = ops.pad(inputs, spatial)
        return inputs

    def _crop(self, inputs, rows, columns):
        """Drops `(first, last)` rows and columns, without knowing the size."""
        if not any((*rows, *columns)):
            return inputs  # A slice of all would be copied, by LiteRT for one.
        rows, columns = (slice(a, -b if b else None) for a, b in (rows, columns))
        if self.data_format == "channels_first":
            return inputs[:, :, rows, columns]
        return inputs[:, rows, columns, :]

    def _tensorflow_training(self, inputs, kernel, bias):
        return _plus(bias, _tensorflow_depthwise(inputs, kernel, self.padding.upper()))

    def _shifts(self, inputs, kernel, bias):
        height, width = self.kernel_size
        # A sum of 81 terms in 16 bits would lose a digit that XLA keeps for free.
        dtype = keras.backend.result_type(inputs.dtype, "float32")
        margins = (_margins(size, self.padding) for size in self.kernel_size)
        padded = self._pad(inputs, *margins)
        padded, kernel = ops.cast(padded, dtype), ops.cast(kernel, dtype)
        total = None if bias is None else ops.cast(bias, dtype)
        for i in range(height):
            for j in range(width):
                window = self._crop(padded, (i, height - 1 - i), (j, width - 1 - j))
                weights = ops.reshape(kernel[i, j, :, 0], self._per_channel)
                total = _plus(total, window * weights)
        return ops.cast(total, inputs.dtype)

    def _blocks(self, inputs, kernel, bias):
        """Bias first, which is free with a convolution, and the last block subtracted.

        LiteRT has one operation for the square of a difference, which the Gaussian
        gate then takes.
        """
        *first, last = blocks(self.kernel_size, self.padding)
        total = bias
        for block in first:
            total = _plus(total, self._block(inputs, kernel, block))
        if total is None:
            return self._block(inputs, kernel, last)
        return total - self._block(inputs, -kernel, last)

    def _block(self, inputs, kernel, block):
        """One block: pad so that nothing is lost, convolve, crop to size."""
        if not block.keep.all():
            kernel = kernel * ops.cast(block.keep, kernel.dtype)
        outputs = ops.depthwise_conv(
            self._pad(inputs, *block.pads),
            kernel[block.taps],
            data_format=self.data_format,
        )
        return self._crop(outputs, *block.crops)

    def get_config(self):
        return {**super().get_config(), "evaluation": self.evaluation}


def _plus(total, term):
    return term if total is None else total + term


def _tensorflow_depthwise(inputs, kernel, padding):
    """TensorFlow's depthwise convolution with its filter gradient by columns.

    TensorFlow's kernel for the gradient of a 9x9 filter is the slowest operation of
    a training step, and that of a 9x1 filter over images one pixel wide takes a
    twentieth. So the columns of the image are laid along the batch, where a shift
    to the side is a slice without a copy, and each column of the filter gets its
    gradient for itself. The result is the same but for the order of the sum.
    """
    import tensorflow as tf

    height, width = kernel.shape[:2]
    channels = kernel.shape[2]
    ones = (1, 1, 1, 1)

    def filter_gradient(image, upstream):
        if padding == "SAME":
            before = (width - 1) // 2
            image = tf.pad(
                image, ((0, 0), (0, 0), (before, width - 1 - before), (0, 0))
            )
        shape = tf.shape(upstream)
        batch, columns = shape[0], shape[2]
        image = tf.transpose(image, (2, 0, 1, 3))
        upstream = tf.transpose(upstream, (2, 0, 1, 3))

        def thin(x):
            return tf.reshape(x, (columns * batch, -1, 1, channels))

        return tf.concat(
            [
                tf.nn.depthwise_conv2d_backprop_filter(
                    thin(image[j : j + columns]),
                    (height, 1, channels, 1),
                    thin(upstream),
                    ones,
                    padding,
                )
                for j in range(width)
            ],
            axis=1,
        )

    @tf.custom_gradient
    def convolve(image, weights):
        outputs = tf.nn.depthwise_conv2d(image, weights, ones, padding)

        def gradient(upstream):
            image_gradient = tf.nn.depthwise_conv2d_backprop_input(
                tf.shape(image), weights, upstream, ones, padding
            )
            return image_gradient, filter_gradient(image, upstream)

        return outputs, gradient

    # Read outside: a custom gradient must not touch variables.
    return convolve(inputs, tf.identity(kernel))
