"""What the programs keep in their folders, never seen in part."""

import csv
import dataclasses
import json
import os
from collections.abc import Callable
from pathlib import Path


def claim(path: Path, settings: dict) -> None:
    """Takes a folder by writing the settings of what happens in it.

    Args:
        path: The file of the settings, in the folder.
        settings: Dictionaries and dataclasses of what JSON can hold.

    Raises:
        ValueError: The folder holds something with other settings.
    """
    now = json.loads(_dump(settings))
    if path.exists() and json.loads(path.read_text(encoding="utf-8")) != now:
        raise ValueError(
            f"{path.parent} holds a {path.stem} with other settings, see {path.name} "
            "there. Give the same, or another --out."
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, now)


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Writes a file under another name first, so that it is never seen in part."""
    partial = path.with_name(f"partial.{os.getpid()}.{path.name}")
    write(partial)
    partial.replace(path)


def write_json(path: Path, content) -> None:
    """Writes a JSON file, never seen in part; dataclasses become dictionaries."""
    text = _dump(content)
    write_whole(path, lambda partial: partial.write_text(text, encoding="utf-8"))


def write_csv(path: Path, rows: list[dict]) -> None:
    """Writes rows with the same keys as a CSV file, never seen in part."""

    def write(partial):
        with partial.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows(rows)

    write_whole(path, write)


def _dump(content):
    def convert(value):
        return (
            dataclasses.asdict(value) if dataclasses.is_dataclass(value) else str(value)
        )

    return json.dumps(content, indent=2, default=convert) + "\n"
