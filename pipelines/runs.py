"""The folder of a run: one training at a time, and the same one each time."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipelines.configuration import Config, Resolved, as_json
from pipelines.program import check_writable
from xunit_keras import atomic
from xunit_keras.packages import require

_CONFIGURATION = "training.json"
_LOCK = ".lock"


def check(config: Resolved, resume: bool) -> None:
    """Looks whether a run may have its folder, and leaves it as it is.

    Args:
        config: A resolved configuration.
        resume: Whether the folder may hold the run already.

    Raises:
        ValueError: Another run would be lost, or the folder cannot be written.
    """
    check_writable(config.out)
    path = config.out / _CONFIGURATION
    if not path.exists():
        return
    if not resume:
        raise ValueError(
            f"{config.out} holds a run already. Go on with --resume, or give another "
            "--out."
        )
    now, before = as_json(config), recipe(config.out)
    # An option that is younger than the run had its default there, or its only value.
    before = {**as_json(Config(config.task, loss="mse")), **before}
    changed = [name for name in now if now[name] != before[name]]
    if changed:
        raise ValueError(
            f"{config.out} holds a run with another configuration: "
            + ", ".join(f"{n} was {before[n]}, is {now[n]}" for n in changed)
            + "."
        )


def recipe(folder: Path) -> dict:
    """The configuration of the run in a folder, as JSON holds it.

    Raises:
        ValueError: It holds none, or a damaged one.
    """
    path = folder / _CONFIGURATION
    if not path.is_file():
        raise ValueError(f"{str(folder)!r} is not the folder of a training.")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return dict(content)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{str(path)!r} is damaged: {error}") from error


@contextmanager
def claimed(config: Resolved, resume: bool, wait: bool = False) -> Iterator[None]:
    """Takes the folder of a run for as long as the block lasts.

    The system gives it back when the process dies, however it does.

    Args:
        config: A resolved configuration.
        resume: See `check`.
        wait: Wait for another process that has the folder.

    Raises:
        ValueError: See `check`; or another process has the folder.
    """
    check(config, resume)
    with locked(config.out, wait):
        check(config, resume)  # Another process may have been faster.
        for leftover in config.out.rglob(f"{atomic.PREFIX}*"):
            if leftover.is_dir():
                shutil.rmtree(leftover)
            else:
                leftover.unlink()
        path = config.out / _CONFIGURATION
        if not path.exists() or recipe(config.out) != as_json(config):
            atomic.write_json(path, as_json(config))
        yield


@contextmanager
def locked(folder: Path, wait: bool = False) -> Iterator[None]:
    """Makes a folder if need be, and keeps other processes out of it.

    Args:
        folder: The folder.
        wait: Wait for another process that has it.

    Raises:
        ValueError: Another process has it.
    """
    filelock = require("filelock", "train")
    folder.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(folder / _LOCK, timeout=-1 if wait else 0)
    try:
        lock.acquire()
    except filelock.Timeout:
        raise ValueError(
            f"Another process is at work in {folder}. Wait for it, or give another "
            "--out."
        ) from None
    try:
        yield
    finally:
        lock.release()
