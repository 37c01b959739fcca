"""Networks whose corrections to an image are computed in 8-bit integers.

What they correct stays in float: rounding the image itself, what it is enlarged to and
the result to 256 values costs as much PSNR as all the rest. So do the first convolution
and what its unit makes of it: nothing else costs as much where it is rounded.
"""

import math
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import keras
import numpy as np
from keras import ops

from xunit_keras.graphs.walk import run_through
from xunit_keras.layers import LargeKernelDepthwiseConv2D

_Pair = tuple[keras.KerasTensor, keras.KerasTensor]

# Shares of a range that are tried as the range: the largest values are few, and what
# they lose where they are cut may be less than what all others gain by finer steps.
_SHARES = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4)

# What weights multiply is taken to vary by at least this share of the mean of all.
_DAMPING = 0.01


class FakeQuantization(keras.layers.Layer):
    """Rounds values to the 256 that an 8-bit integer of their range can have.

    The gradient passes as if nothing had been rounded, within the range. The range is
    measured, and holds 0; training leaves it alone.

    Args:
        image: Whether the values are an image. Its range holds all values that are
            measured, and white, which none of the measured ones need have.
        **kwargs: Arguments of `keras.layers.Layer`.

    Reference:
        Jacob et al.: Quantization and Training of Neural Networks for Efficient
        Integer-Arithmetic-Only Inference, CVPR 2018.
    """

    def __init__(self, image=False, **kwargs):
        super().__init__(**kwargs)
        self.image = image
        # What is called with values in place of rounding them.
        self.observe: Callable[[Any], None] | None = None
        self.errors = np.zeros(len(_SHARES))

    def build(self, input_shape):
        starts = {"low": "zeros", "high": "ones" if self.image else "zeros"}
        self.low, self.high = (
            self.add_weight(name=name, shape=(), initializer=start, trainable=False)
            for name, start in starts.items()
        )

    def call(self, inputs):
        if self.observe is not None:
            self.observe(inputs)
            return inputs
        return self._rounded(inputs)

    def widen(self, values) -> None:
        """Makes the range one that the values are in."""
        self.low.assign(ops.minimum(self.low, ops.min(values)))
        self.high.assign(ops.maximum(self.high, ops.max(values)))

    def compare(self, values) -> None:
        """Notes how far rounding with each share of the range is off."""
        self.errors += [
            float(ops.mean(ops.square(self._rounded(values, share) - values)))
            for share in _SHARES
        ]

    def choose(self) -> None:
        """Takes the share of the range that was off the least."""
        share = 1.0 if self.image else _SHARES[int(np.argmin(self.errors))]
        self.low.assign(self.low * share)
        self.high.assign(self.high * share)

    def _rounded(self, values, share=1.0):
        return keras.quantizers.fake_quant_with_min_max_vars(
            values, self.low * share, self.high * share
        )

    def get_config(self):
        return {**super().get_config(), "image": self.image}

    def compute_output_spec(self, inputs):
        # Said, as Keras takes a difference for a sparse tensor, which has no least.
        return keras.KerasTensor(inputs.shape, self.compute_dtype)


class QuantizedConvolution(keras.layers.Layer):
    """A convolution whose kernel has 8 bits and one scale for each channel.

    Args:
        layer: A `Conv2D`, or a `DepthwiseConv2D` with a depth multiplier of 1. Its
            `call` must be Keras' own.
        **kwargs: Arguments of `keras.layers.Layer`.
    """

    def __init__(self, layer, **kwargs):
        super().__init__(**kwargs)
        self.layer = layer

    @property
    def depthwise(self) -> bool:
        """Whether there is a kernel for each channel of the inputs."""
        return isinstance(self.layer, keras.layers.DepthwiseConv2D)

    def call(self, inputs):
        layer = self.layer
        axis = 2 if self.depthwise else 3
        others = [a for a in range(4) if a != axis]
        limit = ops.stop_gradient(ops.max(ops.abs(layer.kernel), axis=others))
        limit = ops.maximum(limit, keras.config.epsilon())
        kernel = keras.quantizers.fake_quant_with_min_max_vars(
            layer.kernel, -limit, limit, narrow_range=True, axis=axis
        )
        convolve = ops.depthwise_conv if self.depthwise else ops.conv
        outputs = convolve(
            inputs,
            kernel,
            layer.strides,
            layer.padding,
            dilation_rate=layer.dilation_rate,
        )
        if layer.use_bias:
            outputs = outputs + layer.bias
        return layer.activation(outputs)

    def moments(self, inputs) -> np.ndarray:
        """How what the weights of a channel multiply goes together, summed up.

        Args:
            inputs: `(batch, height, width, channels)`.

        Returns:
            `(1, weights, weights)`, or `(channels, weights, weights)` of a depthwise
            convolution.
        """
        import tensorflow as tf  # Keras' own multiplies by ones and zeros.

        layer = self.layer
        patches = tf.image.extract_patches(
            inputs,
            (1, *layer.kernel_size, 1),
            (1, *layer.strides, 1),
            (1, *layer.dilation_rate, 1),
            layer.padding.upper(),
        )
        if self.depthwise:
            shape = (-1, math.prod(layer.kernel_size), inputs.shape[3])
            patches = ops.transpose(ops.reshape(patches, shape), (2, 1, 0))
        else:
            shape = (1, -1, patches.shape[3])
            patches = ops.swapaxes(ops.reshape(patches, shape), 1, 2)
        return ops.convert_to_numpy(patches @ ops.swapaxes(patches, 1, 2))

    def round(self, moments) -> None:
        """Rounds the kernel, so that the results change the least.

        Args:
            moments: As the method of this name gives them, of many inputs.
        """
        kernel = ops.convert_to_numpy(self.layer.kernel)
        axes = (2, 0, 1, 3) if self.depthwise else (3, 0, 1, 2)
        turned = kernel.transpose(axes)
        rows = _rounded_rows(turned.reshape(len(turned), -1), moments)
        self.layer.kernel.assign(rows.reshape(turned.shape).transpose(np.argsort(axes)))

    def get_config(self):
        config = super().get_config()
        return {**config, "layer": keras.saving.serialize_keras_object(self.layer)}


def _rounded_rows(rows, moments) -> np.ndarray:
    """Rows of weights, each rounded to 255 values of which its largest is one.

    After each weight those that follow are changed so that they make up for it, as far
    as what they multiply goes together with what it multiplies.

    Args:
        rows: `(rows, weights)`.
        moments: `(rows or 1, weights, weights)`, of what the weights multiply.

    Reference:
        Frantar, Ashkboos, Hoefler, Alistarh: GPTQ: Accurate Post-Training Quantization
        for Generative Pre-trained Transformers, ICLR 2023.
    """
    count = rows.shape[1]
    moments = moments.astype("float64")
    least = np.trace(moments, axis1=1, axis2=2) / count
    damping = _DAMPING * least + np.finfo("float32").tiny
    inverse = np.linalg.inv(moments + damping[:, None, None] * np.eye(count))
    share = np.linalg.cholesky(inverse).swapaxes(1, 2)
    largest = np.abs(rows).argmax(axis=1)
    limit = np.abs(rows).max(axis=1)
    step = np.maximum(limit, keras.config.epsilon()) / 127
    left, rounded = rows.astype("float64"), np.zeros(rows.shape)
    for k in range(count):
        integers = np.round(left[:, k] / step).clip(-127, 127)
        rounded[:, k] = np.where(largest == k, rows[:, k], integers * step)
        error = (left[:, k] - rounded[:, k]) / share[:, k, k]
        left[:, k:] -= error[:, None] * share[:, k, k:]
    return rounded


def quantized(plain: keras.Model, images: Iterable[np.ndarray]) -> keras.Model:
    """A network on the layers of another one, that rounds as integers would.

    It rounds from behind the first unit to the last layer that has weights. The kernels
    are rounded already; what the layers learn in it, the other one has learned too.

    Args:
        plain: A functional model from one image to one image, as
            `xunit_keras.graphs.folding.deploy` gives it for integers.
        images: `(height, width, channels)` in [0, 1], as the network gets them, to
            tell the ranges of its values.
    """
    images = list(images)
    rounding = _Rounding(*_corrections(plain))
    inputs = keras.Input(batch_shape=plain.input_shape, name="image")
    outputs = run_through(plain, inputs, rounding.operate)
    model = keras.Model(inputs, outputs, name=plain.name)
    _measure_ranges(model, images)
    _round_kernels(model, images)
    return model


def _measure_ranges(model, images):
    layers = [x for x in model.layers if isinstance(x, FakeQuantization)]
    for observe in (FakeQuantization.widen, FakeQuantization.compare):
        for layer in layers:
            layer.observe = partial(observe, layer)
        for image in images:
            model(image[None])
    for layer in layers:
        layer.observe = None
        layer.choose()


def _round_kernels(model, images):
    layers = [x for x in model.layers if isinstance(x, QuantizedConvolution)]
    seen = keras.Model(model.input, {x.name: x.input for x in layers})
    moments = {x.name: 0.0 for x in layers}
    for image in images:
        for name, inputs in seen(image[None]).items():
            moments[name] += model.get_layer(name).moments(inputs)
    for name, moment in moments.items():
        model.get_layer(name).round(moment)


class _Rounding:
    """Puts operations that round between those of a network.

    Args:
        corrections: The operations that are to work on integers.
        first: Those among them that stay in float, as they see the image itself.
    """

    def __init__(self, corrections: set[keras.Operation], first: set[keras.Operation]):
        self.corrections, self.first = corrections, first
        self.count = 0
        # By identity of the first: what is rounded and what it was before, what is not
        # and what it becomes; features in float.
        self.exact: dict[int, _Pair] = {}
        self.rounded: dict[int, _Pair] = {}
        self.floats: dict[int, keras.KerasTensor] = {}

    def operate(self, operation):
        if operation not in self.corrections:
            return operation
        has_kernel, rounding = _has_kernel(operation), operation
        if has_kernel and operation not in self.first:
            rounding = QuantizedConvolution(operation, name=operation.name)

        def integers(*args, **kwargs):
            leaves = keras.tree.flatten((args, kwargs))
            rounds = has_kernel or _is_sum(operation)
            in_float = not rounds and any(id(x) in self.floats for x in leaves)
            if operation in self.first or in_float:
                outputs = operation(*args, **kwargs)
                self.floats[id(outputs)] = outputs
                return outputs
            leaf = self._exact if _cuts_off(operation) else self._rounded
            args, kwargs = keras.tree.map_structure(leaf, (args, kwargs))
            return self._round(rounding(*args, **kwargs))

        return integers

    def _exact(self, leaf):
        """What was rounded, before that: what cuts it off is one with what makes it."""
        return self.exact.get(id(leaf), (leaf, leaf))[1]

    def _rounded(self, leaf):
        """A tensor that is rounded: if it is in float, this is the place to do it."""
        if not isinstance(leaf, keras.KerasTensor) or id(leaf) in self.exact:
            return leaf
        if id(leaf) not in self.rounded:
            image = id(leaf) not in self.floats
            self.rounded[id(leaf)] = leaf, self._round(leaf, image)
        return self.rounded[id(leaf)][1]

    def _round(self, tensor, image=False):
        self.count += 1
        rounded = FakeQuantization(image, name=f"rounded_{self.count}")(tensor)
        self.exact[id(rounded)] = rounded, tensor
        return rounded


def _cuts_off(operation) -> bool:
    """Whether it is no more than an end at 0, or at -1 and 1, as integers may have."""
    plain = not any(getattr(operation, x, 0) for x in ("negative_slope", "threshold"))
    return plain and type(operation).__name__ in {"ReLU", "Relu", "Relu6", "HardTanh"}


def _has_kernel(operation) -> bool:
    """Whether it is a convolution with a scale for each channel of its result."""
    if type(operation) is keras.layers.DepthwiseConv2D:
        return operation.depth_multiplier == 1
    return type(operation) in (keras.layers.Conv2D, LargeKernelDepthwiseConv2D)


def _is_sum(operation) -> bool:
    """Whether it adds features. Were one in float, so were all that is added to it."""
    return type(operation).__name__ == "Add"


class _Trace:
    """In place of a tensor: the operations that it comes from."""

    def __init__(self, *operations):
        self.operations = set(operations)


def _corrections(
    plain: keras.Model,
) -> tuple[set[keras.Operation], set[keras.Operation]]:
    """The operations from the first ones with weights to the last ones; the first.

    That is without what makes an image of an image before them, such as an
    interpolation, and what adds their result to it.
    """
    sources: dict[keras.Operation, set[keras.Operation]] = {}

    def operate(operation):
        def trace(*args, **kwargs):
            leaves = keras.tree.flatten((args, kwargs))
            traces = (leaf.operations for leaf in leaves if isinstance(leaf, _Trace))
            sources[operation] = set().union(*traces)
            return _Trace(operation, *sources[operation])

        return trace

    run_through(plain, _Trace(), operate)
    learned = {x for x in sources if getattr(x, "weights", None)}
    needed = learned.union(*(sources[x] for x in learned))
    corrections = {x for x in needed if x in learned or sources[x] & learned}
    return corrections, {x for x in learned if not sources[x] & learned}


def put_back(trained: keras.Model, plain: keras.Model) -> None:
    """Gives the convolutions of a plain network what they learned as integers."""
    for layer in trained.layers:
        if isinstance(layer, QuantizedConvolution):
            layer = layer.layer
        if layer.trainable_weights:
            plain.get_layer(layer.name).set_weights(layer.get_weights())
