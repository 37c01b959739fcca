"""A trained model as an equal, faster one made of plain layers.

Training wants layers that learn; an engine wants few operations of the kinds that it
runs well. `deploy` walks the graph of a model and builds it anew: batch
normalizations move into the convolutions before or after them as far as that is
exact, `XUnit` is opened, and its depthwise convolution and its gate take the form
that an engine runs fastest.
"""

import dataclasses
import itertools
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from xunit_keras.graphs.enlarging import AnySizeUpSampling2D
from xunit_keras.graphs.image_model import image_model
from xunit_keras.graphs.walk import (
    channel_axis,
    copy_weights,
    data_format,
    opened,
    require_model,
    run_through,
    sublayers,
)
from xunit_keras.layers import (
    FusedBatchNormalization,
    LargeKernelDepthwiseConv2D,
    XUnit,
)
from xunit_keras.layers.depthwise import blocks
from xunit_keras.runtime.engines.base import Form

# Largest shift over scale that is added in place of scaling and shifting: a GPU may
# compute in float16, which ends at 65504. Trained networks reach 1e4, in channels
# whose scale is nearly 0, and float32 loses nothing there.
LARGEST_OFFSET = 3e4

# Where the argument of the Gaussian gate ends if everything is an integer: the less it
# spans the finer are its steps, and what is beyond weighs less than exp(-6.25), half a
# step of the gate. Between -1 and 1 a convolution cuts it off for nothing.
GATE_LIMIT = 2.5

# Names that Keras may give to the arithmetic that is added here. In a model from a file
# there are such names too, and Keras does not know that they are taken.
_AUTOMATIC = re.compile(
    r"(add|elu|exp|hard_tanh|multiply|negative|relu|sigmoid|square|true_divide)(_\d+)?"
)

_PLAIN = Form()
_ONE, _ZERO = np.float64(1), np.float64(0)

_CONVOLUTIONS = (
    layers.Conv2D,
    layers.DepthwiseConv2D,
    LargeKernelDepthwiseConv2D,
)


_NORMALIZATIONS = (layers.BatchNormalization, FusedBatchNormalization)


def deploy(
    model: keras.Model, form: Form = _PLAIN, images: Iterable[np.ndarray] = ()
) -> keras.Model:
    """Makes an equal model that an engine runs faster.

    The result is a functional model in float32, for inference, with weights of its
    own. It equals `model(x, training=False)` in float32 up to rounding, at the
    borders too: a normalization `A * x + S` before a zero-padded convolution becomes
    `x + S / A` before the same convolution with its kernel times `A`. What LoRA learned
    is in the kernels. Layers that enlarge take images of any size, which Keras' own do
    not on TensorFlow (see `xunit_keras.graphs.enlarging`).

    Args:
        model: A functional, sequential or built subclassed model. Layers of classes of
            your own are opened where that is possible, or else made again.
        form: What the engine runs fastest; with `integers`, and then alone, weights
            below 2e-3 are not exact.
        images: `(height, width, channels)`, as the model gets them; with `integers`,
            they tell how far its channels reach.

    Returns:
        A model with the input and output shapes and the name of `model`; single inputs
        and outputs are not in lists or dictionaries.

    Raises:
        ValueError: The model cannot be looked into, one of its layers is quantized or
            cannot be made from its configuration, or `form` is none.
    """
    require_model(model)
    if not isinstance(form, Form):
        raise ValueError(f"`form` must be a `Form`. Received: form={form!r}")
    graph = opened(model)
    if graph is None or len(graph.inputs) == len(graph.outputs) == 1:
        graph = image_model(model)
    inputs = keras.tree.map_structure(
        lambda x: keras.Input(batch_shape=x.shape, dtype="float32", name=x.name),
        graph.input,
    )
    reaches = _reaches(graph, images if form.integers else ())
    builder = _Builder(form, data_format(graph), reaches)
    features = keras.tree.map_structure(_Feature, inputs)
    outputs = keras.tree.map_structure(builder.applied, builder.build(graph, features))
    return keras.Model(inputs, outputs, name=model.name)


@dataclass
class _Waiting:
    """A convolution that is not in the new graph yet, so that a norm can join it."""

    cls: type[layers.Layer]
    config: dict
    source: keras.KerasTensor
    kernel: np.ndarray
    bias: np.ndarray

    def then(self, scale, shift) -> "_Waiting":
        """This convolution with its results scaled and shifted, by channel."""
        factor = np.broadcast_to(scale, self.bias.shape)
        if issubclass(self.cls, layers.DepthwiseConv2D):
            factor = factor.reshape(self.kernel.shape[2:])
        return dataclasses.replace(
            self, kernel=self.kernel * factor, bias=self.bias * scale + shift
        )


@dataclass
class _Feature:
    """`scale * tensor + shift`, by channel, whose place what follows decides."""

    source: Any  # a tensor, or a `_Waiting` convolution
    scale: np.ndarray | np.float64 = _ONE
    shift: np.ndarray | np.float64 = _ZERO

    def then(self, scale, shift) -> "_Feature":
        scale, shift = self.scale * scale, self.shift * scale + shift
        if isinstance(self.source, _Waiting):
            return _Feature(self.source.then(scale, shift))
        return _Feature(self.source, scale, shift)

    def equalize(self, reach) -> None:
        """Divides the tensor by `reach` where a waiting convolution can take it."""
        if isinstance(self.source, _Waiting):
            self.source = self.source.then(self.scale / reach, _ZERO)
            self.scale = reach

    def turn_positive(self, scale) -> None:
        """Makes `scale * self.scale` positive where a waiting convolution allows."""
        sign = np.where(self.scale * scale < 0, -1.0, 1.0)
        if isinstance(self.source, _Waiting):
            self.source = self.source.then(sign, _ZERO)
            self.scale = self.scale * sign


class _Builder:
    """Builds the layers of a model anew, in the form of an engine.

    Args:
        form: The form.
        data_format: Where the channels of the model are.
        reaches: How far the channels before units reach, by the unit.
    """

    def __init__(
        self, form: Form, data_format: str, reaches: Mapping[XUnit, np.ndarray]
    ):
        self.form = form
        self.data_format = data_format
        self.reaches = reaches
        self.names = set()

    def build(self, graph, features):
        """Runs the graph of a functional model on features in place of tensors."""

        def built(operation):
            return lambda *args, **kwargs: self._operation(operation, args, kwargs)

        return run_through(graph, features, built)

    def applied(self, feature) -> keras.KerasTensor:
        """The tensor that a feature stands for."""
        return self._affine(self._tensor(feature), feature.scale, feature.shift)

    def _tensor(self, feature):
        """The tensor of a feature without scale and shift; one that waits is built."""
        waiting = feature.source
        if isinstance(waiting, _Waiting):
            in_blocks = waiting.config.get("evaluation") == "blocks"
            if self.form.integers and in_blocks:
                parts = blocks(waiting.kernel.shape[:2], waiting.config["padding"])
                if len(parts) > 1:
                    feature.source = self._sum(parts, waiting)
                    return feature.source
            layer = self._made(waiting.cls, waiting.config)
            feature.source = layer(waiting.source)
            layer.set_weights([waiting.kernel, waiting.bias])
        return feature.source

    def _sum(self, parts, waiting):
        """A large depthwise convolution as a layer for each block of its kernel."""
        config = dict(waiting.config)
        activation = config.pop("activation")
        del config["evaluation"]
        total, bias = None, waiting.bias
        for block in parts:
            inputs = waiting.source
            if np.any(block.pads):
                inputs = layers.ZeroPadding2D(block.pads, self.data_format)(inputs)
            kernel = (waiting.kernel * block.keep)[block.taps]
            config.update(kernel_size=kernel.shape[:2], padding="valid")
            layer = self._made(layers.DepthwiseConv2D, config)
            part = layer(inputs)
            layer.set_weights([kernel, bias])
            if np.any(block.crops):
                part = layers.Cropping2D(block.crops, self.data_format)(part)
            total, bias = part if total is None else total + part, np.zeros_like(bias)
        return keras.activations.get(activation)(total)

    def _made(self, cls, config):
        """A layer from its configuration, under a name that is still free."""
        config = dict(config)
        name = config.pop("name", None)
        if name is None or _AUTOMATIC.fullmatch(name):
            return cls.from_config(config)
        names = (
            f"{name}_{count}" if count > 1 else name for count in itertools.count(1)
        )
        free = next(name for name in names if name not in self.names)
        self.names.add(free)
        return cls.from_config({**config, "name": free})

    def _operation(self, operation, args, kwargs):
        if any(getattr(x, "quantization_mode", None) for x in sublayers(operation)):
            raise ValueError(
                f"The layer {operation.name!r} is quantized, so the model cannot be "
                "deployed: give the model that it was before."
            )
        if type(operation) in _CONVOLUTIONS and self._is_in_format(operation):
            return self._convolution(operation, args[0])
        if type(operation) in _NORMALIZATIONS and self._is_by_channel(
            operation, args[0]
        ):
            return args[0].then(*_scale_and_shift(operation))
        if type(operation) is XUnit and self._is_in_format(operation):
            return self._xunit(operation, args[0])
        if (inner := opened(operation, args, kwargs)) is not None:
            return self.build(inner, args[0])
        args, kwargs = keras.tree.map_structure(
            lambda leaf: self.applied(leaf) if isinstance(leaf, _Feature) else leaf,
            (args, kwargs),
        )
        kwargs.pop("training", None)  # Some blocks hand it on.
        outputs = self._anew(operation, args, kwargs)
        return keras.tree.map_structure(_Feature, outputs)

    def _is_in_format(self, layer) -> bool:
        """Whether the channels of a layer are where those of the model are."""
        return layer.data_format == self.data_format

    def _is_by_channel(self, norm, feature) -> bool:
        """Whether a batch normalization scales and shifts by channel."""
        waits = isinstance(feature.source, _Waiting)
        rank = 4 if waits else len(feature.source.shape)
        return norm.axis % rank == channel_axis(self.data_format, rank)

    def _anew(self, operation, args, kwargs):
        """What a layer or an operation like another gives, with its weights."""
        try:
            config = _config(operation)
            if AnySizeUpSampling2D.is_needed_for(operation):
                layer = self._made(AnySizeUpSampling2D, config)
                return layer(*args, **kwargs)
            again = self._made(type(operation), config)
            outputs = again(*args, **kwargs)
            copy_weights(operation, again)
            return outputs
        except Exception as error:
            raise ValueError(
                f"The layer {operation.name!r} of class {type(operation).__name__} "
                "cannot be made again from its configuration, so the model cannot be "
                f"deployed: {error}"
            ) from error

    def _convolution(self, layer, feature):
        tensor, scale = self._shifted(feature)
        if getattr(layer, "groups", 1) != 1:
            tensor, scale = self.applied(feature), _ONE
        waiting = self._waiting(
            layer, tensor, _array(layer.kernel) * scale.reshape(-1, 1)
        )
        if layer.use_bias:
            waiting.bias = _array(layer.bias)
        activation = waiting.config["activation"]
        if activation == "linear":
            return _Feature(waiting)
        if isinstance(activation, str):
            return _Feature(self._tensor(_Feature(waiting)))
        # A layer, or a function that nobody registered.
        waiting.config["activation"] = "linear"
        outputs = self._tensor(_Feature(waiting))
        if isinstance(layer.activation, layers.Layer):
            return _Feature(self._anew(layer.activation, (outputs,), {}))
        return _Feature(layer.activation(outputs))

    def _waiting(self, layer, tensor, kernel) -> _Waiting:
        """A convolution like `layer` with another kernel, and no bias so far."""
        config = {**_config(layer), "use_bias": True}
        config.pop("evaluation", None)
        if not isinstance(layer, layers.DepthwiseConv2D):
            bias = np.zeros(kernel.shape[-1])
            return _Waiting(layers.Conv2D, config, tensor, kernel, bias)
        cls = layers.DepthwiseConv2D
        plain = (
            tuple(layer.strides) == tuple(layer.dilation_rate) == (1, 1)
            and layer.depth_multiplier == 1
        )
        if self.form.depthwise != "native" and plain:
            cls = LargeKernelDepthwiseConv2D
            config["evaluation"] = self.form.depthwise
        return _Waiting(cls, config, tensor, kernel, np.zeros(kernel[0, 0].size))

    def _shifted(self, feature):
        """A tensor, and the scale that a following kernel has to take.

        Zeros padded to the tensor are zeros of the feature.
        """
        if not feature.shift.any():
            return self._tensor(feature), feature.scale
        offset = _offset(feature.scale, feature.shift)
        if offset is None or self.form.quantizes:
            return self.applied(feature), _ONE
        return self._affine(self._tensor(feature), _ONE, offset), feature.scale

    def _affine(self, tensor, scale, shift):
        """`scale * tensor + shift` by channel, with what is trivial left out."""
        if self.form.integers and len(tensor.shape) == 4 and shift.any():
            return self._depthwise_affine(tensor, scale, shift, name="norm")
        rank = len(tensor.shape)
        if (scale != 1).any():
            tensor = tensor * self._vector(scale, rank)
        if shift.any():
            tensor = tensor + self._vector(shift, rank)
        return tensor

    def _vector(self, values, rank):
        shape = [1] * rank
        shape[channel_axis(self.data_format, rank)] = -1
        return np.asarray(values, "float32").reshape(shape)

    def _xunit(self, unit, feature):
        if feature.shift.any():
            feature = _Feature(self.applied(feature))
        if unit in self.reaches:
            feature.equalize(self.reaches[unit])
        seen, factor = self._before_depthwise(unit, feature)
        kernel = _array(unit.depthwise.kernel) * factor.reshape(-1, 1)
        depthwise = self._waiting(unit.depthwise, seen, kernel)
        depthwise.config["name"] = f"{unit.name}_depthwise"
        depthwise = depthwise.then(*_scale_and_shift(unit.gate_norm))
        clips = self.form.integers and unit.gate == "gaussian"
        if clips:
            depthwise = depthwise.then(np.float64(1 / GATE_LIMIT), _ZERO)
            depthwise.config["activation"] = "hard_tanh"
        d = self._tensor(_Feature(depthwise))
        tensor = self._tensor(feature)
        if unit.gate == "sigmoid":
            gated = tensor * ops.sigmoid(d)
        elif clips:
            # LiteRT has no negation of integers, and a fast ELU but a slow exp.
            gated = tensor * (ops.elu(d * (-(GATE_LIMIT**2) * d)) + 1.0)
        else:
            # Where exp overflows to infinity, the quotient is the 0 it should be.
            gated = tensor / ops.exp(ops.square(d))
        return _Feature(gated, feature.scale)

    def _before_depthwise(self, unit, feature):
        """What a unit's depthwise convolution sees, divided by a factor; the factor."""
        if unit.form == "slim":
            return self._tensor(feature), feature.scale
        scale, shift = _scale_and_shift(unit.input_norm)
        if unit.form == "standard":
            feature.turn_positive(scale)
            tensor = self._tensor(feature)
            return self._rectified(unit, tensor, scale * feature.scale, shift)
        pointwise = self._waiting(
            unit.pointwise,
            self._tensor(feature),
            _array(unit.pointwise.kernel) * feature.scale.reshape(-1, 1),
        )
        pointwise.config.update(name=f"{unit.name}_pointwise", activation="relu")
        return self._tensor(_Feature(pointwise.then(scale, shift))), _ONE

    def _rectified(self, unit, tensor, scale, shift):
        """`relu(scale * tensor + shift)` divided by a factor, and the factor."""
        if self.form.affine == "depthwise":
            rectified = self._depthwise_affine(
                tensor, scale, shift, name=f"{unit.name}_norm", activation="relu"
            )
            return rectified, _ONE
        offset = _offset(scale, shift)
        if offset is None or (scale < 0).any():
            return ops.relu(self._affine(tensor, scale, shift)), _ONE
        return ops.relu(self._affine(tensor, _ONE, offset)), scale

    def _depthwise_affine(self, tensor, scale, shift, **config):
        """`scale * tensor + shift` by channel as a 1x1 depthwise convolution."""
        config.update(kernel_size=1, data_format=self.data_format, dtype="float32")
        affine = self._made(layers.DepthwiseConv2D, config)
        outputs = affine(tensor)
        scale = np.broadcast_to(scale, shift.shape)
        affine.set_weights([scale.reshape(1, 1, -1, 1), shift])
        return outputs


def _config(operation) -> dict:
    """The configuration of an operation, in float32 and without LoRA where it is one.

    A layer of someone's own need not take what the layers of Keras do.
    """
    config = operation.get_config()
    if not isinstance(operation, layers.Layer):
        return config
    changes = {"dtype": "float32", "lora_rank": None, "lora_alpha": None}
    return {name: changes.get(name, value) for name, value in config.items()}


def _reaches(graph, images) -> dict[XUnit, np.ndarray]:
    """How far the channels before each unit reach on images, from 0."""
    reaches: dict[XUnit, np.ndarray] = {}

    def watched(operation):
        def run(*args, **kwargs):
            if type(operation) is XUnit:
                _widen(reaches, operation, args[0])
            elif (inner := opened(operation, args, kwargs)) is not None:
                return run_through(inner, args[0], watched)
            return operation(*args, **kwargs)

        return run

    for image in images:
        run_through(graph, image[None], watched)
    return reaches


def _widen(reaches, unit, tensor) -> None:
    others = [a for a in range(4) if a != channel_axis(unit.data_format, 4)]
    reach = _array(ops.max(ops.abs(tensor), axis=others))
    reach = np.maximum(reach, reaches.get(unit, 0.0))
    # Some channels are dead.
    reaches[unit] = np.maximum(reach, 1e-3 * reach.max() + 1e-12)


def _offset(scale, shift) -> np.ndarray | None:
    """`shift / scale`, or None where it is too large."""
    scale, shift = np.broadcast_arrays(scale, shift)
    if (np.abs(shift) > LARGEST_OFFSET * np.abs(scale)).any():
        return None
    return np.divide(shift, scale, out=np.zeros(scale.shape), where=shift != 0)


def _scale_and_shift(norm) -> tuple[np.ndarray, np.ndarray]:
    """A batch normalization at inference as `scale * x + shift`, by channel."""
    scale = 1.0 / np.sqrt(_array(norm.moving_variance) + norm.epsilon)
    if norm.scale:
        scale = scale * _array(norm.gamma)
    shift = -_array(norm.moving_mean) * scale
    if norm.center:
        shift = shift + _array(norm.beta)
    return scale, shift


def _array(variable) -> np.ndarray:
    return ops.convert_to_numpy(variable).astype("float64")
