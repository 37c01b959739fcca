"""Filters solved from a budget, against models that are built and counted."""

import pytest

import xunit_keras
from tuning.hypermodel import Architecture, Space
from xunit_keras.budget import count_chain, count_parameters, filters_for_budget


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
