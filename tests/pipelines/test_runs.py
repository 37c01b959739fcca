"""The folder of a run: who may have it, and what is in it then."""

import json
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from pipelines import runs
from pipelines.configuration import Config, as_json, resolve
from xunit_keras import atomic


@pytest.fixture
def config(tmp_path):
    return resolve(
        Config("denoise", data=("sample",), validation="sample", out=tmp_path / "run")
    )


def written(config):
    return json.loads((config.out / "training.json").read_text())


def test_a_run_has_its_configuration_in_its_folder(config):
    runs.check(config, resume=False)
    assert not config.out.exists()
    with runs.claimed(config, resume=False):
        assert written(config) == as_json(config) == runs.recipe(config.out)


def test_a_folder_that_holds_a_run_is_refused(config):
    with runs.claimed(config, resume=False):
        pass
    with pytest.raises(ValueError, match=r"holds a run already\. Go on with --resume"):
        runs.check(config, resume=False)
    runs.check(config, resume=True)
    other = replace(config, steps=7)
    with (
        pytest.raises(ValueError, match="steps was 3000, is 7"),
        runs.claimed(other, resume=True),
    ):
        pass
    assert written(config) == as_json(config)


def test_a_run_from_before_an_option_existed_can_go_on(config):
    saved = as_json(config)
    younger = "depth filters fix_statistics kernel_size loss skips teacher".split()
    for name in younger:
        del saved[name]
    config.out.mkdir()
    (config.out / "training.json").write_text(json.dumps(saved))
    with runs.claimed(config, resume=True):
        assert written(config) == as_json(config)
    (config.out / "training.json").write_text(json.dumps(saved))
    with pytest.raises(ValueError, match="filters was None, is 8"):
        runs.check(replace(config, filters=8), resume=True)
    with pytest.raises(ValueError, match="loss was mse, is mae"):
        runs.check(replace(config, loss="mae"), resume=True)


def test_what_has_not_changed_is_not_written_again(config, monkeypatch):
    with runs.claimed(config, resume=False):
        pass
    monkeypatch.setattr(atomic, "write_json", None)  # To call it is an error.
    with runs.claimed(config, resume=True):
        pass


def test_a_full_disk_leaves_the_configuration(config, monkeypatch):
    saved = {**as_json(config)}
    del saved["depth"]
    config.out.mkdir()
    (config.out / "training.json").write_text(json.dumps(saved))

    def full(self, text, **_):
        self.touch()
        raise OSError(28, "No space left on device", str(self))

    monkeypatch.setattr(Path, "write_text", full)
    with (
        pytest.raises(OSError, match="No space left"),
        runs.claimed(config, resume=True),
    ):
        pass
    monkeypatch.undo()
    assert written(config) == saved
    with runs.claimed(config, resume=True):
        assert written(config) == as_json(config)


@pytest.mark.parametrize("content", ["", "{", "[1]", "3"])
def test_a_damaged_configuration_is_a_sentence(config, content):
    config.out.mkdir()
    (config.out / "training.json").write_text(content)
    with pytest.raises(ValueError, match=r"training.json' is damaged"):
        runs.check(config, resume=True)


@pytest.mark.parametrize("out", ["file", "file/run"])
def test_a_file_is_no_folder(config, tmp_path, out):
    (tmp_path / "file").write_text("mine")
    config = replace(config, out=tmp_path / out)
    with pytest.raises(ValueError, match="must be a folder, or a place to make one"):
        runs.check(config, resume=False)
    assert (tmp_path / "file").read_text() == "mine"


def test_leftovers_of_killed_runs_are_removed(config):
    mine = config.out / "notes.txt"
    (config.out / f"{atomic.PREFIX}1" / "deeper").mkdir(parents=True)
    (config.out / "samples").mkdir()
    (config.out / "samples" / f"{atomic.PREFIX}2.png").touch()
    mine.touch()
    with runs.claimed(config, resume=False):
        left = {path.name for path in config.out.rglob("*")} - {".lock"}
    assert left == {"notes.txt", "samples", "training.json"}


def test_two_processes_cannot_have_one_folder(config):
    """The second is told so, or waits; and a killed one leaves nothing locked."""
    config.out.mkdir()
    code = (
        "import filelock, sys, time\n"
        "with filelock.FileLock(sys.argv[1]):\n"
        "    print('mine', flush=True); time.sleep(1000)"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code, config.out / ".lock"],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert holder.stdout.readline() == "mine\n"
        with (
            pytest.raises(ValueError, match="Another process is at work in"),
            runs.claimed(config, resume=False),
        ):
            pass
        assert not (config.out / "training.json").exists()
        threading.Timer(0.5, holder.kill).start()
        with runs.claimed(config, resume=False, wait=True):
            assert holder.wait() == -signal.SIGKILL
            assert written(config) == as_json(config)
    finally:
        holder.kill()
        holder.wait()
