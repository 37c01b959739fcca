"""A deployed model equals the model, at the borders too, in plain layers."""

import keras
import numpy as np
import pytest
from networks import as_trained, noisy, without_dead_channels

import xunit_keras
from xunit_keras.deployment import FORMS, deploy


def chain(form):
    """Convolutions, units of a form, and the normalizations that can join them."""
    image = keras.Input((None, None, 1))
    x = keras.layers.Conv2D(6, 3, padding="same", name="conv_1")(image)
    x = xunit_keras.XUnit(5, form=form, name="xunit_1")(x)
    x = xunit_keras.BatchNormalization(name="norm_1")(x)
    x = xunit_keras.XUnit(7, form=form, name="xunit_2")(x)
    x = xunit_keras.BatchNormalization(center=False, name="norm_2")(x)
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
    "xsrresnet": lambda: xunit_keras.xsrresnet(4, True, 1, 5, filters=8),
    "dense": lambda: chain("dense"),
    "slim": lambda: chain("slim"),
}

# One for each form; the other targets share tensorflow's.
TARGETS = ("tensorflow", "jax", "onnxruntime", "litert", "litert-int8")


def test_targets_have_all_forms():
    targets = (*TARGETS, "litert-int8-full")  # not exact, see below
    assert {FORMS[target] for target in targets} == set(FORMS.values())


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
    for target in TARGETS:
        deployed = deploy(model, target)
        assert deployed.name == model.name
        assert deployed.input_shape == model.input_shape
        assert deployed.output_shape == model.output_shape
        assert_equal(deployed, model, (1, 5, 7, 1), (2, 13, 1, 1))


@pytest.mark.parametrize("name", NETWORKS)
def test_the_form_for_integers_differs_by_the_clipped_gate_alone(name):
    model = as_trained(NETWORKS[name]())
    deployed = deploy(model, "litert-int8-full")
    x = noisy(2, 13, 9, 1)
    expected = run(model, x)
    difference = np.abs(run(deployed, x) - expected).max()
    assert difference < 2e-3 * np.abs(expected).max()
    units = [u for u in model.layers if isinstance(u, xunit_keras.XUnit)]
    if not any(unit.gate == "gaussian" for unit in units):
        np.testing.assert_allclose(run(deployed, x), expected, rtol=1e-5, atol=1e-5)


def test_channels_of_the_form_for_integers_have_one_range():
    model = as_trained(xunit_keras.xdncnn(depth=3, filters=8))
    uneven = model.get_layer("conv_1")
    factors = np.geomspace(0.02, 50, 8)
    norm = model.get_layer("xunit_1").input_norm
    kernel, bias = uneven.get_weights()
    uneven.set_weights([kernel * factors, bias * factors])
    gamma, beta, mean, variance = norm.get_weights()
    norm.set_weights([gamma, beta, mean * factors, variance * factors**2])
    deployed = deploy(model, "litert-int8-full")
    weights = deployed.get_layer("conv_1").get_weights()[0]
    ranges = np.abs(weights).max((0, 1, 2))
    assert ranges.max() < 30 * ranges.min()
    before = np.abs(kernel * factors).max((0, 1, 2))
    assert before.max() > 500 * before.min()


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
    for target in TARGETS:
        result = run(deploy(model, target), x)
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
    for target in TARGETS:
        results = deploy(model, target)(image, training=False)
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
    for target in ("tensorflow", "onnxruntime"):
        deployed = deploy(first, target)
        result = run(deployed, x.transpose(0, 3, 1, 2)).transpose(0, 2, 3, 1)
        np.testing.assert_allclose(result, run(last, x), rtol=1e-5, atol=1e-5)


def test_errors_are_one_clear_sentence():
    model = xunit_keras.xdncnn(depth=2, filters=2)
    with pytest.raises(ValueError, match=r"`target` must be one of .*'tpu'"):
        deploy(model, "tpu")

    class Subclassed(keras.Model):
        def call(self, x):
            return x

    with pytest.raises(ValueError, match="Only functional models"):
        deploy(Subclassed())
    inputs = keras.Input((None, None, 1))
    unknown = keras.Model(inputs, keras.layers.Lambda(lambda x: x + 1)(inputs))
    with pytest.raises(ValueError, match="class Lambda cannot be made again"):
        deploy(unknown)


@pytest.mark.slow
def test_the_published_network_deploys_exactly(real_data):
    from xunit_keras.checkpoints import load_checkpoint

    file = real_data / "official_xunit" / "xdncnn_res_f64k3k9_s25.pkl"
    model = load_checkpoint(file)
    x = noisy(1, 33, 41, 1)
    expected = run(model, x)
    for target in TARGETS:
        result = run(deploy(model, target), x)
        np.testing.assert_allclose(result, expected, atol=1e-5)
