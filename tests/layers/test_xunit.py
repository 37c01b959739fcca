import keras
import numpy as np
import pytest
import references
from keras import ops
from layers.checks import check_layer, random_images, randomize, weights_by_path

from tuning.budget import xunit_parameters
from xunit_keras import CenterImpulse, XUnit

FRESH_PROCESS = """
import sys
import numpy as np
import xunit_keras
import keras
model = keras.models.load_model(sys.argv[1])
images = np.load(sys.argv[2])
np.save(sys.argv[3], keras.ops.convert_to_numpy(model(images)))
"""


PARAMETERS = {
    "standard": lambda k, channels: (k**2 + 4) * channels,
    "dense": lambda k, channels: (k**2 + 4) * channels + channels**2,
    "slim": lambda k, channels: (k**2 + 2) * channels,
}


def numpy(tensor):
    return ops.convert_to_numpy(tensor)


@pytest.mark.parametrize(
    ("gate", "form", "data_format"),
    [
        ("gaussian", "standard", "channels_last"),
        ("sigmoid", "standard", "channels_first"),
        ("gaussian", "dense", "channels_last"),
        ("gaussian", "slim", "channels_first"),
    ],
)
def test_layer(gate, form, data_format, tmp_path):
    last = data_format == "channels_last"
    shape = (2, 6, 7, 3) if last else (2, 3, 6, 7)
    check_layer(
        XUnit,
        {
            "kernel_size": 5,
            "gate": gate,
            "form": form,
            "depthwise_initializer": "glorot_uniform",
            "gate_initializer": "ones",
            "momentum": 0.8,
            "epsilon": 1e-4,
            "data_format": data_format,
        },
        input_shape=shape,
        output_shape=shape,
        trainable=PARAMETERS[form](5, 3),
        non_trainable=2 * 3 if form == "slim" else 4 * 3,
        tmp_path=tmp_path,
    )


@pytest.mark.parametrize("form", PARAMETERS)
@pytest.mark.parametrize("gate", ["gaussian", "sigmoid"])
@pytest.mark.parametrize("shape", [(2, 12, 11, 3), (3, 1, 2, 4), (1, 1, 1, 1)])
def test_equals_the_definition(form, gate, shape):
    layer = XUnit(9, gate, form)
    layer.build(shape)
    randomize(layer)
    reference = references.XUnit(weights_by_path(layer), gate, form)
    images = random_images(*shape)
    np.testing.assert_allclose(numpy(layer(images)), reference(images), atol=2e-6)


@pytest.mark.parametrize(
    ("form", "evaluation"),
    [
        ("standard", "native"),
        ("standard", "shifts"),
        ("standard", "blocks"),
        ("dense", "native"),
        ("slim", "native"),
    ],
)
def test_training_equals_the_definition_over_several_steps(form, evaluation):
    layer = XUnit(7, form=form, evaluation=evaluation)
    layer.build((4, 9, 10, 3))
    randomize(layer)
    reference = references.XUnit(weights_by_path(layer), form=form)
    for seed in range(4):
        images = random_images(4, 9, 10, 3, seed=seed)
        outputs = numpy(layer(images, training=True))
        np.testing.assert_allclose(outputs, reference(images, training=True), atol=1e-5)
    expected_norms = [reference.input_norm, reference.gate_norm]
    if form == "slim":
        expected_norms = [reference.gate_norm]
    for norm, expected in zip(layer.norms, expected_norms, strict=True):
        np.testing.assert_allclose(
            numpy(norm.moving_mean), expected.moving_mean, atol=1e-6
        )
        np.testing.assert_allclose(
            numpy(norm.moving_variance), expected.moving_variance, rtol=1e-5
        )


def test_momentum_and_epsilon_reach_both_normalizations():
    layer = XUnit(3, momentum=0.7, epsilon=0.02)
    for norm in (layer.input_norm, layer.gate_norm):
        assert (norm.momentum, norm.epsilon) == (0.7, 0.02)


def test_weight_map_is_the_factor_and_lies_in_0_to_1():
    images = random_images(2, 8, 8, 3)
    for gate in ("gaussian", "sigmoid"):
        layer = XUnit(5, gate)
        layer.build(images.shape)
        randomize(layer)
        weight_map = numpy(layer.weight_map(images))
        assert weight_map.min() > 0 and weight_map.max() <= 1
        np.testing.assert_allclose(numpy(layer(images)), images * weight_map, rtol=1e-6)


def test_it_is_spatial():
    """A pixel's weight depends on its neighbors within the kernel's reach alone."""
    layer = XUnit(9)
    layer.build((1, 21, 21, 1))
    randomize(layer)
    images = np.ones((1, 21, 21, 1), "float32")
    changed = images.copy()
    changed[0, 10, 10] = 3.0
    moved = numpy(layer(images)) != numpy(layer(changed))
    rows, columns = np.nonzero(moved[0, ..., 0])
    assert (rows.min(), rows.max()) == (6, 14)
    assert (columns.min(), columns.max()) == (6, 14)


@pytest.mark.parametrize("form", PARAMETERS)
@pytest.mark.parametrize(("kernel_size", "channels"), [(1, 2), (9, 64), (15, 5)])
def test_parameters_are_those_of_the_papers(form, kernel_size, channels):
    layer = XUnit(kernel_size, form=form)
    layer.build((None, None, None, channels))
    parameters = sum(int(np.prod(w.shape)) for w in layer.trainable_weights)
    assert parameters == PARAMETERS[form](kernel_size, channels)
    assert xunit_parameters(channels, kernel_size, form) == parameters


def test_a_configuration_without_a_form_is_the_standard_one():
    config = XUnit(5).get_config()
    del config["form"]
    assert XUnit.from_config(config).form == "standard"


def test_in_the_dense_form_a_channel_sees_the_others():
    images = random_images(1, 9, 9, 2)
    changed = images.copy()
    changed[..., 1] += 1.0
    sees = {}
    for form in PARAMETERS:
        layer = XUnit(3, form=form)
        layer.build(images.shape)
        randomize(layer)
        first, second = (numpy(layer(x))[..., 0] for x in (images, changed))
        sees[form] = not np.array_equal(first, second)
    assert sees == {"standard": False, "dense": True, "slim": False}


@pytest.mark.parametrize("form", PARAMETERS)
def test_channels_first_is_channels_last_transposed(form):
    images = random_images(2, 10, 9, 3)
    last = XUnit(5, form=form)
    first = XUnit(5, form=form, data_format="channels_first")
    last.build(images.shape)
    randomize(last)
    first.build((2, 3, 10, 9))
    first.set_weights(last.get_weights())
    for training in (False, True):
        expected = numpy(last(images, training=training))
        result = numpy(first(images.transpose(0, 3, 1, 2), training=training))
        np.testing.assert_allclose(result.transpose(0, 2, 3, 1), expected, atol=1e-5)
    for a, b in zip(first.get_weights(), last.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_data_format_in_any_case():
    layer = XUnit(3, data_format="Channels_Last")
    assert layer.data_format == "channels_last"
    assert layer(random_images(1, 4, 5, 6)).shape == (1, 4, 5, 6)
    assert layer.input_norm.gamma.shape == (6,)


def test_default_initializers_open_the_gate_and_see_the_pixel():
    layer = XUnit(9)
    layer.build((None, None, None, 32))
    kernel = numpy(layer.depthwise.kernel)[..., 0]
    assert abs(kernel[4, 4].mean() - 1.0) < 0.03
    kernel[4, 4] -= 1.0
    assert abs(kernel.mean()) < 0.003
    assert 0.027 < kernel.std() < 0.033
    assert (numpy(layer.gate_norm.gamma) == 0.5).all()
    assert (numpy(layer.input_norm.gamma) == 1.0).all()


def test_the_initializers_of_the_paper():
    layer = XUnit(9, depthwise_initializer="glorot_uniform", gate_initializer="ones")
    layer.build((None, None, None, 32))
    kernel = numpy(layer.depthwise.kernel)
    assert abs(kernel[4, 4].mean()) < np.abs(kernel).max()
    assert (numpy(layer.gate_norm.gamma) == 1.0).all()


def test_center_impulse():
    kernel = numpy(CenterImpulse(0.0)((5, 7, 2, 1)))
    expected = np.zeros((5, 7, 2, 1))
    expected[2, 3] = 1.0
    np.testing.assert_array_equal(kernel, expected)

    same = [numpy(CenterImpulse(0.1, seed=3)((3, 3, 2, 1))) for _ in range(2)]
    np.testing.assert_array_equal(*same)
    assert (same[0] != numpy(CenterImpulse(0.1, seed=4)((3, 3, 2, 1)))).any()

    twin = CenterImpulse.from_config(CenterImpulse(0.1, seed=3).get_config())
    np.testing.assert_array_equal(numpy(twin((3, 3, 2, 1))), same[0])
    half = CenterImpulse()((3, 3, 2, 1), dtype="bfloat16")
    assert keras.backend.standardize_dtype(half.dtype) == "bfloat16"


def test_frozen_it_does_not_learn():
    layer = XUnit(3)
    images = random_images(2, 5, 5, 2)
    layer.build(images.shape)
    layer.trainable = False
    before = layer.get_weights()
    layer(images, training=True)
    assert not layer.trainable_weights
    for a, b in zip(before, layer.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_pure_half_precision():
    images = random_images(2, 5, 5, 2)
    for dtype in ("float16", "bfloat16"):
        layer = XUnit(3, dtype=dtype)
        outputs = layer(images, training=True)
        assert keras.backend.standardize_dtype(outputs.dtype) == dtype
        assert np.isfinite(numpy(ops.cast(outputs, "float32"))).all()


def test_a_saved_model_opens_in_a_fresh_process(run_python, tmp_path):
    inputs = x = keras.Input((None, None, 2))
    x = XUnit(5, name="plain")(x)
    x = XUnit(
        3,
        "sigmoid",
        depthwise_initializer=CenterImpulse(0.1, seed=1),
        gate_initializer="ones",
        evaluation="blocks",
    )(x)
    x = XUnit(3, form="dense")(x)
    x = XUnit(3, form="slim")(x)
    model = keras.Model(inputs, x)
    randomize(model)
    images = random_images(2, 6, 9, 2)
    model.save(tmp_path / "model.keras")
    np.save(tmp_path / "images.npy", images)
    run_python(
        "-c",
        FRESH_PROCESS,
        tmp_path / "model.keras",
        tmp_path / "images.npy",
        tmp_path / "outputs.npy",
    )
    np.testing.assert_allclose(
        np.load(tmp_path / "outputs.npy"), numpy(model(images)), atol=1e-6
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kernel_size": 8}, "kernel_size=8"),
        ({"kernel_size": 0}, "kernel_size=0"),
        ({"kernel_size": -3}, "kernel_size=-3"),
        ({"kernel_size": 3.0}, r"kernel_size=3\.0"),
        ({"kernel_size": True}, "kernel_size=True"),
        ({"kernel_size": (3, 3)}, r"kernel_size=\(3, 3\)"),
        ({"gate": "relu"}, "gate='relu'"),
        ({"form": "wide"}, "form='wide'"),
        ({"evaluation": "fast"}, "evaluation='fast'"),
        ({"data_format": "NHWC"}, "data_format=nhwc"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        XUnit(**arguments)


def test_it_takes_images_only():
    with pytest.raises(ValueError, match="ndim"):
        XUnit()(np.zeros((4, 16), "float32"))
