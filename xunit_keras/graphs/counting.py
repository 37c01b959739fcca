"""Parameters of a model as the paper counts them, and its multiplications."""

import math
from dataclasses import dataclass

import keras
from keras import layers

from xunit_keras.graphs.image_model import calls_on
from xunit_keras.graphs.walk import require_model, sublayers
from xunit_keras.layers import XUnit

_KERNELS = ("kernel", "depthwise_kernel", "pointwise_kernel")

# Layers that multiply every kernel with each pixel of what they give.
_CONVOLUTIONS = (
    layers.Conv1D,
    layers.Conv2D,
    layers.Conv3D,
    layers.DepthwiseConv1D,
    layers.DepthwiseConv2D,
    layers.SeparableConv1D,
    layers.SeparableConv2D,
)
_TRANSPOSED = (layers.Conv1DTranspose, layers.Conv2DTranspose, layers.Conv3DTranspose)


@dataclass(frozen=True)
class ParameterCount:
    """Parameters of a model by kind of layer.

    Attributes:
        convolutions: Kernels of the convolutions outside `XUnit`.
        activations: Everything inside the `XUnit` layers: depthwise kernels,
            scales and shifts.
        normalizations: Scales and shifts of the other batch normalizations.

    Example:
        >>> count = xunit_keras.count_parameters(xunit_keras.xnet())
        >>> count.convolutions, count.activations, count.normalizations
        (74880, 16320, 0)
        >>> round(count.activation_share, 2)
        0.18
    """

    convolutions: int
    activations: int
    normalizations: int

    @property
    def total(self) -> int:
        """All three kinds together."""
        return self.convolutions + self.activations + self.normalizations

    @property
    def activation_share(self) -> float:
        """Share of the total that the activations take, 0 to 1."""
        return self.activations / self.total if self.total else 0.0


def count_parameters(model: keras.Model) -> ParameterCount:
    """Counts a model's parameters as the paper does.

    Kernels, and scales and shifts of batch normalizations, are counted, once where
    layers are shared; biases, moving averages and what LoRA adds are not.

    Args:
        model: A built Keras model.

    Returns:
        A `ParameterCount`.

    Raises:
        ValueError: It is no Keras model, or has no weights yet.

    Example:
        >>> xunit_keras.count_parameters(xunit_keras.xespcn(scale=3)).total
        10336
    """
    require_model(model)
    if not model.built:
        raise ValueError(
            f"The model {model.name!r} has no weights to count yet: build it, or call "
            "it once."
        )
    kinds = {}
    for layer in sublayers(model):  # The outer first: what is in a unit is the unit's.
        kind = None
        if isinstance(layer, XUnit):
            kind = "activations"
        elif isinstance(layer, layers.BatchNormalization):
            kind = "normalizations"
        for weight in layer.weights if kind else ():
            kinds.setdefault(id(weight), kind)
    counts = {"convolutions": 0, "activations": 0, "normalizations": 0}
    for weight in model.weights:
        kind = kinds.get(id(weight))
        if weight.name in _KERNELS:
            counts[kind or "convolutions"] += math.prod(weight.shape)
        elif kind and weight.name in ("gamma", "beta"):
            counts[kind] += math.prod(weight.shape)
    return ParameterCount(**counts)


def multiply_adds(model: keras.Model, height: int, width: int) -> int:
    """Multiplications with kernels, in the convolutions and dense layers of a model.

    A layer that is used several times counts as often. Scales and shifts are not
    counted: at inference they are in the kernels (`xunit_keras.graphs.folding`).

    Args:
        model: A model with one image as its input; see
            `xunit_keras.graphs.image_model.image_model`.
        height: Of the input image, in pixels.
        width: Of the input image, in pixels.

    Raises:
        ValueError: The model does not take an image of this size, or has a layer
            whose multiplications are not known.
    """
    calls, _ = calls_on(model, height, width)
    return sum(
        _multiplications(layer, call)
        for call in calls
        for layer in _multiplying(call.operation)
    )


def _multiplying(operation) -> list[layers.Layer]:
    """The layers with kernels that an operation is."""
    if isinstance(operation, XUnit):  # Its layers all give what has its size.
        return [layer for layer in sublayers(operation) if hasattr(layer, "kernel")]
    if isinstance(operation, (*_CONVOLUTIONS, *_TRANSPOSED, layers.Dense)):
        return [operation]
    of_keras = type(operation).__module__.startswith("keras.")
    for weight in getattr(operation, "weights", ()):
        if "kernel" in weight.name or (not of_keras and len(weight.shape) > 1):
            raise ValueError(
                f"The multiplications in the layer {operation.name!r} of class "
                f"{type(operation).__name__} are not known, so those of the model "
                "cannot be counted."
            )
    return []


def _multiplications(layer, call) -> int:
    kernels = sum(
        math.prod(weight.shape) for weight in layer.weights if weight.name in _KERNELS
    )
    if isinstance(layer, layers.Dense):
        return kernels * math.prod(call.output_shape[1:-1])
    inputs = isinstance(layer, _TRANSPOSED)
    size = list(call.input_shape if inputs else call.output_shape)
    del size[-1 if layer.data_format == "channels_last" else 1]
    return kernels * math.prod(size[1:])
