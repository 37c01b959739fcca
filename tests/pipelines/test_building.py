"""Networks as trainings take them."""

import keras
import numpy as np
import pytest
from networks import as_trained

import xunit_keras
from pipelines import building
from pipelines.building import Blueprint
from pipelines.configuration import Config, resolve
from xunit_keras.models import NETWORKS
from xunit_keras.optimizers import ConvolutionMuon
from xunit_keras.tasks import TASKS


def small(**changes):
    """A training of a network with an activation and a normalization between."""
    given = {"data": ("sample",), "validation": "sample"}
    given |= {"model": "xdncnn", "depth": 3, "filters": 4, "kernel_size": 3}
    return resolve(Config("denoise", **given | changes))


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_can_be_trained_by_name(name):
    task = TASKS[NETWORKS[name].task]
    config = resolve(Config(task.name, model=name, data=("sample",)))
    network = building.blueprint(config)
    assert (network.name, network.arguments) == (name, config.arguments)
    model = network.build()
    assert model.name == name
    task = config.target
    image = np.zeros((1, 12, 9, task.channels), "float32")
    assert model(image).shape == (1, 12 * task.scale, 9 * task.scale, task.channels)


def test_depth_filters_and_kernel_reach_the_network():
    model = building.blueprint(small(depth=4, filters=6, kernel_size=5)).build()
    convolutions = [
        layer.filters
        for layer in model.layers
        if isinstance(layer, keras.layers.Conv2D)
    ]
    assert convolutions == [6, 6, 6, 1]
    assert model.get_layer("xunit_1").depthwise.kernel.shape[:2] == (5, 5)


def test_residual_networks_predict_what_is_lost():
    for name in ("srresnet", "xsrresnet"):
        config = resolve(Config("sr", scale=4, model=name, data=("sample",)))
        model = building.blueprint(config).build()
        assert "restored" in {layer.name for layer in model.layers}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"depth": 1}, "`depth` must be at least 2"),
        ({"kernel_size": 4}, "kernel_size"),
        ({"init": "nobody"}, "no model 'nobody'"),
        ({"init": "nothing.weights.h5"}, "no weights file"),
        ({"init": "xsrcnn-f-x3"}, "do not fit the model 'xdncnn': conv_1"),
    ],
)
def test_what_the_builder_refuses(changes, message):
    with pytest.raises(ValueError, match=message):
        building.blueprint(small(**changes)).build()


def test_training_starts_from_the_weights_of_a_network_for_another_scale(tmp_path):
    other = as_trained(xunit_keras.xsrcnn_f(scale=2, residual=True))
    other.save_weights(tmp_path / "other.weights.h5")
    config = Config("sr", scale=3, init=str(tmp_path / "other.weights.h5"))
    model = building.blueprint(resolve(config)).build()
    assert model(np.zeros((1, 6, 6, 1), "float32")).shape == (1, 18, 18, 1)
    for ours, theirs in zip(model.weights, other.weights, strict=True):
        if "bicubic" not in theirs.path:
            np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(
    ("task", "model", "last"),
    [
        ("denoise", "xdncnn", "conv_9/kernel"),
        ("sr", "xespcn_m", "conv_8/kernel"),
        ("sr", "fsrcnn", "restored/kernel"),
        ("sr", "xsrcnn_f", "conv_3/kernel"),
    ],
)
def test_the_convolution_that_makes_the_image_learns_with_adam(task, model, last):
    channels = 3 if task == "denoise" else None
    config = resolve(Config(task, model=model, channels=channels, data=("sample",)))
    trained = building.compiled(config, building.blueprint(config))
    optimizer = trained.optimizer
    with_adam = {
        variable.path
        for variable, velocity in zip(
            trained.trainable_variables, optimizer.adam_velocities, strict=True
        )
        if velocity is not None and len(variable.shape) == 4
    }
    assert with_adam == {last}


@pytest.mark.parametrize("optimizer", ["muon", "adam"])
def test_the_learning_rate_rises_and_falls_along_a_cosine(optimizer):
    config = small(steps=1000, learning_rate=0.5, optimizer=optimizer)
    model = building.compiled(config, building.blueprint(config))
    assert isinstance(model.optimizer, ConvolutionMuon) == (optimizer == "muon")
    rates = []
    for step in (0, 50, 100, 550, 1000):
        model.optimizer.iterations.assign(step)
        rates.append(float(model.optimizer.learning_rate))
    # A hundredth of the peak, plus half of the rest in the middle of the cosine.
    assert rates == pytest.approx([0.005, 0.2525, 0.5, 0.2525, 0.005], rel=1e-5)


def test_short_trainings_average_over_less():
    for steps, average in ((10, 0.0), (100, 0.8), (100_000, 0.999)):
        config = small(steps=steps)
        model = building.compiled(config, building.blueprint(config))
        assert model.optimizer.ema_momentum == pytest.approx(average)


def test_the_policy_is_that_of_the_training_alone():
    config = small(precision="mixed_bfloat16")
    model = building.compiled(config, building.blueprint(config))
    assert model.get_layer("conv_2").compute_dtype == "bfloat16"
    assert keras.config.dtype_policy().name == "float32"

    def fail():
        raise ValueError("no network")

    with pytest.raises(ValueError, match="no network"):
        building.compiled(config, Blueprint("none", {}, fail))
    assert keras.config.dtype_policy().name == "float32"


def fixed():
    """A model for a training with fixed statistics, and some images."""
    config = resolve(Config("denoise", fix_statistics=True, init="xdncnn-gray-sigma25"))
    random = np.random.default_rng(0)
    images = [random.random((2, 16, 16, 1), "float32") for _ in range(3)]
    return building.compiled(config, building.blueprint(config)), images


def test_statistics_are_the_plain_means_over_batches():
    model, images = fixed()
    norms = building.normalizations(model)
    # Two in each of the 8 activations, and one before each of the 7 inner layers.
    assert len(norms) == 2 * 8 + 7
    assert all(norm.statistics_fixed for norm in norms)
    other, _ = fixed()
    for norm in building.normalizations(other):
        norm.statistics_fixed = False
    truth = [other(image, training=True) for image in images]
    assert building.estimate_statistics(model, zip(images, truth, strict=True))
    assert all(norm.statistics_fixed and norm.momentum == 0.9 for norm in norms)
    first = keras.Model(model.input, model.get_layer("conv_1").output)
    features = [first.predict_on_batch(image) for image in images]
    norm = model.get_layer("xunit_1").norms[0]
    np.testing.assert_allclose(
        norm.moving_mean,
        np.mean([f.mean(axis=(0, 1, 2)) for f in features], axis=0),
        atol=1e-5,
    )


def test_statistics_that_fit_better_are_kept():
    model, images = fixed()
    before = model.get_weights()
    truth = [model(image, training=False) for image in images]
    assert not building.estimate_statistics(model, zip(images, truth, strict=True))
    for weight, known in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, known)
