"""Networks that learn what another one makes of an image."""

import dataclasses

import numpy as np
import pytest
from networks import as_trained

import xunit_keras
from pipelines import building
from pipelines.configuration import Config, resolve
from xunit_keras import zoo
from xunit_keras.runtime.models import Card


def images(seed, scale=1):
    sides = (4, 16 * scale, 12 * scale, 1)
    return np.random.default_rng(seed).random(sides).astype("float32")


def saved(model, folder, task="denoise"):
    card = Card(name="", task=task, network=model.name, channels=1, parameters=0)
    zoo.save(model, folder, card)
    return str(folder)


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    """A network as large as the ones that learn from it, and its folder."""
    model = as_trained(xunit_keras.xdncnn(depth=3, filters=4, kernel_size=3))
    return model, saved(model, tmp_path_factory.mktemp("teacher") / "model")


def student(teacher, **changes):
    given = {"model": "xdncnn", "depth": 3, "filters": 4, "kernel_size": 3}
    given |= {"data": ("sample",), "validation": "sample", "teacher": teacher}
    config = resolve(Config("denoise", **given | changes))
    return building.compiled(config, building.blueprint(config))


def test_what_the_teacher_makes_is_what_is_learned(teacher):
    model, folder = teacher
    noisy, clean = images(1), images(2)
    ours = student(folder)
    expected = np.mean((ours(noisy).numpy() - model(noisy).numpy()) ** 2)
    assert ours.test_on_batch(noisy, clean) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
def test_who_knows_all_that_the_teacher_does_has_nothing_to_learn(teacher, precision):
    _, folder = teacher
    given = {"init": folder, "fix_statistics": True, "precision": precision}
    noisy, clean = images(1), images(2)
    loss = student(folder, **given).train_on_batch(noisy, clean)
    assert loss < (1e-12 if precision == "float32" else 1e-4)
    assert student(None, **given).train_on_batch(noisy, clean) > 1e-2


def test_the_teacher_is_no_part_of_the_network(teacher):
    model, folder = teacher
    before = model.get_weights()
    ours, alone = student(folder), student(None)
    paths = [weights.path for weights in alone.weights]
    assert [weights.path for weights in ours.weights] == paths
    assert len(ours.trainable_variables) == len(alone.trainable_variables)
    assert ours.name == alone.name
    assert [layer.name for layer in ours.layers] == [
        layer.name for layer in alone.layers
    ]
    for _ in range(3):
        ours.train_on_batch(images(1), images(2))
    loaded = xunit_keras.load(folder).get_weights()
    for weights, as_it_was in zip(loaded, before, strict=True):
        np.testing.assert_array_equal(weights, as_it_was)


def test_a_small_network_learns_from_a_large_one(teacher):
    model, folder = teacher
    ours = student(folder, depth=2, learning_rate=0.01, warmup=1)
    noisy = images(1)

    def distance():
        return np.mean((ours(noisy, training=True).numpy() - model(noisy).numpy()) ** 2)

    before = distance()
    for _ in range(60):
        ours.train_on_batch(noisy, images(2))
    assert distance() < before / 2


def test_a_network_that_enlarges_learns_from_another_one(tmp_path):
    large = as_trained(xunit_keras.xespcn(scale=3, filters=8))
    folder = saved(large, tmp_path / "large", "sr")
    config = Config("sr", scale=3, model="xsrcnn_f", teacher=folder, loss="mae")
    config = resolve(dataclasses.replace(config, data=("sample",)))
    ours = building.compiled(config, building.blueprint(config))
    small, clean = images(1), images(2, scale=3)
    expected = np.mean(np.abs(ours(small).numpy() - large(small).numpy()))
    assert ours.test_on_batch(small, clean) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("teacher", "changes", "message"),
    [
        ("nobody", {}, "no model 'nobody'"),
        ("xderain", {}, "task of the training, 'denoise'.*'xderain', of 'derain'"),
        ("xdncnn-gray-jpeg", {}, "task of the training, 'denoise'.*of 'jpeg'"),
        ("xdncnn-color-blind", {}, "number of channels of the training, 1.*of 3"),
        ("xdncnn-gray-blind", {"channels": 3}, "number of channels .*, 3.*of 1"),
    ],
)
def test_teachers_for_something_else(teacher, changes, message):
    with pytest.raises(ValueError, match=message):
        student(teacher, **changes)


def test_teachers_for_another_factor():
    config = Config("sr", scale=3, teacher="xespcn-s-x4", data=("sample",))
    config = resolve(config)
    with pytest.raises(ValueError, match=r"scale of the training, 3.*x4', of 4"):
        building.compiled(config, building.blueprint(config))
