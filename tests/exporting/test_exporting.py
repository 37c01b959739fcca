"""Exports equal the model, or there is no file."""

import keras
import numpy as np
import pytest
from keras import layers, ops
from networks import as_trained, noisy, unet

import xunit_keras
from xunit_keras import export
from xunit_keras.cli import main
from xunit_keras.exporting import exporting, formats, open_model, write
from xunit_keras.exporting.exporting import LARGEST_DIFFERENCE, Verification
from xunit_keras.exporting.formats.base import Precision
from xunit_keras.graphs.folding import deploy
from xunit_keras.graphs.image_model import scale_on
from xunit_keras.restoration import restore
from xunit_keras.runtime import engines
from xunit_keras.runtime.engines.base import Form

slow = pytest.mark.slow

FILES = {name: f"model{format.suffix}" for name, format in formats.FORMATS.items()}


def run(model, x):
    return keras.ops.convert_to_numpy(model(x, training=False))


def assert_runs_like(model, path, *shapes):
    run_file = engines.open_file(path)
    for shape in shapes:
        x = noisy(*shape)
        np.testing.assert_allclose(run_file(x), run(model, x), rtol=1e-5, atol=1e-5)


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
    [name if name == "litert" else pytest.param(name, marks=slow) for name in FILES],
)
def test_pixel_shuffle_residual_blocks_and_the_dense_form(format, tmp_path):
    small = xunit_keras.xsrresnet(
        scale=4, residual=True, blocks=2, kernel_size=5, filters=8
    )
    image = keras.Input((None, None, 1))
    x = layers.Conv2D(6, 3, padding="same")(small(image))
    x = xunit_keras.XUnit(5, form="slim")(xunit_keras.XUnit(7, form="dense")(x))
    last = layers.Conv2D(1, 3, padding="same")
    model = as_trained(keras.Model(image, last(x)))
    # Random weights, unlike trained ones, do not give values of an image.
    last.set_weights([0.1 * weight for weight in last.get_weights()])
    path = tmp_path / FILES[format]
    export(model, path, format)
    assert_runs_like(model, path, (1, 5, 7, 1), (2, 8, 3, 1))


@pytest.mark.parametrize("format", FILES)
def test_one_size(format, upscaler, tmp_path):
    path = tmp_path / FILES[format]
    export(upscaler, path, format, input_shape=(np.int64(9), 6))
    assert_runs_like(upscaler, path, (1, 9, 6, 1))


@pytest.mark.parametrize("format", FILES)
def test_rgb_through_a_gray_network_is_what_restore_makes(
    format, upscaler, denoiser, tmp_path
):
    image = np.random.default_rng(0).random((11, 14, 3), dtype=np.float32)
    for model in (upscaler, denoiser):
        write(model, tmp_path / FILES[format], format, color=True)
        result = engines.open_file(tmp_path / FILES[format])(image[None])[0]
        expected = restore(image, model)
        np.testing.assert_allclose(result.clip(0, 1), expected, atol=1e-5)


def as_users_write_them():
    def residual(x):
        y = layers.Conv2D(3, 3, padding="same", activation="relu")(x)
        return layers.Conv2D(1, 3, padding="same")(y)

    x = keras.Input((None, None, 1), name="photo")
    fixed = keras.Input((12, 10, 1), batch_size=2)
    nested = keras.Model(x, residual(x))
    return {
        "lists": keras.Model([x], [residual(x)]),
        "dictionaries": keras.Model({"photo": x}, {"clean": residual(x)}),
        "sequential": keras.Sequential([x, *nested.layers[1:]]),
        "nested": keras.Sequential([keras.Input((None, None, 1)), nested]),
        "of one size": keras.Model(fixed, residual(fixed)),
        "unet": unet(),
    }


@pytest.mark.parametrize("kind", as_users_write_them())
def test_models_as_users_write_them(kind, tmp_path):
    model = as_trained(as_users_write_them()[kind])
    path = tmp_path / "model.tflite"
    export(model, path, "tflite")
    x = noisy(2, 12, 10, 1)
    given = {"dictionaries": {"photo": x}, "lists": [x]}.get(kind, x)
    (expected,) = keras.tree.flatten(model(given, training=False))
    expected = keras.ops.convert_to_numpy(expected)
    result = engines.open_file(path)(x)
    np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-5)


def test_without_verification(denoiser, tmp_path):
    write(denoiser, tmp_path / "model.tflite", "tflite")
    assert_runs_like(denoiser, tmp_path / "model.tflite", (1, 5, 7, 1))


# ------------------------------------------------------------------------ faults


def with_mirrored_border(model, form, images):
    """The first layer finds the mirrored image beyond the border, not zeros."""
    deployed = deploy(model, form, images)
    inside = slice(scale := scale_on(model, 8, 8), -scale)
    image = keras.Input((None, None, 1))
    wide = ops.pad(image, ((0, 0), (1, 1), (1, 1), (0, 0)), "reflect")
    restored = deployed(wide)[:, inside, inside, :]
    return keras.Model(image, restored, name=model.name)


def with_an_unfolded_channel(model, form, images):
    """Scale and shift of a normalization are lost, in one channel."""
    spoilt = keras.models.clone_model(model)
    spoilt.set_weights(model.get_weights())
    unit = next(x for x in spoilt.layers if isinstance(x, xunit_keras.XUnit))
    gamma, beta, mean, variance = unit.gate_norm.get_weights()
    identity = (1.0, 0.0, 0.0, 1.0 - unit.gate_norm.epsilon)
    for values, value in zip((gamma, beta, mean, variance), identity, strict=True):
        values[5] = value
    unit.gate_norm.set_weights([gamma, beta, mean, variance])
    return deploy(spoilt, form, images)


def with_other_weights(model, form, images):
    other = as_trained(keras.models.clone_model(model), seed=9)
    return deploy(other, form, images)


@pytest.mark.parametrize(
    "fault", [with_mirrored_border, with_an_unfolded_channel, with_other_weights]
)
def test_what_is_out_of_tolerance_leaves_no_file(
    fault, denoiser, tmp_path, monkeypatch
):
    monkeypatch.setattr(exporting, "deploy", fault)
    with pytest.raises(ValueError, match=r"was removed: in float32 it differs"):
        export(denoiser, tmp_path / "model.onnx", "onnx")
    assert not list(tmp_path.iterdir())


def without_its_border(model, form, images):
    deployed = deploy(model, form, images)
    image = keras.Input((None, None, 1))
    return keras.Model(image, deployed(image)[:, 1:, :, :], name=model.name)


def test_another_size_is_a_fault(denoiser, tmp_path, monkeypatch):
    monkeypatch.setattr(exporting, "deploy", without_its_border)
    message = r"of \(96, 96, 1\) it makes \(95, 96, 1\), and the Keras model \(96, 96"
    with pytest.raises(ValueError, match=message):
        export(denoiser, tmp_path / "model.tflite", "tflite")
    assert not list(tmp_path.iterdir())


def test_what_cannot_run_is_a_fault(denoiser, tmp_path, monkeypatch):
    def refuse(*arguments):
        raise RuntimeError("no such kernel\nand a page of text")

    monkeypatch.setattr(engines, "open_file", lambda *arguments: refuse)
    message = r"litert cannot run it on an image of \(96, 96, 1\): no such kernel$"
    with pytest.raises(ValueError, match=message):
        export(denoiser, tmp_path / "model.tflite", "tflite")
    assert not list(tmp_path.iterdir())


@slow
@pytest.mark.parametrize("fault", [with_mirrored_border, with_an_unfolded_channel])
@pytest.mark.parametrize("name", ["xdncnn-gray-sigma25", "xsrcnn-f-x3"])
def test_faults_show_in_released_models(fault, name, tmp_path, monkeypatch):
    path = tmp_path / "model.tflite"
    sound = export(name, path, "tflite").difference
    assert sound < LARGEST_DIFFERENCE / 2  # On another processor as well.
    monkeypatch.setattr(exporting, "deploy", fault)
    with pytest.raises(ValueError, match=r"was removed: in float32 it differs"):
        export(name, path, "tflite")
    assert path.exists()  # What was exported before stays.


@pytest.mark.parametrize("lost", [None, 0.1])
def test_tolerances(lost, tmp_path):
    def judge(difference, psnr_lost):
        verification = Verification(difference, psnr_lost)
        stored = Precision(Form(), lost)
        exporting._judge(verification, tmp_path, "this", stored)

    judge(2e-5, 0.09)  # Rounding, on another processor.
    for bad in ((1e-3, 0.2), (float("nan"), float("nan"))):
        with pytest.raises(ValueError, match="was removed: in this it"):
            judge(*bad)


# --------------------------------------------------------------------- arguments


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
    names = {"model", "photographs", "file"}
    assert {path.name for path in tmp_path.iterdir()} == names


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
        ({"input_shape": 8}, r"a height and a width"),
        ({"input_shape": (8, 8.5)}, r"a height and a width"),
        ({"input_shape": (True, 8)}, r"a height and a width"),
        ({"model": "no-such-model"}, r"no model 'no-such-model'"),
        ({"model": 7}, r"Received: .*7"),
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
    two = keras.Model([image, vector], image)
    for model, color, message in (
        (sort, False, "cannot be written as litert"),
        (keras.Model(vector, vector), False, "from one image to one image"),
        (two, False, "one input"),
        (lambdas, False, "class Lambda cannot be made again"),
        (rgb, True, "`color` is for models of one channel"),
    ):
        with pytest.raises(ValueError, match=message) as error:
            export(model, path, "tflite", color=color)
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
    assert engines.open_file(tmp_path / "model.xml")(noisy(*shape)).shape == shape
    assert main([*command, "-o", str(tmp_path / "model.onnx")]) == 2
    assert "must end in .xml" in capsys.readouterr().err


# --------------------------------------------------------------- models on engines


@pytest.mark.parametrize("engine", ["keras", "litert"])
def test_a_model_on_an_engine(engine, denoiser):
    run_engine = open_model(denoiser, engine, 1 if engine != "keras" else None)
    for shape in ((1, 9, 7, 1), (2, 5, 6, 1)):
        x = noisy(*shape)
        np.testing.assert_allclose(run_engine(x), run(denoiser, x), atol=1e-5)


def test_a_model_that_cannot_be_deployed_runs_in_keras():
    inputs = keras.Input((None, None, 1))
    model = keras.Model(inputs, keras.layers.Lambda(lambda x: x + 1)(inputs))
    x = noisy(1, 4, 4, 1)
    np.testing.assert_allclose(open_model(model)(x), x + 1)


def test_bad_engines(denoiser):
    with pytest.raises(ValueError, match=r"`engine` must be one of keras, .*'tpu'"):
        open_model(denoiser, "tpu")
    with pytest.raises(ValueError, match=r"`threads` must be at least 1"):
        open_model(denoiser, "litert", 0)
