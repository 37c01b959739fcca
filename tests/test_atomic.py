"""Files that are there whole or not at all."""

import json
import os
import subprocess
import sys

import pytest

from xunit_keras import atomic


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_takes_the_place_of_another(tmp_path):
    path = tmp_path / "deeper" / "a.tar.gz"
    for text in ("one", "two"):
        with atomic.replacing(path) as partial:
            assert partial.name.startswith(".") and partial.name.endswith(".tar.gz")
            partial.write_text(text)
        assert path.read_text() == text
    assert names(path.parent) == ["a.tar.gz"]


def test_a_failure_leaves_what_was_there(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("kept")
    with pytest.raises(RuntimeError), atomic.replacing(path) as partial:
        partial.write_text("half")
        raise RuntimeError
    assert path.read_text() == "kept"
    assert names(tmp_path) == ["a.txt"]


def test_names_as_long_as_they_can_be(tmp_path):
    path = tmp_path / ("x" * 250 + ".txt")
    atomic.write_text(path, "long")
    assert path.read_text() == "long"


def test_json(tmp_path):
    atomic.write_json(tmp_path / "a.json", {"a": [1, "ä"]})
    assert json.loads((tmp_path / "a.json").read_text()) == {"a": [1, "ä"]}


def test_a_folder_takes_the_place_of_another(tmp_path):
    path = tmp_path / "folder"
    for name in ("one", "two"):
        with atomic.replacing_folder(path) as partial:
            (partial / name).touch()
        assert names(path) == [name]
    assert names(tmp_path) == ["folder"]
    with pytest.raises(RuntimeError), atomic.replacing_folder(path) as partial:
        (partial / "three").touch()
        raise RuntimeError
    assert names(path) == ["two"]
    assert names(tmp_path) == ["folder"]


_KILLED = """
import os, pathlib, sys
from xunit_keras import atomic
with atomic.replacing(sys.argv[1]) as partial:
    partial.write_text("half")
    os.kill(os.getpid(), 9)
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows has no signal 9")
def test_a_kill_leaves_a_hidden_file_at_most(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("kept")
    subprocess.run([sys.executable, "-c", _KILLED, path], check=False)
    assert path.read_text() == "kept"
    assert all(n == "a.txt" or n.startswith(atomic.PREFIX) for n in names(tmp_path))
