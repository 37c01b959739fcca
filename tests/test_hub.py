"""Models that lie on Hugging Face and on Kaggle, on servers of this machine."""

import hashlib
import json
import subprocess
import sys

import keras
import numpy as np
import pytest
from hubs import Hub
from keras.src.saving.serialization_lib import SafeModeScope
from networks import as_trained
from PIL import Image

import xunit_keras
from xunit_keras import cli, hub, zoo
from xunit_keras.runtime import models
from xunit_keras.runtime.models import FILES

HF, KAGGLE = "hf://someone/small", "kaggle://someone/small/keras/x3"
RELEASED = "xsrcnn-f-x3"


@pytest.fixture(scope="module")
def server():
    server = Hub()
    yield server
    server.close()


@pytest.fixture(scope="module")
def variables(server, tmp_path_factory):
    """What clients find in the environment: the servers, and accounts of the test."""
    home = str(tmp_path_factory.mktemp("home"))
    return {
        "HOME": home,
        "HF_ENDPOINT": server.url,
        "HF_HOME": home,
        "HF_TOKEN": "hf_of_the_test",
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "KAGGLEHUB_CACHE": home,
        "KAGGLE_API_TOKEN": "of_the_test",
        "KAGGLE_API_ENVIRONMENT": "TEST",
    }


@pytest.fixture
def hubs(server, variables, tmp_path, monkeypatch):
    """The servers, for clients in this process, which read some of it once."""
    from huggingface_hub import constants
    from kagglesdk import kaggle_env

    server.repositories.clear()
    server.models.clear()
    server.licenses.clear()
    server.spoiled.clear()
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("KAGGLEHUB_CACHE", str(tmp_path / "kaggle"))
    template = constants.HUGGINGFACE_CO_URL_TEMPLATE.replace(
        constants.ENDPOINT, server.url
    )
    monkeypatch.setattr(constants, "ENDPOINT", server.url)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hf"))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    endpoints = kaggle_env._env_to_endpoint
    monkeypatch.setitem(endpoints, kaggle_env.KaggleEnv.TEST, server.kaggle_url)
    models._fetched.cache_clear()
    yield server
    models._fetched.cache_clear()


def content_of(name):
    folder = models.model_folder(name)
    files = {file: folder / file for file in FILES}
    return {file: path.read_bytes() for file, path in files.items() if path.is_file()}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (HF, ("hf://", "someone/small", None, None)),
        (f"{HF}@v1.0", ("hf://", "someone/small", "v1.0", None)),
        (f"{HF}@refs/pr/1#sha256=ab", ("hf://", "someone/small", "refs/pr/1", "ab")),
        (KAGGLE, ("kaggle://", "someone/small/keras/x3", None, None)),
        (f"{KAGGLE}/2#sha256=0", ("kaggle://", "someone/small/keras/x3", "2", "0")),
    ],
)
def test_addresses(text, expected):
    address = hub.parse(text)
    assert (address, str(address)) == (expected, text)
    assert hub.is_address(text) and not hub.is_address(text.partition("//")[2])


@pytest.mark.parametrize(
    "text", ["hf://small", f"{HF}/more", "kaggle://someone/small", f"{HF}#md5=0"]
)
def test_what_is_no_address(text):
    with pytest.raises(ValueError, match=r"hf://user/name.*Received: ") as error:
        xunit_keras.load(text)
    assert repr(text) in str(error.value)


@pytest.mark.parametrize("address", [HF, KAGGLE])
def test_there_and_back(hubs, address):
    pinned = xunit_keras.upload(RELEASED, address)
    assert xunit_keras.card(address) == xunit_keras.card(RELEASED)
    assert content_of(address) == content_of(RELEASED) == content_of(pinned)
    image = np.random.default_rng(0).random((20, 24, 3), dtype=np.float32)
    expected = xunit_keras.restore(image, RELEASED)
    np.testing.assert_array_equal(xunit_keras.restore(image, pinned), expected)
    model = xunit_keras.load(pinned)
    assert xunit_keras.count_parameters(model).total == 32_576
    other = xunit_keras.xsrcnn_f(weights=address)
    for mine, theirs in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_what_is_uploaded_to_hugging_face(hubs):
    pinned = xunit_keras.upload(RELEASED, HF)
    place, _, digest = pinned.partition("#sha256=")
    assert place == f"{HF}@{hubs.commit('someone/small', 2)}"
    *_, files = hubs.repositories["someone/small"]
    assert len(hubs.repositories["someone/small"]) == 2  # one commit after the first
    assert sorted(files) == ["README.md", *sorted(FILES)]
    # As `sha256sum ... | sha256sum` makes it.
    lines = [f"{hashlib.sha256(files[n]).hexdigest()}  {n}\n" for n in sorted(FILES)]
    assert hashlib.sha256("".join(lines).encode()).hexdigest() == digest


def test_the_card_on_hugging_face_is_read_by_its_client(hubs):
    from huggingface_hub import ModelCard

    xunit_keras.upload(RELEASED, HF)
    text = hubs.repositories["someone/small"][-1]["README.md"].decode()
    known, card = ModelCard(text), xunit_keras.card(RELEASED)
    assert known.data.license == "apache-2.0" and known.data.library_name == "keras"
    assert known.data.pipeline_tag == "image-to-image"
    assert {"xunit-keras", "sr", "xsrcnn_f"} <= set(known.data.tags)
    assert known.data.model_name == RELEASED
    read = {
        (result.dataset_type, result.metric_type): result.metric_value
        for result in known.data.eval_results
    }
    for score in card.scores:
        assert read[score["data"], "psnr"] == score["psnr"]
        assert read[score["data"], "ssim"] == score["ssim"]
    assert "32,576 parameters" in text and f"-m {HF}" in text
    assert "| set5 | x3, MATLAB" in text and "| 32.90 (30.41) |" in text
    assert card.stages[0]["command"] in text and card.data_terms in text


def test_a_readme_of_ones_own_is_kept(hubs, tmp_path):
    for name, content in content_of(RELEASED).items():
        (tmp_path / name).write_bytes(content)
    own = "---\nlibrary_name: keras\ntags: [mine]\n---\nMine.\n"
    (tmp_path / "README.md").write_text(own)
    (tmp_path / "secret.txt").write_text("not of the model")
    xunit_keras.upload(tmp_path, HF)
    *_, files = hubs.repositories["someone/small"]
    assert files["README.md"].decode() == own and "secret.txt" not in files


@pytest.mark.slow  # Its client looks through all frames for each file.
def test_kaggle_gets_a_license_and_new_versions(hubs):
    for _ in range(2):
        xunit_keras.upload(RELEASED, KAGGLE)
    handle = ("someone", "small", "x3")
    assert len(hubs.models[handle]) == 2
    assert hubs.licenses[handle] == "Apache 2.0"
    assert xunit_keras.card(f"{KAGGLE}/1").name == RELEASED


def test_a_pin_holds_what_was_asked_for(hubs):
    pinned = xunit_keras.upload(RELEASED, HF)
    newest = f"{HF}#sha256={pinned.rpartition('=')[2]}"
    assert xunit_keras.card(newest).name == RELEASED
    models._fetched.cache_clear()
    hubs.put("someone/small", {**content_of("srcnn-x3")})
    with pytest.raises(ValueError, match="not those that were asked for"):
        xunit_keras.load(newest)
    assert xunit_keras.card(pinned).name == RELEASED  # the commit is the old one
    assert xunit_keras.card(HF).name == "srcnn-x3"


@pytest.mark.parametrize("file", ["model.weights.h5", "model.onnx"])
def test_what_was_changed_on_its_way_is_refused(hubs, file):
    xunit_keras.upload(RELEASED, HF)
    hubs.spoiled.add(file)
    image = np.zeros((8, 8), np.float32)
    with pytest.raises((ValueError, OSError), match=r"xsrcnn-f-x3|small"):
        if file == "model.onnx":
            xunit_keras.restore(image, HF)
        else:
            xunit_keras.load(HF)


def test_errors_are_one_sentence(hubs, monkeypatch):
    for address in ("hf://someone/else", "kaggle://someone/else/keras/x3"):
        with pytest.raises(OSError, match=f"'{address}' cannot be fetched: ") as error:
            xunit_keras.load(address)
        assert "\n" not in str(error.value)
    hubs.put("someone/other", {"pytorch_model.bin": b"0", "README.md": b"other"})
    with pytest.raises(ValueError, match=r"no model of this package: it has no card"):
        xunit_keras.load("hf://someone/other")
    for address in (f"{HF}@v1", f"{KAGGLE}/2", f"{HF}#sha256=0"):
        with pytest.raises(ValueError, match="a version of its own"):
            xunit_keras.upload(RELEASED, address)
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ImportError, match=r"xunit-keras\[hub\]"):
        xunit_keras.load("hf://someone/more")


def test_the_command_line_says_so_too(hubs, tmp_path, capsys):
    Image.new("L", (8, 8)).save(tmp_path / "a.png")
    command = ["restore", "-i", tmp_path / "a.png", "-o", tmp_path / "b.png"]
    assert cli.main([*map(str, command), "-m", "hf://someone/else"]) == 2
    assert capsys.readouterr().err.startswith("'hf://someone/else' cannot be fetched")
    assert not (tmp_path / "b.png").exists()


def test_restoring_from_a_hub_without_keras(hubs, variables, tmp_path, run_python):
    """The whole way of the command line, with nothing but what a user sets."""
    pinned = xunit_keras.upload(RELEASED, HF)
    pixels = np.random.default_rng(0).integers(0, 256, (20, 24, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "small.png")
    code = f"""
import sys
from xunit_keras import cli
code = cli.main(["restore", "-i", "{tmp_path}/small.png", "-o", "{tmp_path}/large.png",
                 "-m", "{pinned}"])
assert code == 0 and not {{"keras", "tensorflow", "kagglehub"}} & set(sys.modules)
"""
    run_python("-c", code, **variables)
    large = np.asarray(Image.open(tmp_path / "large.png")).astype(int)
    expected = xunit_keras.restore(pixels, RELEASED).astype(int)
    np.testing.assert_array_equal(large, expected)


class Evil(keras.layers.Layer):
    """What another package registered, with an effect that can be seen."""

    made = 0

    def __init__(self, **settings):
        super().__init__(**settings)
        Evil.made += 1

    def call(self, inputs):
        return inputs


@pytest.fixture
def registered():
    name = "other_package>Evil"
    keras.saving.register_keras_serializable("other_package", "Evil")(Evil)
    yield
    keras.saving.get_custom_objects().pop(name)


def preset_of(layer):
    """The files of a model with a layer, as someone who means harm would upload it."""
    image = keras.Input((None, None, 1))
    model = keras.Model(image, layer(image))
    config = keras.saving.serialize_keras_object(model)
    files = content_of("srcnn-x3")
    return {**files, "config.json": json.dumps(config).encode()}


@pytest.mark.parametrize(
    "what", ["lambda", "foreign", "function", "saved model", "module"]
)
def test_nothing_of_a_download_is_executed(hubs, tmp_path, what, registered):
    mark = tmp_path / "executed"
    if what == "lambda":
        code = f"__import__('pathlib').Path({str(mark)!r}).touch()"
        layer = keras.layers.Lambda(eval(f"lambda x: ({code}, x)[1]"))
        files = preset_of(layer)
        mark.unlink()
    else:
        files = preset_of(Evil())
    config = json.loads(files["config.json"])
    part = config["config"]["layers"][1]
    if what == "function":
        part.update(module="keras.layers", class_name="Activation")
        activation = {"class_name": "function", "config": "other_package>f"}
        part.update(registered_name=None)
        part["config"]["activation"] = {"module": "builtins", **activation}
    elif what == "saved model":
        part.update(module="keras.layers", class_name="TFSMLayer", registered_name=None)
        part["config"]["filepath"] = str(tmp_path)
    elif what == "module":
        part.update(module="os", class_name="system", registered_name=None)
    files["config.json"] = json.dumps(config).encode()
    hubs.put("someone/evil", files)
    made = Evil.made
    # Whatever the program allows for files of its own.
    message = r"of Keras and of this package alone"
    with SafeModeScope(False), pytest.raises(ValueError, match=message):
        xunit_keras.load("hf://someone/evil")
    assert Evil.made == made and not mark.exists()


def test_released_models_hold_what_a_download_may(hubs):
    for name in xunit_keras.list_models():
        path = models.model_folder(name) / models.CONFIG_FILE
        zoo._check_classes(json.loads(path.read_text()))


def test_a_network_of_ones_own_as_a_preset(hubs, tmp_path, monkeypatch):
    model = as_trained(xunit_keras.xdncnn(depth=3, kernel_size=5, filters=4))
    folder = tmp_path / "new" / "mine"
    card = xunit_keras.save_to_preset(
        model, folder, task="denoise", sigma=(15.0,), license="MIT"
    )
    assert sorted(path.name for path in folder.iterdir()) == sorted(FILES)
    assert (card.name, card.task, card.sigma) == ("mine", "denoise", (15.0,))
    assert (card.network, card.channels, card.radius) == ("xdncnn", 1, 7)
    image = np.random.default_rng(0).random((20, 24), dtype=np.float32)
    ready, whole = xunit_keras.restore(image, folder), xunit_keras.restore(image, model)
    np.testing.assert_allclose(ready, whole, atol=1e-5)
    # Keras alone loads it.
    theirs = keras.saving.load_model(folder, compile=False)
    np.testing.assert_array_equal(
        *(np.asarray(one(image[None, ..., None])) for one in (theirs, model))
    )
    again = xunit_keras.save_to_preset(folder, tmp_path / "again", sigma=(25.0,))
    assert (again.name, again.sigma, again.license) == ("again", (25.0,), "MIT")
    pinned = xunit_keras.upload(tmp_path / "again", HF)
    assert xunit_keras.card(pinned) == again


def test_presets_that_cannot_be(tmp_path, monkeypatch):
    model = xunit_keras.xdncnn(depth=3, kernel_size=5, filters=4)
    with pytest.raises(ValueError, match=r"no card that tells its task: give it"):
        xunit_keras.save_to_preset(model, tmp_path / "mine")
    with pytest.raises(ValueError, match=r"A card has no 'noise'; it has name, task"):
        xunit_keras.save_to_preset(model, tmp_path / "mine", task="denoise", noise=3)
    monkeypatch.setitem(sys.modules, "tf2onnx", None)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "kept.txt").write_text("kept")
    with pytest.raises(ImportError, match=r"xunit-keras\[export\]"):
        xunit_keras.save_to_preset(model, tmp_path / "mine", task="denoise")
    assert [path.name for path in tmp_path.rglob("*")] == ["mine", "kept.txt"]


def test_the_digest_is_that_of_sha256sum():
    command = "sha256sum card.json config.json model.onnx model.weights.h5 | sha256sum"
    folder = models.model_folder(RELEASED)
    printed = subprocess.run(
        command, shell=True, cwd=folder, capture_output=True, text=True, check=True
    ).stdout
    assert printed.split()[0] == models.digest(folder)
