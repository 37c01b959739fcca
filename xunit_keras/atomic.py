"""Files that are there whole or not at all."""

import contextlib
import json
import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PREFIX = ".xunit-"
"""What the hidden names begin with that a killed process may leave behind."""

_LONGEST_SUFFIX = 32


@contextlib.contextmanager
def replacing(path: str | os.PathLike) -> Iterator[Path]:
    """A path to write to, which takes the place of `path` when the block ends.

    The path lies beside `path`, is hidden, and ends in the same suffixes. If the block
    raises, what was written is removed and `path` stays as it was.

    Args:
        path: The file. Its folder is made if need be.

    Yields:
        Where to write the file.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # Short, because the name of the file itself may be as long as names can be.
    suffix = "".join(path.suffixes)[-_LONGEST_SUFFIX:]
    partial = path.with_name(f"{PREFIX}{uuid.uuid4().hex}{suffix}")
    try:
        yield partial
        partial.replace(path)
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)


@contextlib.contextmanager
def replacing_folder(path: str | os.PathLike) -> Iterator[Path]:
    """A new folder to fill, which takes the place of `path` when the block ends.

    As `replacing`; what was in `path` is removed.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial, old = (path.with_name(f"{PREFIX}{uuid.uuid4().hex}") for _ in range(2))
    partial.mkdir()
    try:
        yield partial
        with contextlib.suppress(FileNotFoundError):
            path.replace(old)
        partial.replace(path)
    finally:
        for folder in (partial, old):
            shutil.rmtree(folder, ignore_errors=True)


def write_text(path: str | os.PathLike, text: str) -> None:
    """Writes a text file in UTF-8, whole or not at all."""
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8")


def write_json(path: str | os.PathLike, content: Any) -> None:
    """Writes a JSON file, whole or not at all."""
    write_text(path, json.dumps(content, indent=2) + "\n")
