"""`pipelines/train.py` killed again and again, at any moment."""

import json
import random
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from pipelines import history
from xunit_keras import atomic, zoo
from xunit_keras.runtime.models import card

ROOT = Path(__file__).resolve().parents[2]
KILLS, ROUNDS = 30, 80


def start(out, *arguments):
    """The program, in a process whose training has just begun."""
    process = subprocess.Popen(
        [
            *(sys.executable, "-u", "pipelines/train.py", "--task", "denoise"),
            *("--model", "xdncnn", "--depth", "3", "--filters", "4"),
            *("--kernel-size", "3", "--data", "sample", "--validation", "sample"),
            *("--validation-images", "1", "--batch-size", "2", "--patch-size", "24"),
            *("--steps", str(ROUNDS * 2), "--every", "2"),
            *("--out", str(out), *arguments),
        ],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    said = []
    for line in process.stdout:
        said.append(line)
        if line.startswith("Validation: "):
            return process
    raise AssertionError("".join(said))


def state(out):
    """All that a training goes on from, and the model that it leaves."""
    with np.load(out / "checkpoint.npz") as arrays:
        kept = {name: arrays[name] for name in arrays}
    model = zoo.load(out / "model")
    weights = zip(model.weights, model.get_weights(), strict=True)
    return kept | {weight.path: value for weight, value in weights}


def wait_for_rounds(out, count, process):
    """Waits until so many rounds more have ended."""
    path = out / "checkpoint.npz"
    written = path.stat().st_mtime_ns if path.exists() else 0
    while count and process.poll() is None:
        time.sleep(0.02)
        if path.exists() and path.stat().st_mtime_ns != written:
            written, count = path.stat().st_mtime_ns, count - 1


def finish(process):
    output, _ = process.communicate(timeout=1800)
    assert process.returncode == 0, output


@pytest.mark.slow
def test_a_training_that_is_killed_again_and_again_ends_like_any_other(tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    process = start(whole)
    wait_for_rounds(whole, 1, process)
    began = time.monotonic()
    finish(process)
    a_round = (time.monotonic() - began) / ROUNDS
    moments, steps = random.Random(0), [0]
    for _ in range(KILLS):
        process = start(killed, "--resume")
        wait_for_rounds(killed, moments.randrange(4), process)
        time.sleep(moments.uniform(0.0, a_round))
        process.kill()
        process.communicate()
        # What is there is whole.
        if (killed / "training.json").exists():
            json.loads((killed / "training.json").read_text())
        if (killed / "checkpoint.npz").exists():
            with np.load(killed / "checkpoint.npz") as arrays:
                steps.append(2 * int(arrays["epoch"]))
        if (killed / "model").exists():
            zoo.load(killed / "model")
    assert steps == sorted(steps) and steps[-1] > 0
    finish(start(killed, "--resume"))

    one, other = state(whole), state(killed)
    assert one.keys() == other.keys()
    for name, value in one.items():
        np.testing.assert_array_equal(value, other[name], err_msg=name)
    logs = [history.read(out / "log.csv") for out in (whole, killed)]
    assert len(logs[0]) == len(logs[1]) == ROUNDS
    for row, twin in zip(*logs, strict=True):
        assert {**row, "seconds": ""} == {**twin, "seconds": ""}
    assert card(killed / "model").stages[0]["steps"] == 2 * ROUNDS
    assert not list(killed.rglob(f"{atomic.PREFIX}*"))
