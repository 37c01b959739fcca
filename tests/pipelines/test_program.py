"""How programs end: the exit code and the one line that says why."""

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines import program
from xunit_keras.interrupts import Terminated

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = [
    *(f"pipelines/{name}.py" for name in ("train", "evaluate", "release", "results")),
    *("pipelines/figures.py", "tuning/search.py", "tuning/study.py"),
    *("tuning/report.py", "benchmarks/bm3d_baseline.py"),
    *("benchmarks/initialization.py", "benchmarks/kernel_sides.py"),
    "benchmarks/training_step.py",
]


def ended(main, capsys):
    """The exit code of a program, and what it says to the standard error."""
    with pytest.raises(SystemExit) as end:
        program.run(main, "it.py")
    return end.value.code, capsys.readouterr().err


def raising(error, *notes):
    def main():
        for note in notes:
            error.add_note(note)
        raise error

    return main


def test_a_program_that_does_its_work_says_nothing(capsys):
    assert ended(lambda: None, capsys) == (0, "")


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("`x` must be\n  1. Received: x=2"), "`x` must be 1. Received: x=2"),
        (ImportError("This needs 'y'."), "This needs 'y'."),
        (program.ProgramError("All failed."), "All failed."),
        (MemoryError(), "MemoryError"),
        (
            OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "a.npz"),
            "[Errno 28] No space left on device: 'a.npz'",
        ),
    ],
)
def test_an_error_that_can_be_mended_is_one_line(error, line, capsys):
    assert ended(raising(error), capsys) == (1, f"it.py: {line}\n")


def test_a_mistake_of_the_program_is_not_hidden(capsys):
    with pytest.raises(KeyError):
        program.run(raising(KeyError("x")), "it.py")


@pytest.mark.parametrize(
    ("stop", "code", "word"),
    [(KeyboardInterrupt, 130, "interrupted"), (Terminated, 143, "terminated")],
)
def test_who_is_stopped_says_what_was_done(stop, code, word, capsys):
    main = raising(stop(), "Two of three are written.")
    assert ended(main, capsys) == (code, f"it.py: {word}. Two of three are written.\n")


def test_sigterm_ends_a_program_and_nothing_else(capsys):
    before = signal.getsignal(signal.SIGTERM)
    code, said = ended(lambda: os.kill(os.getpid(), signal.SIGTERM), capsys)
    assert (code, said) == (143, "it.py: terminated.\n")
    assert signal.getsignal(signal.SIGTERM) == before


@pytest.mark.parametrize("at", ["while it is imported", "while it runs"])
def test_ctrl_c_is_one_line(at):
    code = (
        "import _thread; from pipelines import program\n"
        + {
            "while it is imported": "raise KeyboardInterrupt",
            "while it runs": "program.run(_thread.interrupt_main, '-c')",
        }[at]
    )
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True
    )
    assert result.returncode in (130, -signal.SIGINT)
    assert result.stderr == "-c: interrupted.\n"


def test_folders_that_can_be_made_and_those_that_cannot(tmp_path):
    program.check_writable(tmp_path / "new" / "newer")
    assert not (tmp_path / "new").exists()
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "file" / "new"):
        with pytest.raises(ValueError, match=r"file' is a file"):
            program.check_writable(folder)


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere"
)
def test_a_folder_that_may_not_be_written(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(ValueError, match="may not be written"):
        program.check_writable(tmp_path / "new")


@pytest.mark.parametrize("path", PROGRAMS)
def test_programs_start_like_this_one(path):
    """They run as files, import this one before Keras, and end by it."""
    text = (ROOT / path).read_text(encoding="utf-8")
    first = text.index("from pipelines import program\n")
    assert first < text.index("# isort: split")
    assert (
        "import keras" not in text[:first] and "import tensorflow" not in text[:first]
    )
    assert text.endswith(f'program.run(main, "{Path(path).name}")\n')


@pytest.mark.slow
@pytest.mark.parametrize("path", PROGRAMS)
def test_programs_run_from_any_folder(path, tmp_path):
    """With the clone's own packages, whatever is installed."""
    command = [sys.executable, "-P", str(ROOT / path), "--help"]
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    result = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    assert "usage: " in result.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("path", "package", "extra", "arguments"),
    [
        ("pipelines/train.py", "matplotlib", "train", ["--task", "denoise"]),
        ("pipelines/train.py", "tensorboard", "train", ["--task", "denoise"]),
        ("tuning/search.py", "keras_tuner", "tune", ["--budget", "5000"]),
    ],
)
def test_a_missing_package_is_one_line(path, package, extra, arguments, tmp_path):
    (tmp_path / package).mkdir()
    (tmp_path / package / "__init__.py").write_text("raise ImportError('missing')")
    environment = {
        **os.environ,
        "PYTHONPATH": str(tmp_path),
        "XUNIT_KERAS_DATA": str(tmp_path),
    }
    result = subprocess.run(
        [sys.executable, str(ROOT / path), *arguments],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 1
    line = result.stderr.strip().splitlines()[-1]
    assert line.startswith(f"{Path(path).name}: This needs '{package}'")
    assert f"xunit-keras[{extra}]" in line and "Traceback" not in result.stderr
    assert not (tmp_path / "runs").exists()
