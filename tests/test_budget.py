import keras
import numpy as np
import pytest

import xunit_keras as xk
from xunit_keras.budget import count_chain, filters_for_budget

# Kernels, activations and other normalizations; the sums are the paper's.
TABLE = [
    ("dncnn", xk.dncnn, {}, (554_112, 0, 1_920), 556_032),
    ("xdncnn", xk.xdncnn, {}, (259_200, 43_520, 896), 303_616),
    ("xdncnn-rgb", xk.xdncnn, {"channels": 3}, (261_504, 43_520, 896), 305_920),
    ("xderain", xk.xderain, {}, (261_504, 43_520, 896), 305_920),
    ("derainnet", xk.derainnet, {}, (753_664, 0, 0), 753_664),
    ("srcnn", xk.srcnn, {}, (57_184, 0, 0), 57_184),
    ("xsrcnn_f", xk.xsrcnn_f, {}, (24_416, 8_160, 0), 32_576),
    ("xsrcnn_c", xk.xsrcnn_c, {}, (37_802, 6_290, 0), 44_092),
    ("srresnet", xk.srresnet, {}, (1_521_792, 0, 4_224), 1_526_016),
    ("srresnet-rgb", xk.srresnet, {"channels": 3}, (1_542_528, 0, 4_224), 1_546_752),
    ("xsrresnet", xk.xsrresnet, {}, (1_079_424, 54_400, 1_408), 1_135_232),
    (
        "xsrresnet-rgb",
        xk.xsrresnet,
        {"channels": 3},
        (1_100_160, 54_400, 1_408),
        1_155_968,
    ),
]


@pytest.mark.parametrize(
    ("builder", "arguments", "kinds", "total"),
    [row[1:] for row in TABLE],
    ids=[row[0] for row in TABLE],
)
def test_the_table_of_the_paper(builder, arguments, kinds, total):
    count = xk.count_parameters(builder(**arguments))
    assert (count.convolutions, count.activations, count.normalizations) == kinds
    assert count.total == total
    assert count.activation_share == pytest.approx(kinds[1] / total)


@pytest.mark.parametrize("builder", [xk.srcnn, xk.xsrcnn_f, xk.xsrcnn_c])
def test_scale_and_residual_cost_nothing(builder):
    plain = xk.count_parameters(builder())
    assert xk.count_parameters(builder(scale=3, residual=True)) == plain


def test_dncnn_as_published():
    """555 K is the count with the normalizations merged into 17 layers of biases."""
    model = xk.dncnn()
    biases = sum(
        int(np.prod(layer.bias.shape))
        for layer in model.layers
        if isinstance(layer, keras.layers.Conv2D)
    )
    assert xk.count_parameters(model).convolutions + biases == 555_137


def test_nothing_trainable_is_forgotten_but_biases():
    model = xk.xdncnn(4, 5, 6)
    biases = sum(
        int(np.prod(weight.shape))
        for weight in model.trainable_weights
        if weight.name == "bias"
    )
    trainable = sum(int(np.prod(w.shape)) for w in model.trainable_weights)
    assert xk.count_parameters(model).total == trainable - biases


def test_nested_models_and_other_layers():
    inner = xk.xnet(3, 5, 4)
    inputs = keras.Input((None, None, 1))
    x = inner(inputs)
    x = keras.layers.SeparableConv2D(2, 3)(x)
    x = keras.layers.DepthwiseConv2D(3)(x)
    x = keras.layers.BatchNormalization()(x)
    x = keras.layers.PReLU(shared_axes=(1, 2))(x)
    count = xk.count_parameters(keras.Model(inputs, x))
    alone = xk.count_parameters(inner)
    assert count.activations == alone.activations
    assert count.convolutions == alone.convolutions + (9 + 2) + 18
    assert count.normalizations == alone.normalizations + 4


def test_no_parameters_at_all():
    inputs = keras.Input((None, None, 1))
    model = keras.Model(inputs, xk.BicubicUpsampling(2)(inputs))
    count = xk.count_parameters(model)
    assert (count.total, count.activation_share) == (0, 0.0)


def test_a_model_without_weights_yet_is_refused():
    model = keras.Sequential([keras.layers.Conv2D(4, 3)], name="unbuilt")
    with pytest.raises(ValueError, match="unbuilt"):
        xk.count_parameters(model)


@pytest.mark.parametrize("channels", [1, 3])
def test_counting_by_arithmetic(channels):
    for depth, filters, side in ((2, 5, 3), (4, 8, 9)):
        hidden, kernels = (filters,) * (depth - 1), (3,) * depth
        assert count_chain(kernels, hidden, channels, side) == xk.count_parameters(
            xk.xnet(depth, side, filters, channels)
        )
        assert count_chain(kernels, hidden, channels) == xk.count_parameters(
            xk.convnet(depth, filters, channels)
        )


@pytest.mark.parametrize("form", ["standard", "dense", "slim"])
def test_counting_the_forms_of_the_activation_by_arithmetic(form):
    inputs = x = keras.Input((None, None, 1))
    for filters in (5, 4):
        x = keras.layers.Conv2D(filters, 3)(x)
        x = xk.XUnit(7, form=form)(x)
    model = keras.Model(inputs, keras.layers.Conv2D(1, 3)(x))
    assert count_chain((3, 3, 3), (5, 4), 1, 7, form) == xk.count_parameters(model)


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
