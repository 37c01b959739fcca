"""Filters that a number of parameters buys, by arithmetic."""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import pairwise

from xunit_keras.graphs.counting import ParameterCount
from xunit_keras.graphs.image_model import whole_number
from xunit_keras.layers.xunit import FORMS


def count_chain(
    kernels: Sequence[int],
    filters: Sequence[int],
    channels: int = 1,
    xunit_kernel: int | None = None,
    xunit_form: str = "standard",
    outputs: int | None = None,
) -> ParameterCount:
    """Counts convolutions in a row by arithmetic, without building a model.

    All convolutions but the last are followed by an `XUnit`, or by batch
    normalization and ReLU, as in `xnet` and `convnet`.

    Args:
        kernels: Sides of the convolutions' kernels, first to last.
        filters: Filters of all convolutions but the last.
        channels: Channels of the image.
        xunit_kernel: Side of the depthwise kernels of the activations; None for
            batch normalization and ReLU.
        xunit_form: Form of the activations, see `XUnit`.
        outputs: Filters of the last convolution; None for `channels`.

    Returns:
        What `count_parameters` gives for the model.

    Raises:
        ValueError: `xunit_form` is unknown, there are not as many filters as kernels
            but one, or a number is no integer of at least 1.
    """
    kernels, filters = _integers(kernels=kernels), _integers(filters=filters)
    if len(filters) != len(kernels) - 1:
        raise ValueError(
            "`filters` must be one fewer than `kernels`. Received: "
            f"filters={filters}, kernels={kernels}"
        )
    channels = whole_number(channels=channels)
    outputs = channels if outputs is None else whole_number(outputs=outputs)
    widths = pairwise((channels, *filters, outputs))
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
        ValueError: `form` is unknown, or a number is no integer of at least 1.
    """
    channels = whole_number(channels=channels)
    kernel_size = whole_number(xunit_kernel=kernel_size)
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
    outputs: int | None = None,
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
        outputs: See `count_chain`.

    Returns:
        Filters of all convolutions but the last.

    Raises:
        ValueError: No number of filters comes as close, there are fewer than two
            convolutions, `xunit_form` is unknown, or a number is out of range.
    """
    budget = whole_number(least=None, budget=budget)
    kernels = _integers(kernels=kernels)
    if not tolerance >= 0:
        raise ValueError(
            "`tolerance` must be a number of at least 0. "
            f"Received: tolerance={tolerance!r}"
        )
    hidden = len(kernels) - 1
    if hidden < 1:
        raise ValueError(f"`kernels` must be at least two. Received: kernels={kernels}")

    def split(filters):
        each, more = divmod(filters, hidden)
        return tuple(each + (i < more) for i in range(hidden))

    def total(filters):
        return count_chain(
            kernels, split(filters), channels, xunit_kernel, xunit_form, outputs
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


def equal_filters(
    budget: int,
    kernels: Sequence[int],
    multiple: int,
    channels: int = 1,
    xunit_kernel: int | None = None,
    tolerance: float = 0.2,
    xunit_form: str = "standard",
    outputs: int | None = None,
) -> tuple[int, ...]:
    """The same filters for all convolutions, a multiple of a number, within a budget.

    Engines keep channels in blocks of 8 or 16, and compute others at a loss.

    Args:
        budget: Parameters at most, as `count_chain` counts them.
        kernels: See `count_chain`; at least two.
        multiple: What the filters are a multiple of.
        channels: See `count_chain`.
        xunit_kernel: See `count_chain`.
        tolerance: Part of the budget that may be left.
        xunit_form: See `count_chain`.
        outputs: See `count_chain`.

    Returns:
        Filters of all convolutions but the last.

    Raises:
        ValueError: All such networks are larger than the budget, or leave more of it.
    """
    budget = whole_number(least=None, budget=budget)
    multiple = whole_number(filter_multiple=multiple)
    hidden = len(kernels) - 1

    def total(blocks):
        filters = (blocks * multiple,) * hidden
        return count_chain(
            kernels, filters, channels, xunit_kernel, xunit_form, outputs
        ).total

    # A filter has at least one parameter, and the total grows with every filter.
    blocks = bisect_right(range(1, budget + 1), budget, key=total)
    if not blocks or total(blocks) < (1 - tolerance) * budget:
        raise ValueError(
            f"{len(kernels)} convolutions with kernels {'-'.join(map(str, kernels))} "
            f"and a multiple of {multiple} filters cannot have {1 - tolerance:.0%} to "
            f"100% of {budget:,} parameters: the next have {total(max(blocks, 1)):,} "
            f"and {total(max(blocks, 1) + 1):,}."
        )
    return (blocks * multiple,) * hidden


def _integers(**given) -> tuple[int, ...]:
    """The one argument given by name, as integers of at least 1."""
    ((name, values),) = given.items()
    try:
        return tuple(whole_number(value=value) for value in values)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"`{name}` must be integers of at least 1. Received: {name}={values!r}"
        ) from error
