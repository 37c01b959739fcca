"""Engines are found by their files, and open files; Keras' runs as the model does."""

import sys

import keras
import numpy as np
import pytest
from networks import as_trained, noisy

import xunit_keras
from xunit_keras.exporting import formats, open_model, write
from xunit_keras.runtime import engines

FILE_ENGINES = [name for name, engine in engines.ENGINES.items() if engine.suffix]


@pytest.fixture(scope="module")
def denoiser():
    return as_trained(xunit_keras.xdncnn(depth=3, filters=8))


@pytest.fixture(scope="module")
def files(denoiser, tmp_path_factory):
    """The denoiser in every format, by name."""
    folder = tmp_path_factory.mktemp("files")
    paths = {name: folder / f"m{f.suffix}" for name, f in formats.FORMATS.items()}
    for name, path in paths.items():
        write(denoiser, path, name)
    return paths


def run(model, x):
    return keras.ops.convert_to_numpy(model(x, training=False))


def test_no_engine_is_imported_before_it_opens_a_model(run_python):
    run_python(
        "-c",
        "import sys\n"
        "from xunit_keras.runtime import engines\n"
        "packages = {e.package for e in engines.ENGINES.values()}\n"
        "heavy = packages | {'tensorflow', 'jax', 'torch'}\n"
        "assert {'keras', 'onnxruntime', 'openvino', 'ai_edge_litert'} <= packages\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n",
    )


def test_the_engines():
    assert list(engines.ENGINES) == [
        "keras",
        "litert",
        "onnxruntime",
        "openvino",
        "openvino-bf16",
    ]
    for name, engine in engines.ENGINES.items():
        assert engines.get(name) is engine
        assert engine.name == name
        assert formats.get(engine.format).suffix == engine.suffix
    assert engines.get("onnxruntime").extra == ""  # It always comes along.


def test_an_engine_is_one_file(tmp_path, monkeypatch):
    (tmp_path / "toy.py").write_text(
        "import numpy as np\n"
        "from xunit_keras.runtime.engines.base import Engine\n"
        "def _open(path, threads):\n"
        "    factor = float(path.read_text())\n"
        "    return lambda batch: factor * batch\n"
        "ENGINES = (Engine('toy', 'numpy', '', '.toy', 'toy', _open),)\n"
    )
    monkeypatch.setattr(engines, "__path__", [*engines.__path__, str(tmp_path)])
    monkeypatch.setattr(engines, "ENGINES", engines._found())
    monkeypatch.delitem(sys.modules, "xunit_keras.runtime.engines.toy")
    (tmp_path / "model.toy").write_text("3")
    assert [e.name for e in engines.for_file(tmp_path / "model.toy")] == ["toy"]
    result = engines.open_file(tmp_path / "model.toy")(np.ones((1, 2, 2, 1)))
    np.testing.assert_array_equal(result, np.full((1, 2, 2, 1), 3.0))
    with pytest.raises(ValueError, match="openvino-bf16, toy"):
        engines.get("tensorrt")


def test_engines_of_files(files, tmp_path):
    def names(path):
        return [engine.name for engine in engines.for_file(path)]

    assert names("m.onnx") == names(files["onnx"]) == ["onnxruntime"]
    assert names("m.tflite") == ["litert"]
    assert names("m.xml") == ["openvino", "openvino-bf16"]
    assert names(files["saved_model"]) == ["keras"]
    for other in ("m.keras", "m", "photo.png", tmp_path):
        assert names(other) == []


@pytest.mark.parametrize("format", formats.FORMATS)
def test_files_equal_the_model_as_shapes_come_and_go(format, files, denoiser):
    run_file = engines.open_file(files[format])
    results = []
    for shape in ((1, 9, 7, 1), (2, 5, 6, 1), (1, 9, 7, 1)):
        x = noisy(*shape)
        results.append(run_file(x))
        assert results[-1].dtype == np.float32
        np.testing.assert_allclose(results[-1], run(denoiser, x), rtol=1e-5, atol=1e-5)
    # A result stays what it was when the engine runs again, and is the caller's.
    np.testing.assert_array_equal(results[0], results[2])
    results[0][:] = 0
    assert results[2].any()


@pytest.mark.parametrize("engine", FILE_ENGINES)
def test_an_open_file_may_go(engine, files, tmp_path):
    source = files[engines.get(engine).format]
    for part in source.parent.glob("m.*"):
        (tmp_path / part.name).write_bytes(part.read_bytes())
    run_file = engines.open_file(tmp_path / source.name, engine, np.int64(1))
    for part in tmp_path.iterdir():
        part.unlink()
    assert run_file(noisy(1, 4, 5, 1)).shape == (1, 4, 5, 1)


def test_bfloat16_is_chosen_knowingly(files, denoiser):
    x = noisy(1, 9, 7, 1)
    result = engines.open_file(files["openvino"], "openvino-bf16")(x)
    np.testing.assert_allclose(result, run(denoiser, x), atol=0.2)


@pytest.mark.parametrize("engine", ["openvino", "litert"])
def test_a_missing_package_names_the_extra(engine, files, monkeypatch):
    package = engines.get(engine).package
    for name in list(sys.modules):
        if name.split(".")[0] == package:
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=r"pip install 'xunit-keras\[export\]'"):
        engines.open_file(files[engines.get(engine).format])


@pytest.mark.parametrize(
    ("path", "arguments", "message"),
    [
        ("m.onnx", {"engine": "tensorrt"}, r"`engine` must be one of keras, .*tensorr"),
        ("m.onnx", {"engine": "litert"}, r"must be one of onnxruntime for .*m\.onnx"),
        ("m.onnx", {"threads": 0}, r"`threads` must be at least 1. Received: thr"),
        ("m.onnx", {"threads": True}, r"`threads` must be at least 1. Received: thr"),
        ("m", {"threads": 77}, r"before its first operation only.*threads=77"),
        ("missing.onnx", {}, r"no exported model '.*missing\.onnx'"),
        ("text.txt", {}, r"no exported model '.*text\.txt'"),
        ("bad.onnx", {}, r"bad\.onnx' cannot be opened by onnxruntime: "),
        ("bad.xml", {}, r"bad\.xml' cannot be opened by openvino: "),
        ("bad.tflite", {}, r"bad\.tflite' cannot be opened by litert: "),
    ],
)
def test_bad_arguments(path, arguments, message, files, tmp_path):
    for name in ("text.txt", "bad.onnx", "bad.xml", "bad.tflite"):
        (tmp_path / name).write_text("not a model")
    folder = tmp_path if (tmp_path / path).exists() else files["onnx"].parent
    with pytest.raises(ValueError, match=message) as error:
        engines.open_file(folder / path, **arguments)
    assert "\n" not in str(error.value)


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_other_backends(backend, tmp_path, denoiser, run_python):
    pytest.importorskip(backend)
    x = noisy(1, 9, 7, 1)
    np.save(tmp_path / "x.npy", x)
    denoiser.save(tmp_path / "model.keras")
    run_python(
        "-c",
        "import numpy as np, xunit_keras\n"
        "from xunit_keras.exporting import open_model\n"
        f"model = xunit_keras.load({str(tmp_path / 'model.keras')!r})\n"
        f"y = open_model(model)(np.load({str(tmp_path / 'x.npy')!r}))\n"
        f"np.save({str(tmp_path / 'y.npy')!r}, y)",
        KERAS_BACKEND=backend,
    )
    result = np.load(tmp_path / "y.npy")
    np.testing.assert_allclose(result, run(denoiser, x), rtol=1e-5, atol=1e-5)


def test_keras_threads_come_too_late(denoiser):
    with pytest.raises(ValueError, match=r"before its first operation only"):
        open_model(denoiser, threads=77)
