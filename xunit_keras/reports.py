"""What became of files, as tables that other programs read: CSV or Parquet."""

import contextlib
import csv
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from xunit_keras.atomic import replacing
from xunit_keras.packages import require

SUFFIXES = (".csv", ".parquet")
"""Of the files that can be written."""

_TOGETHER = 10_000  # Rows of a group in a Parquet file.


class Row(NamedTuple):
    """What became of a file.

    Attributes:
        source: Its path.
        target: Where the result is.
        seconds: How long it took, from reading to the written file; None if nobody
            knows.
        error: What was wrong, in a sentence; empty if nothing was.
        node: The machine that worked on it.
    """

    source: str
    target: str
    seconds: float | None
    error: str
    node: str


def check(path: Path) -> None:
    """Looks whether a report can be of such a name.

    Raises:
        ValueError: It cannot.
        ImportError: The package for such a file is missing.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise ValueError(
            f"A report is a {' or '.join(SUFFIXES)} file. Received: {str(path)!r}"
        )
    if path.is_dir():
        raise ValueError(f"A report needs a file. Received the folder: {str(path)!r}")
    if path.suffix.lower() == ".parquet":
        require("pyarrow", "ray")


@contextlib.contextmanager
def writing(path: Path) -> Iterator[Callable[[Row], object]]:
    """Writes a report, row by row.

    The file appears when the block ends, also where it ends with an exception: what
    was done until then is to be known.

    Args:
        path: A `.csv` or `.parquet` file, which is replaced.

    Yields:
        What takes the rows.
    """
    check(path)
    is_csv = path.suffix.lower() == ".csv"
    stop = None
    with (
        replacing(path) as partial,
        (_csv if is_csv else _parquet)(partial) as write,
    ):
        try:
            yield lambda row: write(_in_unicode(row))
        except BaseException as error:
            stop = error
    if stop is not None:
        raise stop


@contextlib.contextmanager
def _csv(path: Path) -> Iterator[Callable[[Row], object]]:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(Row._fields)
        yield writer.writerow


@contextlib.contextmanager
def _parquet(path: Path) -> Iterator[Callable[[Row], object]]:
    import pyarrow
    from pyarrow import parquet

    texts = {name: pyarrow.string() for name in Row._fields}
    schema = pyarrow.schema(texts | {"seconds": pyarrow.float64()})
    waiting: list[Row] = []

    def flush():
        rows = [row._asdict() for row in waiting]
        writer.write_table(pyarrow.Table.from_pylist(rows, schema))
        waiting.clear()

    def write(row: Row) -> None:
        waiting.append(row)
        if len(waiting) == _TOGETHER:
            flush()

    with parquet.ParquetWriter(path, schema) as writer:
        yield write
        flush()


def _in_unicode(row: Row) -> Row:
    """A row whose names of files can be written, whatever bytes they are of."""
    source, target, error = (
        text.encode("utf-8", "backslashreplace").decode()
        for text in (row.source, row.target, row.error)
    )
    return row._replace(source=source, target=target, error=error)
