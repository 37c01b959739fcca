"""How far an output pixel of a model looks, which is what exact tiles need."""

import math
from dataclasses import dataclass
from fractions import Fraction

import keras
from keras import layers

from xunit_keras.layers import BicubicUpsampling, XUnit

_CONVOLUTIONS = (layers.Conv2D, layers.DepthwiseConv2D, layers.SeparableConv2D)
_POOLINGS = (layers.MaxPooling2D, layers.AveragePooling2D)
_POINTWISE = (
    layers.Activation,
    layers.Add,
    layers.Average,
    layers.BatchNormalization,
    layers.Dropout,
    layers.ELU,
    layers.GaussianNoise,
    layers.Identity,
    layers.LeakyReLU,
    layers.Maximum,
    layers.Minimum,
    layers.Multiply,
    layers.PReLU,
    layers.ReLU,
    layers.Rescaling,
    layers.SpatialDropout2D,
    layers.Subtract,
)
# Classes of the graph nodes that `keras.ops` and operators on tensors leave.
_POINTWISE_OPERATIONS = frozenset(
    "Absolute Add Cast Clip Divide Elu Exp Gelu HardSigmoid LeakyRelu Log Maximum "
    "Minimum Multiply Negative Power Reciprocal Relu Relu6 Rsqrt Sigmoid Silu Softplus "
    "Sqrt Square Subtract Tanh TrueDivide".split()
)
# How far from a sample, in pixels of its input, the kernel of an interpolation reaches.
_SUPPORTS = {
    "nearest": Fraction(1, 2),
    "bilinear": 1,
    "bicubic": 2,
    "lanczos3": 3,
    "lanczos5": 5,
}


@dataclass(frozen=True)
class ReceptiveField:
    """What a model makes of sizes and positions.

    Attributes:
        scale: Output pixels for one input pixel, along each axis.
        radius: Input pixels to each side of its own that an output pixel depends on.
        stride: A tile of the input must start at a multiple of it, and differ from
            the whole image in size by a multiple of it; 1 for models without
            pooling and strides.
    """

    scale: int
    radius: int
    stride: int


def receptive_field(model: keras.Model) -> ReceptiveField:
    """Derives the receptive field from the layers of a model.

    The weights are not looked at, so the radius is what it is for general weights.

    Args:
        model: A functional or sequential model from one image to one image, of any
            height and width.

    Raises:
        ValueError: The model is of another kind, or a layer is not known.
    """
    channel_axis = image_channel_axis(model)
    spatial = [
        size for i, size in enumerate(model.input_shape) if i not in (0, channel_axis)
    ]
    if spatial != [None, None]:
        raise ValueError(
            f"Only models for images of any height and width work on tiles. Received: "
            f"{model.name!r} with input shape {model.input_shape}; use tile=0."
        )
    rows, columns = _trace(model, (_Span(), _Span()), channel_axis)
    scale = 1 / rows.step
    if rows.step != columns.step or scale.denominator != 1:
        raise ValueError(
            "Only models that enlarge height and width by the same integer factor "
            f"work on tiles. Received: {model.name!r}, with factors {scale} and "
            f"{1 / columns.step}; use tile=0."
        )
    return ReceptiveField(
        scale=scale.numerator,
        radius=max(rows.radius, columns.radius),
        stride=math.lcm(rows.stride, columns.stride),
    )


def image_channel_axis(model: keras.Model) -> int:
    """The axis of the channels, 3 or 1, of a model from an image to an image.

    Raises:
        ValueError: The model has more than one input or output, or they are not
            images.
    """
    shapes = [model.input_shape, model.output_shape]
    if all(isinstance(shape, tuple) and len(shape) == 4 for shape in shapes):
        for axis in (3, 1):
            if all(shape[axis] in (1, 3) for shape in shapes):
                return axis
    raise ValueError(
        "A model to restore images has one image of 1 or 3 channels as its input and "
        f"one as its output. Received: {model.name!r} with input shape {shapes[0]} and "
        f"output shape {shapes[1]}."
    )


@dataclass(frozen=True)
class _Span:
    """Which input samples a sample of some tensor depends on, along one axis.

    Sample `i` depends on input samples `step * i + first` to `step * i + last`.
    """

    step: Fraction = Fraction(1)
    first: Fraction = Fraction(0)
    last: Fraction = Fraction(0)
    stride: int = 1

    def seen_by(self, before, after, stride) -> "_Span":
        """The span of a layer's output.

        Sample `i` of it sees samples `stride * i - before` to `stride * i + after` of
        the tensor that this span is of.
        """
        step = self.step * stride
        return _Span(
            step=step,
            first=self.first - self.step * before,
            last=self.last + self.step * after,
            # An input position has a counterpart in every tensor where it is a
            # multiple of every step.
            stride=math.lcm(self.stride, step.numerator),
        )

    @property
    def radius(self) -> int:
        """Pixels to each side of `floor(step * i)`, the one that sample `i` is in."""
        return max(0, math.floor(-self.first), math.floor(1 - self.step + self.last))


def _trace(operation, spans, channel_axis) -> tuple[_Span, _Span]:
    """Spans, along rows and columns, of what a layer or a model gives."""
    if isinstance(operation, keras.Sequential):
        for layer in operation.layers:
            spans = _trace(layer, spans, channel_axis)
        return spans
    if isinstance(operation, keras.Model) and hasattr(operation, "operations"):
        return _trace_graph(operation, spans, channel_axis)
    if _is_pointwise(operation, channel_axis):
        return spans
    return tuple(
        span.seen_by(*_view(operation, axis)) for axis, span in enumerate(spans)
    )


def _trace_graph(model, spans, channel_axis):
    """Runs the graph of a functional model on spans in place of tensors."""

    class Traced:
        """Spans of one tensor; a leaf to `keras.tree`, which opens tuples."""

        def __init__(self, spans):
            self.spans = spans

    def traced(operation):
        def call(*args, **kwargs):
            inputs = [
                leaf.spans
                for leaf in keras.tree.flatten((args, kwargs))
                if isinstance(leaf, Traced)
            ]
            merged = tuple(
                _merge(operation, along_axis)
                for along_axis in zip(*inputs, strict=True)
            )
            return Traced(_trace(operation, merged, channel_axis))

        return call

    return model._run_through_graph(Traced(spans), operation_fn=traced).spans


def _merge(operation, spans) -> _Span:
    if len({span.step for span in spans}) > 1:
        raise ValueError(
            f"The layer {operation.name!r} joins tensors of different scales, so the "
            "receptive field of the model is not known; use tile=0."
        )
    return _Span(
        step=spans[0].step,
        first=min(span.first for span in spans),
        last=max(span.last for span in spans),
        stride=math.lcm(*(span.stride for span in spans)),
    )


def _is_pointwise(operation, channel_axis) -> bool:
    """Whether each output pixel depends on its own input pixels alone."""
    name = type(operation).__name__
    of_keras = type(operation).__module__.startswith("keras.")
    if of_keras and name == "Concatenate":
        return operation.axis in (channel_axis, channel_axis - 4)
    return isinstance(operation, _POINTWISE) or (
        of_keras and name in _POINTWISE_OPERATIONS
    )


def _view(operation, axis):
    """`before`, `after` and `stride` of a layer, as `_Span.seen_by` takes them."""
    if isinstance(operation, XUnit):
        return _view(operation.depthwise, axis)
    if isinstance(operation, _CONVOLUTIONS):
        reach = (operation.kernel_size[axis] - 1) * operation.dilation_rate[axis]
        return _strided_view(reach, operation.strides[axis], operation.padding)
    if isinstance(operation, _POOLINGS):
        reach = operation.pool_size[axis] - 1
        return _strided_view(reach, operation.strides[axis], operation.padding)
    if isinstance(operation, layers.Conv2DTranspose) and not operation.output_padding:
        reach = (operation.kernel_size[axis] - 1) * operation.dilation_rate[axis]
        factor = operation.strides[axis]
        cut = 0
        if operation.padding == "same":
            cut = max(reach + 1 - factor, 0) // 2
        return Fraction(reach - cut, factor), Fraction(cut, factor), Fraction(1, factor)
    if isinstance(operation, BicubicUpsampling):
        return _enlarged_view(operation.scale, "bicubic")
    if isinstance(operation, layers.UpSampling2D):
        return _enlarged_view(operation.size[axis], operation.interpolation)
    if isinstance(operation, layers.ZeroPadding2D):
        before = operation.padding[axis][0]
        return before, -before, 1
    if isinstance(operation, layers.Cropping2D):
        before = operation.cropping[axis][0]
        return -before, before, 1
    if type(operation).__name__ == "DepthToSpace":
        return _enlarged_view(operation.block_size, "nearest")
    raise ValueError(
        f"The receptive field of the layer {operation.name!r} of class "
        f"{type(operation).__name__} is not known; use tile=0."
    )


def _strided_view(reach, stride, padding):
    """The view of a kernel of `reach + 1` samples."""
    if padding == "valid":
        return 0, reach, stride
    # How much of the padding comes first depends on the size of the image.
    return reach // 2, reach - max(reach + 1 - stride, 0) // 2, stride


def _enlarged_view(factor, interpolation):
    """The view of an interpolation: `factor` samples lie in each pixel."""
    support = _SUPPORTS[interpolation]
    before = after = 0
    for phase in range(factor):
        position = Fraction(phase, factor)
        centre = position + Fraction(1 - factor, 2 * factor)
        # The kernel is zero at the ends of its support.
        before = max(before, position - (math.floor(centre - support) + 1))
        after = max(after, math.ceil(centre + support) - 1 - position)
    return before, after, Fraction(1, factor)
