"""All engines give what Keras gives."""

import sys

import keras
import numpy as np
import pytest
from networks import as_trained, noisy

import xunit_keras
from xunit_keras import engines, restoration, zoo
from xunit_keras.engines import load_engine

EXPORTED = ("onnxruntime", "openvino", "litert")


@pytest.fixture(scope="module")
def denoiser():
    return as_trained(xunit_keras.xdncnn(depth=3, filters=8))


def run(model, x):
    return keras.ops.convert_to_numpy(model(x, training=False))


@pytest.mark.parametrize("engine", ["keras", *EXPORTED])
def test_engines_equal_the_model_as_shapes_come_and_go(engine, denoiser):
    run_engine = load_engine(denoiser, engine)
    results = []
    for shape in ((1, 9, 7, 1), (2, 5, 6, 1), (1, 9, 7, 1)):
        x = noisy(*shape)
        results.append(run_engine(x))
        assert results[-1].dtype == np.float32
        np.testing.assert_allclose(results[-1], run(denoiser, x), rtol=1e-5, atol=1e-5)
    # A result stays what it was when the engine runs again.
    np.testing.assert_array_equal(results[0], results[2])


@pytest.mark.parametrize("engine", EXPORTED)
def test_threads_and_restore(engine, denoiser):
    image = np.random.default_rng(0).random((40, 31), dtype=np.float32)
    expected = restoration.restore(image, denoiser)
    result = restoration.restore(image, denoiser, tile=9, engine=engine, threads=1)
    np.testing.assert_allclose(result, expected, atol=1e-5)


def test_restore_follows_weights_that_change(denoiser):
    model = as_trained(xunit_keras.xdncnn(depth=3, filters=8), seed=3)
    image = np.random.default_rng(0).random((12, 12), dtype=np.float32)
    before = restoration.restore(image, model)
    model.set_weights(denoiser.get_weights())
    after = restoration.restore(image, model)
    assert np.abs(after - before).max() > 1e-3
    np.testing.assert_allclose(after, restoration.restore(image, denoiser), atol=1e-6)


def test_bfloat16_is_chosen_knowingly(denoiser):
    x = noisy(1, 9, 7, 1)
    result = load_engine(denoiser, "openvino-bf16")(x)
    np.testing.assert_allclose(result, run(denoiser, x), atol=0.2)


def test_models_by_name_and_file(denoiser, tmp_path):
    card = {"task": "denoise", "sigma": [25.0], "scale": 1, "channels": 1}
    zoo.save(denoiser, tmp_path / "released", card)
    denoiser.save(tmp_path / "model.keras")
    x = noisy(1, 6, 6, 1)
    for source in (tmp_path / "released", str(tmp_path / "model.keras")):
        np.testing.assert_allclose(
            load_engine(source)(x), run(denoiser, x), rtol=1e-5, atol=1e-5
        )


def test_a_model_that_cannot_be_deployed_runs_in_keras():
    inputs = keras.Input((None, None, 1))
    model = keras.Model(inputs, keras.layers.Lambda(lambda x: x + 1)(inputs))
    x = noisy(1, 4, 4, 1)
    np.testing.assert_allclose(load_engine(model)(x), x + 1)


@pytest.mark.parametrize(
    ("package", "engine"),
    [
        ("onnxruntime", "onnxruntime"),
        ("openvino", "openvino"),
        ("ai_edge_litert", "litert"),
    ],
)
def test_a_missing_package_names_the_extra(package, engine, denoiser, monkeypatch):
    for name in list(sys.modules):
        if name.split(".")[0] == package:
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    # What writes the file may need the package too; what opens it does.
    with pytest.raises(ImportError, match=r"pip install 'xunit-keras\[export\]'"):
        load_engine(denoiser, engine)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"engine": "tensorrt"}, r"The engine must be one of keras, .*'tensorrt'"),
        ({"threads": 0}, r"`threads` must be at least 1. Received: threads=0"),
        ({"threads": 77}, r"before its first operation only.*threads=77"),
        ({"model": "missing.onnx"}, r"no exported model 'missing\.onnx'"),
        ({"model": "m.onnx", "engine": "litert"}, r"must be one of onnxruntime for"),
        ({"model": "no-such-model"}, r"no model 'no-such-model'"),
    ],
)
def test_bad_arguments(arguments, message, denoiser):
    with pytest.raises(ValueError, match=message):
        load_engine(**{"model": denoiser, **arguments})


def test_every_engine_has_a_name():
    assert set(engines._OPENERS) == set(engines.EngineName.__args__)


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_other_backends(backend, tmp_path, denoiser, run_python):
    pytest.importorskip(backend)
    x = noisy(1, 9, 7, 1)
    np.save(tmp_path / "x.npy", x)
    denoiser.save(tmp_path / "model.keras")
    run_python(
        "-c",
        "import numpy as np\n"
        "from xunit_keras.engines import load_engine\n"
        f"engine = load_engine({str(tmp_path / 'model.keras')!r})\n"
        f"y = engine(np.load({str(tmp_path / 'x.npy')!r}))\n"
        f"np.save({str(tmp_path / 'y.npy')!r}, y)",
        KERAS_BACKEND=backend,
    )
    result = np.load(tmp_path / "y.npy")
    np.testing.assert_allclose(result, run(denoiser, x), rtol=1e-5, atol=1e-5)
