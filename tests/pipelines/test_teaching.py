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


def images(seed, count=10, side=16, channels=1):
    sides = (count, side, side, channels)
    return np.random.default_rng(seed).random(sides).astype("float32")


MIRROR, TURN_OVER, TRANSPOSE = (
    lambda image: image[:, ::-1],
    lambda image: image[::-1],
    lambda image: image.transpose(1, 0, 2),
)


def made_by(teacher, patches, reflections=(MIRROR, TURN_OVER, TRANSPOSE)):
    """What the teacher makes of each patch, in the orientation of its place."""
    made = []
    for place, patch in enumerate(patches):
        chosen = [move for bit, move in enumerate(reflections) if place >> bit & 1]
        for move in chosen:
            patch = move(patch)
        patch = teacher(patch[None].copy()).numpy()[0]
        for move in reversed(chosen):
            patch = move(patch)
        made.append(patch)
    return np.stack(made)


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
    expected = np.mean((ours(noisy).numpy() - made_by(model, noisy)) ** 2)
    assert ours.test_on_batch(noisy, clean) == pytest.approx(expected, rel=1e-5)
    # It is not what it makes of them as they are.
    plain = np.mean((ours(noisy).numpy() - model(noisy).numpy()) ** 2)
    assert plain != pytest.approx(expected, rel=1e-3)


def test_rain_is_not_turned_over(tmp_path):
    arguments = {"depth": 3, "filters": 4, "kernel_size": 3}
    model = as_trained(xunit_keras.xderain(**arguments))
    folder = saved(model, tmp_path / "model", "derain")
    config = Config("derain", teacher=folder, data=("sample",), **arguments)
    config = resolve(config)
    ours = building.compiled(config, building.blueprint(config))
    rainy, clean = images(1, channels=3), images(2, channels=3)
    made = [made_by(model, pair, [MIRROR]) for pair in np.split(rainy, 5)]
    expected = np.mean((ours(rainy).numpy() - np.concatenate(made)) ** 2)
    assert ours.test_on_batch(rainy, clean) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
def test_who_knows_all_that_the_teacher_does_has_nothing_to_learn(teacher, precision):
    _, folder = teacher
    given = {"init": folder, "fix_statistics": True, "precision": precision}
    noisy, clean = images(1, count=1), images(2, count=1)  # In its first orientation.
    loss = student(folder, **given).train_on_batch(noisy, clean)
    assert loss < (1e-12 if precision == "float32" else 1e-4)
    assert student(None, **given).train_on_batch(noisy, clean) > 1e-2


def test_the_teacher_is_no_part_of_the_network(teacher):
    model, folder = teacher
    ours, alone = student(folder), student(None)
    paths = [weights.path for weights in alone.weights]
    assert [weights.path for weights in ours.weights] == paths
    assert len(ours.trainable_variables) == len(alone.trainable_variables)
    assert ours.name == alone.name
    assert [layer.name for layer in ours.layers] == [
        layer.name for layer in alone.layers
    ]
    noisy, clean = images(1), images(2)
    for _ in range(3):
        ours.train_on_batch(noisy, clean)
    # It has learned nothing itself, not even statistics.
    expected = np.mean((ours(noisy).numpy() - made_by(model, noisy)) ** 2)
    assert ours.test_on_batch(noisy, clean) == pytest.approx(expected, rel=1e-5)


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
    small, clean = images(1), images(2, side=48)
    expected = np.mean(np.abs(ours(small).numpy() - made_by(large, small)))
    assert ours.test_on_batch(small, clean) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("teacher", "changes", "message"),
    [
        ("nobody", {}, "no model 'nobody'"),
        ("xderain", {}, "task of the training, 'denoise'.*'xderain', of 'derain'"),
        ("xdncnn-gray-jpeg", {}, "task of the training, 'denoise'.*of 'jpeg'"),
        ("xdncnn-color-blind", {}, "number of channels of the training, 1.*of 3"),
        ("xdncnn-gray-blind", {"channels": 3}, "number of channels .*, 3.*of 1"),
        ("xdncnn-gray-sigma25", {"sigma": (50.0,)}, r"`sigma` .*\(50.0,\).*\(25.0,\)"),
        ("xdncnn-gray-sigma25", {"sigma": (0.0, 25.0)}, "must know every `sigma`"),
    ],
)
def test_teachers_for_something_else(teacher, changes, message):
    with pytest.raises(ValueError, match=message):
        student(teacher, **changes)


def test_a_teacher_of_all_levels_teaches_one():
    assert student("xdncnn-gray-blind", sigma=(50.0,)).name == "xdncnn"


def test_teachers_for_another_factor():
    config = Config("sr", scale=3, teacher="xespcn-s-x4", data=("sample",))
    config = resolve(config)
    with pytest.raises(ValueError, match=r"scale of the training, 3.*x4', of 4"):
        building.compiled(config, building.blueprint(config))
