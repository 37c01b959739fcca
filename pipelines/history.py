"""The log of a training: a line a round, in a CSV file."""

import time
from pathlib import Path

import keras

from pipelines.tables import read_csv, write_csv


class History(keras.callbacks.Callback):
    """Writes one line a round to a CSV file.

    Args:
        path: The file.
        epoch: Rounds already trained. Later lines, of a round whose checkpoint was
            never written, are dropped.

    Attributes:
        rows: The lines so far.
    """

    def __init__(self, path: Path, epoch: int):
        super().__init__()
        self.path = path
        self.rows = read(path)[:epoch] if path.exists() else []

    @property
    def seconds(self) -> float:
        """Wall time of all rounds."""
        return seconds(self.rows)

    def on_epoch_begin(self, epoch, logs=None):
        self.started = time.monotonic()

    def on_epoch_end(self, epoch, logs):
        optimizer = self.model.optimizer
        self.rows.append(
            {
                "step": str(int(optimizer.iterations)),
                **{name: f"{float(value):.6g}" for name, value in logs.items()},
                "learning_rate": f"{float(optimizer.learning_rate):.4g}",
                "seconds": f"{time.monotonic() - self.started:.1f}",
            }
        )
        write_csv(self.path, self.rows)


def read(path: Path) -> list[dict[str, str]]:
    """The lines of a log.

    Raises:
        ValueError: There is no such file.
    """
    if not path.is_file():
        raise ValueError(f"There is no log of a training at {str(path)!r}.")
    return read_csv(path)


def seconds(rows: list[dict[str, str]]) -> float:
    """Wall time of the rounds of a log."""
    return sum(float(row["seconds"]) for row in rows)
