"""What a training leaves behind: checkpoints, and models with their cards."""

import dataclasses
from types import SimpleNamespace

import keras
import numpy as np
import pytest

from pipelines import building, keeping
from pipelines.building import Blueprint
from pipelines.configuration import Config, resolve
from pipelines.keeping import Checkpoint, Keep, averaged_on, averaged_weights
from xunit_keras import zoo
from xunit_keras.runtime.models import card


@pytest.fixture
def config(tmp_path):
    return resolve(
        Config(
            "denoise",
            **{"model": "xnet", "depth": 2, "filters": 4, "kernel_size": 3},
            **{"data": ("sample",), "validation": "sample", "steps": 60, "every": 20},
            out=tmp_path / "run",
        )
    )


@pytest.fixture
def model(config):
    """A network that has made a step, so that nothing in it is as at the start."""
    model = building.compiled(config, building.blueprint(config))
    rng = np.random.default_rng(0)
    images = rng.random((2, 12, 12, 1), "float32")
    model.train_on_batch(images, images**2)
    return model


def values(model):
    variables = (*model.variables, *model.optimizer.variables)
    return [np.array(keras.ops.convert_to_numpy(variable)) for variable in variables]


def checkpoint_of(model, path, epoch):
    checkpoint = Checkpoint(path)
    checkpoint.set_model(model)
    checkpoint.on_epoch_end(epoch)
    return checkpoint


def test_checkpoint_round_trip(model, tmp_path):
    assert Checkpoint(tmp_path / "c.npz").restore(model) == 0
    assert checkpoint_of(model, tmp_path / "c.npz", 4).step == 1
    before = values(model)
    for variable in (*model.variables, *model.optimizer.variables):
        variable.assign(keras.ops.zeros_like(variable))
    checkpoint = Checkpoint(tmp_path / "c.npz")
    assert (checkpoint.step, checkpoint.restore(model), checkpoint.step) == (0, 5, 1)
    for ours, theirs in zip(values(model), before, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert [path.name for path in tmp_path.iterdir()] == ["c.npz"]


def test_a_full_disk_leaves_the_last_checkpoint(model, tmp_path, monkeypatch):
    checkpoint = checkpoint_of(model, tmp_path / "c.npz", 0)
    kept = (tmp_path / "c.npz").read_bytes()

    def full(path, **_):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(OSError, match="No space left"):
        checkpoint.on_epoch_end(1)
    assert (tmp_path / "c.npz").read_bytes() == kept
    assert [path.name for path in tmp_path.iterdir()] == ["c.npz"]


def test_a_damaged_checkpoint_is_a_sentence(model, config, tmp_path):
    path = tmp_path / "c.npz"
    checkpoint_of(model, path, 0)
    whole = path.read_bytes()
    for damaged in (b"", b"PK", whole[: len(whole) // 2]):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"c.npz' cannot be read"):
            Checkpoint(path).restore(model)
    path.write_bytes(whole)
    larger = dataclasses.replace(config, filters=8)
    other = building.compiled(larger, building.blueprint(larger))
    with pytest.raises(ValueError, match=r"c.npz' cannot be read"):
        Checkpoint(path).restore(other)


def test_a_twin_takes_the_averaged_weights(model, config):
    twin, trained = building.blueprint(config).build(), values(model)
    with averaged_on(twin)(model) as averaged:
        assert averaged is twin
    for before, after in zip(trained, values(model), strict=True):
        np.testing.assert_array_equal(before, after)
    with averaged_weights(model):
        for ours, theirs in zip(twin.variables, model.variables, strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_the_averaged_model_is_kept_with_its_card(model, config):
    network = building.blueprint(config)
    keep = Keep(
        network.build(),
        config.out / "model",
        config,
        network,
        SimpleNamespace(seconds=12.4),
    )
    keep.set_model(model)
    trained = values(model)
    keep.on_epoch_end(0)
    for before, after in zip(trained, values(model), strict=True):
        np.testing.assert_array_equal(before, after)
    kept = zoo.load(config.out / "model")
    with averaged_weights(model):
        for ours, theirs in zip(kept.variables, model.variables, strict=True):
            np.testing.assert_array_equal(ours, theirs)
    known = card(config.out / "model")
    assert (known.task, known.network, known.channels) == ("denoise", "xnet", 1)
    assert known.sigma == (25.0,) and known.scale == 1
    assert known.arguments == {
        **{"depth": 2, "filters": 4, "kernel_size": 3, "channels": 1}
    }
    assert known.data == ("sample",) and known.data_terms == ""
    (stage,) = known.stages
    assert (stage["steps"], stage["seconds"]) == (1, 12)
    assert stage["command"].startswith("python ") and "cores" in stage["machine"]
    assert stage["recipe"]["filters"] == 4 and stage["recipe"]["model"] == "xnet"
    assert not {"out", "data_root"} & stage["recipe"].keys()


def test_a_card_says_where_the_weights_came_from(config):
    config = dataclasses.replace(
        config, init="xdncnn-gray-sigma25", data=("t91", "sample")
    )
    known = keeping.card(config, building.blueprint(config), 60, 1.0)
    first = card("xdncnn-gray-sigma25")
    assert known.stages[:-1] == first.stages
    assert known.stages[-1]["recipe"]["init"] == "xdncnn-gray-sigma25"
    assert known.data == (*first.data, "t91", "sample")
    sets = "bsds500-train, bsds500-test, t91"
    assert known.data_terms == f"{sets}: published for research"


def test_a_card_says_what_the_teacher_had_learned_from(config):
    config = dataclasses.replace(config, teacher="xespcn-l-x4")
    known = keeping.card(config, building.blueprint(config), 60, 1.0)
    (stage,) = known.stages  # Those of the teacher are on its own card.
    assert stage["recipe"]["teacher"] == "xespcn-l-x4"
    assert known.data == (*card("xespcn-l-x4").data, "sample")
    assert "t91" in known.data_terms


def test_a_network_of_ones_own_is_named_in_its_card(config):
    network = Blueprint("searched", {"kernels": [3, 3]}, lambda: None)
    known = keeping.card(config, network, 60, 1.0)
    assert (known.network, known.arguments) == ("searched", {"kernels": [3, 3]})
    assert known.stages[0]["recipe"]["model"] == "searched"


@pytest.mark.parametrize(
    ("data", "terms"),
    [
        ((), ""),
        (("sample", "some/folder"), ""),
        (("t91", "my/folder", "bsds500-train"), "t91, bsds500-train: published"),
    ],
)
def test_data_terms(data, terms, config):
    config = dataclasses.replace(config, data=data)
    known = keeping.card(config, building.blueprint(config), 60, 1.0)
    assert known.data_terms.startswith(terms) and bool(known.data_terms) == bool(terms)
