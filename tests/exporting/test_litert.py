"""LiteRT files hold the operations and the integers that they promise."""

import keras
import numpy as np
import pytest
from networks import as_trained

import xunit_keras
from xunit_keras import export
from xunit_keras.exporting import formats, write

Interpreter = pytest.importorskip("ai_edge_litert.interpreter").Interpreter

# What `int8-full` leaves in float: the first convolution and what its unit makes of it,
# the image, and what adds the network's result to it.
FIRST = ["CONV_2D", "MUL"]
EXACT = {
    "xdncnn": {"SUB"},
    "xsrcnn_f": {"STRIDED_SLICE", "CONCATENATION", "CONV_2D", "DEPTH_TO_SPACE", "ADD"},
}


def test_tflite_has_builtin_operations_only(upscaler, tmp_path):
    export(upscaler, tmp_path / "model.tflite", "tflite", color=True)
    interpreter = Interpreter(str(tmp_path / "model.tflite"))
    names = {op["op_name"] for op in interpreter._get_ops_details()}
    assert not any(name.startswith(("Flex", "CUSTOM")) for name in names)


@pytest.mark.parametrize(
    ("format", "precision", "share"),
    [
        ("litert", "float16", 0.75),
        ("onnx", "float16", 0.75),
        ("openvino", "float16", 0.75),
        ("litert", "int8", 0.6),
        ("litert", "int8-full", 0.6),
    ],
)
def test_reduced_precision_is_smaller_and_nearly_as_good(
    format, precision, share, tmp_path, capfd
):
    # Wide enough for weights to be most of the file, and calm enough to denoise.
    model = as_trained(xunit_keras.xdncnn(depth=4, filters=32, kernel_size=5))
    last = model.layers[-2]
    last.set_weights([0.02 * weight for weight in last.get_weights()])

    def size(path):
        return sum(file.stat().st_size for file in path.parent.glob(f"{path.stem}.*"))

    full, reduced = (
        tmp_path / f"{name}{formats.FORMATS[format].suffix}" for name in "fr"
    )
    write(model, full, format)
    capfd.readouterr()
    verification = export(model, reduced, format, precision)
    assert verification.difference > 1e-6
    assert verification.psnr_lost < 0.1
    assert size(reduced) < share * size(full)
    assert capfd.readouterr().out == ""


@pytest.mark.parametrize(
    ("network", "arguments"),
    [
        ("xdncnn", {"depth": 3, "kernel_size": 9, "filters": 8}),
        pytest.param(
            "xsrcnn_f", {"scale": 2, "residual": True}, marks=pytest.mark.slow
        ),
    ],
)
def test_in_full_integers_only_the_image_and_the_first_unit_are_not(
    network, arguments, tmp_path
):
    path = tmp_path / "model.tflite"
    # Not verified: these networks have not learned anything.
    model = as_trained(getattr(xunit_keras, network)(**arguments))
    write(model, path, "tflite", "int8-full")
    interpreter = Interpreter(str(path))
    interpreter.allocate_tensors()
    types = {t["index"]: t["dtype"] for t in interpreter.get_tensor_details()}
    operations = interpreter._get_ops_details()
    kinds = {types[x] for o in operations for x in o["outputs"]}
    assert kinds - {np.int32} == {np.int8, np.float32}  # int32 of shapes
    floats = [o["op_name"] for o in operations if types[o["outputs"][0]] == np.float32]
    for name in FIRST:
        floats.remove(name)
    assert {*floats} - {"DELEGATE"} == EXACT[network] | {"DEQUANTIZE"}
    # All of it in one piece, by the kernels that are fast.
    assert [o["op_name"] for o in operations].count("DELEGATE") == 1


def test_elus_of_a_network_of_ones_own_are_of_integers(tmp_path):
    image = keras.Input((None, None, 1))
    features = keras.layers.Conv2D(6, 3, padding="same")(image)
    once = keras.layers.ELU()(features)
    twice = keras.layers.ELU()(keras.layers.Conv2D(6, 3, padding="same")(once))
    inner = keras.layers.Conv2D(6, 3, padding="same")(twice)
    outputs = keras.layers.Conv2D(1, 3, padding="same")(inner + twice)
    model = as_trained(keras.Model(image, outputs))
    path = tmp_path / "model.tflite"
    write(model, path, "tflite", "int8-full")
    interpreter = Interpreter(str(path))
    x = np.random.default_rng(0).random((1, 24, 20, 1), dtype="float32")
    number = interpreter.get_input_details()[0]["index"]
    interpreter.resize_tensor_input(number, x.shape)
    interpreter.allocate_tensors()
    types = {t["index"]: t["dtype"] for t in interpreter.get_tensor_details()}
    elus = [o for o in interpreter._get_ops_details() if o["op_name"] == "ELU"]
    kinds = [[types[t] for t in (*o["inputs"], *o["outputs"])] for o in elus]
    # The first stands before what is in integers.
    assert kinds == [[np.float32] * 2, [np.int8] * 2]
    interpreter.set_tensor(number, x)
    interpreter.invoke()
    result = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    expected = keras.ops.convert_to_numpy(model(x))
    assert np.abs(result - expected).mean() < 0.02 * np.abs(expected).mean()


@pytest.fixture(scope="module")
def published(real_data):
    from xunit_keras.checkpoints.authors import load_checkpoint

    file = real_data / "official_xunit" / "xdncnn_res_f64k3k9_s25.pkl"
    return load_checkpoint(file)


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float32", "float16", "int8"])
def test_the_published_network(precision, published, tmp_path):
    export(published, tmp_path / "model.tflite", "tflite", precision)


@pytest.mark.slow
def test_the_published_network_loses_too_much_in_integers(published, tmp_path):
    with pytest.raises(ValueError, match="in int8-full it loses, in dB, "):
        export(published, tmp_path / "model.tflite", "tflite", "int8-full")
    assert not list(tmp_path.iterdir())
