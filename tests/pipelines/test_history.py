"""The log of a training, and the tables that it is."""

from types import SimpleNamespace

import pytest

from pipelines import history
from pipelines.history import History
from pipelines.tables import read_csv, write_csv


def logged(path, epoch, *losses):
    """A log after so many rounds, and further ones with these losses."""
    log = History(path, epoch)
    for number, loss in enumerate(losses, start=epoch + 1):
        log.set_model(
            SimpleNamespace(
                optimizer=SimpleNamespace(iterations=10 * number, learning_rate=0.01)
            )
        )
        log.on_epoch_begin(number)
        log.on_epoch_end(number, {"loss": loss, "val_psnr": 20.0 + number})
    return log


def test_a_round_is_a_line(tmp_path):
    log = logged(tmp_path / "log.csv", 0, 0.5, 0.25)
    rows = history.read(tmp_path / "log.csv")
    assert rows == log.rows
    assert [row["step"] for row in rows] == ["10", "20"]
    assert [float(row["loss"]) for row in rows] == [0.5, 0.25]
    assert rows[1]["val_psnr"] == "22" and rows[1]["learning_rate"] == "0.01"
    assert (
        log.seconds == history.seconds(rows) == sum(float(r["seconds"]) for r in rows)
    )
    assert [path.name for path in tmp_path.iterdir()] == ["log.csv"]


def test_rounds_whose_checkpoint_was_never_written_are_dropped(tmp_path):
    logged(tmp_path / "log.csv", 0, 0.5, 0.25, 0.125)
    assert len(History(tmp_path / "log.csv", 1).rows) == 1
    logged(tmp_path / "log.csv", 2, 0.1)
    losses = [float(row["loss"]) for row in history.read(tmp_path / "log.csv")]
    assert losses == [0.5, 0.25, 0.1]


def test_no_log_is_a_sentence(tmp_path):
    with pytest.raises(ValueError, match="no log of a training"):
        history.read(tmp_path / "log.csv")


def test_a_table_that_cannot_be_written_leaves_the_old_one(tmp_path):
    path = tmp_path / "table.csv"
    write_csv(path, [{"a": "1, 2", "b": "ü"}])
    with pytest.raises(ValueError):
        write_csv(path, [{"a": 1}, {"c": 2}])
    assert read_csv(path) == [{"a": "1, 2", "b": "ü"}]
    assert list(tmp_path.iterdir()) == [path]
