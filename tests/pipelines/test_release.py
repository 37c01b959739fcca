"""A trained model comes into the zoo with the scores that it reaches there."""

import json
import sys

import numpy as np
import pytest
from networks import as_trained
from PIL import Image

import xunit_keras
from pipelines import evaluate, program, release
from pipelines.data import datasets
from xunit_keras import tasks, zoo
from xunit_keras.runtime.models import Card, card

STAGES = ({"command": "python pipelines/train.py", "steps": 3, "seconds": 1},)


@pytest.fixture
def sets(tmp_path, monkeypatch):
    """A test set of two small images, and a sample of one; the zoo is elsewhere."""
    rng = np.random.default_rng(0)
    pictures = {f"{i}.png": rng.integers(0, 256, (24, 20), np.uint8) for i in range(2)}
    (tmp_path / "data" / "BSD68").mkdir(parents=True)
    for name, pixels in pictures.items():
        Image.fromarray(pixels).save(tmp_path / "data" / "BSD68" / name)
    sample = {"one": pictures["0.png"][..., None]}
    monkeypatch.setitem(datasets.MADE, datasets.SAMPLE, lambda: sample)
    monkeypatch.setattr(release, "ZOO", tmp_path / "zoo")
    return tmp_path / "data"


@pytest.fixture
def run(tmp_path):
    """The folder of a training of a blind denoiser."""
    model = as_trained(xunit_keras.xnet(depth=2, filters=4, kernel_size=3))
    known = Card(
        name="",
        network="xnet",
        arguments={"depth": 2},
        parameters=0,
        stages=STAGES,
        data_terms="For research.",
        **tasks.create("denoise", sigma=(0, 55)).as_card(),
    )
    zoo.save(model, tmp_path / "run" / "model", known)
    return tmp_path / "run"


def test_the_model_is_scored_on_the_sets_of_its_task_and_on_the_sample(
    sets, run, tmp_path
):
    known = release.release(release.Config(run, "small", data_root=sets))
    assert known == card(tmp_path / "zoo" / "small")
    assert [score["data"] for score in known.scores] == ["bsd68", "sample"]
    assert [score["images"] for score in known.scores] == [2, 1]
    model, released = zoo.load(run / "model"), zoo.load(tmp_path / "zoo" / "small")
    task = tasks.create("denoise")
    for score in known.scores:
        assert (score["sigma"], score["protocol"]) == (25.0, str(task))
        expected = evaluate.evaluate(released, score["data"], task, sets).means
        for name, value in expected.items():
            assert score[name] == pytest.approx(value, abs=1e-4)
    assert (known.name, known.stages, known.data_terms) == (
        *("small", STAGES, "For research."),
    )
    assert known.arguments == {"depth": 2} and known.sigma == (0.0, 55.0)
    assert {*known.sha256} == {"model.weights.h5", "model.onnx"}
    for ours, theirs in zip(released.weights, model.weights, strict=True):
        given, value = theirs.numpy(), ours.numpy()
        if "kernel" in ours.path:  # Rounded, not cut: half a unit in the last place.
            np.testing.assert_allclose(value, given, rtol=2**-11, atol=2**-25)
            np.testing.assert_array_equal(value, value.astype(np.float16))
        else:
            np.testing.assert_array_equal(value, given)


def test_several_levels_are_several_scores(sets, run):
    config = release.Config(run, "small", sigma=(15, 50), data_root=sets)
    scores = release.release(config).scores
    assert [(score["data"], score["sigma"]) for score in scores] == [
        *(("bsd68", 15.0), ("sample", 15.0), ("bsd68", 50.0), ("sample", 50.0))
    ]
    assert json.loads(json.dumps(scores)) == list(scores)


def program_ends(monkeypatch, capsys, *arguments):
    monkeypatch.setattr(sys, "argv", ["release.py", *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        program.run(release.main, "release.py")
    return end.value.code, capsys.readouterr()


def test_the_program_says_where_the_model_is(sets, run, tmp_path, monkeypatch, capsys):
    code, said = program_ends(
        *(monkeypatch, capsys, "--run", run, "--name", "small", "--data-root", sets)
    )
    assert code == 0 and "mean of 2" in said.out
    assert said.out.endswith(f"Released small in {tmp_path / 'zoo' / 'small'}.\n")


@pytest.mark.parametrize(
    ("change", "arguments", "message"),
    [
        ("a damaged image", (), "damaged.png"),
        ("", ("--data", "set5"), "set5"),
        ("", ("--quality", "10"), "'denoise' has no `quality`"),
        ("no model", (), "There is no model"),
        ("no ready file", (), "does not equal"),
        ("", ("--name", "a/b"), "`name` must be that of a folder"),
    ],
)
def test_what_cannot_be_scored_is_not_released(
    sets, run, tmp_path, monkeypatch, capsys, change, arguments, message
):
    if change == "a damaged image":
        (sets / "BSD68" / "damaged.png").write_bytes(b"no image")
    if change == "no ready file":

        def fail(folder):
            raise ValueError("The file does not equal the model.")

        monkeypatch.setattr(release, "write_ready", fail)
    if change == "no model":
        run = tmp_path / "elsewhere"
    code, said = program_ends(
        *(monkeypatch, capsys, "--run", run, "--name", "small", "--data-root", sets),
        *arguments,
    )
    assert code == 1 and message in said.err and said.err.count("\n") == 1
    assert not (tmp_path / "zoo").exists()
