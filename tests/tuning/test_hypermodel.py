"""The space of the search, and the networks in it."""

import dataclasses

import keras_tuner
import numpy as np
import pytest

import xunit_keras
from pipelines.configuration import Config
from tuning.hypermodel import Architecture, BudgetHyperModel, Space
from xunit_keras.graphs.counting import count_parameters

CONFIG = Config(task="denoise", steps=10, learning_rate=1e-3, loss="mse")


def test_builds_a_compiled_network_within_the_budget():
    hypermodel = BudgetHyperModel(Space((5000,), depths=(3,)), CONFIG)
    hp = keras_tuner.HyperParameters()
    hp.Fixed("activation", 7)
    model = hypermodel.build(hp)
    assert model.optimizer is not None
    count = count_parameters(model)
    assert count.total == pytest.approx(5000, rel=0.02)
    assert count.activation_share > 0.3


def test_channels_and_scale_are_those_of_the_task():
    config = Config(task="sr", scale=3, steps=10)
    values = BudgetHyperModel(Space((5000,)), config).space.combinations()[0]
    network = BudgetHyperModel(Space((5000,)), config).architecture(values)
    assert (network.channels, network.scale) == (1, 3)
    color = dataclasses.replace(CONFIG, channels=3)
    assert BudgetHyperModel(Space((5000,)), color).architecture(values).channels == 3


def test_a_card_says_what_was_searched():
    network = Architecture((3, 3, 3), (4, 4), 3).blueprint
    assert network.name == "searched"
    assert Architecture(**network.arguments) == Architecture((3, 3, 3), (4, 4), 3)
    assert network.build().name == "searched"


def test_untrained_residual_networks_give_almost_the_image():
    image = np.random.default_rng(0).random((1, 12, 10, 1), dtype="float32")
    network = Architecture((3, 3, 3), (4, 4), 3)
    np.testing.assert_allclose(network.build()(image), image, atol=0.1)
    enlarging = Architecture((5, 3), (4,), 3, scale=2).build()
    assert enlarging(image).shape == (1, 24, 20, 1)


@pytest.mark.parametrize(
    ("network", "builder", "arguments"),
    [
        (((3, 3, 3), (4, 4), 5), "xnet", {"depth": 3, "kernel_size": 5}),
        (((3, 3, 3), (4, 4)), "convnet", {"depth": 3}),
        (((9, 3, 5), (4, 4), 9, 1, 3), "xsrcnn_f", {"scale": 3, "residual": True}),
        (((9, 3, 5), (4, 4), 9, 1, 3, False), "xsrcnn_f", {"scale": 3}),
        (((9, 5, 5), (4, 4), None, 1, 2), "srcnn", {"scale": 2, "residual": True}),
        (((5, 3, 3), (4, 4), 5, 1, 3, True, "post", "slim"), "xespcn", {"depth": 2}),
    ],
)
def test_networks_start_as_those_of_the_package_do(network, builder, arguments):
    def convolutions_and_units(model):
        return {
            (layer.name, name): value
            for layer in model.layers
            if layer.name.startswith(("conv", "xunit"))
            for name, value in layer.get_config().items()
            if name.endswith("initializer")
        }

    starts = convolutions_and_units(getattr(xunit_keras, builder)(**arguments))
    assert len(starts) >= 6
    assert convolutions_and_units(Architecture(*network).build()) == starts


def test_enlarged_last_is_the_network_of_the_package():
    network = Architecture(
        *((5, 3, 3, 3, 3), (16,) * 4, 5, 1, 3, True), *("post", "slim")
    )
    assert "enlarged last" in str(network)
    expected = xunit_keras.xespcn(scale=3)
    assert network.parameters == count_parameters(expected)
    model = network.build()
    assert count_parameters(model) == count_parameters(expected)
    model.set_weights(expected.get_weights())
    image = np.random.default_rng(0).random((1, 12, 10, 1), dtype="float32")
    np.testing.assert_allclose(model(image), expected(image), atol=1e-6)


def test_where_to_enlarge_can_be_searched():
    config = Config(task="sr", scale=2, steps=10)
    space = Space((9000,), depths=(4,), upsampling=("pre", "post"))
    assert space.choices()["upsampling"] == ("pre", "post")
    hypermodel = BudgetHyperModel(space, config)
    networks = {
        values["upsampling"]: hypermodel.architecture(values)
        for values in space.combinations()
    }
    assert networks["pre"].outputs == 1
    assert networks["post"].outputs == 4
    for network in networks.values():
        assert network.parameters.total == pytest.approx(9000, rel=0.02)


def test_the_form_of_the_activation_can_be_searched():
    space = Space((9000,), depths=(4,), activations=(5,), forms=("standard", "slim"))
    hypermodel = BudgetHyperModel(space, CONFIG)
    networks = {
        values["form"]: hypermodel.architecture(values)
        for values in space.combinations()
    }
    assert "slim" not in str(networks["standard"])
    assert "slim XUnit 5x5" in str(networks["slim"])
    for form, network in networks.items():
        model = network.build()
        assert model.get_layer("xunit_1").form == form
        assert count_parameters(model) == network.parameters
        assert network.parameters.total == pytest.approx(9000, rel=0.02)


def test_filters_can_be_those_that_engines_like():
    space = Space((9000,), depths=(4, 5), activations=(5, 9), filter_multiple=8)
    hypermodel = BudgetHyperModel(space, CONFIG)
    feasible = [v for v in space.combinations() if hypermodel.is_feasible(v)]
    assert feasible
    for values in feasible:
        network = hypermodel.architecture(values)
        assert len(set(network.filters)) == 1
        assert network.filters[0] % 8 == 0
        assert 7200 <= network.parameters.total <= 9000


def test_what_is_not_accepted_is_not_feasible():
    hypermodel = BudgetHyperModel(Space((5000,)), CONFIG)
    values = hypermodel.space.combinations()[0]
    assert hypermodel.is_feasible(values)
    hypermodel.accepts = lambda network: network.parameters.total < 100
    assert not hypermodel.is_feasible(values)


def test_what_cannot_meet_the_budget_is_told():
    hypermodel = BudgetHyperModel(Space((20,)), CONFIG)
    with pytest.raises(keras_tuner.errors.FailedTrialError, match="cannot have 20"):
        hypermodel.build(keras_tuner.HyperParameters())


def test_learning_rate_and_residual_on_request():
    space = Space((5000,), learning_rates=(1e-3, 3e-4), tune_residual=True)
    hypermodel = BudgetHyperModel(space, CONFIG)
    hp = keras_tuner.HyperParameters()
    hypermodel.declare_hyperparameters(hp)
    assert {choice.name for choice in hp.space} == set(space.choices())
    # As it comes from another machine, in 32 bits.
    values = {**hp.values, "learning_rate": float(np.float32(3e-4)), "residual": 0}
    assert hypermodel.training(values).learning_rate == 3e-4
    assert not hypermodel.architecture(values).residual
    assert "learning_rate" not in Space((5000,)).choices()


@pytest.mark.parametrize(
    "wrong",
    [
        {"budget": ()},
        {"budget": (0,)},
        {"depths": (1,)},
        {"middle_kernels": (0,)},
        {"activations": (4,)},
        {"activations": (-1,)},
        {"upsampling": ()},
        {"forms": ()},
        {"forms": ("thin",)},
    ],
)
def test_a_space_out_of_range_is_refused(wrong):
    with pytest.raises(ValueError, match=f"{next(iter(wrong))}.*Received"):
        Space(**{"budget": (5000,), **wrong})
