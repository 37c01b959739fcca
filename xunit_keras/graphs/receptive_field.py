"""How far an output pixel of a model looks, which is what exact tiles need."""

import math
from dataclasses import dataclass
from fractions import Fraction

import keras
from keras import layers

from xunit_keras.graphs.image_model import (
    DIVISIBLE,
    image_channel_axis,
    image_model,
    scale_on,
    whole_number,
)
from xunit_keras.graphs.walk import opened, run_through
from xunit_keras.layers import (
    BicubicUpsampling,
    FusedBatchNormalization,
    LargeKernelDepthwiseConv2D,
    XUnit,
)
from xunit_keras.runtime.tiles import ReceptiveField

_CONVOLUTIONS = (
    layers.Conv2D,
    layers.DepthwiseConv2D,
    layers.SeparableConv2D,
    LargeKernelDepthwiseConv2D,
)
_POOLINGS = (layers.MaxPooling2D, layers.AveragePooling2D)
_POINTWISE = (
    layers.Activation,
    layers.Add,
    layers.Average,
    layers.BatchNormalization,
    layers.Dropout,
    layers.ELU,
    FusedBatchNormalization,
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
# These look along axes: at the channels of their own pixel alone, if that is the axis.
_ALONG_AN_AXIS = (
    layers.Concatenate,
    layers.LayerNormalization,
    layers.RMSNormalization,
    layers.Softmax,
    layers.UnitNormalization,
)
# Classes of the graph nodes that `keras.ops` and operators on tensors leave.
_POINTWISE_OPERATIONS = frozenset(
    "Absolute Add Cast Celu Clip ConvertToTensor Divide Elu Exp Gelu HardSigmoid "
    "HardSilu HardTanh LeakyRelu Log Maximum Minimum Multiply Negative Power "
    "Reciprocal Relu Relu6 Rsqrt Selu Sigmoid Silu Softplus Sqrt Square Subtract Tanh "
    "TrueDivide".split()
)
# How far from a sample, in pixels of its input, the kernel of an interpolation reaches.
_SUPPORTS = {
    "nearest": Fraction(1, 2),
    "bilinear": 1,
    "bicubic": 2,
    "lanczos3": 3,
    "lanczos5": 5,
}
_HINT = "use tile=0 or give tile_overlap="


def receptive_field(
    model: keras.Model, tile_overlap: int | None = None
) -> ReceptiveField:
    """Derives the receptive field from the layers of a model.

    The weights are not looked at, so the radius is what it is for general weights.

    Args:
        model: A model from one image to one image, of any height and width, as
            `xunit_keras.graphs.image_model.image_model` takes it.
        tile_overlap: The radius, in input pixels, where the layers do not tell it or
            tell more than matters; scale and stride are then what sizes of images
            tell. None derives it.

    Raises:
        ValueError: The model is of another kind, or `tile_overlap` is not given and
            a layer is not known or looks at the whole image.

    Example:
        >>> xunit_keras.receptive_field(xunit_keras.xdncnn())
        ReceptiveField(scale=1, radius=41, stride=1)
    """
    model = image_model(model)
    channel_axis = image_channel_axis(model)
    spatial = [
        size for i, size in enumerate(model.input_shape) if i not in (0, channel_axis)
    ]
    if spatial != [None, None]:
        raise ValueError(
            f"Only models for images of any height and width work on tiles. Received: "
            f"{model.name!r} with input shape {model.input_shape}; use tile=0."
        )
    if tile_overlap is not None:
        radius = whole_number(least=0, tile_overlap=tile_overlap)
        scale, stride = _told_by_sizes(model)
        return ReceptiveField(scale, radius, stride)
    rows, columns = _trace(model, _Traced((_Span(), _Span())), channel_axis).spans
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


def _told_by_sizes(model) -> tuple[int, int]:
    """The scale of a model, and the step between heights that it takes."""
    side = DIVISIBLE
    scale = scale_on(model, side, side)
    for stride in range(1, 2**6):
        if side % stride == 0:
            try:
                if scale_on(model, side + stride, side + stride) == scale:
                    return scale, stride
            except ValueError:
                continue
    return scale, 2**6


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


@dataclass(frozen=True)
class _Traced:
    """Spans, along rows and columns, of a tensor; a leaf to `keras.tree`."""

    spans: tuple[_Span, _Span]


def _trace(graph, inputs, channel_axis):
    """Runs a graph on spans in place of tensors."""

    def traced(operation):
        def call(*args, **kwargs):
            inner = opened(operation, args, kwargs)
            if inner is not None:
                return _trace(inner, args[0], channel_axis)
            leaves = keras.tree.flatten((args, kwargs))
            inputs = [leaf.spans for leaf in leaves if isinstance(leaf, _Traced)]
            merged = (_merge(operation, along) for along in zip(*inputs, strict=True))
            return _Traced(_seen(operation, tuple(merged), channel_axis))

        return call

    return run_through(graph, inputs, traced)


def _seen(operation, spans, channel_axis) -> tuple[_Span, _Span]:
    """Spans, along rows and columns, of what an operation gives."""
    if _is_pointwise(operation, channel_axis):
        return spans
    return tuple(
        span.seen_by(*_view(operation, axis)) for axis, span in enumerate(spans)
    )


def _merge(operation, spans) -> _Span:
    if len({span.step for span in spans}) > 1:
        raise ValueError(
            f"The layer {operation.name!r} joins tensors of different scales, so the "
            f"receptive field of the model is not known; {_HINT}."
        )
    return _Span(
        step=spans[0].step,
        first=min(span.first for span in spans),
        last=max(span.last for span in spans),
        stride=math.lcm(*(span.stride for span in spans)),
    )


def _is_a(operation, classes) -> bool:
    """Whether an operation does what one of the classes does.

    A class of someone's own that does something else with the same arguments is none.
    """

    def same(cls):
        return isinstance(operation, cls) and all(
            getattr(type(operation), method, None) is getattr(cls, method, None)
            for method in ("call", "convolution_op")
        )

    return any(map(same, classes))


def _is_pointwise(operation, channel_axis) -> bool:
    """Whether each output pixel depends on its own input pixels alone."""
    name = type(operation).__name__
    of_keras = type(operation).__module__.startswith("keras.")
    if _is_a(operation, _ALONG_AN_AXIS) or (of_keras and name == "Concatenate"):
        axes = operation.axis
        axes = axes if isinstance(axes, (list, tuple)) else [axes]
        return {axis % 4 for axis in axes} == {channel_axis}
    if _is_a(operation, (layers.Dense,)):
        return channel_axis == 3
    return _is_a(operation, _POINTWISE) or (of_keras and name in _POINTWISE_OPERATIONS)


def _view(operation, axis):
    """`before`, `after` and `stride` of a layer, as `_Span.seen_by` takes them."""
    if _is_a(operation, (XUnit,)):
        return _view(operation.depthwise, axis)
    if _is_a(operation, _CONVOLUTIONS):
        reach = (operation.kernel_size[axis] - 1) * operation.dilation_rate[axis]
        return _strided_view(reach, operation.strides[axis], operation.padding)
    if _is_a(operation, _POOLINGS):
        reach = operation.pool_size[axis] - 1
        return _strided_view(reach, operation.strides[axis], operation.padding)
    if _is_a(operation, (layers.Conv2DTranspose,)) and not operation.output_padding:
        reach = (operation.kernel_size[axis] - 1) * operation.dilation_rate[axis]
        factor = operation.strides[axis]
        cut = 0
        if operation.padding == "same":
            cut = max(reach + 1 - factor, 0) // 2
        return Fraction(reach - cut, factor), Fraction(cut, factor), Fraction(1, factor)
    if _is_a(operation, (BicubicUpsampling,)):
        return _enlarged_view(operation.scale, "bicubic")
    if _is_a(operation, (layers.UpSampling2D,)):
        return _enlarged_view(operation.size[axis], operation.interpolation)
    if _is_a(operation, (layers.ZeroPadding2D,)):
        before = operation.padding[axis][0]
        return before, -before, 1
    if _is_a(operation, (layers.Cropping2D,)):
        before = operation.cropping[axis][0]
        return -before, before, 1
    if type(operation).__name__ == "DepthToSpace":
        return _enlarged_view(operation.block_size, "nearest")
    raise ValueError(
        f"The receptive field of the layer {operation.name!r} of class "
        f"{type(operation).__name__} is not known; {_HINT}."
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
        center = position + Fraction(1 - factor, 2 * factor)
        # The kernel is zero at the ends of its support.
        before = max(before, position - (math.floor(center - support) + 1))
        after = max(after, math.ceil(center + support) - 1 - position)
    return before, after, Fraction(1, factor)
