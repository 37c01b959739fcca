"""Tables of what became of files."""

import csv

import pytest

from xunit_keras import reports
from xunit_keras.reports import Row

ROWS = [
    Row("in/a, b.png", "out/a, b.png", 0.25, "", "here"),
    Row("in/ä\n.png", "out/ä\n.png", None, 'It says "no".', ""),
]


def read(path):
    """The rows of a report, as other programs read them."""
    if path.suffix == ".parquet":
        parquet = pytest.importorskip("pyarrow.parquet")
        return [Row(**row) for row in parquet.read_table(path).to_pylist()]
    with path.open(newline="", encoding="utf-8") as file:
        rows = [Row(**row) for row in csv.DictReader(file)]
    return [
        row._replace(seconds=float(row.seconds) if row.seconds else None)
        for row in rows
    ]


@pytest.mark.parametrize("suffix", reports.SUFFIXES)
@pytest.mark.parametrize("rows", [ROWS, []])
def test_what_is_written_is_read(tmp_path, suffix, rows):
    path = tmp_path / "deeper" / f"report{suffix}"
    for _ in range(2):  # The second takes the place of the first.
        with reports.writing(path) as write:
            assert not path.exists() or read(path) == rows
            for row in rows:
                write(row)
        assert read(path) == rows
        assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_more_rows_than_a_group_of_parquet_holds(tmp_path, monkeypatch):
    monkeypatch.setattr(reports, "_TOGETHER", 7)
    rows = [ROWS[0]._replace(seconds=float(n)) for n in range(20)]
    with reports.writing(tmp_path / "report.parquet") as write:
        for row in rows:
            write(row)
    assert read(tmp_path / "report.parquet") == rows


@pytest.mark.parametrize("suffix", reports.SUFFIXES)
@pytest.mark.parametrize("stop", [KeyboardInterrupt, ValueError])
def test_an_interruption_keeps_the_rows(tmp_path, suffix, stop):
    path = tmp_path / f"report{suffix}"
    with pytest.raises(stop), reports.writing(path) as write:
        write(ROWS[0])
        raise stop
    assert read(path) == ROWS[:1]


@pytest.mark.parametrize("suffix", reports.SUFFIXES)
def test_names_that_are_not_unicode(tmp_path, suffix):
    path = tmp_path / f"report{suffix}"
    with reports.writing(path) as write:
        write(ROWS[0]._replace(source="in/\udcff.png"))
    assert read(path)[0].source == r"in/\udcff.png"


@pytest.mark.parametrize("name", ["report", "report.txt", "report.csv.gz"])
def test_other_suffixes_are_refused(tmp_path, name):
    with (
        pytest.raises(ValueError, match=r"a \.csv or \.parquet file"),
        reports.writing(tmp_path / name),
    ):
        pass


def test_a_folder_is_refused(tmp_path):
    (tmp_path / "a.csv").mkdir()
    with (
        pytest.raises(ValueError, match="needs a file"),
        reports.writing(tmp_path / "a.csv"),
    ):
        pass
