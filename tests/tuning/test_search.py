"""The search: what it records, how it goes on, how machines share it."""

import dataclasses
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

import xunit_keras
from pipelines import program, runs
from pipelines.configuration import Config
from tuning import search
from tuning.hypermodel import Space
from tuning.training import TrainingFailedError

ROOT = Path(__file__).resolve().parents[2]

# Trains nothing: notes the run, takes a moment, and gives a score by the share.
DRIVER = """
import os, pathlib, sys, time
from pipelines import program
from tuning import search

notes, hang = pathlib.Path(sys.argv[1]), sys.argv.pop(2) == "hang"
del sys.argv[1]

def train_apart(config, architecture):
    with (notes / str(os.getpid())).open("a") as file:
        file.write(config.out.name + "\\n")
    time.sleep(1000 if hang else 0.5)
    return {"val_psnr": 25 + architecture.parameters.activation_share,
            "val_input_psnr": 20.0, "steps": config.steps, "seconds": 1.0}

search.train_apart = train_apart
program.run(search.main, "search.py")
"""


def make(out, **changes):
    """A search on the bundled photographs."""
    config = Config(
        task="denoise", data=("sample",), validation="sample", steps=8, out=out
    )
    asked = search.Search(config, Space((5000,), depths=(3, 4)), trials=4)
    return search.resolve(dataclasses.replace(asked, **changes))


class Trainings:
    """Takes the place of `train_apart`: notes what was asked, fails where told."""

    def __init__(self):
        self.asked = []
        self.fails = ()

    def __call__(self, config, architecture):
        self.asked.append((config, architecture))
        if len(self.asked) in self.fails:
            raise TrainingFailedError("ResourceExhaustedError: out of memory")
        share = architecture.parameters.activation_share
        return {
            "val_psnr": 25.0 + share + 0.1 * config.seed,
            "val_input_psnr": 20.0,
            "steps": config.steps,
            "seconds": 1.0,
        }


@pytest.fixture
def trainings(monkeypatch):
    monkeypatch.delenv("KERASTUNER_ORACLE_IP", raising=False)
    trainings = Trainings()
    monkeypatch.setattr(search, "train_apart", trainings)
    return trainings


def test_every_trial_has_the_budget_and_says_its_share(tmp_path, trainings, capsys):
    rows = search.run(make(tmp_path))
    printed = capsys.readouterr().out
    assert len(rows) == len(trainings.asked) == 4
    for row, (_, architecture) in zip(rows, trainings.asked, strict=True):
        assert row["parameters"] == pytest.approx(5000, rel=0.02)
        assert f"{row['parameters']:,} parameters" in printed
        assert f"{row['activation_share']:.1%} in the activations" in printed
        assert row["val_psnr"] == 25.0 + architecture.parameters.activation_share
    written = (tmp_path / "trials.json").read_text()
    assert json.loads(written) == json.loads(json.dumps(rows))
    best = search.ranked(rows)[0]
    assert best["activation_share"] == max(row["activation_share"] for row in rows)


def test_a_small_search_with_real_trainings(tmp_path):
    asked = make(tmp_path, space=Space((500,), depths=(3,)), trials=2)
    config = dataclasses.replace(
        asked.config, validation_images=1, batch_size=2, patch_size=16, steps=2, every=2
    )
    rows = search.run(dataclasses.replace(asked, config=config))
    assert [row["status"] for row in rows] == ["COMPLETED"] * 2
    for row in rows:
        assert 15.0 < row["val_input_psnr"] < 25.0
        assert row["val_psnr"] == pytest.approx(row["val_input_psnr"], abs=3.0)
        run = tmp_path / "runs" / f"{row['trial']}-seed0"
        count = xunit_keras.count_parameters(xunit_keras.load(run / "model"))
        assert count.total == row["parameters"] == pytest.approx(500, rel=0.02)
        assert "Validation: sample" in (run / "output.txt").read_text()


def test_networks_that_take_too_long_are_never_trained(
    tmp_path, trainings, monkeypatch
):
    def milliseconds(self, architecture):
        return 10.0 * len(architecture.kernels)

    monkeypatch.setattr(search.Latencies, "milliseconds", milliseconds)
    search.run(make(tmp_path / "a", max_milliseconds=35.0))
    assert {len(network.kernels) for _, network in trainings.asked} == {3}
    with pytest.raises(ValueError, match=r"takes 25 ms or less .* on onnxruntime"):
        search.run(make(tmp_path / "b", max_milliseconds=25.0))


def test_seeds_are_averaged(tmp_path, trainings):
    rows = search.run(make(tmp_path, trials=1, seeds=3))
    assert [config.seed for config, _ in trainings.asked] == [0, 1, 2]
    assert len({config.out for config, _ in trainings.asked}) == 3
    share = rows[0]["activation_share"]
    assert rows[0]["val_psnr"] == pytest.approx(25.1 + share)
    assert rows[0]["val_psnr_std"] == pytest.approx(0.1)


def test_failures_are_recorded_and_the_search_goes_on(tmp_path, trainings, capsys):
    trainings.fails = {2, 3}
    rows = search.run(make(tmp_path))
    assert [row["status"] for row in rows] == [
        "COMPLETED",
        "FAILED",
        "FAILED",
        "COMPLETED",
    ]
    assert rows[1]["message"] == "ResourceExhaustedError: out of memory"
    assert len(search.ranked(rows)) == 2
    search.print_table(rows, make(tmp_path).config)
    assert "degraded input 20.00 dB" in capsys.readouterr().out


def test_if_every_trial_fails_the_exit_code_says_so(tmp_path, trainings, monkeypatch):
    trainings.fails = set(range(100))
    command = "--task denoise --budget 5000 --trials 5 --data sample --steps 8"
    arguments = [*command.split(), "--validation", "sample", "--out", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", ["search.py", *arguments])
    with pytest.raises(program.ProgramError, match=r"all 5 trials failed.* of memory"):
        search.main()


def test_an_interrupted_search_goes_on(tmp_path, trainings, monkeypatch):
    def interrupt(config, architecture):
        if len(trainings.asked) == 2:
            raise KeyboardInterrupt
        return trainings(config, architecture)

    monkeypatch.setattr(search, "train_apart", interrupt)
    with pytest.raises(KeyboardInterrupt) as stop:
        search.run(make(tmp_path))
    assert stop.value.__notes__ == ["2 trials have ended: the same command goes on."]
    monkeypatch.setattr(search, "train_apart", trainings)
    rows = search.run(make(tmp_path))
    assert [row["status"] for row in rows] == ["COMPLETED"] * 4
    runs = [config.out.name for config, _ in trainings.asked]
    assert runs == [f"{number}-seed0" for number in range(4)]
    # More trials of the same search may be asked for; another search may not.
    assert len(search.run(make(tmp_path, trials=6))) == 6
    with pytest.raises(ValueError, match="other settings"):
        search.run(make(tmp_path, seeds=2))


def test_hyperband_trains_the_promoted_longer(tmp_path, trainings):
    config = dataclasses.replace(make(tmp_path).config, steps=90, every=30)
    asked = dataclasses.replace(make(tmp_path, tuner="hyperband"), config=config)
    search.run(dataclasses.replace(asked, trials=None))
    steps = Counter(config.steps for config, _ in trainings.asked)
    assert set(steps) == {10, 30, 90}
    assert steps[10] > steps[90]
    assert all(config.steps % config.every == 0 for config, _ in trainings.asked)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"space": Space((20,))}, "No combination can meet the budget"),
        ({"trials": 0}, "`trials` must be positive"),
        ({"max_milliseconds": 0.0}, "`max_milliseconds` must be positive"),
        ({"space": Space((5000,), upsampling=("post",))}, "Only super resolution"),
        ({"worker": 1}, "needs a chief"),
        ({"chief": "nowhere"}, "HOST:PORT"),
    ],
)
def test_what_cannot_work_is_refused_before_training(
    tmp_path, trainings, changes, message
):
    with pytest.raises(ValueError, match=message):
        search.run(make(tmp_path, **changes))
    assert not trainings.asked


def test_another_search_is_kept_out_of_the_folder(tmp_path, trainings):
    asked = make(tmp_path)
    with (
        runs.locked(tmp_path),
        pytest.raises(ValueError, match="Another process is at work"),
    ):
        search.run(asked)
    assert not trainings.asked
    assert len(search.run(asked)) == 4


@pytest.mark.parametrize(
    ("options", "part"),
    [
        ({}, "alone"),
        ({"chief": "10.0.0.5:8000"}, "chief"),
        ({"chief": "10.0.0.5:8000", "worker": 0}, "worker"),
    ],
)
def test_kerastuners_variables_do_what_the_options_do(
    tmp_path, monkeypatch, options, part
):
    names = [f"KERASTUNER_{name}" for name in ("TUNER_ID", "ORACLE_IP", "ORACLE_PORT")]
    for name in names:
        monkeypatch.setenv(name, "")  # So that the end of the test takes it away.
        monkeypatch.delenv(name)
    assert search.join(make(tmp_path, **options)) == part
    told = {name: os.environ[name] for name in names if name in os.environ}
    assert told.get("KERASTUNER_ORACLE_IP") == ("10.0.0.5" if options else None)
    assert search.join(make(tmp_path)) == part


def test_missing_data_is_told_before_the_folder_is_taken(tmp_path, trainings):
    asked = make(tmp_path / "out")
    config = dataclasses.replace(asked.config, data=(str(tmp_path / "none"),))
    with pytest.raises(ValueError, match=r"no data set"):
        search.run(dataclasses.replace(asked, config=config))
    assert not (tmp_path / "out").exists()


def test_a_network_of_ones_own_is_refused(tmp_path):
    with pytest.raises(ValueError, match="makes its own networks"):
        search.resolve(
            search.Search(Config(task="denoise", model="dncnn"), Space((5000,)))
        )


# -------------------------------------------------------------------- processes


class Part:
    """One process of a search: alone, chief or worker."""

    def __init__(self, tmp_path, *arguments, hang=False):
        self.notes = tmp_path / "notes"
        self.notes.mkdir(exist_ok=True)
        command = "--task denoise --budget 5000 --trials 6 --data sample --steps 8"
        self.process = subprocess.Popen(
            [
                sys.executable,
                "-c",
                DRIVER,
                str(self.notes),
                "hang" if hang else "run",
                *command.split(),
                *("--validation", "sample", "--out", str(tmp_path / "out")),
                *map(str, arguments),
            ],
            env={**os.environ, "PYTHONPATH": str(ROOT), "no_proxy": "localhost"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    @property
    def runs(self):
        """The trainings that this process began."""
        path = self.notes / str(self.process.pid)
        return path.read_text().split() if path.exists() else []

    def end_in_mid_trial(self, sent=signal.SIGKILL):
        deadline = time.monotonic() + 900
        while not self.runs:
            assert self.process.poll() is None, self.process.stdout.read()
            assert time.monotonic() < deadline, "No trial began."
            time.sleep(0.2)
        self.process.send_signal(sent)
        self.process.wait()

    def finish(self):
        output, _ = self.process.communicate(timeout=900)
        assert self.process.returncode == 0, output
        return output


def all_runs(parts):
    return Counter(run for part in parts for run in part.runs)


def statuses(tmp_path):
    rows = json.loads((tmp_path / "out" / "trials.json").read_text())
    return [(row["trial"], row["status"]) for row in rows]


ALL_DONE = [(str(number), "COMPLETED") for number in range(6)]


def free_port():
    with socket.socket() as listener:
        listener.bind(("localhost", 0))
        return listener.getsockname()[1]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sent", "code", "said"),
    [
        (signal.SIGINT, 130, "search.py: interrupted. 0 trials have ended"),
        (signal.SIGTERM, 143, "search.py: terminated. 0 trials have ended"),
    ],
)
def test_a_stopped_search_says_so_and_goes_on(tmp_path, sent, code, said):
    stopped = Part(tmp_path, hang=True)
    stopped.end_in_mid_trial(sent)
    output = stopped.process.stdout.read()
    assert stopped.process.returncode == code
    assert said in output and "Traceback" not in output
    assert "6 of 6" in Part(tmp_path).finish()
    assert statuses(tmp_path) == ALL_DONE


@pytest.mark.slow
def test_a_killed_search_goes_on(tmp_path):
    Part(tmp_path, hang=True).end_in_mid_trial()
    assert "6 of 6" in Part(tmp_path).finish()
    assert statuses(tmp_path) == ALL_DONE


@pytest.mark.slow
def test_chief_and_two_workers_do_every_trial_once(tmp_path):
    address = f"localhost:{free_port()}"
    chief = Part(tmp_path, "--chief", address)
    workers = [Part(tmp_path, "--chief", address, "--worker", i) for i in range(2)]
    outputs = [part.finish() for part in (*workers, chief)]
    assert all_runs(workers) == {f"{number}-seed0": 1 for number in range(6)}
    assert not chief.runs
    assert statuses(tmp_path) == ALL_DONE
    assert "What they cost to run" in outputs[2]


@pytest.mark.slow
def test_a_worker_killed_in_mid_trial_does_not_lose_the_search(tmp_path):
    address = f"localhost:{free_port()}"
    common = ("--chief", address, "--lease", 4)
    chief = Part(tmp_path, *common)
    victim = Part(tmp_path, *common, "--worker", 0, hang=True)
    victim.end_in_mid_trial()
    heir = Part(tmp_path, *common, "--worker", 1)
    assert "the chief has the results" in heir.finish()
    assert "Nothing heard from worker0" in chief.finish()
    assert all_runs([heir]) == {f"{number}-seed0": 1 for number in range(6)}
    assert set(victim.runs) <= set(heir.runs)
    assert statuses(tmp_path) == ALL_DONE
