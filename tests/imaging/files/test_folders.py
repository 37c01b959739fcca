import os

import numpy as np
import pytest
from imaging.files.made import random_pixels, save

from xunit_keras.atomic import replacing
from xunit_keras.imaging import files
from xunit_keras.imaging.files import ImageFileError


def test_find(tmp_path):
    wanted = ["a.PNG", "b/c.jpg", "b/d/é.Tiff", "b/e.gif", "b/雪.webp"]
    others = [".hidden.png", ".cache/a.png", "notes.txt", "png"]
    for name in wanted + others:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / "folder.png").mkdir()
    # What a killed process would leave behind.
    with replacing(tmp_path / "b" / "z.png") as partial:
        (partial.parent / (partial.stem + "1" + partial.suffix)).touch()
        partial.touch()
    (tmp_path / "b" / "z.png").unlink()
    assert len(list((tmp_path / "b").iterdir())) == 5

    assert files.find(tmp_path) == [tmp_path / name for name in wanted]
    assert files.find(tmp_path / "folder.png") == []
    with pytest.raises(ImageFileError, match="missing"):
        files.find(tmp_path / "missing")
    with pytest.raises(ImageFileError, match="no folder"):
        files.find(tmp_path / "a.PNG")


def test_survey_says_why(tmp_path):
    """All formats are listed, files without suffix by what they hold."""
    for name, form in {
        "a.avif": "AVIF",
        "b.gif": "GIF",
        "photograph": "JPEG",
        "scan": "TIFF",
        "drawing": "BMP",
        "old.jpg_large": "JPEG",
    }.items():
        save(tmp_path / name, random_pixels(8, 8, 3), format=form)
    (tmp_path / "c.heic").touch()
    (tmp_path / "empty").touch()
    (tmp_path / "BMW").write_text("BMW is two letters more than a header needs.")
    (tmp_path / "notes.txt").touch()
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "table.csv").touch()
    (tmp_path / "loop.png").symlink_to("loop.png")
    (tmp_path / "nowhere.png").symlink_to("missing.png")
    (tmp_path / "link.gif").symlink_to("b.gif")
    (tmp_path / "up").symlink_to("..")
    os.mkfifo(tmp_path / "pipe.png")

    found = files.survey(tmp_path)
    names = ["a.avif", "b.gif", "c.heic", "drawing", "link.gif", "photograph", "scan"]
    assert found.files == [tmp_path / name for name in names]
    reasons = {
        path.relative_to(tmp_path).as_posix(): reason
        for path, reason in found.passed_over.items()
    }
    expected = {
        "BMW": "no suffix",
        "below/table.csv": ".csv",
        "empty": "no suffix",
        "loop.png": "symbolic links",
        "notes.txt": ".txt",
        "nowhere.png": "No such file",
        "old.jpg_large": ".jpg_large",
        "pipe.png": "regular file",
        "up": "link to a folder",
    }
    assert reasons.keys() == expected.keys()
    assert all(words in reasons[name] for name, words in expected.items()), reasons


def test_folders_that_cannot_be_looked_into(tmp_path, monkeypatch):
    for name in ("a/a.png", "b/b.png"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).touch()
    scandir = os.scandir

    def denied(folder):  # Root may look anywhere.
        if folder.name == "a":
            raise PermissionError(13, "Permission denied", str(folder))
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", denied)
    found = files.survey(tmp_path)
    assert found.files == [tmp_path / "b" / "b.png"]
    assert "Permission denied" in found.passed_over[tmp_path / "a"]
    with pytest.raises(ImageFileError, match="Permission denied"):
        files.survey(tmp_path / "a")


def test_a_link_to_itself(tmp_path):
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(ImageFileError, match="symbolic links"):
        files.survey(tmp_path / "loop")


def test_sorted_by_path(tmp_path):
    order = np.random.default_rng(0).permutation(20)
    for number in order:
        (tmp_path / f"{number:02}.png").touch()
    assert [path.stem for path in files.find(tmp_path)] == [
        f"{n:02}" for n in range(20)
    ]
