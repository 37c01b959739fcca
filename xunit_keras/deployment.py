"""A trained model as an equal, faster one made of plain layers.

Training wants layers that learn; an engine wants few operations of the kinds that it
runs well. `deploy` walks the graph of a model and builds it anew: batch
normalizations move into the convolutions before or after them as far as that is
exact, `XUnit` is opened, and its depthwise convolution and its gate take the form
that the target runs fastest.
"""

import dataclasses
from collections import Counter
from dataclasses import dataclass
from typing import Literal

import keras
import numpy as np
from keras import layers, ops

from xunit_keras.graphs import data_format, functional
from xunit_keras.layers import LargeKernelDepthwiseConv2D, XUnit

# Largest shift over scale that is added in place of scaling and shifting: a GPU may
# compute in float16, which ends at 65504. Trained networks reach 1e4, in channels
# whose scale is nearly 0, and float32 loses nothing there.
LARGEST_OFFSET = 3e4

# Where the argument of the Gaussian gate ends if everything is an integer. What is
# beyond weighs less than exp(-9) = 1e-4. Half the span of a ReLU6, which is free.
GATE_LIMIT = 3.0

_ONE, _ZERO = np.float64(1), np.float64(0)

_CONVOLUTIONS = (
    layers.Conv2D,
    layers.DepthwiseConv2D,
    LargeKernelDepthwiseConv2D,
)


@dataclass(frozen=True)
class Form:
    """What a target runs fastest.

    Attributes:
        depthwise: How large depthwise kernels are evaluated, see
            `LargeKernelDepthwiseConv2D`.
        affine: How a scale and a shift by channel before a ReLU are computed: by
            adding shift over scale, the scale going into the next kernel, or by a
            1x1 depthwise convolution, which some engines fuse with the ReLU.
        gate: The Gaussian gate as `x / exp(d^2)` or as `x * exp(-d^2)`.
        quantizes: The inputs of convolutions become 8-bit integers of one scale for
            all channels, so the normalizations that make the channels alike stay.
        integers: Everything becomes an 8-bit integer: a normalization is one operation,
            the channels before a unit get the range that its normalization knows, and
            the argument of the Gaussian gate is clipped.
    """

    depthwise: Literal["native", "shifts", "blocks"] = "native"
    affine: Literal["add", "depthwise"] = "add"
    gate: Literal["quotient", "product"] = "quotient"
    quantizes: bool = False
    integers: bool = False


FORMS = {
    "tensorflow": Form(),
    "jax": Form(depthwise="shifts"),
    "torch": Form(),
    "onnxruntime": Form(affine="depthwise"),
    "openvino": Form(affine="depthwise"),
    "litert": Form(depthwise="blocks", affine="depthwise"),
    "litert-int8": Form(depthwise="blocks", affine="depthwise", quantizes=True),
    "litert-int8-full": Form(
        depthwise="blocks",
        affine="depthwise",
        gate="product",
        quantizes=True,
        integers=True,
    ),
}


def deploy(model: keras.Model, target: str = "tensorflow") -> keras.Model:
    """Makes an equal model that the target runs faster.

    The result is a functional model in float32, for inference, with weights of its
    own. It equals `model(x, training=False)` in float32 up to rounding, at the
    borders too: a normalization `A * x + S` before a zero-padded convolution becomes
    `x + S / A` before the same convolution with its kernel times `A`.

    Args:
        model: A functional or sequential model.
        target: `"tensorflow"`, `"jax"`, `"torch"`, `"onnxruntime"`, `"openvino"`,
            `"litert"`, or for what is to be quantised `"litert-int8"` (ordinary
            convolutions) and `"litert-int8-full"` (everything; here alone weights
            below 1e-4 are not exact).

    Returns:
        A model with the input and output shapes and the name of `model`.

    Raises:
        ValueError: The target is unknown; the model is neither functional nor
            sequential, or one of its layers cannot be made from its configuration.
    """
    if target not in FORMS:
        raise ValueError(
            f"`target` must be one of {', '.join(FORMS)}. Received: target={target!r}"
        )
    graph = functional(model)
    if graph is None:
        raise ValueError(
            "Only functional models and built sequential ones can be deployed. "
            f"Received: {model.name!r} of class {type(model).__name__}"
        )
    inputs = [
        keras.Input(batch_shape=tensor.shape, dtype="float32", name=tensor.name)
        for tensor in graph.inputs
    ]
    builder = _Builder(FORMS[target], data_format(graph))
    features = builder.build(graph, [_Feature(tensor) for tensor in inputs])
    outputs = [builder.applied(feature) for feature in keras.tree.flatten(features)]
    single = len(inputs) == len(outputs) == 1
    return keras.Model(
        inputs[0] if single else inputs,
        outputs[0] if single else outputs,
        name=model.name,
    )


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

    source: keras.KerasTensor | _Waiting
    scale: np.ndarray = _ONE
    shift: np.ndarray = _ZERO

    def then(self, scale, shift) -> "_Feature":
        scale, shift = self.scale * scale, self.shift * scale + shift
        if isinstance(self.source, _Waiting):
            return _Feature(self.source.then(scale, shift))
        return _Feature(self.source, scale, shift)

    def equalise(self, spread) -> None:
        """Divides the tensor by `spread` where a waiting convolution can take it."""
        if isinstance(self.source, _Waiting):
            self.source = self.source.then(self.scale / spread, _ZERO)
            self.scale = spread

    def turn_positive(self, scale) -> None:
        """Makes `scale * self.scale` positive where a waiting convolution allows."""
        sign = np.where(self.scale * scale < 0, -1.0, 1.0)
        if isinstance(self.source, _Waiting):
            self.source = self.source.then(sign, _ZERO)
            self.scale = self.scale * sign


class _Builder:
    """Builds the layers of a model anew, in the form of a target."""

    def __init__(self, form: Form, data_format: str):
        self.form = form
        self.data_format = data_format
        self.names = Counter()

    def build(self, graph, features):
        """Runs the graph of a functional model on features in place of tensors."""

        def built(operation):
            return lambda *args, **kwargs: self._operation(operation, args, kwargs)

        return graph._run_through_graph(features, operation_fn=built)

    def applied(self, feature) -> keras.KerasTensor:
        """The tensor that a feature stands for."""
        return self._affine(self._tensor(feature), feature.scale, feature.shift)

    def _tensor(self, feature):
        """The tensor of a feature without scale and shift; one that waits is built."""
        waiting = feature.source
        if isinstance(waiting, _Waiting):
            layer = self._made(waiting.cls, waiting.config)
            feature.source = layer(waiting.source)
            layer.set_weights([waiting.kernel, waiting.bias])
        return feature.source

    def _made(self, cls, config):
        """A layer from its configuration, under a name that is still free."""
        self.names[config["name"]] += 1
        count = self.names[config["name"]]
        suffix = f"_{count}" if count > 1 else ""
        return cls.from_config({**config, "name": config["name"] + suffix})

    def _operation(self, operation, args, kwargs):
        if (inner := functional(operation)) is not None:
            return self.build(inner, args[0])
        if type(operation) in _CONVOLUTIONS:
            return self._convolution(operation, args[0])
        if isinstance(operation, layers.BatchNormalization):
            return args[0].then(*_scale_and_shift(operation))
        if isinstance(operation, XUnit):
            return self._xunit(operation, args[0])
        args, kwargs = keras.tree.map_structure(
            lambda leaf: self.applied(leaf) if isinstance(leaf, _Feature) else leaf,
            (args, kwargs),
        )
        outputs = self._anew(operation, args)(*args, **kwargs)
        return keras.tree.map_structure(_Feature, outputs)

    def _anew(self, operation, args):
        """A layer or an operation like another, with its weights, in float32."""
        try:
            config = operation.get_config()
            if not isinstance(operation, layers.Layer):
                return self._made(type(operation), config)
            layer = self._made(type(operation), {**config, "dtype": "float32"})
            if operation.weights:
                layer.build(keras.tree.map_structure(lambda x: x.shape, args[0]))
                layer.set_weights(operation.get_weights())
            return layer
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
        result = _Feature(waiting)
        if waiting.config["activation"] == "linear":
            return result
        return _Feature(self._tensor(result))

    def _waiting(self, layer, tensor, kernel) -> _Waiting:
        """A convolution like `layer` with another kernel, and no bias so far."""
        config = {**layer.get_config(), "use_bias": True, "dtype": "float32"}
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
        if (scale != 1).any():
            tensor = tensor * self._vector(scale)
        if shift.any():
            tensor = tensor + self._vector(shift)
        return tensor

    def _vector(self, values):
        shape = (-1, 1, 1) if self.data_format == "channels_first" else (-1,)
        return np.asarray(values, "float32").reshape(shape)

    def _xunit(self, unit, feature):
        if feature.shift.any():
            feature = _Feature(self.applied(feature))
        if self.form.integers and unit.form == "standard":
            feature.equalise(_spread(unit.input_norm))
        seen, factor = self._before_depthwise(unit, feature)
        kernel = _array(unit.depthwise.kernel) * factor.reshape(-1, 1)
        depthwise = self._waiting(unit.depthwise, seen, kernel)
        depthwise.config["name"] = f"{unit.name}_depthwise"
        depthwise = depthwise.then(*_scale_and_shift(unit.gate_norm))
        clips = self.form.integers and unit.gate == "gaussian"
        if clips:
            depthwise = depthwise.then(_ONE, GATE_LIMIT)
            depthwise.config["activation"] = "relu6"
        d = self._tensor(_Feature(depthwise))
        if clips:
            d = d - GATE_LIMIT
        tensor = self._tensor(feature)
        if unit.gate == "sigmoid":
            gated = tensor * ops.sigmoid(d)
        elif self.form.gate == "quotient":
            # Where exp overflows to infinity, the quotient is the 0 it should be.
            gated = tensor / ops.exp(ops.square(d))
        else:
            # LiteRT has no negation of integers.
            gated = tensor * ops.exp(d * (-1.0 * d))
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


def _spread(norm) -> np.ndarray:
    """How far the inputs of a normalization reach, by channel, but for rare ones."""
    deviation = np.sqrt(_array(norm.moving_variance))
    spread = np.abs(_array(norm.moving_mean)) + 4.0 * deviation
    return np.maximum(spread, 1e-3 * spread.max() + 1e-12)  # Some channels are dead.


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
