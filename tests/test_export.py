"""Exports equal the model in another process, or there is no file."""

import keras
import numpy as np
import pytest
from networks import as_trained, noisy

import xunit_keras
from xunit_keras import export, formats
from xunit_keras.cli import main
from xunit_keras.engines import load_engine
from xunit_keras.examples import examples
from xunit_keras.exports import Verification, _judge
from xunit_keras.restoration import restore

slow = pytest.mark.slow

FILES = {
    "saved_model": "model",
    "tflite": "model.tflite",
    "onnx": "model.onnx",
    "openvino": "model.xml",
}


@pytest.fixture(scope="module")
def denoiser():
    return as_trained(xunit_keras.xdncnn(depth=3, filters=8))


@pytest.fixture(scope="module")
def upscaler():
    """A small network with all that the super-resolution networks have."""
    image = keras.Input((None, None, 1))
    enlarged = xunit_keras.BicubicUpsampling(2, name="bicubic")(image)
    x = keras.layers.Conv2D(8, 5, padding="same")(enlarged)
    x = xunit_keras.XUnit()(x)
    x = keras.layers.Conv2D(1, 3, padding="same")(x)
    return as_trained(keras.Model(image, keras.layers.Add()([enlarged, 0.05 * x])))


def run(model, x):
    return keras.ops.convert_to_numpy(model(x, training=False))


def assert_runs_like(model, path, *shapes):
    engine = load_engine(path)
    for shape in shapes:
        x = noisy(*shape)
        np.testing.assert_allclose(engine(x), run(model, x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("format", FILES)
def test_any_size_and_batch(format, denoiser, tmp_path):
    path = tmp_path / "new folder" / FILES[format]
    verification = export(denoiser, path, format)
    assert 0 < verification.difference <= 1e-5
    assert abs(verification.psnr_lost) < 1e-3
    assert_runs_like(denoiser, path, (1, 5, 7, 1), (3, 16, 12, 1), (1, 1, 1, 1))
    expected = {path.name, "model.bin"} if format == "openvino" else {path.name}
    assert {file.name for file in path.parent.iterdir()} == expected


@pytest.mark.parametrize(
    "format",
    [name if name == "tflite" else pytest.param(name, marks=slow) for name in FILES],
)
def test_pixel_shuffle_residual_blocks_and_the_dense_form(format, tmp_path):
    small = xunit_keras.xsrresnet(4, residual=True, blocks=2, kernel_size=5, filters=8)
    image = keras.Input((None, None, 1))
    x = keras.layers.Conv2D(6, 3, padding="same")(small(image))
    x = xunit_keras.XUnit(5, form="slim")(xunit_keras.XUnit(7, form="dense")(x))
    last = keras.layers.Conv2D(1, 3, padding="same")
    model = as_trained(keras.Model(image, last(x)))
    # Random weights, unlike trained ones, do not give values of an image.
    last.set_weights([0.1 * weight for weight in last.get_weights()])
    path = tmp_path / FILES[format]
    export(model, path, format)
    assert_runs_like(model, path, (1, 5, 7, 1), (2, 8, 3, 1))


@pytest.mark.parametrize("format", FILES)
def test_one_size(format, upscaler, tmp_path):
    path = tmp_path / FILES[format]
    export(upscaler, path, format, input_shape=(9, 6))
    assert_runs_like(upscaler, path, (1, 9, 6, 1))


@pytest.mark.parametrize("format", FILES)
def test_rgb_through_a_grey_network_is_what_restore_makes(
    format, upscaler, denoiser, tmp_path
):
    image = np.random.default_rng(0).random((11, 14, 3), dtype=np.float32)
    for model in (upscaler, denoiser):
        export(model, tmp_path / FILES[format], format, colour=True)
        result = load_engine(tmp_path / FILES[format])(image[None])[0]
        expected = restore(image, model)
        np.testing.assert_allclose(result.clip(0, 1), expected, atol=1e-5)


def test_saved_model_runs_without_this_package(denoiser, tmp_path, run_python):
    export(denoiser, tmp_path / "model")
    x = noisy(2, 7, 5, 1)
    pixels = np.random.default_rng(0).integers(256, size=x.shape, dtype=np.uint8)
    np.savez(tmp_path / "in.npz", x=x, pixels=pixels)
    script = tmp_path / "script.py"
    script.write_text(
        f"""
import sys
import numpy as np, tensorflow as tf
model = tf.saved_model.load({str(tmp_path / "model")!r})
given = np.load({str(tmp_path / "in.npz")!r})
results = {{
    key: model.signatures[name](image=tf.constant(given[key]))["restored"].numpy()
    for key, name in (("x", "serving_default"), ("pixels", "uint8"))
}}
np.savez({str(tmp_path / "out.npz")!r}, **results)
assert "xunit_keras" not in sys.modules
"""
    )
    run_python(script, PYTHONPATH="")
    results = np.load(tmp_path / "out.npz")
    np.testing.assert_allclose(results["x"], run(denoiser, x), atol=1e-5)
    expected = run(denoiser, (pixels / 255).astype("float32")).clip(0, 1) * 255
    assert results["pixels"].dtype == np.uint8
    assert np.abs(results["pixels"] - expected).max() <= 0.5 + 1e-2


def test_onnx_names_its_interface(upscaler, tmp_path):
    import onnx

    export(upscaler, tmp_path / "model.onnx", "onnx")
    model = onnx.load(tmp_path / "model.onnx")
    onnx.checker.check_model(model, full_check=True)
    assert model.opset_import[0].version == 18
    (image,), (restored,) = model.graph.input, model.graph.output
    assert (image.name, restored.name) == ("image", "restored")
    axes = [
        [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in (image, restored)
    ]
    assert axes == [
        ["batch", "height", "width", 1],
        ["batch", "restored_height", "restored_width", 1],
    ]


def test_tflite_has_builtin_operations_only(upscaler, tmp_path):
    from ai_edge_litert.interpreter import Interpreter

    export(upscaler, tmp_path / "model.tflite", "tflite", colour=True)
    interpreter = Interpreter(str(tmp_path / "model.tflite"))
    names = {op["op_name"] for op in interpreter._get_ops_details()}
    assert not any(name.startswith(("Flex", "CUSTOM")) for name in names)


@pytest.mark.parametrize(
    ("format", "precision", "share"),
    [
        ("tflite", "float16", 0.75),
        ("onnx", "float16", 0.75),
        ("openvino", "float16", 0.75),
        ("tflite", "int8", 0.6),
        ("tflite", "int8-full", 0.6),
    ],
)
def test_reduced_precision_is_smaller_and_nearly_as_good(
    format, precision, share, tmp_path
):
    # Wide enough for weights to be most of the file, and calm enough to denoise.
    model = as_trained(xunit_keras.xdncnn(depth=4, filters=32))
    last = model.layers[-2]
    last.set_weights([0.02 * weight for weight in last.get_weights()])

    def size(path):
        return sum(file.stat().st_size for file in path.parent.glob(f"{path.stem}.*"))

    full, reduced = (
        tmp_path / f"{name}{formats.FORMATS[format].suffix}" for name in "fr"
    )
    export(model, full, format)
    verification = export(model, reduced, format, precision)
    assert verification.difference > 1e-6
    assert verification.psnr_lost < 0.1
    assert size(reduced) < share * size(full)


def test_in_full_integers_nothing_else_is_left(tmp_path):
    from ai_edge_litert.interpreter import Interpreter

    path = tmp_path / "model.tflite"
    for network in (xunit_keras.xdncnn(3, 9, 8), xunit_keras.xsrcnn_f(2, True)):
        # Not verified: these networks have not learned anything.
        formats.write(as_trained(network), path, "tflite", "int8-full")
        interpreter = Interpreter(str(path))
        interpreter.allocate_tensors()
        kinds = {
            tensor["dtype"]
            for tensor in interpreter.get_tensor_details()
            if tensor["name"] and len(tensor["shape"]) == 4
        }
        floats = [
            tensor["name"]
            for tensor in interpreter.get_tensor_details()
            if tensor["dtype"] == np.float32
        ]
        assert np.int8 in kinds
        assert len(floats) == 2, floats  # the image and the restored one


def test_rain_removers_are_verified_on_rain():
    network = xunit_keras.xderain(depth=2, filters=2)
    for original, degraded in examples(network, 40, 32):
        assert degraded.shape == original.shape == (40, 32, 3)
        assert (degraded >= original - 1e-6).all()
        assert np.abs(degraded - original).max() > 0.01
        assert degraded.max() <= 1


def test_what_is_out_of_tolerance_leaves_no_file(denoiser, tmp_path, monkeypatch):
    write = formats.write

    def spoilt(model, *arguments):
        wrong = as_trained(xunit_keras.xdncnn(depth=3, filters=8), seed=9)
        write(wrong, *arguments)

    monkeypatch.setattr(formats, "write", spoilt)
    with pytest.raises(ValueError, match=r"was removed: in float32 it differs"):
        export(denoiser, tmp_path / "model.onnx", "onnx")
    assert not list(tmp_path.iterdir())


def test_nan_is_out_of_tolerance(tmp_path):
    bad = Verification(float("nan"), float("nan"))
    for precision in ("float32", "int8"):
        with pytest.raises(ValueError, match="was removed"):
            _judge(bad, tmp_path, precision)


def test_an_export_replaces_an_export_and_nothing_else(denoiser, tmp_path):
    for _ in range(2):
        export(denoiser, tmp_path / "model")
    (tmp_path / "photographs").mkdir()
    (tmp_path / "photographs" / "cat.jpg").touch()
    with pytest.raises(ValueError, match="not a SavedModel"):
        export(denoiser, tmp_path / "photographs")
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="must be a folder"):
        export(denoiser, tmp_path / "file")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"format": "coreml"}, r"`format` must be one of .*'coreml'"),
        (
            {"precision": "int8"},
            r"`precision` must be one of float32, float16 for onnx",
        ),
        ({"path": "model.tflite"}, r"must end in \.onnx for onnx"),
        ({"input_shape": (0, 8)}, r"at least 1\. Received: input_shape=\(0, 8\)"),
        ({"input_shape": (8,)}, r"a height and a width"),
        ({"model": "no-such-model"}, r"no model 'no-such-model'"),
        ({"path": "file/model.onnx"}, r"Cannot write '.*file/model\.onnx'"),
    ],
)
def test_bad_arguments(arguments, message, denoiser, tmp_path):
    (tmp_path / "file").touch()
    given = {"model": denoiser, "path": "model.onnx", "format": "onnx", **arguments}
    given["path"] = tmp_path / given["path"]
    with pytest.raises(ValueError, match=message) as error:
        export(**given)
    assert "\n" not in str(error.value)
    assert [file.name for file in tmp_path.iterdir()] == ["file"]


def test_models_that_cannot_be_exported(denoiser, tmp_path):
    path = tmp_path / "model.tflite"
    image = keras.Input((None, None, 1))
    sort = keras.Model(image, keras.ops.erfinv(image))
    vector = keras.Input((4,))
    lambdas = keras.Model(image, keras.layers.Lambda(lambda x: x + 1)(image))
    rgb = xunit_keras.xdncnn(depth=2, filters=2, channels=3)
    for model, colour, message in (
        (sort, False, "cannot be written as tflite"),
        (keras.Model(vector, vector), False, "from one image to one image"),
        (lambdas, False, "class Lambda cannot be made again"),
        (rgb, True, "`colour` is for models of one channel"),
    ):
        with pytest.raises(ValueError, match=message) as error:
            export(model, path, "tflite", colour=colour)
        assert "\n" not in str(error.value)
        assert not list(tmp_path.iterdir())


def test_keras_file_with_an_unknown_class(tmp_path, run_python):
    run_python(
        "-c",
        "import keras\n"
        "class Odd(keras.layers.Layer):\n"
        "    def call(self, x): return x\n"
        "x = keras.Input((None, None, 1))\n"
        f"keras.Model(x, Odd()(x)).save({str(tmp_path / 'odd.keras')!r})",
    )
    with pytest.raises(ValueError, match=r"Cannot load .*odd\.keras.*Odd") as error:
        export(tmp_path / "odd.keras", tmp_path / "model")
    assert "\n" not in str(error.value)
    assert not (tmp_path / "model").exists()


def test_command(denoiser, tmp_path, capsys):
    denoiser.save(tmp_path / "model.keras")
    command = ["export", "-m", str(tmp_path / "model.keras"), "-f", "openvino"]
    output = ["-o", str(tmp_path / "model.xml"), "--precision", "float16"]
    assert main([*command, *output, "--size", "12", "8", "--color"]) == 0
    assert "differs by at most" in capsys.readouterr().out
    shape = (1, 12, 8, 3)
    assert load_engine(tmp_path / "model.xml")(noisy(*shape)).shape == shape
    assert main([*command, "-o", str(tmp_path / "model.onnx")]) == 2
    assert "must end in .xml" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float32", "float16", "int8", "int8-full"])
def test_the_published_network(precision, real_data, tmp_path):
    from xunit_keras.checkpoints import load_checkpoint

    file = real_data / "official_xunit" / "xdncnn_res_f64k3k9_s25.pkl"
    export(load_checkpoint(file), tmp_path / "model.tflite", "tflite", precision)
