"""What the flags of a training become, and which combinations are refused."""

import dataclasses
import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
import tyro
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.configuration import Config, as_json, resolve
from pipelines.data import datasets
from xunit_keras import tasks
from xunit_keras.models import NETWORKS


@pytest.fixture(autouse=True)
def no_data(tmp_path, monkeypatch):
    """No published set is there, and what is written by mistake is seen."""
    monkeypatch.setenv(datasets.ROOT_VARIABLE, str(tmp_path / "nothing"))
    monkeypatch.chdir(tmp_path)
    yield
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", tasks.TASKS)
def test_a_task_alone_is_enough(name, capsys):
    config = resolve(Config(name))
    training = tasks.get(name).training
    assert config.model == training.model
    assert (config.steps, config.batch_size) == (training.steps, training.batch_size)
    assert config.data == (datasets.SAMPLE,) and config.validation == datasets.SAMPLE
    assert "training on the sample photographs" in capsys.readouterr().out
    assert config.target == tasks.create(name)
    assert config.out == Path("runs") / f"{name}-{config.model}-{config.target.label}"
    assert resolve(config) == config
    assert json.loads(json.dumps(as_json(config)))["task"] == name


def test_published_sets_are_taken_where_they_are(tmp_path_factory, capsys):
    root = tmp_path_factory.mktemp("root")
    for folder in ("BSDS500/train", "BSDS500/test", "Set12"):
        (root / folder).mkdir(parents=True)
    config = resolve(Config("denoise", data_root=root))
    assert config.data == ("bsds500-train", "bsds500-test")
    assert config.validation == "set12"
    assert not capsys.readouterr().out


def test_settings_of_the_task_are_filled_in_and_no_others():
    config = resolve(Config("denoise"))
    assert (config.channels, config.sigma, config.scale) == (1, (25.0,), None)
    config = resolve(Config("derain"))
    assert (config.channels, config.sigma, config.scale) == (3, None, None)
    assert config.streaks == datasets.SAMPLE
    config = resolve(Config("sr", scale=4, patch_size=50))
    assert (config.channels, config.sigma, config.scale) == (1, None, 4)
    assert config.patch_size == 48


def test_steps_come_in_whole_rounds():
    config = resolve(Config("denoise", steps=1001, every=100))
    assert (config.steps, config.every) == (1100, 100)
    assert resolve(Config("denoise", steps=30)).every == 30
    assert resolve(Config("denoise", steps=4000)).every == 200


@pytest.mark.parametrize(
    ("config", "arguments"),
    [
        (
            Config("denoise", model="xnet", depth=3, filters=8, kernel_size=5),
            {"depth": 3, "filters": 8, "kernel_size": 5, "channels": 1},
        ),
        (Config("denoise", model="convnet", channels=3), {"channels": 3}),
        (Config("sr", scale=2), {"scale": 2, "residual": True}),
        (
            Config("sr", scale=2, model="espcn", depth=3, skips=True),
            {"scale": 2, "depth": 3, "skips": True},
        ),
        (
            Config("sr", scale=2, model="srcnn", residual=False),
            {"scale": 2, "residual": False},
        ),
        (
            Config("sr", scale=4, model="srresnet", channels=3, filters=16),
            {"scale": 4, "residual": True, "channels": 3, "filters": 16},
        ),
        (Config("derain"), {}),
    ],
)
def test_what_the_builder_is_given(config, arguments):
    given = resolve(config).arguments
    assert arguments.items() <= given.items()
    assert given.keys() - arguments.keys() <= {"channels"}


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (Config("dehaze"), "`task` must be one of .*'dehaze'"),
        (Config("sr", scale=0), "`scale` must be an integer of at least 2"),
        (Config("sr", scale=1), "at least 2"),
        (Config("denoise", scale=2), "'denoise' has no `scale`"),
        (Config("sr", sigma=(25.0,)), "'sr' has no `sigma`"),
        (Config("denoise", sigma=()), "`sigma` must be one noise level"),
        (Config("denoise", sigma=(1.0, 2.0, 3.0)), r"Received: sigma=\(1.0, 2.0, 3.0"),
        (Config("denoise", sigma=(float("nan"),)), "`sigma` must be"),
        (Config("denoise", channels=2), "`channels` must be 1 .gray. or 3"),
        (Config("derain", channels=1), "`channels` must be 3"),
        (Config("denoise", model="resnet"), "Received: model='resnet'"),
        (Config("denoise", model="srcnn"), "'srcnn' cannot learn 'denoise'"),
        (Config("sr", model="xdncnn"), "'xdncnn' cannot learn 'sr'"),
        (Config("sr", channels=3), "'xsrcnn_f' cannot learn 'sr' on images of 3"),
        (Config("sr", filters=8), "'xsrcnn_f' has no `filters`"),
        (Config("denoise", model="dncnn", kernel_size=5), "has no `kernel_size`"),
        (Config("denoise", residual=False), "'xdncnn' has no `residual`"),
        (Config("denoise", skips=True), "'xdncnn' has no `skips`"),
        (Config("denoise", depth=0), "`depth` must be positive"),
        (Config("denoise", kernel_size=-1), "`kernel_size` must be positive"),
        (Config("denoise", steps=0), "`steps` must be positive"),
        (Config("denoise", every=0), "`every` must be positive"),
        (Config("denoise", batch_size=0), "`batch_size` must be positive"),
        (Config("denoise", patch_size=0), "`patch_size` must be positive"),
        (Config("sr", scale=4, patch_size=3), "`patch_size` must be positive"),
        (Config("denoise", validation_images=0), "`validation_images` must be"),
        (
            Config("denoise", learning_rate=0.0),
            "`learning_rate` must be a number above",
        ),
        (Config("denoise", learning_rate=-1.0), "learning_rate=-1.0"),
        (Config("denoise", learning_rate=float("nan")), "learning_rate=nan"),
        (Config("denoise", learning_rate=float("inf")), "learning_rate=inf"),
        (Config("denoise", warmup=-1), "`warmup` must be at least 0"),
        (Config("denoise", average=1.0), "`average` must be at least 0 and below 1"),
        (Config("denoise", seed=-1), "`seed` must be in"),
        (Config("denoise", optimizer="sgd"), "`optimizer` must be muon or adam"),
        (Config("denoise", loss="huber"), "`loss` must be mse or mae.*'huber'"),
        (Config("denoise", patch_size=16, margin=8), "margin=8"),
        (Config("denoise", shrink=(1.0, 0.0)), r"at most 1. Received: shrink=\(1.0, 0"),
        (Config("denoise", shrink=()), "one or more factors"),
        (Config("denoise", shrink=(2.0,)), r"Received: shrink=\(2.0,\)"),
        (Config("denoise", fix_statistics=True), "give --init"),
        (Config("denoise", streaks="streaks"), "'denoise' lays no masks"),
        (Config("denoise", shuffle_channels=True), "needs photographs of 3 channels"),
        (Config("denoise", data=("bsd68",)), "bsd68 are test sets"),
        (Config("denoise", data=("t91", "bsd100")), "bsd100 are test sets"),
    ],
)
def test_what_is_refused(config, message):
    with pytest.raises(ValueError, match=message):
        resolve(config)


def test_colors_can_be_shuffled():
    assert resolve(Config("denoise", channels=3, shuffle_channels=True))
    assert resolve(Config("derain", shuffle_channels=True))


def test_the_command_line_offers_the_tasks_and_tells_their_defaults(capsys):
    parsed = tyro.cli(Config, args=["--task", "denoise", "--sigma", "0", "55"])
    assert parsed == Config("denoise", sigma=(0.0, 55.0))
    with pytest.raises(SystemExit):
        tyro.cli(Config, args=["--task", "dehaze"])
    assert "invalid choice 'dehaze'" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        tyro.cli(Config, args=["--help"])
    shown = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert f"--task {{{','.join(tasks.TASKS)}}}" in shown
    for task in tasks.TASKS.values():
        assert f"{task.training.model} ({task.name})" in shown
        assert f"{task.training.validation} ({task.name})" in shown


def _maybe(values):
    return st.none() | values


_integers = _maybe(st.integers(-3, 70) | st.integers())
_floats = st.floats(0, 1) | st.floats() | st.integers()
_names = st.sampled_from(["sample", "set5", "bsds500-train", "", "*", "nothing"])
FIELDS = {
    "task": st.sampled_from([*tasks.TASKS, "dehaze"]),
    "scale": _integers,
    "sigma": _maybe(st.lists(_floats, max_size=3).map(tuple)),
    "quality": _maybe(st.lists(st.integers(-1, 120), max_size=3).map(tuple)),
    "channels": _maybe(st.sampled_from([1, 3, 2, 0, -1])),
    "model": _maybe(st.sampled_from([*NETWORKS, "resnet", ""])),
    "depth": _integers,
    "filters": _integers,
    "kernel_size": _integers,
    "skips": st.booleans(),
    "init": _maybe(_names),
    "teacher": _maybe(_names),
    "data": st.lists(_names, max_size=3).map(tuple),
    "shrink": _maybe(st.lists(_floats, max_size=3).map(tuple)),
    "streaks": _maybe(_names),
    "shuffle_channels": st.booleans(),
    "data_root": _maybe(st.sampled_from([Path("nowhere"), Path()])),
    "validation": _maybe(_names),
    "validation_images": st.integers(),
    "steps": _integers,
    "batch_size": _integers,
    "patch_size": _integers,
    "optimizer": st.sampled_from(["muon", "adam", "sgd"]),
    "loss": _maybe(st.sampled_from(["mse", "mae", "huber"])),
    "learning_rate": _maybe(_floats),
    "warmup": st.integers(),
    "average": _floats,
    "margin": st.integers(-2, 40),
    "fix_statistics": st.booleans(),
    "residual": st.booleans(),
    "precision": st.sampled_from(["float32", "mixed_bfloat16"]),
    "every": _integers,
    "seed": st.integers(),
    "out": _maybe(st.sampled_from([Path("run"), Path("a/b"), Path()])),
}
# Most flags are left out, or nothing would ever get as far as the last check.
CONFIGS = st.fixed_dictionaries(
    {"task": FIELDS["task"]},
    optional={name: values for name, values in FIELDS.items() if name != "task"},
)


def test_every_flag_is_tried():
    assert FIELDS.keys() == {field.name for field in dataclasses.fields(Config)}


@given(CONFIGS)
@settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_any_combination_is_resolved_or_refused(flags):
    try:
        config = resolve(Config(**flags))
    except ValueError as error:
        assert len(str(error)) < 1000
        return
    assert resolve(config) == config
    assert config.target.name == flags["task"]
    assert config.steps % config.every == 0
    assert config.patch_size % config.target.scale == 0
    assert config.arguments.keys() <= {*NETWORKS[config.model].arguments}
    for name, value in flags.items():
        if value is not None and name not in ("steps", "patch_size", "data"):
            assert getattr(config, name) == value


def test_resolving_leaves_no_folder():
    resolve(Config("denoise", out=Path("a/b")))
    assert not os.path.lexists("a")
    assert replace(Config("denoise"), out=Path("a")).out == Path("a")
