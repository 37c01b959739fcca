"""The registry of networks, and weights that imply a builder's arguments."""

import keras
import numpy as np
import pytest

import xunit_keras
from xunit_keras import models, tasks, zoo
from xunit_keras.discovery import modules
from xunit_keras.models import registry
from xunit_keras.runtime.models import Card


@pytest.fixture(autouse=True)
def own_registry(monkeypatch):
    monkeypatch.setattr(registry, "NETWORKS", dict(registry.NETWORKS))


def toy(monkeypatch, folder, name="toynet"):
    """A file in the folder of the networks: all that a new network touches."""
    (folder / f"{name}.py").write_text(
        f"""
import keras
from xunit_keras.models.building import conv, finish, image_input
from xunit_keras.models.registry import network

@network("denoise", twin="convnet")
def {name}(*, filters=4, channels=1, weights=None, name="{name}"):
    image = image_input(channels)
    return finish(image, conv(channels, 3, "conv")(image), name, weights)
"""
    )
    monkeypatch.syspath_prepend(folder)
    modules("toys", [str(folder)])


def test_a_new_network_is_one_file(monkeypatch, tmp_path):
    (tmp_path / "toys").mkdir()
    (tmp_path / "toys" / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    toy(monkeypatch, tmp_path / "toys")
    network = models.find("toynet")
    assert (network.task, network.twin) == ("denoise", "convnet")
    assert network.build(channels=3).output_shape == (None, None, None, 3)


def test_every_network_knows_its_task_and_its_twin():
    for network in models.NETWORKS.values():
        assert network.task in tasks.TASKS
        if network.twin is not None:
            assert models.find(network.twin).twin is None
        assert network.arguments[-2:] == ("weights", "name")
    for name in ("xdncnn", "xderain", "xnet", "xsrcnn_f", "xsrcnn_c", "xsrresnet"):
        assert models.find(name).twin is not None


def test_an_unknown_network():
    with pytest.raises(ValueError, match=r"must be one of convnet, .*model='unet'"):
        models.find("unet")


def test_arguments_for_a_task():
    denoise = tasks.create("denoise", channels=3)
    gray = tasks.create("denoise")
    xdncnn = models.find("xdncnn")
    assert xdncnn.suited(denoise, depth=4, filters=None) == {"depth": 4, "channels": 3}
    sr = tasks.create("sr", scale=4)
    assert models.find("xsrcnn_f").suited(sr, residual=True) == {
        "residual": True,
        "scale": 4,
    }
    assert models.find("xderain").suited(tasks.create("derain")) == {}
    jpeg = tasks.create("jpeg", channels=3)
    assert models.find("xnet").suited(jpeg) == {"channels": 3}
    assert models.find("xderain").suited(jpeg) == {}
    for name, task in (("xdncnn", sr), ("xsrcnn_f", denoise), ("xderain", gray)):
        with pytest.raises(ValueError, match=f"'{name}' cannot learn '{task.name}'"):
            models.find(name).suited(task)
    with pytest.raises(ValueError, match="'xsrcnn_f' has no `depth`"):
        models.find("xsrcnn_f").suited(sr, depth=3)


def same(model, other):
    images = np.random.default_rng(0).random((1, 9, 8, 1)).astype("float32")
    return np.array_equal(
        *(keras.ops.convert_to_numpy(m(images)) for m in (model, other))
    )


def test_released_weights_imply_the_arguments():
    """The network that the weights were trained for, and no other."""
    released = zoo.load("xsrcnn-f-x3")
    assert same(xunit_keras.xsrcnn_f(weights="xsrcnn-f-x3"), released)
    given = xunit_keras.xsrcnn_f(weights="xsrcnn-f-x3", scale=3, residual=True)
    assert same(given, released)
    small = xunit_keras.xnet(weights="xnet-100k-sigma25")
    assert same(small, zoo.load("xnet-100k-sigma25"))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda w: xunit_keras.xsrcnn_f(scale=2, weights=w), "scale=3.*scale=2"),
        (lambda w: xunit_keras.xsrcnn_f(scale=None, weights=w), "scale=3.*scale=None"),
        (lambda w: xunit_keras.xsrcnn_f(residual=False, weights=w), "residual=True"),
        (lambda w: xunit_keras.xsrcnn_f(gate="sigmoid", weights=w), "gate='gaussian'"),
        (lambda w: xunit_keras.xsrcnn_c(weights=w), "are those of xsrcnn_f"),
        (lambda w: xunit_keras.srcnn(weights=w), "are those of xsrcnn_f"),
    ],
)
def test_arguments_that_contradict_the_weights(build, message):
    with pytest.raises(ValueError, match=message):
        build("xsrcnn-f-x3")


def test_a_file_of_weights_beside_a_card_implies_them_too(tmp_path):
    model = xunit_keras.xsrcnn_f(scale=2, residual=True)
    card = Card(
        name="own",
        task="sr",
        network="xsrcnn_f",
        arguments={"scale": 2, "residual": True},
        channels=1,
        scale=2,
        parameters=0,
    )
    zoo.save(model, tmp_path / "own", card)
    path = tmp_path / "own" / "model.weights.h5"
    assert same(xunit_keras.xsrcnn_f(weights=str(path)), model)
    with pytest.raises(ValueError, match=r"scale=2.*scale=3"):
        xunit_keras.xsrcnn_f(scale=3, weights=str(path))
