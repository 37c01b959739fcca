import json

import keras
import numpy as np
import pytest
from keras import ops

import xunit_keras
from xunit_keras import zoo


@pytest.fixture
def model():
    model = xunit_keras.xdncnn(3, 5, 4)
    rng = np.random.default_rng(0)
    for weight in model.weights:
        weight.assign(0.5 + rng.random(weight.shape))
    return model


@pytest.fixture
def own_zoo(tmp_path, monkeypatch, model):
    """A zoo of one model, `tiny`."""
    monkeypatch.setattr(zoo, "_FOLDERS", (tmp_path / "none", tmp_path / "zoo"))
    zoo.save(model, tmp_path / "zoo" / "tiny", {"task": "denoise", "sigma": [25]})
    return tmp_path / "zoo"


def assert_same(model, other):
    images = np.random.default_rng(1).random((1, 6, 7, 1)).astype("float32")
    np.testing.assert_array_equal(
        ops.convert_to_numpy(model(images)), ops.convert_to_numpy(other(images))
    )


def test_saved_and_loaded_by_name_and_by_folder(own_zoo, model):
    assert zoo.list_models() == ["tiny"]
    assert sorted(path.name for path in (own_zoo / "tiny").iterdir()) == [
        "card.json",
        "config.json",
        "model.weights.h5",
    ]
    assert_same(model, zoo.load("tiny"))
    assert_same(model, zoo.load(own_zoo / "tiny"))
    assert not zoo.load("tiny").compiled


def test_card(own_zoo, model):
    card = zoo.card("tiny")
    assert card == zoo.card(own_zoo / "tiny")
    assert len(card.pop("sha256")) == 64
    assert card == {
        "task": "denoise",
        "sigma": [25],
        "name": "tiny",
        "parameters": xunit_keras.count_parameters(model).total,
    }


def test_a_compiled_model_is_saved_without_its_optimizer(own_zoo, model):
    model.compile("adam", "mse")
    images = np.zeros((1, 5, 5, 1), "float32")
    model.train_on_batch(images, images)
    zoo.save(model, own_zoo / "trained", {})
    config = json.loads((own_zoo / "trained" / "config.json").read_text())
    assert "compile_config" not in config
    assert_same(model, zoo.load("trained"))


def test_saving_again_replaces(own_zoo, model):
    for weight in model.weights:
        weight.assign(weight * 0.5)
    zoo.save(model, own_zoo / "tiny", {"task": "derain"})
    assert_same(model, zoo.load("tiny"))
    assert zoo.card("tiny")["task"] == "derain"


def test_a_keras_file(tmp_path, model):
    model.save(tmp_path / "model.keras")
    assert_same(model, zoo.load(tmp_path / "model.keras"))
    with pytest.raises(ValueError, match=r"other\.keras"):
        zoo.load(tmp_path / "other.keras")


def test_builders_take_weights(own_zoo, tmp_path, model):
    assert_same(model, xunit_keras.xdncnn(3, 5, 4, weights="tiny"))
    model.save_weights(tmp_path / "own.weights.h5")
    path = str(tmp_path / "own.weights.h5")
    assert_same(model, xunit_keras.xdncnn(3, 5, 4, weights=path))


def test_weights_that_do_not_fit(own_zoo):
    for arguments in ((3, 5, 6), (3, 7, 4), (5, 5, 4)):
        with pytest.raises(ValueError, match="'tiny' do not fit the model 'xdncnn'"):
            xunit_keras.xdncnn(*arguments, weights="tiny")


def test_no_such_model(own_zoo):
    for ask in (zoo.load, zoo.card):
        with pytest.raises(ValueError, match=r"'other'.*Released models: tiny"):
            ask("other")


def test_an_empty_zoo(tmp_path, monkeypatch):
    monkeypatch.setattr(zoo, "_FOLDERS", (tmp_path,))
    assert zoo.list_models() == []
    with pytest.raises(ValueError, match="Released models: none"):
        zoo.load("any")


def test_one_name_in_both_folders_is_one_model(tmp_path, monkeypatch, model):
    folders = (tmp_path / "wheel", tmp_path / "clone")
    monkeypatch.setattr(zoo, "_FOLDERS", folders)
    for folder in folders:
        zoo.save(model, folder / "tiny", {})
    assert zoo.list_models() == ["tiny"]


@pytest.mark.parametrize("damage", ["changed", "cut", "missing"])
def test_damaged_weights(own_zoo, damage):
    path = own_zoo / "tiny" / "model.weights.h5"
    content = bytearray(path.read_bytes())
    if damage == "missing":
        path.unlink()
    elif damage == "cut":
        path.write_bytes(content[:-100])
    else:
        content[-100] ^= 1
        path.write_bytes(content)
    for use in (zoo.load, lambda name: xunit_keras.xdncnn(3, 5, 4, weights=name)):
        with pytest.raises(ValueError, match="'tiny' are damaged"):
            use("tiny")


def test_a_text_file_as_weights(tmp_path):
    path = tmp_path / "text.weights.h5"
    path.write_text("not weights")
    with pytest.raises(ValueError, match=r"text\.weights\.h5"):
        xunit_keras.xdncnn(3, 5, 4, weights=str(path))


def test_the_global_settings_at_loading_do_not_matter(own_zoo, model, keras_settings):
    keras_settings.set_dtype_policy("mixed_bfloat16")
    assert_same(model, zoo.load("tiny"))


@pytest.mark.parametrize("name", zoo.list_models())
def test_released_models(name):
    card = zoo.card(name)
    model = zoo.load(name)
    assert isinstance(model, keras.Model)
    assert card["name"] == name
    assert card["parameters"] == xunit_keras.count_parameters(model).total
