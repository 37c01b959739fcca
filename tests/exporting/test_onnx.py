"""ONNX files tell what they are."""

import pytest

from xunit_keras import export, xderain
from xunit_keras.exporting import write
from xunit_keras.graphs.receptive_field import receptive_field

onnx = pytest.importorskip("onnx")


def metadata(path):
    return {entry.key: entry.value for entry in onnx.load(path).metadata_props}


def axes(value):
    dims = value.type.tensor_type.shape.dim
    return [dim.dim_param or dim.dim_value for dim in dims]


def test_onnx_names_its_interface(upscaler, tmp_path):
    export(upscaler, tmp_path / "model.onnx", "onnx")
    model = onnx.load(tmp_path / "model.onnx")
    onnx.checker.check_model(model, full_check=True)
    assert model.opset_import[0].version == 18
    (image,), (restored,) = model.graph.input, model.graph.output
    assert (image.name, restored.name) == ("image", "restored")
    assert axes(image) == ["batch", "height", "width", 1]
    assert axes(restored) == ["batch", "restored_height", "restored_width", 1]
    assert metadata(tmp_path / "model.onnx") == {
        "channels": "1",
        "scale": "2",
        "value_range": "[0, 1]",
        "radius": str(receptive_field(upscaler).radius),
        "stride": "1",
    }


def test_metadata_of_a_network_of_the_package(tmp_path):
    path = tmp_path / "model.onnx"
    model = xderain(depth=3, filters=4)
    write(model, path, "onnx", input_shape=(8, 9))
    assert metadata(path)["task"] == "derain"
    assert metadata(path)["channels"] == "3"
    # Three 3x3 convolutions and two 9x9 depthwise ones: 3 * 1 + 2 * 4.
    assert metadata(path)["radius"] == "11"
    graph = onnx.load(path).graph
    assert axes(graph.input[0]) == axes(graph.output[0]) == [1, 8, 9, 3]


def test_metadata_of_a_color_export(upscaler, tmp_path):
    write(upscaler, tmp_path / "model.onnx", "onnx", color=True)
    told = metadata(tmp_path / "model.onnx")
    assert (told["channels"], told["scale"]) == ("3", "2")
    assert int(told["radius"]) == receptive_field(upscaler).radius
