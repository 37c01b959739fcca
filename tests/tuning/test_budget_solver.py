"""Filters solved from a budget, against models that are built and counted."""

import keras
import numpy as np
import pytest

import xunit_keras
from tuning.budget import (
    count_chain,
    equal_filters,
    filters_for_budget,
    xunit_parameters,
)
from tuning.hypermodel import Architecture, Space
from xunit_keras.graphs.counting import count_parameters


@pytest.mark.parametrize("channels", [1, 3])
def test_arithmetic_is_what_the_papers_networks_count(channels):
    xnet = xunit_keras.xnet(depth=4, kernel_size=7, filters=6, channels=channels)
    convnet = xunit_keras.convnet(depth=4, filters=6, channels=channels)
    kernels, filters = (3,) * 4, (6,) * 3
    assert count_chain(kernels, filters, channels, 7) == count_parameters(xnet)
    assert count_chain(kernels, filters, channels) == count_parameters(convnet)


@pytest.mark.parametrize(
    "network",
    [
        Architecture((5, 3, 3, 1), (7, 6, 6), 5, channels=3),
        Architecture((9, 3, 5), (5, 4), 3, scale=3),
        Architecture((3, 5, 3), (4, 4), None, residual=False),
        Architecture((3, 3), (4,), 11),
    ],
)
def test_arithmetic_is_what_searched_networks_count(network):
    assert network.parameters == count_parameters(network.build())


@pytest.mark.parametrize("budget", [30_000, 100_000])
def test_every_default_combination_meets_its_budget(budget):
    for values in Space((budget,)).combinations():
        middle = [values["middle_kernel"]] * (values["depth"] - 2)
        kernels = (values["first_kernel"], *middle, values["last_kernel"])
        xunit_kernel = values["activation"] or None
        filters = filters_for_budget(budget, kernels, 1, xunit_kernel)
        count = count_chain(kernels, filters, 1, xunit_kernel)
        assert abs(count.total - budget) <= 0.02 * budget
        assert max(filters) - min(filters) <= 1


def test_no_number_of_filters_is_closer():
    kernels = (3, 3, 3, 3)
    for budget in range(1500, 2500, 37):
        filters = filters_for_budget(budget, kernels, 1, 5, tolerance=1.0)
        found = abs(count_chain(kernels, filters, 1, 5).total - budget)
        for total in range(3, 60):
            other = tuple((total + 2 - i) // 3 for i in range(3))
            assert sum(other) == total
            assert abs(count_chain(kernels, other, 1, 5).total - budget) >= found


def test_what_the_paper_counts_for_its_network_without_norms_between():
    # xNet's 9 convolutions with 64 filters: xDnCNN without its 7 normalizations.
    assert count_chain((3,) * 9, (64,) * 8, 1, 9).total == 303_616 - 7 * 128
    assert filters_for_budget(303_616 - 7 * 128, (3,) * 9, 1, 9) == (64,) * 8


@pytest.mark.parametrize("budget", [-5, 0, 1, 100])
def test_a_budget_that_cannot_be_met_is_refused(budget):
    with pytest.raises(ValueError, match=r"cannot have .* closest is"):
        filters_for_budget(budget, (3, 3, 3), 1, 9)


def test_one_convolution_is_refused():
    with pytest.raises(ValueError, match="at least two"):
        filters_for_budget(1000, (3,))


@pytest.mark.parametrize("channels", [1, 3])
def test_counting_by_arithmetic(channels):
    for depth, filters, side in ((2, 5, 3), (4, 8, 9)):
        hidden, kernels = (filters,) * (depth - 1), (3,) * depth
        assert count_chain(kernels, hidden, channels, side) == count_parameters(
            xunit_keras.xnet(
                depth=depth, kernel_size=side, filters=filters, channels=channels
            )
        )
        assert count_chain(kernels, hidden, channels) == count_parameters(
            xunit_keras.convnet(depth=depth, filters=filters, channels=channels)
        )


@pytest.mark.parametrize("form", ["standard", "dense", "slim"])
def test_counting_the_forms_of_the_activation_by_arithmetic(form):
    inputs = x = keras.Input((None, None, 1))
    for filters in (5, 4):
        x = keras.layers.Conv2D(filters, 3)(x)
        x = xunit_keras.XUnit(7, form=form)(x)
    model = keras.Model(inputs, keras.layers.Conv2D(1, 3)(x))
    assert count_chain((3, 3, 3), (5, 4), 1, 7, form) == count_parameters(model)


def test_an_unknown_form_is_refused():
    for count in (count_chain, filters_for_budget):
        first = (3, 3) if count is count_chain else 1_000
        second = (4,) if count is count_chain else (3, 3)
        with pytest.raises(ValueError, match="form='wide'"):
            count(first, second, xunit_kernel=9, xunit_form="wide")


@pytest.mark.parametrize(
    ("xunit_kernel", "form"),
    [(None, "standard"), (5, "standard"), (9, "standard"), (9, "dense"), (9, "slim")],
)
@pytest.mark.parametrize("kernels", [(3, 3), (3, 3, 3, 3), (9, 3, 5)])
@pytest.mark.parametrize("budget", [3_000, 20_000, 300_000])
def test_no_filters_come_closer_to_the_budget(budget, kernels, xunit_kernel, form):
    filters = filters_for_budget(
        budget, kernels, 1, xunit_kernel, tolerance=0.05, xunit_form=form
    )
    assert len(filters) == len(kernels) - 1
    assert max(filters) - min(filters) <= 1
    assert list(filters) == sorted(filters, reverse=True)

    def distance(hidden):
        count = count_chain(kernels, hidden, 1, xunit_kernel, form)
        return abs(count.total - budget)

    best = distance(filters)
    assert best <= 0.05 * budget
    for change in (-1, 1):
        each, more = divmod(sum(filters) + change, len(filters))
        other = tuple(each + (i < more) for i in range(len(filters)))
        assert distance(other) >= best


@pytest.mark.parametrize("budget", [0, -5, 100])
def test_budgets_that_cannot_be_met(budget):
    with pytest.raises(ValueError, match=f"{budget:,} parameters"):
        filters_for_budget(budget, (3,) * 9, xunit_kernel=9)


def test_one_convolution_has_no_filters_to_choose():
    with pytest.raises(ValueError, match=r"kernels=\(3,\)"):
        filters_for_budget(1_000, (3,))


def test_integers_of_numpy():
    expected = filters_for_budget(20_000, (9, 3, 5), 3, 9)
    small, nine = np.array([9, 3, 5], np.int8), np.int8(9)
    assert (
        filters_for_budget(np.int64(20_000), small, np.int8(3), np.int8(9)) == expected
    )
    count = count_chain(small, np.array(expected, np.int8), small[1], nine)
    assert count == count_chain((9, 3, 5), expected, 3, 9)
    assert xunit_parameters(np.int8(100), np.int8(15), "dense") == 100 * (225 + 4 + 100)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"budget": 1000.5}, "`budget` must be an integer"),
        ({"kernels": 3}, "`kernels` must be integers.*kernels=3"),
        ({"kernels": (3, 0)}, r"`kernels` must be integers.*kernels=\(3, 0\)"),
        ({"channels": 0}, "`channels` must be an integer of at least 1"),
        ({"xunit_kernel": 4.5}, "`xunit_kernel` must be an integer of at least 1"),
        ({"tolerance": -1}, "`tolerance` must be a number of at least 0"),
    ],
)
def test_arguments_that_make_no_sense(arguments, message):
    with pytest.raises(ValueError, match=message):
        filters_for_budget(**{"budget": 10_000, "kernels": (3, 3, 3), **arguments})


def test_as_many_filters_as_convolutions_but_one():
    with pytest.raises(ValueError, match=r"one fewer than.*filters=\(4,\)"):
        count_chain((3, 3, 3), (4,))


@pytest.mark.parametrize(
    ("budget", "kernels", "xunit_kernel", "expected"),
    [
        (13_000, (3,) * 6, 5, (16,) * 5),
        (43_000, (3,) * 5, 9, (32,) * 4),
        (13_000, (3,) * 4, None, (24,) * 3),
    ],
)
def test_filters_for_the_blocks_of_an_engine(budget, kernels, xunit_kernel, expected):
    filters = equal_filters(budget, kernels, 8, 1, xunit_kernel, outputs=9)
    assert filters == expected
    total = count_chain(kernels, filters, 1, xunit_kernel, outputs=9).total
    assert 0.8 * budget <= total <= budget
    more = tuple(f + 8 for f in filters)
    assert count_chain(kernels, more, 1, xunit_kernel, outputs=9).total > budget


@pytest.mark.parametrize("budget", [100, 7_000])
def test_a_budget_that_multiples_miss_is_refused(budget):
    with pytest.raises(ValueError, match=r"a multiple of 8 filters cannot have 80% to"):
        equal_filters(budget, (3,) * 5, 8, 1, 9, outputs=9)
