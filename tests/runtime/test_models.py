"""Cards of the zoo, without Keras."""

import json

import pytest

from xunit_keras.runtime import models
from xunit_keras.runtime.models import Card


def write(folder, **values):
    folder.mkdir(parents=True)
    known = {"task": "denoise", "network": "xdncnn", "channels": 1, "parameters": 7}
    Card(name=folder.name, **{**known, **values}).write(folder)
    return folder


@pytest.fixture
def own_zoo(tmp_path, monkeypatch):
    """A zoo of one model, `tiny`."""
    monkeypatch.setattr(models, "_FOLDERS", (tmp_path / "none", tmp_path / "zoo"))
    write(tmp_path / "zoo" / "tiny", sigma=(0.0, 55.0), data=("a", "b"))
    return tmp_path / "zoo"


def test_a_card_comes_back_as_it_was_written(own_zoo):
    card = models.card("tiny")
    assert card == models.card(own_zoo / "tiny") == models.find_card("tiny")
    assert (card.sigma, card.data, card.quality) == ((0.0, 55.0), ("a", "b"), ())
    content = json.loads((own_zoo / "tiny" / "card.json").read_text())
    assert "quality" not in content


@pytest.mark.parametrize(
    "content", ["", "[]", "{", '{"name": "tiny"}', '{"colour": "a later version"}']
)
def test_a_damaged_card(own_zoo, content):
    (own_zoo / "tiny" / "card.json").write_text(content)
    with pytest.raises(ValueError, match=r"The card .*tiny.*cannot be read"):
        models.card("tiny")


def test_no_such_model(own_zoo):
    assert models.list_models() == ["tiny"]
    assert models.find_card("other") is None
    for ask in (models.card, models.model_folder, models.open_ready):
        with pytest.raises(ValueError, match=r"'other'.*Released models: tiny"):
            ask("other")


def test_an_empty_zoo(tmp_path, monkeypatch):
    monkeypatch.setattr(models, "_FOLDERS", (tmp_path,))
    assert models.list_models() == []
    with pytest.raises(ValueError, match="Released models: none"):
        models.card("any")


def test_one_name_in_both_folders_is_one_model(tmp_path, monkeypatch):
    folders = (tmp_path / "wheel", tmp_path / "clone")
    monkeypatch.setattr(models, "_FOLDERS", folders)
    for folder in folders:
        write(folder / "tiny")
    assert models.list_models() == ["tiny"]


def test_files_are_checked(own_zoo):
    path = own_zoo / "tiny" / "model.onnx"
    path.write_bytes(b"content")
    for digest in ({}, {"model.onnx": "0" * 64}):
        folder = own_zoo / "tiny"
        Card(**{**vars(models.card("tiny")), "sha256": digest}).write(folder)
        with pytest.raises(ValueError, match=r"model\.onnx of the model 'tiny'"):
            models.open_ready("tiny")
    right = {"model.onnx": models.sha256(path)}
    Card(**{**vars(models.card("tiny")), "sha256": right}).write(own_zoo / "tiny")
    assert models.checked_file(own_zoo / "tiny", "model.onnx") == path
