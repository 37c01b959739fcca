"""A deployed model equals the model, at the borders too, in plain layers."""

import dataclasses

import keras
import numpy as np
import pytest
from graphs import user_models
from networks import as_trained, noisy, without_dead_channels

import xunit_keras
from xunit_keras.graphs import folding
from xunit_keras.graphs.folding import deploy
from xunit_keras.graphs.receptive_field import receptive_field
from xunit_keras.runtime.engines import ENGINES
from xunit_keras.runtime.engines.base import Form


def chain(form):
    """Convolutions, units of a form, and the normalizations that can join them."""
    image = keras.Input((None, None, 1))
    x = keras.layers.Conv2D(6, 3, padding="same", name="conv_1")(image)
    x = xunit_keras.XUnit(5, form=form, name="xunit_1")(x)
    x = xunit_keras.FusedBatchNormalization(name="norm_1")(x)
    x = xunit_keras.XUnit(7, form=form, name="xunit_2")(x)
    x = xunit_keras.FusedBatchNormalization(center=False, name="norm_2")(x)
    x = xunit_keras.XUnit(9, form=form, name="xunit_3")(x)
    x = keras.layers.Conv2D(1, 3, padding="same", name="conv_2")(x)
    return keras.Model(image, x, name=f"chain_{form}")


NETWORKS = {
    "xdncnn": lambda: xunit_keras.xdncnn(depth=3, filters=8),
    "xdncnn_sigmoid": lambda: xunit_keras.xdncnn(depth=3, filters=8, gate="sigmoid"),
    "xnet_7": lambda: xunit_keras.xnet(depth=3, filters=8, kernel_size=7),
    "xnet_11": lambda: xunit_keras.xnet(depth=3, filters=8, kernel_size=11),
    "dncnn": lambda: xunit_keras.dncnn(depth=4, filters=8),
    "xsrcnn_f": lambda: xunit_keras.xsrcnn_f(scale=3, residual=True),
    "xsrresnet": lambda: xunit_keras.xsrresnet(
        scale=4, residual=True, blocks=1, kernel_size=5, filters=8
    ),
    "dense": lambda: chain("dense"),
    "slim": lambda: chain("slim"),
}

FORMS = {
    "plain": Form(),
    "shifts": Form(depthwise="shifts"),
    "affine depthwise": Form(affine="depthwise"),
    "blocks": Form(depthwise="blocks", affine="depthwise"),
    "quantizing": Form(depthwise="blocks", affine="depthwise", quantizes=True),
}
INTEGERS = Form(
    depthwise="blocks",
    affine="depthwise",
    quantizes=True,
    integers=True,
)


def test_all_forms_are_tested_that_engines_have():
    forms = {dataclasses.astuple(engine.form)[1:] for engine in ENGINES.values()}
    tested = {dataclasses.astuple(form)[1:] for form in FORMS.values()}
    assert forms <= tested
    evaluations = {engine.form.depthwise for engine in ENGINES.values()}
    assert evaluations <= {"auto", *(form.depthwise for form in FORMS.values())}


def run(model, x):
    return keras.ops.convert_to_numpy(model(x, training=False))


def assert_equal(deployed, model, *shapes):
    for shape in shapes:
        x = noisy(*shape)
        expected = run(model, x)
        assert np.abs(expected).max() > 0.1
        np.testing.assert_allclose(run(deployed, x), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("dead", [True, False], ids=["dead", "alive"])
def test_deployed_model_equals_the_model_at_any_size(name, dead):
    model = as_trained(NETWORKS[name]())
    if not dead:
        without_dead_channels(model)
    for form in FORMS.values():
        deployed = deploy(model, form)
        assert deployed.name == model.name
        assert deployed.input_shape == model.input_shape
        assert deployed.output_shape == model.output_shape
        assert_equal(deployed, model, (1, 5, 7, 1), (2, 13, 1, 1))


@pytest.mark.parametrize("name", NETWORKS)
def test_the_form_for_integers_differs_by_the_clipped_gate_alone(name, monkeypatch):
    model = as_trained(NETWORKS[name]())
    deployed = deploy(model, INTEGERS)
    x = noisy(2, 13, 9, 1)
    expected = run(model, x)
    difference = np.abs(run(deployed, x) - expected).max()
    # A weight may be off by exp(-2.5^2), in at most three units.
    assert difference < 3 * np.exp(-(2.5**2)) * np.abs(expected).max()
    # Clipped later, it differs by less.
    for limit, bound in ((3.0, 2e-3), (5.0, 1e-5)):
        monkeypatch.setattr(folding, "GATE_LIMIT", limit)
        difference = np.abs(run(deploy(model, INTEGERS), x) - expected).max()
        assert difference < bound * np.abs(expected).max()
    units = [u for u in model.layers if isinstance(u, xunit_keras.XUnit)]
    if not any(unit.gate == "gaussian" for unit in units):
        np.testing.assert_allclose(run(deployed, x), expected, rtol=1e-5, atol=1e-5)


def test_the_form_for_integers_looks_as_far():
    model = as_trained(xunit_keras.xdncnn(depth=3, filters=4))
    for form in FORMS.values():
        deployed = deploy(model, dataclasses.replace(form, integers=True))
        assert receptive_field(deployed) == receptive_field(model)


@pytest.mark.parametrize("form", ["standard", "slim"])
def test_channels_of_the_form_for_integers_have_one_range(form):
    model = as_trained(chain(form))
    uneven = model.get_layer("conv_1")
    uneven.set_weights([w * np.geomspace(0.04, 28, 6) for w in uneven.get_weights()])
    images = noisy(3, 24, 24, 1)
    deployed = deploy(model, INTEGERS, images)

    def reach(network):
        seen = keras.Model(network.input, network.get_layer("conv_1").output)
        return np.abs(run(seen, images)).max((0, 1, 2))

    before = reach(model)
    assert before.max() > 500 * before.min()
    np.testing.assert_allclose(reach(deployed), 1.0, rtol=1e-5)


def test_reaches_are_found_inside_blocks():
    inner = as_trained(chain("slim"))
    image = keras.Input((None, None, 1))
    model = keras.Model(image, inner(image))
    deployed = deploy(model, INTEGERS, noisy(1, 24, 24, 1))
    seen = keras.Model(deployed.input, deployed.get_layer("conv_1").output)
    reach = np.abs(run(seen, noisy(1, 24, 24, 1))).max((0, 1, 2))
    np.testing.assert_allclose(reach, 1.0, rtol=1e-5)


def test_no_norm_and_no_composite_layer_is_left():
    for name in ("xdncnn", "dncnn", "dense"):
        deployed = deploy(without_dead_channels(as_trained(NETWORKS[name]())))
        kinds = {type(layer).__module__.split(".")[0] for layer in deployed.operations}
        assert kinds == {"keras"}
        assert not any(
            isinstance(layer, keras.layers.BatchNormalization)
            for layer in deployed.layers
        )


def test_xdncnn_has_the_fewest_operations():
    """A convolution, an addition and a ReLU, a depthwise convolution, three for the
    gate; and an addition where a norm stands before the next convolution.
    """
    model = without_dead_channels(as_trained(xunit_keras.xdncnn(depth=4, filters=8)))
    names = [type(operation).__name__ for operation in deploy(model).operations]
    assert names.count("Conv2D") == 4
    assert names.count("DepthwiseConv2D") == 3
    assert names.count("Add") == 3 + 2
    assert names.count("Multiply") == 0
    for gate in ("Relu", "Square", "Exp", "TrueDivide"):
        assert names.count(gate) == 3


def test_a_wide_open_gate_gives_zero_and_never_nan():
    model = xunit_keras.xdncnn(depth=2, filters=4)
    model.get_layer("xunit_1").gate_norm.gamma.assign(np.full(4, 500.0))
    x = 10 * noisy(1, 16, 16, 1)
    for form in FORMS.values():
        result = run(deploy(model, form), x)
        assert np.isfinite(result).all()
        np.testing.assert_allclose(result, run(model, x), atol=1e-4)


def test_the_deployed_model_has_its_own_weights_and_leaves_the_model_alone():
    model = as_trained(xunit_keras.xdncnn(depth=3, filters=4))
    x = noisy(1, 9, 9, 1)
    before = run(model, x)
    deployed = deploy(model)
    for weight in deployed.weights:
        weight.assign(np.zeros(weight.shape))
    np.testing.assert_array_equal(run(model, x), before)


def test_branches_shared_layers_nested_and_sequential_models():
    shared = keras.layers.Conv2D(6, 3, padding="same", name="shared")
    inner = keras.Sequential(
        [
            keras.Input((None, None, 6)),
            keras.layers.Conv2D(6, 3, padding="valid", activation="tanh"),
            keras.layers.BatchNormalization(),
            keras.layers.ZeroPadding2D(1),
        ]
    )
    inputs = keras.Input((None, None, 6))
    x = shared(inputs)
    normed = keras.layers.BatchNormalization()(x)
    x = keras.layers.Add()([x, normed, xunit_keras.XUnit(5)(x)])
    x = keras.layers.BatchNormalization(center=False)(x)
    x = keras.layers.Conv2D(6, 3, strides=2, padding="same", groups=2)(x)
    x = inner(shared(x))
    x = keras.layers.DepthwiseConv2D(7, padding="same", depth_multiplier=2)(x)
    x = keras.layers.BatchNormalization()(x)
    x = xunit_keras.XUnit(3)(keras.layers.BatchNormalization(scale=False)(x))
    model = as_trained(keras.Model(inputs, [x, keras.ops.tanh(normed) * 0.5]))
    image = noisy(2, 11, 8, 6)
    expected = [keras.ops.convert_to_numpy(y) for y in model(image, training=False)]
    for form in FORMS.values():
        results = deploy(model, form)(image, training=False)
        for result, y in zip(results, expected, strict=True):
            np.testing.assert_allclose(result, y, rtol=1e-5, atol=1e-5)


def test_mixed_precision_becomes_float32():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = as_trained(xunit_keras.xdncnn(depth=3, filters=4))
    finally:
        keras.config.set_dtype_policy("float32")
    plain = as_trained(xunit_keras.xdncnn(depth=3, filters=4))
    assert_equal(deploy(model), plain, (1, 9, 9, 1))


def test_channels_first():
    keras.config.set_image_data_format("channels_first")
    try:
        first = as_trained(xunit_keras.xdncnn(depth=3, filters=4))
    finally:
        keras.config.set_image_data_format("channels_last")
    last = as_trained(xunit_keras.xdncnn(depth=3, filters=4))
    x = noisy(1, 9, 8, 1)
    for name in ("plain", "affine depthwise"):
        deployed = deploy(first, FORMS[name])
        result = run(deployed, x.transpose(0, 3, 1, 2)).transpose(0, 2, 3, 1)
        np.testing.assert_allclose(result, run(last, x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", user_models.BUILDERS)
def test_models_as_people_write_them(name):
    model = user_models.build(name)
    x = noisy(1, 12, 8, 3)
    expected = user_models.restored(model, x)
    for form in FORMS.values():
        deployed = deploy(model, form)
        assert deployed.name == model.name
        for tensor in (deployed.input, deployed.output):
            assert isinstance(tensor, keras.KerasTensor)
        np.testing.assert_allclose(run(deployed, x), expected, rtol=1e-5, atol=1e-5)
        assert not {id(w) for w in deployed.weights} & {id(w) for w in model.weights}


@pytest.mark.parametrize("name", ["blocks", "subclassed", "doubled", "nested"])
def test_what_is_made_of_layers_is_opened(name):
    model = user_models.build(name)
    kinds = {type(operation) for operation in deploy(model).operations}
    assert {kind.__module__.split(".")[0] for kind in kinds} == {"keras"}
    assert keras.layers.BatchNormalization not in kinds


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_normalizations_that_are_not_by_channel_stay(data_format, keras_settings):
    """By row, by column and by feature, in between convolutions and units."""
    keras_settings.set_image_data_format(data_format)
    first = data_format == "channels_first"
    channel_axis = 1 if first else 3
    rows, columns = 9, 7
    inputs = keras.Input((3, rows, columns) if first else (rows, columns, 3))
    x = inputs
    for axis in (1, 2, 3, -1, -2, -3):
        x = keras.layers.Conv2D(3, 3, padding="same")(x)
        x = keras.layers.BatchNormalization(axis=axis)(x)
        x = xunit_keras.FusedBatchNormalization(axis=axis)(x)
        x = xunit_keras.XUnit(3)(x)
    x = keras.layers.BatchNormalization(axis=channel_axis)(x)
    features = keras.layers.BatchNormalization()(keras.layers.Flatten()(x))
    model = as_trained(keras.Model(inputs, [x, keras.layers.Dense(4)(features)]))
    image = noisy(2, *inputs.shape[1:])
    expected = [keras.ops.convert_to_numpy(y) for y in model(image, training=False)]
    for name in ("plain", "blocks"):
        deployed = deploy(model, FORMS[name])
        for result, y in zip(deployed(image, training=False), expected, strict=True):
            result = keras.ops.convert_to_numpy(result)
            np.testing.assert_allclose(result, y, rtol=1e-4, atol=1e-5)
        norms = [
            layer
            for layer in deployed.layers
            if isinstance(layer, keras.layers.BatchNormalization)
        ]
        assert len(norms) == 2 * 4
        assert channel_axis not in {norm.axis % 4 for norm in norms}


def test_layers_of_the_other_data_format_are_made_again():
    x = keras.Input((6, 8, 6))
    y = keras.layers.Conv2D(6, 3, padding="same")(x)
    y = keras.layers.BatchNormalization()(y)
    first = {"data_format": "channels_first"}
    y = keras.layers.Conv2D(6, 3, padding="same", **first)(y)
    y = keras.layers.BatchNormalization(axis=1)(y)
    y = xunit_keras.XUnit(3, **first)(y)
    y = keras.layers.BatchNormalization()(y)
    model = as_trained(keras.Model(x, keras.layers.Conv2D(3, 1)(y)))
    assert_equal(deploy(model), model, (1, 6, 8, 6))


def test_lora_is_in_the_kernels():
    model = user_models.build("lora")
    deployed = deploy(model)
    for name in ("conv", "dense"):
        layer = deployed.get_layer(name)
        assert not layer.lora_enabled
        assert len(layer.weights) == 2
    kernel, _, a, b = model.get_layer("dense").get_weights()
    np.testing.assert_allclose(
        deployed.get_layer("dense").get_weights()[0], kernel + 3 * a @ b, atol=1e-6
    )
    # Under a normalization, the effective kernel of the convolution is folded too.
    assert_equal(deployed, model, (1, 7, 6, 3))


def test_quantized_layers_are_refused():
    model = user_models.build("channel norms")
    model.get_layer("dense").quantize("int8")
    with pytest.raises(ValueError, match=r"'dense.*' is quantized, so the model"):
        deploy(model)


def test_activations_that_are_layers_or_functions_of_ones_own():
    x = keras.Input((None, None, 3))
    y = x
    for number, make in enumerate(
        (
            keras.layers.Conv2D,
            keras.layers.Conv2DTranspose,
            keras.layers.SeparableConv2D,
        )
    ):
        slopes = keras.layers.PReLU(shared_axes=(1, 2), name=f"slopes_{number}")
        y = make(4, 3, padding="same", activation=slopes)(y)
        y = keras.layers.BatchNormalization()(y)

    def steep(x):
        return keras.ops.tanh(2.0 * x)

    y = keras.layers.Conv2D(3, 3, activation=steep)(y)
    model = keras.Model(x, y)
    assert_equal(deploy(model), model, (1, 7, 6, 3))  # It has built no slopes yet.
    as_trained(model)
    for form in FORMS.values():
        assert_equal(deploy(model, form), model, (1, 7, 6, 3))


def test_several_inputs_and_outputs_keep_their_structure():
    inputs = {name: keras.Input((None, None, 2), name=name) for name in ("a", "b")}
    x = keras.layers.Concatenate()([inputs["b"], inputs["a"]])
    x = keras.layers.BatchNormalization()(x)
    outputs = {"z": keras.layers.Conv2D(1, 3)(x), "y": [x]}
    model = as_trained(keras.Model(inputs, outputs))
    deployed = deploy(model)
    given = {"a": noisy(1, 5, 6, 2), "b": 2 * noisy(1, 5, 6, 2)}
    result, expected = deployed(given), model(given, training=False)
    keras.tree.assert_same_structure(result, expected)
    for ours, theirs in zip(*map(keras.tree.flatten, (result, expected)), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)


def test_names_that_keras_gives_are_no_obstacle(tmp_path):
    """In a fresh process, Keras gives the names that the model from the file has."""
    keras.utils.clear_session()
    x = keras.Input((None, None, 3))
    shared = keras.layers.Conv2D(3, 1, name="conv")
    y = keras.layers.BatchNormalization()(keras.layers.Activation("tanh")(x))
    y = keras.layers.Multiply(name="multiply")([y, x])
    y = keras.layers.Add(name="add_1")([shared(shared(y)), x])
    y = keras.layers.Conv2D(3, 1, name="conv_2")(y)
    model = as_trained(keras.Model(x, y))
    model.save(tmp_path / "model.keras")
    keras.utils.clear_session()
    deployed = deploy(keras.models.load_model(tmp_path / "model.keras"))
    assert_equal(deployed, model, (1, 5, 6, 3))


def test_errors_are_one_clear_sentence():
    model = xunit_keras.xdncnn(depth=2, filters=2)
    with pytest.raises(ValueError, match=r"`form` must be a `Form`.*'litert'"):
        deploy(model, "litert")
    with pytest.raises(ValueError, match=r"must be a Keras model.*'xdncnn'"):
        deploy("xdncnn")

    class Subclassed(keras.Model):
        def call(self, x):
            return x

    with pytest.raises(ValueError, match=r"'subclassed.*' of class.* not functional"):
        deploy(Subclassed())
    inputs = keras.Input((None, None, 1))
    unknown = keras.Model(inputs, keras.layers.Lambda(lambda x: x + 1)(inputs))
    with pytest.raises(ValueError, match="class Lambda cannot be made again"):
        deploy(unknown)


@pytest.mark.slow
def test_the_published_network_deploys_exactly(real_data):
    from xunit_keras.checkpoints.authors import load_checkpoint

    file = real_data / "official_xunit" / "xdncnn_res_f64k3k9_s25.pkl"
    model = load_checkpoint(file)
    x = noisy(1, 33, 41, 1)
    expected = run(model, x)
    for form in FORMS.values():
        result = run(deploy(model, form), x)
        np.testing.assert_allclose(result, expected, atol=1e-5)
