"""Networks with their activations replaced, against networks built with XUnit."""

import keras
import numpy as np
import pytest
from graphs import user_models
from keras import layers, ops
from networks import as_trained, noisy, unet

import xunit_keras
from xunit_keras import XUnit, export, replace_activations, replacement_report
from xunit_keras.graphs.folding import deploy
from xunit_keras.graphs.walk import sublayers
from xunit_keras.runtime.engines import ENGINES, open_file

slow = pytest.mark.slow
PER_CHANNEL = {"shared_axes": (1, 2)}

FRESH_PROCESS = """
import sys
import numpy as np
import xunit_keras
model = xunit_keras.load(sys.argv[1])
np.save(sys.argv[3], model.predict(np.load(sys.argv[2]), verbose=0))
"""


def run(model, x):
    return ops.convert_to_numpy(model(x, training=False))


def units(model):
    return [layer for layer in model.layers if isinstance(layer, XUnit)]


def names(model):
    return [layer.name for layer in model.layers]


def conv(filters, **kwargs):
    return layers.Conv2D(filters, 3, padding="same", **kwargs)


def stack(*steps, channels=2):
    image = x = keras.Input((None, None, channels), name="image")
    for step in steps:
        x = step(x)
    return keras.Model(image, x, name="stack")


def with_rectifiers():
    """A ReLU-like activation in each of the places where one can be."""
    prelu = layers.PReLU(**PER_CHANNEL)
    return stack(
        conv(4, name="conv_1"),
        layers.BatchNormalization(name="norm"),
        layers.Activation("relu", name="layer"),
        conv(5, activation="silu", name="conv_2"),
        layers.ReLU(6.0, name="clipped"),
        layers.DepthwiseConv2D(3, activation=prelu, name="depthwise"),
        layers.PReLU(**PER_CHANNEL, name="slopes"),
        layers.SeparableConv2D(4, 3, activation=ops.gelu, name="separable"),
        ops.relu,
        layers.Conv2DTranspose(3, 2, strides=2, activation="leaky_relu", name="up"),
        lambda x: keras.activations.relu(x, max_value=6),
        layers.Dense(3, activation="elu", name="dense"),
        conv(1, activation="sigmoid", name="last"),
    )


def with_units():
    """The same with XUnit."""

    def unit():
        return XUnit(5, "sigmoid")

    return stack(
        conv(4, name="conv_1"),
        layers.BatchNormalization(name="norm"),
        unit(),
        conv(5, name="conv_2"),
        unit(),
        unit(),
        layers.DepthwiseConv2D(3, name="depthwise"),
        unit(),
        unit(),
        layers.SeparableConv2D(4, 3, name="separable"),
        unit(),
        unit(),
        layers.Conv2DTranspose(3, 2, strides=2, name="up"),
        unit(),
        unit(),
        layers.Dense(3, name="dense"),
        unit(),
        conv(1, activation="sigmoid", name="last"),
    )


def test_equals_the_network_built_with_units():
    model, expected = as_trained(with_rectifiers()), with_units()
    before = model.get_weights()
    clone = replace_activations(model, 5, "sigmoid")
    replacement = replacement_report(clone)
    for layer, unit in zip(units(expected), units(clone), strict=True):
        as_trained(unit)
        layer.set_weights(unit.get_weights())
    kept = "conv_1 norm conv_2 depthwise separable up dense last".split()
    for name in kept:
        weights = model.get_layer(name).get_weights()
        if name == "depthwise":
            weights = weights[:2]  # without the slopes of its PReLU
        expected.get_layer(name).set_weights(weights)
    x = noisy(2, 11, 9, 2)
    result = run(clone, x)
    assert result.std() > 0.01
    np.testing.assert_allclose(result, run(expected, x), atol=1e-6)

    *named, operation, _, _, _ = replacement.replaced
    assert named == "layer conv_2 clipped depthwise slopes separable".split()
    assert operation.startswith("relu")
    assert not replacement.left
    assert set(kept) < set(names(clone))
    assert units(clone)[1].name == "conv_2_xunit"
    assert (clone.name, clone.input.name) == ("stack", "image")

    # The original is as it was.
    assert not units(model)
    for weight, old in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, old)


def test_says_what_became_of_the_parameters():
    model = stack(
        conv(4, activation="relu", name="a"), conv(3, name="b"), layers.ReLU()
    )
    convolutions = 9 * 2 * 4 + 9 * 4 * 3
    for form, extra in {
        "standard": (49 + 4) * 7,
        "dense": (49 + 4) * 7 + 16 + 9,
        "slim": (49 + 2) * 7,
    }.items():
        clone = replace_activations(model, 7, form=form)
        replacement = replacement_report(clone)
        assert replacement.before.total == convolutions
        assert replacement.after.total == convolutions + extra
        assert replacement.after == xunit_keras.count_parameters(clone)
        assert {unit.form for unit in units(clone)} == {form}
    text = str(replacement)
    assert "2 activations became XUnit: a, re_lu" in text
    assert f"{convolutions:,} before, {convolutions + extra:,} after (+198.3%)" in text


def test_an_activation_used_twice_learns_twice_and_shared_layers_stay_shared():
    relu = layers.ReLU(name="relu")
    shared = conv(4, activation="relu", name="shared")
    inner = keras.Sequential(
        [keras.Input((None, None, 4)), conv(4, activation="relu"), layers.ReLU()],
        name="inner",
    )
    image = keras.Input((None, None, 4))
    x = relu(shared(shared(image)))
    x = inner(inner(relu(x)))
    model = as_trained(keras.Model(image, conv(1)(x)))
    clone = replace_activations(model, 3)
    replacement = replacement_report(clone)
    found = [unit.name for unit in units(clone)]
    assert found == ["shared_xunit", "relu_xunit", "relu_xunit_2"]
    assert names(clone).count("shared") == 1
    nested = clone.get_layer("inner")
    assert len(units(nested)) == 2
    assert replacement.replaced[:2] == ("shared", "relu")
    # Both uses see the same weights.
    unit = clone.get_layer("shared_xunit")
    before = run(clone, noisy(1, 6, 6, 4))
    unit.gate_norm.beta.assign(np.full(4, 3.0))
    assert (run(clone, noisy(1, 6, 6, 4)) != before).any()
    assert len(clone.trainable_weights) == 5 * 5 + 3 * 2


def test_what_is_not_an_image_is_left_alone_and_listed():
    image = keras.Input((16, 16, 3))
    x = conv(4, activation="relu", name="seen")(image)
    pooled = layers.GlobalAveragePooling2D(keepdims=True)(x)
    scale = layers.Conv2D(4, 1, activation="relu", name="squeezed")(pooled)
    scale = layers.Conv2D(4, 1, activation="sigmoid", name="excited")(scale)
    x = layers.Multiply()([x, scale])
    frames = layers.Reshape((1, 16, 16, 4))(x)
    frames = layers.TimeDistributed(conv(2, activation="relu"), name="video")(frames)
    x = layers.Dense(8, activation="relu", name="features")(layers.Flatten()(frames))
    x = layers.Dense(4, activation="softmax", name="classes")(x)
    model = as_trained(keras.Model(image, x))
    clone = replace_activations(model, 3)
    replacement = replacement_report(clone)
    assert replacement.replaced == ("seen",)
    assert set(replacement.left) == {"squeezed", "video", "features"}
    assert "one pixel" in replacement.left["squeezed"]
    assert "class TimeDistributed" in replacement.left["video"]
    assert "(None, 8)" in replacement.left["features"]
    assert "Left alone: features, shape (None, 8)" in str(replacement)
    for name in ("squeezed", "features", "classes"):
        activation = clone.get_layer(name).activation
        assert activation is model.get_layer(name).activation
    assert clone.get_layer("video").layer.activation is keras.activations.relu
    # With its gate open, the unit hands on what the convolution gives.
    unit = clone.get_layer("seen_xunit")
    unit.gate_norm.gamma.assign(np.zeros(4))
    model.get_layer("seen").activation = keras.activations.linear
    x = noisy(2, 16, 16, 3)
    np.testing.assert_allclose(run(clone, x), run(model, x), atol=1e-6)


def test_only_what_is_asked_for():
    model = as_trained(unet())
    x = noisy(1, 8, 8, 1)
    for only in ("up", ["up"], {"up"}, lambda layer: layer.name == "up"):
        clone = replace_activations(model, 3, only=only)
        replacement = replacement_report(clone)
        assert replacement.replaced == ("up",)
        assert [unit.name for unit in units(clone)] == ["up_xunit"]
    # What comes before is untouched.
    parts = [keras.Model(m.input, m.get_layer("down_2").output) for m in (model, clone)]
    np.testing.assert_array_equal(run(parts[0], x), run(parts[1], x))


@pytest.mark.parametrize(
    ("only", "message"),
    [
        (["up", "missing"], "'missing' in `only` cannot be replaced: it has no"),
        ("last", "'last' in `only` cannot be replaced: it has no ReLU-like"),
        ([], "'unet' has no ReLU-like activation to replace"),
        (lambda layer: False, "'unet' has no ReLU-like activation to replace"),
    ],
)
def test_what_cannot_be_replaced_is_refused(only, message):
    with pytest.raises(ValueError, match=message):
        replace_activations(unet(), only=only)


def test_other_errors():
    vector = keras.Input((4,))
    dense = keras.Model(vector, layers.Dense(2, activation="relu", name="d")(vector))
    with pytest.raises(ValueError, match=r"to replace\. d: shape \(None, 2\)"):
        replace_activations(dense)
    with pytest.raises(ValueError, match=r"'d' in `only`.*\(None, 2\)"):
        replace_activations(dense, only="d")
    with pytest.raises(ValueError, match="kernel_size=4"):
        replace_activations(unet(), kernel_size=4)
    unknown = stack(layers.Lambda(lambda x: x + 1), layers.ReLU())
    with pytest.raises(ValueError, match="class Lambda cannot be made again"):
        replace_activations(unknown)
    with pytest.raises(ValueError, match=r"must be a Keras model.*'unet'"):
        replace_activations("unet")
    for only in (5, [1, 2], {"up": 1, 2: 3}):
        with pytest.raises(ValueError, match="`only` must be a name, names, or a func"):
            replace_activations(unet(), only=only)

    class Subclassed(keras.Model):
        def call(self, x):
            return x

    for model in (Subclassed(), keras.Sequential([layers.ReLU()])):
        with pytest.raises(ValueError, match=f"of class {type(model).__name__}"):
            replace_activations(model)


def test_inputs_outputs_frozen_layers_and_precision_stay():
    inputs = {
        "image": keras.Input((None, None, 1), name="image"),
        "mask": keras.Input((None, None, 1), name="mask"),
    }
    x = layers.Concatenate()([inputs["image"], inputs["mask"]])
    frozen = conv(3, activation="relu", name="frozen", dtype="mixed_bfloat16")
    frozen.trainable = False
    x = frozen(x)
    model = keras.Model(inputs, {"features": x, "restored": conv(1)(x)})
    clone = replace_activations(model, 3)
    unit = clone.get_layer("frozen_xunit")
    assert not clone.get_layer("frozen").trainable and unit.trainable
    assert unit.compute_dtype == "bfloat16" and unit.variable_dtype == "float32"
    given = {name: noisy(1, 5, 6, 1) for name in inputs}
    outputs = clone(given)
    assert set(outputs) == {"features", "restored"}
    assert outputs["features"].shape == (1, 5, 6, 3)


def test_channels_first(keras_settings):
    keras_settings.set_image_data_format("channels_first")
    image = keras.Input((2, 5, 6))
    model = keras.Model(image, layers.ReLU()(conv(3, activation="relu")(image)))
    keras_settings.set_image_data_format("channels_last")
    clone = replace_activations(model, 3)
    assert [unit.data_format for unit in units(clone)] == ["channels_first"] * 2
    assert [unit.depthwise.kernel.shape[2] for unit in units(clone)] == [3, 3]


def test_weights_load_by_name(tmp_path):
    model = as_trained(unet())
    model.save(tmp_path / "model.h5")
    clone = replace_activations(unet(), 3)
    clone.load_weights(tmp_path / "model.h5", by_name=True)
    for name in ("down_1", "down_2", "up", "joined", "last"):
        for a, b in zip(
            clone.get_layer(name).get_weights(),
            model.get_layer(name).get_weights(),
            strict=True,
        ):
            np.testing.assert_array_equal(a, b)


def assert_trains_and_survives_a_file(model, x, y, loss, tmp_path, run_python):
    """A step lowers the loss; a fresh process makes the same of the saved model."""
    model.compile(keras.optimizers.SGD(1e-3), loss)
    before = [w.copy() for w in (ops.convert_to_numpy(v) for v in model.variables)]
    assert np.isfinite(model.train_on_batch(x, y))
    moved = [
        (ops.convert_to_numpy(v) != w).any()
        for v, w in zip(model.variables, before, strict=True)
    ]
    assert np.mean(moved) > 0.9
    model.save(tmp_path / "model.keras")
    np.save(tmp_path / "x.npy", x)
    files = [tmp_path / name for name in ("model.keras", "x.npy", "y.npy")]
    run_python("-c", FRESH_PROCESS, *files)
    result = np.load(tmp_path / "y.npy")
    np.testing.assert_allclose(result, run(model, x), rtol=1e-4, atol=1e-5)


def test_the_report_is_that_of_the_model_that_was_made():
    model = unet()
    clones = [replace_activations(model, only=only) for only in ("up", "joined")]
    reports = [replacement_report(clone) for clone in clones]
    assert [report.replaced for report in reports] == [("up",), ("joined",)]
    for other in (model, keras.models.clone_model(clones[0])):
        with pytest.raises(ValueError, match="one that `replace_activations` returned"):
            replacement_report(other)
    with pytest.raises(ValueError, match="must be a Keras model"):
        replacement_report(clones)


def test_integers_of_numpy():
    (unit,) = units(replace_activations(unet(), np.int64(7), only="up"))
    assert unit.kernel_size == 7


REPLACED = {
    "lists": "relu",
    "dictionaries": "relu",
    "sequential": "relu",
    "nested": "relu",
    "keywords": "relu",
    "closed block": "relu",
    "bilinear": "relu",
    "lora": "dense",
    "eightfold": "relu",
    "channel norms": "relu",
    "U-Net": "up",
}


@pytest.mark.parametrize("name", REPLACED)
def test_models_as_people_write_them(name):
    """With the gates open, a model is what it was without its activations."""
    model = user_models.build(name)
    x = noisy(1, 8, 12, 3)
    clone = replace_activations(model, 3)
    assert REPLACED[name] in replacement_report(clone).replaced
    if not isinstance(model, keras.Sequential):
        keras.tree.assert_same_structure(clone.input, model.input)
        keras.tree.assert_same_structure(clone.output, model.output)
    else:
        assert isinstance(clone.input, keras.KerasTensor)
        assert isinstance(clone.output, keras.KerasTensor)
    for layer in sublayers(clone):
        if isinstance(layer, XUnit):
            layer.gate_norm.gamma.assign(np.zeros(layer.gate_norm.gamma.shape))
    for layer in sublayers(model):
        if isinstance(layer, layers.ReLU):
            layer.max_value, layer.negative_slope = None, 1.0
        elif getattr(layer, "activation", None) is keras.activations.relu:
            layer.activation = keras.activations.linear
    expected = user_models.restored(model, x)
    np.testing.assert_allclose(user_models.restored(clone, x), expected, atol=1e-5)


def test_lora_goes_on_learning():
    model = user_models.build("lora")
    clone = replace_activations(model, 3)
    for name in ("conv", "dense"):
        ours, theirs = clone.get_layer(name), model.get_layer(name)
        assert ours.lora_enabled
        assert [w.name for w in ours.trainable_weights] == [
            w.name for w in theirs.trainable_weights
        ]
        for a, b in zip(ours.get_weights(), theirs.get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("format", "file"),
    [
        ("tflite", "model.tflite"),
        pytest.param("onnx", "model.onnx", marks=slow),
        pytest.param("openvino", "model.xml", marks=slow),
        pytest.param("saved_model", "model", marks=slow),
    ],
)
def test_a_unet_is_exported(format, file, tmp_path):
    clone = replace_activations(as_trained(unet()), 9)
    export(clone, tmp_path / file, format, input_shape=(16, 24))
    x = noisy(1, 16, 24, 1)
    result = open_file(tmp_path / file)(x)
    np.testing.assert_allclose(result, run(clone, x), atol=1e-5)


@slow
def test_a_unet_trains_and_survives_a_file(tmp_path, run_python):
    clone = replace_activations(unet(), 9)
    x = noisy(2, 16, 16, 1)
    assert_trains_and_survives_a_file(clone, x, 0.5 * x, "mse", tmp_path, run_python)


@slow
@pytest.mark.parametrize(
    ("name", "activations", "channels"),
    [
        ("ResNet50", 49, 22_720),
        ("MobileNetV2", 35, 15_552),
        ("DenseNet121", 121, 41_824),
    ],
)
def test_networks_of_keras(name, activations, channels, tmp_path, run_python):
    build = getattr(keras.applications, name)
    model = build(weights=None, input_shape=(64, 64, 3), classes=10)
    clone = replace_activations(model)
    replacement = replacement_report(clone)
    assert len(replacement.replaced) == len(units(clone)) == activations
    assert not replacement.left
    assert replacement.after.activations == (81 + 4) * channels
    for layer in model.layers:
        if layer.weights:
            twin = clone.get_layer(layer.name)
            for a, b in zip(layer.get_weights(), twin.get_weights(), strict=True):
                np.testing.assert_array_equal(a, b)

    x, y = noisy(2, 64, 64, 3), np.array([1, 7])
    loss = "sparse_categorical_crossentropy"
    assert_trains_and_survives_a_file(clone, x, y, loss, tmp_path, run_python)

    expected = run(clone, x)
    np.testing.assert_allclose(run(deploy(clone), x), expected, rtol=1e-3, atol=1e-5)
    deployed = deploy(clone, ENGINES["litert"].form)
    deployed.export(tmp_path / "model.tflite", "litert", verbose=False)
    deployed = deploy(clone, ENGINES["onnxruntime"].form)
    deployed(x)  # Keras exports to ONNX what was called once.
    deployed.export(tmp_path / "model.onnx", "onnx", opset_version=18, verbose=False)
    for file in ("model.tflite", "model.onnx"):
        result = open_file(tmp_path / file)(x)
        np.testing.assert_allclose(result, expected, rtol=1e-3, atol=1e-5)
