"""Trainings of seconds, whole and interrupted, and the program that starts them."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

from pipelines import history, keeping, program, runs, train
from pipelines.callbacks import DivergenceError, StopOnDivergence
from pipelines.configuration import Config, resolve
from pipelines.keeping import averaged_weights
from xunit_keras import zoo
from xunit_keras.losses import CenterMeanSquaredError
from xunit_keras.runtime.models import card

ROOT = Path(__file__).resolve().parents[2]
TINY = (
    *("--model", "convnet", "--depth", "2", "--filters", "4"),
    *("--data", "sample", "--validation", "sample", "--validation-images", "1"),
    *("--batch-size", "1", "--patch-size", "32"),
)


@pytest.fixture
def config(tmp_path):
    """A training of a second, with an activation and a normalization."""
    photographs = tmp_path / "photographs"
    photographs.mkdir()
    smooth = np.add.outer(np.arange(48), np.arange(40)) * 2
    for number in range(2):
        pixels = np.stack([smooth, smooth[::-1], 255 - smooth], axis=2)
        name = f"{number}.png"
        Image.fromarray(pixels.astype(np.uint8)).save(photographs / name)
    return resolve(
        Config(
            task="denoise",
            **{"model": "xdncnn", "depth": 3, "filters": 4, "kernel_size": 3},
            **{"data": (str(photographs),), "validation": str(photographs)},
            **{"batch_size": 2, "patch_size": 16, "validation_images": 1},
            **{"steps": 6, "every": 2, "out": tmp_path / "run"},
        )
    )


def state(folder):
    """All that a training goes on from, and the model that it leaves."""
    with np.load(folder / "checkpoint.npz") as arrays:
        kept = {name: arrays[name] for name in arrays}
    model = zoo.load(folder / "model")
    weights = zip(model.weights, model.get_weights(), strict=True)
    return kept | {weight.path: value for weight, value in weights}


def assert_equal(one, other):
    assert one.keys() == other.keys()
    for name, value in one.items():
        np.testing.assert_array_equal(value, other[name], err_msg=name)


class Killed(BaseException):
    pass


def test_an_interrupted_training_ends_where_an_uninterrupted_one_ends(
    config, monkeypatch, tmp_path, capsys
):
    train.train(config)
    assert f"The trained model is in {config.out / 'model'}." in capsys.readouterr().out

    look = StopOnDivergence.on_train_batch_end

    def die(self, batch, logs=None):
        look(self, batch, logs)
        if int(self.model.optimizer.iterations) == 5:  # in the third round
            raise Killed

    interrupted = replace(config, out=tmp_path / "interrupted")
    monkeypatch.setattr(StopOnDivergence, "on_train_batch_end", die)
    with pytest.raises(Killed):
        train.train(interrupted)
    monkeypatch.undo()
    # What was cut short can be used, and says how far it got.
    assert card(interrupted.out / "model").stages[0]["steps"] == 4
    resumed = train.train(interrupted, resume=True)
    assert "Going on from step 4 of 6." in capsys.readouterr().out

    assert_equal(state(config.out), state(interrupted.out))
    logs = [history.read(out / "log.csv") for out in (config.out, interrupted.out)]
    assert [row["step"] for row in logs[1]] == ["2", "4", "6"]
    for one, other in zip(*logs, strict=True):
        assert {**one, "seconds": ""} == {**other, "seconds": ""}
    # What is kept is the average, which loads like a released model.
    released = zoo.load(interrupted.out / "model")
    with averaged_weights(resumed):
        for ours, theirs in zip(released.variables, resumed.variables, strict=True):
            np.testing.assert_array_equal(ours, theirs)
    for name in ("training.json", "curves.png", "samples/step-000006.png"):
        assert (interrupted.out / name).stat().st_size > 0, name
    assert list((interrupted.out / "tensorboard" / "pictures").glob("*tfevents*"))


def test_a_kill_between_checkpoint_and_model_is_made_good(
    config, monkeypatch, tmp_path
):
    config = replace(config, steps=2)
    train.train(config)

    def die(self, *arguments):
        (killed.out / "model").mkdir()
        (killed.out / "model" / "config.json").write_text("{")
        raise Killed

    killed = replace(config, out=tmp_path / "killed")
    monkeypatch.setattr(keeping.Keep, "write", die)
    with pytest.raises(Killed):
        train.train(killed)
    monkeypatch.undo()
    assert not (killed.out / "model" / "card.json").exists()
    train.train(killed, resume=True)
    assert_equal(state(config.out), state(killed.out))
    assert card(killed.out / "model").stages[0]["steps"] == 2
    assert len(history.read(killed.out / "log.csv")) == 1


def test_what_is_trained_in_half_precision_is_kept_in_float32(config):
    config = replace(config, precision="mixed_bfloat16", steps=2)
    trained = train.train(config)
    kept = zoo.load(config.out / "model")
    assert trained.get_layer("conv_2").compute_dtype == "bfloat16"
    assert {layer.compute_dtype for layer in kept.layers} == {"float32"}
    with averaged_weights(trained):
        for a, b in zip(trained.get_weights(), kept.get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)
    assert keras.config.dtype_policy().name == "float32"


def test_statistics_are_estimated_once(config, monkeypatch, tmp_path):
    weights = tmp_path / "start.weights.h5"
    train.building.blueprint(config).build().save_weights(weights)
    counts = []
    estimate = train.building.estimate_statistics

    def counted(model, batches):
        batches = list(batches)
        counts.append(len(batches))
        return estimate(model, batches)

    monkeypatch.setattr(train.building, "estimate_statistics", counted)
    monkeypatch.setattr(train, "_STATISTICS_BATCHES", 3)
    config = replace(config, steps=2, init=str(weights), fix_statistics=True)
    train.train(config)
    train.train(config, resume=True)
    assert counts == [3]


def test_a_loss_that_is_no_number_stops_with_a_sentence(config, monkeypatch):
    monkeypatch.setattr(
        CenterMeanSquaredError, "call", lambda self, y, p: p[..., 0] * np.nan
    )
    with pytest.raises(DivergenceError, match=r"became nan at step 1.*learning-rate"):
        train.train(config)


def test_a_training_that_diverged_has_no_model_to_show(config, capsys):
    config = replace(config, learning_rate=1e3, warmup=0, steps=14, every=7)
    with pytest.raises(DivergenceError, match=r"at step (7|14)\. Lower"):
        train.train(config)
    assert "trained model" not in capsys.readouterr().out
    assert float(history.read(config.out / "log.csv")[-1]["loss"]) > 1


def test_a_short_training_that_makes_things_worse_says_so(config, monkeypatch, capsys):
    monkeypatch.setattr(
        train.Validation,
        "on_epoch_end",
        lambda self, epoch, logs: logs.update(val_psnr=20.0, val_input_psnr=20.5),
    )
    train.train(replace(config, steps=2))
    assert "It restores to 20.00 dB what has 20.50 dB" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data": ("nowhere",)}, "nowhere"),
        ({"validation": "nowhere"}, "nowhere"),
        ({"patch_size": 5000}, "5000x5000 pixels of a patch"),
        ({"init": "nobody"}, "no model 'nobody'"),
        ({"precision": "float1"}, "float1"),
    ],
)
def test_a_training_that_cannot_start_leaves_no_folder(config, changes, message):
    with pytest.raises(ValueError, match=message):
        train.train(replace(config, **changes))
    assert not config.out.exists()
    runs.check(config, resume=False)  # The corrected command is not refused.


@pytest.mark.parametrize("name", ["damaged.png", "deep.png"])
def test_an_image_that_cannot_be_trained_on_is_named(config, tmp_path, name):
    (tmp_path / "data").mkdir()
    if name == "damaged.png":
        (tmp_path / "data" / name).write_bytes(b"not an image")
    else:
        pixels = np.full((40, 40), 3000, np.uint16)
        Image.fromarray(pixels).save(tmp_path / "data" / name)
    with pytest.raises(ValueError, match=name):
        train.train(replace(config, data=(str(tmp_path / "data"),)))
    assert not config.out.exists()


def test_out_of_memory_is_a_sentence(config, monkeypatch):
    def exhaust(self, *_, **__):
        raise train.tf.errors.ResourceExhaustedError(None, None, "OOM: 1x2x3\nmore")

    monkeypatch.setattr(keras.Model, "fit", exhaust)
    with pytest.raises(program.ProgramError, match="OOM: 1x2x3 There is no"):
        train.train(config)


def test_profile_says_what_is_slow(config, capsys):
    train.profile(config, rounds=1)
    assert "times as fast as needed" in capsys.readouterr().out


# ----------------------------------------------------------------- the program


def start(out, *arguments, **environment):
    return subprocess.Popen(
        [
            *(sys.executable, "pipelines/train.py", "--task", "denoise", *TINY),
            *("--out", str(out), *arguments),
        ],
        cwd=ROOT,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process):
    """Exit code, output, and the last line of the errors."""
    output, errors = process.communicate(timeout=400)
    assert "Traceback" not in errors, errors
    return process.returncode, output, [*errors.splitlines(), ""][-2 if errors else -1]


@pytest.mark.slow
def test_ctrl_c_and_sigterm_end_with_advice_and_resume_goes_on(tmp_path):
    """From a training that would last for ever."""
    out, steps = tmp_path / "run", ("--steps", "1000000", "--every", "3")
    for sent, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
        process = start(out, *steps, *(["--resume"] if out.exists() else []))
        before = (out / "checkpoint.npz").stat().st_mtime if out.exists() else 0
        deadline = time.monotonic() + 300
        while not (out / "checkpoint.npz").exists() or (
            (out / "checkpoint.npz").stat().st_mtime == before
        ):
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.2)
        process.send_signal(sent)
        returned, _, line = finish(process)
        assert returned == code
        with np.load(out / "checkpoint.npz") as kept:
            step = 3 * int(kept["epoch"])
        assert line.startswith("train.py: ")
        assert f"is of step {step}: the same command with --resume" in line


@pytest.mark.slow
def test_one_folder_has_one_training(tmp_path):
    processes = [
        start(tmp_path / "run", "--resume", "--steps", "20", "--every", "1")
        for _ in range(2)
    ]
    ends = [finish(process) for process in processes]
    assert sorted(code for code, *_ in ends) == [0, 1]
    (line,) = (line for code, _, line in ends if code)
    assert line.startswith("train.py: Another process is at work in ")


@pytest.mark.slow
def test_arguments_that_do_not_fit_are_one_line(tmp_path):
    (tmp_path / "file").touch()
    for arguments, said in (
        (("--learning-rate", "nan"), "`learning_rate` must be"),
        (("--depth", "1"), "`depth` must be at least 2"),
        (("--out", str(tmp_path / "file")), "is a file"),
    ):
        code, _, line = finish(start(tmp_path / "run", "--steps", "1", *arguments))
        assert code == 1 and line.startswith("train.py: ") and said in line
        assert not (tmp_path / "run").exists()


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["tensorflow", "jax"])
def test_the_program_trains_denoising_from_the_command_line(tmp_path, backend):
    pytest.importorskip(backend)
    flags = ("--steps", "20", "--sigma", "0", "55", "--batch-size", "4")
    out = tmp_path / "run"
    code, output, _ = finish(start(out, *flags, KERAS_BACKEND=backend))
    assert code == 0 and f"The trained model is in {out / 'model'}." in output
    rows = history.read(out / "log.csv")
    assert rows[-1]["step"] == "20"
    assert float(rows[-1]["val_psnr"]) > 10
    assert json.loads((out / "training.json").read_text())["sigma"] == [0.0, 55.0]
    assert list((out / "tensorboard" / "pictures").glob("*tfevents*"))
    code, _, line = finish(start(out, *flags, KERAS_BACKEND=backend))
    assert code == 1 and "holds a run already" in line
