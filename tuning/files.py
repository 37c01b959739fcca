"""What the programs keep in their folders, never seen in part."""

import dataclasses
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipelines import program, runs
from xunit_keras import atomic


@contextmanager
def claimed(path: Path, settings: dict[str, Any], shared: bool = False) -> Iterator:
    """Takes a folder by writing the settings of what happens in it.

    Args:
        path: The file of the settings, in the folder.
        settings: Dictionaries and dataclasses of what JSON can hold.
        shared: Whether other processes may work in the folder meanwhile.

    Raises:
        ValueError: The folder holds something with other settings, another process has
            it, or it cannot be written.
    """
    now = plain(settings)
    _check(path, now)
    if shared:
        path.parent.mkdir(parents=True, exist_ok=True)
        _write(path, now)
        yield
        return
    with runs.locked(path.parent):
        _write(path, now)
        yield


def _check(path, now) -> None:
    program.check_writable(path.parent)
    if not path.exists():
        return
    try:
        before = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{str(path)!r} is damaged: {error}") from error
    if before != now:
        raise ValueError(
            f"{path.parent} holds a {path.stem} with other settings, see {path.name} "
            "there. Give the same, or another --out."
        )


def _write(path, now) -> None:
    _check(path, now)  # Another process may have been faster.
    if not path.exists():
        atomic.write_json(path, now)


def write_json(path: Path, content: Any) -> None:
    """Writes a JSON file, never seen in part; dataclasses become dictionaries."""
    atomic.write_json(path, plain(content))


def plain(content: Any) -> Any:
    """Content as JSON holds it."""

    def convert(value):
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            return dataclasses.asdict(value)
        return str(value)

    return json.loads(json.dumps(content, default=convert))
