"""Formats are found by their files, and known without what writes them."""

import sys

import pytest

from xunit_keras import export
from xunit_keras.exporting import formats
from xunit_keras.runtime import engines


def test_no_format_imports_what_writes_it(run_python):
    run_python(
        "-c",
        "import sys\n"
        "from xunit_keras.exporting import formats\n"
        "assert formats.get('onnx').suffix == '.onnx'\n"
        "heavy = 'keras tensorflow jax torch onnx tf2onnx onnxruntime openvino'\n"
        "heavy = {*heavy.split(), 'ai_edge_litert', 'ai_edge_quantizer'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n",
    )


def test_names():
    assert list(formats.FORMATS) == ["litert", "onnx", "openvino", "saved_model"]
    assert sorted(formats.names()) == [
        "litert",
        "onnx",
        "openvino",
        "saved_model",
        "tf_saved_model",
        "tflite",
    ]
    assert formats.precisions() == ["float32", "float16", "int8", "int8-full"]
    for name in ("litert", "tflite"):
        assert formats.get(name) is formats.FORMATS["litert"]
    for name in ("saved_model", "tf_saved_model"):
        assert formats.get(name) is formats.FORMATS["saved_model"]
    with pytest.raises(ValueError, match=r"tflite, onnx, openvino, saved_model, tf_.*"):
        formats.get("coreml")


def test_formats_and_engines_agree():
    for format in formats.FORMATS.values():
        engine = engines.get(format.engine)
        assert engine.format == format.name
        assert engine.suffix == format.suffix
        assert "float32" in format.precisions
        assert format.precisions["float32"].lost is None
        assert all(
            stored.lost > 0
            for name, stored in format.precisions.items()
            if name != "float32"
        )


def test_a_format_is_one_file(tmp_path, monkeypatch, denoiser):
    (tmp_path / "toy.py").write_text(
        "from xunit_keras.exporting.formats.base import Format, Precision\n"
        "from xunit_keras.runtime.engines.base import Form\n"
        "def _write(order):\n"
        "    order.path.write_text(f'{order.shape} {order.scale}')\n"
        "precisions = {'float32': Precision(Form())}\n"
        "FORMAT = Format('toy', 'a toy', '.onnx', 'onnxruntime', precisions, _write)\n"
    )
    monkeypatch.setattr(formats, "__path__", [*formats.__path__, str(tmp_path)])
    monkeypatch.setattr(formats, "FORMATS", formats._found())
    monkeypatch.delitem(sys.modules, "xunit_keras.exporting.formats.toy")
    # Verified as all are: nothing opens this one.
    with pytest.raises(ValueError, match="cannot be opened by onnxruntime"):
        export(denoiser, tmp_path / "model.onnx", "toy")
    assert not (tmp_path / "model.onnx").exists()
