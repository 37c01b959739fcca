"""Parameters as the paper counts them, and the filters that a number of them buys."""

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import keras

from xunit_keras.layers import XUnit
from xunit_keras.layers.xunit import FORMS

_KERNELS = ("kernel", "depthwise_kernel", "pointwise_kernel")


@dataclass(frozen=True)
class ParameterCount:
    """Parameters of a model by kind of layer.

    Attributes:
        convolutions: Kernels of the convolutions outside `XUnit`.
        activations: Everything inside the `XUnit` layers: depthwise kernels,
            scales and shifts.
        normalizations: Scales and shifts of the other batch normalizations.
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

    Kernels, and scales and shifts of batch normalizations, are counted; biases
    and moving averages are not.

    Args:
        model: A built Keras model.

    Returns:
        A `ParameterCount`.

    Raises:
        ValueError: The model has no weights yet.
    """
    if not model.built:
        raise ValueError(
            f"The model {model.name!r} has no weights to count yet: build it, or call "
            "it once."
        )
    counts = {"convolutions": 0, "activations": 0, "normalizations": 0}
    for layer in _outermost_layers(model):
        if isinstance(layer, XUnit):
            kind = "activations"
        elif isinstance(layer, keras.layers.BatchNormalization):
            kind = "normalizations"
        elif any(weight.name in _KERNELS for weight in layer.weights):
            kind = "convolutions"
        else:
            continue
        counts[kind] += sum(
            math.prod(weight.shape)
            for weight in layer.weights
            if weight.name in (*_KERNELS, "gamma", "beta")
        )
    return ParameterCount(**counts)


def count_chain(
    kernels: Sequence[int],
    filters: Sequence[int],
    channels: int = 1,
    xunit_kernel: int | None = None,
    xunit_form: str = "standard",
) -> ParameterCount:
    """Counts convolutions in a row by arithmetic, without building a model.

    All convolutions but the last are followed by an `XUnit`, or by batch
    normalization and ReLU, as in `xnet` and `convnet`.

    Args:
        kernels: Sides of the convolutions' kernels, first to last.
        filters: Filters of all convolutions but the last.
        channels: Channels of the image, and filters of the last convolution.
        xunit_kernel: Side of the depthwise kernels of the activations; None for
            batch normalization and ReLU.
        xunit_form: Form of the activations, see `XUnit`.

    Returns:
        What `count_parameters` gives for the model.

    Raises:
        ValueError: `xunit_form` is unknown.
    """
    widths = pairwise((channels, *filters, channels))
    convolutions = sum(
        kernel**2 * before * after
        for kernel, (before, after) in zip(kernels, widths, strict=True)
    )
    if xunit_kernel is None:
        return ParameterCount(convolutions, 0, 2 * sum(filters))
    activations = sum(xunit_parameters(f, xunit_kernel, xunit_form) for f in filters)
    return ParameterCount(convolutions, activations, 0)


def xunit_parameters(channels: int, kernel_size: int, form: str) -> int:
    """Parameters of one `XUnit` on so many channels, as the paper counts them.

    Args:
        channels: Channels of its input.
        kernel_size: Side of the depthwise kernel.
        form: See `XUnit`.

    Raises:
        ValueError: `form` is unknown.
    """
    if form not in FORMS:
        raise ValueError(f"`form` must be one of {FORMS}. Received: form={form!r}")
    scales_and_shifts = 2 if form == "slim" else 4
    pointwise = channels if form == "dense" else 0
    return channels * (kernel_size**2 + scales_and_shifts + pointwise)


def filters_for_budget(
    budget: int,
    kernels: Sequence[int],
    channels: int = 1,
    xunit_kernel: int | None = None,
    tolerance: float = 0.02,
    xunit_form: str = "standard",
) -> tuple[int, ...]:
    """Filters with which convolutions in a row have the parameters asked for.

    The convolutions get the same number of filters, or the first ones one more
    than the others, whichever is closest to the budget.

    Args:
        budget: Parameters in all, as `count_chain` counts them.
        kernels: See `count_chain`; at least two.
        channels: See `count_chain`.
        xunit_kernel: See `count_chain`.
        tolerance: Largest relative difference from the budget.
        xunit_form: See `count_chain`.

    Returns:
        Filters of all convolutions but the last.

    Raises:
        ValueError: No number of filters comes as close, there are fewer than two
            convolutions, or `xunit_form` is unknown.
    """
    hidden = len(kernels) - 1
    if hidden < 1:
        raise ValueError(
            f"`kernels` must be at least two. Received: kernels={tuple(kernels)}"
        )

    def split(filters):
        each, more = divmod(filters, hidden)
        return tuple(each + (i < more) for i in range(hidden))

    def total(filters):
        return count_chain(
            kernels, split(filters), channels, xunit_kernel, xunit_form
        ).total

    # A filter has at least one parameter, and the total grows with every filter.
    sums = range(hidden, max(budget, hidden) + 1)
    above = sums[min(bisect_left(sums, budget, key=total), len(sums) - 1)]
    best = min(max(above - 1, hidden), above, key=lambda n: abs(total(n) - budget))
    if abs(total(best) - budget) > tolerance * budget:
        activation = f"XUnit {xunit_kernel}x{xunit_kernel}" if xunit_kernel else "ReLU"
        raise ValueError(
            f"{len(kernels)} convolutions with kernels "
            f"{'-'.join(map(str, kernels))} and {activation} cannot have {budget:,} "
            f"parameters within {tolerance:.1%}: the closest is {total(best):,}. Give "
            "another budget, fewer convolutions or smaller kernels."
        )
    return split(best)


def _outermost_layers(model):
    """The layers of a model, nested models opened, composite layers whole."""
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from _outermost_layers(layer)
        else:
            yield layer
