"""Models written with their cards, and loaded again."""

import json
import zipfile

import h5py
import keras
import numpy as np
import pytest
from keras import ops
from networks import as_trained

import xunit_keras
from xunit_keras import zoo
from xunit_keras.runtime import models
from xunit_keras.runtime.models import WEIGHTS_FILE, Card

SIZE = {"depth": 3, "kernel_size": 5, "filters": 4}


def card(**values):
    known = {
        "task": "denoise",
        "network": "xdncnn",
        "arguments": SIZE,
        "sigma": (25.0,),
    }
    return Card(name="", channels=1, parameters=0, **{**known, **values})


@pytest.fixture
def model():
    return as_trained(xunit_keras.xdncnn(**SIZE))


@pytest.fixture
def own_zoo(tmp_path, monkeypatch, model):
    """A zoo of one model, `tiny`."""
    monkeypatch.setattr(models, "_FOLDERS", (tmp_path / "none", tmp_path / "zoo"))
    zoo.save(model, tmp_path / "zoo" / "tiny", card())
    return tmp_path / "zoo"


def assert_same(model, other):
    images = np.random.default_rng(1).random((1, 6, 7, 1)).astype("float32")
    np.testing.assert_array_equal(
        ops.convert_to_numpy(model(images)), ops.convert_to_numpy(other(images))
    )


def test_saved_and_loaded_by_name_and_by_folder(own_zoo, model):
    assert sorted(path.name for path in (own_zoo / "tiny").iterdir()) == [
        "card.json",
        "config.json",
        "model.weights.h5",
    ]
    assert_same(model, zoo.load("tiny"))
    assert_same(model, zoo.load(own_zoo / "tiny"))
    assert not zoo.load("tiny").compiled


@pytest.mark.parametrize("kernel", ["half", "float", "huge", "not a number"])
def test_weights_come_back_exactly(own_zoo, model, kernel):
    """Those that half precision holds take half the space, others are not touched."""
    values = np.random.default_rng(0).normal(size=(3, 3, 4, 4)).astype("float32")
    values[0, 0, 0, 0] = {"huge": 1e6, "not a number": np.nan}.get(kernel, 1.0)
    if kernel == "half":
        values = values.astype("float16").astype("float32")
    model.get_layer("conv_2").kernel.assign(values)
    zoo.save(model, own_zoo / "tiny", card())
    loaded = zoo.load("tiny").get_layer("conv_2").kernel
    np.testing.assert_array_equal(loaded.numpy(), values)
    assert loaded.dtype == "float32"
    stored = []
    with h5py.File(own_zoo / "tiny" / WEIGHTS_FILE) as file:
        file.visititems(
            lambda _, item: (
                stored.append(getattr(item, "dtype", None))
                if getattr(item, "shape", None) == values.shape
                else None
            )
        )
    assert stored == [np.float16 if kernel == "half" else np.float32]


def test_what_saving_adds_to_a_card(own_zoo, model):
    written = models.card("tiny")
    assert written == models.card(own_zoo / "tiny")
    assert written.name == "tiny"
    assert written.parameters == xunit_keras.count_parameters(model).total
    assert written.radius == 3 + 2 * 2  # three convolutions 3x3, two units 5x5
    assert len(written.sha256[WEIGHTS_FILE]) == 64
    assert written.versions["keras"] == keras.__version__
    assert set(written.versions) == {"xunit-keras", "keras", "tensorflow"}
    assert (written.task, written.sigma) == ("denoise", (25.0,))


def test_a_compiled_model_is_saved_without_its_optimizer(own_zoo, model):
    model.compile("adam", "mse")
    images = np.zeros((1, 5, 5, 1), "float32")
    model.train_on_batch(images, images)
    zoo.save(model, own_zoo / "trained", card())
    config = json.loads((own_zoo / "trained" / "config.json").read_text())
    assert "compile_config" not in config
    assert_same(model, zoo.load("trained"))


def test_saving_again_replaces(own_zoo, model):
    for weight in model.weights:
        weight.assign(weight * 0.5)
    (own_zoo / "tiny" / "left.txt").write_text("of another model")
    zoo.save(model, own_zoo / "tiny", card(task="derain"))
    assert_same(model, zoo.load("tiny"))
    assert models.card("tiny").task == "derain"
    assert [path.name for path in own_zoo.iterdir()] == ["tiny"]
    assert not (own_zoo / "tiny" / "left.txt").exists()


def test_a_failure_leaves_what_was_there(own_zoo, model, monkeypatch):
    def fail(*arguments):
        raise OSError("No space left on device")

    monkeypatch.setattr(type(model), "save_weights", fail)
    with pytest.raises(OSError, match="No space"):
        zoo.save(model, own_zoo / "tiny", card(task="derain"))
    assert models.card("tiny").task == "denoise"
    assert [path.name for path in own_zoo.iterdir()] == ["tiny"]


def test_a_keras_file(tmp_path, model):
    model.save(tmp_path / "model.keras")
    assert_same(model, zoo.load(tmp_path / "model.keras"))
    with pytest.raises(ValueError, match=r"other\.keras"):
        zoo.load(tmp_path / "other.keras")


def test_builders_take_weights(own_zoo, tmp_path, model):
    assert_same(model, xunit_keras.xdncnn(weights="tiny"))
    assert_same(model, xunit_keras.xdncnn(**SIZE, weights="tiny"))
    model.save_weights(tmp_path / "own.weights.h5")
    path = str(tmp_path / "own.weights.h5")
    assert_same(model, xunit_keras.xdncnn(**SIZE, weights=path))


def test_weights_that_do_not_fit(own_zoo, model, tmp_path):
    for size in ({"filters": 6}, {"kernel_size": 7}, {"depth": 5}):
        other = xunit_keras.xdncnn(**{**SIZE, **size})
        with pytest.raises(ValueError, match="'tiny' do not fit the model 'xdncnn'"):
            zoo.load_weights(other, "tiny")
    path = tmp_path / "text.weights.h5"
    path.write_text("not weights")
    with pytest.raises(ValueError, match=r"text\.weights\.h5"):
        zoo.load_weights(model, path)


def test_weights_of_another_factor_are_a_start(tmp_path):
    """Deliberately: training for one factor may start from another."""
    three = as_trained(xunit_keras.xsrcnn_f(scale=3, residual=True))
    zoo.save(three, tmp_path / "x3", card(task="sr", network="xsrcnn_f", scale=3))
    four = xunit_keras.xsrcnn_f(scale=4, residual=True)
    zoo.load_weights(four, tmp_path / "x3")
    for mine, theirs in zip(four.get_weights(), three.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, theirs)


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
    for use in (zoo.load, lambda name: xunit_keras.xdncnn(weights=name)):
        with pytest.raises(ValueError, match="model 'tiny' is damaged"):
            use("tiny")


@pytest.mark.parametrize("content", ["", "{", "[]", '{"class_name": "Nothing"}'])
def test_damaged_config(own_zoo, content):
    (own_zoo / "tiny" / "config.json").write_text(content)
    with pytest.raises(ValueError, match="Cannot load the model 'tiny'"):
        zoo.load("tiny")


def bomb(path, member, megabytes):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("metadata.json", "{}")
        with archive.open(member, "w", force_zip64=True) as file:
            for _ in range(megabytes):
                file.write(b" " * 2**20)
    return path


@pytest.mark.parametrize(
    ("member", "megabytes"), [("config.json", 65), ("model.weights.h5", 300)]
)
def test_archives_that_unpack_to_far_more_than_they_are(tmp_path, member, megabytes):
    path = bomb(tmp_path / "bomb.keras", member, megabytes)
    with pytest.raises(ValueError, match=r"bomb\.keras.*would unpack to"):
        zoo.load(path)


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x03\x04"])
def test_files_that_are_no_models(tmp_path, content):
    path = tmp_path / "other.keras"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"Cannot load the model .*other\.keras"):
        zoo.load(path)


def test_a_class_that_is_not_known(tmp_path):
    class Strange(keras.layers.Layer):
        def call(self, inputs):
            return inputs

    image = keras.Input((None, None, 1))
    keras.Model(image, Strange()(image)).save(tmp_path / "strange.keras")
    with pytest.raises(ValueError, match=r"strange\.keras.*Strange") as error:
        zoo.load(tmp_path / "strange.keras")
    assert "\n" not in str(error.value)


def test_a_file_that_brings_a_program(tmp_path):
    """Keras' safe mode holds, and nothing runs before it does."""
    mark = tmp_path / "executed"
    code = f"(__import__('pathlib').Path({str(mark)!r}).touch(), x)[1]"
    image = keras.Input((None, None, 1))
    keras.Model(image, keras.layers.Lambda(eval(f"lambda x: {code}"))(image)).save(
        tmp_path / "lambda.keras"
    )
    mark.unlink()  # made when the layer was called
    with pytest.raises(ValueError, match=r"Cannot load the model .*lambda\.keras"):
        zoo.load(tmp_path / "lambda.keras")
    assert not mark.exists()


def test_the_global_settings_at_loading_do_not_matter(own_zoo, model, keras_settings):
    keras_settings.set_dtype_policy("mixed_bfloat16")
    assert_same(model, zoo.load("tiny"))


@pytest.mark.parametrize("name", models.list_models())
def test_released_models(name):
    known = models.card(name)
    model = zoo.load(name)
    assert isinstance(model, keras.Model)
    assert known.name == name
    assert known.parameters == xunit_keras.count_parameters(model).total
    field = xunit_keras.receptive_field(model)
    assert (known.scale, known.radius, known.stride) == (
        field.scale,
        field.radius,
        field.stride,
    )
