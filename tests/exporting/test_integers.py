"""Networks that round as integers do, and their training."""

import keras
import numpy as np
import pytest
from networks import as_trained

import xunit_keras
from pipelines import quantize
from xunit_keras.exporting import formats
from xunit_keras.exporting.examples import calibration, examples
from xunit_keras.exporting.formats.base import Order
from xunit_keras.exporting.integers import (
    FakeQuantization,
    QuantizedConvolution,
    put_back,
    quantized,
)
from xunit_keras.graphs.folding import deploy
from xunit_keras.graphs.walk import run_through
from xunit_keras.runtime import engines
from xunit_keras.tasks import from_card

FORM = formats.get("litert").precision("int8-full").form


def images(count=6, side=24):
    random = np.random.default_rng(0)
    return [random.random((side, side, 1), "float32") for _ in range(count)]


@pytest.mark.parametrize(("low", "high"), [(-1.0, 2.0), (0.0, 1.0), (-3.0, 0.0)])
def test_values_are_those_that_an_integer_of_the_range_can_have(low, high):
    layer = FakeQuantization()
    values = np.linspace(low - 1, high + 1, 2001, dtype="float32").reshape(1, -1, 1, 1)
    layer.build(values.shape)
    layer.low.assign(low)
    layer.high.assign(high)
    rounded = np.unique(keras.ops.convert_to_numpy(layer(values)))
    step = (high - low) / 255
    assert len(rounded) == 256
    assert 0.0 in rounded
    np.testing.assert_allclose(np.diff(rounded), step, rtol=1e-3)
    assert abs(rounded[0] - low) <= step
    assert abs(rounded[-1] - high) <= step


@pytest.mark.parametrize(("image", "high"), [(False, 4.0), (True, 10.0)])
def test_one_value_far_off_does_not_make_all_others_coarse(image, high):
    values = np.random.default_rng(0).random((1, 2000, 2000, 1), "float32")
    values[0, 0, 0] = 10.0
    layer = FakeQuantization(image=image)
    layer.build(values.shape)
    layer.widen(values)
    layer.compare(values)
    layer.choose()
    # Cut to 4, one value is off less than four million others with steps of 10 / 255.
    assert (float(layer.low), float(layer.high)) == (0.0, pytest.approx(high))


def test_white_is_in_the_range_of_an_image_that_has_none():
    image = keras.Input((None, None, 1))
    x = keras.layers.Conv2D(4, 3, padding="same")(image)
    x = keras.layers.Conv2D(4, 3, padding="same")(x)
    x = keras.layers.Concatenate()([x, image])  # Here the image becomes an integer.
    x = keras.layers.Conv2D(1, 3, padding="same")(x)
    network = deploy(keras.Model(image, x), FORM)
    rounded = quantized(network, [0.5 * image for image in images()])
    (layer,) = (x for x in rounded.layers if getattr(x, "image", False))
    assert (float(layer.low), float(layer.high)) == (0.0, 1.0)


def test_training_leaves_ranges_alone_and_rounds():
    network = quantized(deploy(xunit_keras.xespcn(scale=2, depth=1), FORM), images())
    layers = [x for x in network.layers if isinstance(x, FakeQuantization)]
    before = [(float(x.low), float(x.high)) for x in layers]
    bright = np.full((1, 8, 8, 1), 2.0, "float32")
    learned = network(bright, training=True)
    assert [(float(x.low), float(x.high)) for x in layers] == before
    np.testing.assert_array_equal(learned, network(bright))


@pytest.mark.parametrize(
    "network",
    [
        xunit_keras.xespcn(scale=2, depth=1),  # bicubic beside it, then a sum
        xunit_keras.xsrcnn_f(scale=2, residual=True),  # bicubic before it
        xunit_keras.xdncnn(depth=2, filters=4),  # the image minus the noise
    ],
    ids=lambda model: model.name,
)
def test_the_image_itself_is_not_rounded(network):
    network = as_trained(network)
    rounded = quantized(deploy(network, FORM), images())
    for layer in rounded.layers:
        if isinstance(layer, QuantizedConvolution):
            layer = layer.layer
        if layer.trainable_weights:
            layer.set_weights([0.0 * w for w in layer.get_weights()])
    image = images(1)[0][None]
    plain = deploy(network, FORM)
    for layer in plain.layers:
        layer.set_weights([0.0 * w for w in layer.get_weights()])
    np.testing.assert_allclose(rounded(image), plain(image), atol=1e-6)
    assert np.ptp(np.asarray(plain(image))) > 0.5


def what_takes_what(network):
    """Pairs of an operation's kind, whose results another takes, and the other's."""
    seen = set()

    def operate(operation):
        def kinds(*args, **kwargs):
            kind = type(operation).__name__
            got = {x for x in keras.tree.flatten((args, kwargs)) if isinstance(x, str)}
            seen.update((source, kind) for source in got)
            return kind

        return kinds

    rounded = quantized(deploy(as_trained(network), FORM), images())
    run_through(rounded, "InputLayer", operate)
    return seen


def test_all_that_convolutions_and_gates_take_is_rounded_but_the_first():
    seen = what_takes_what(xunit_keras.xdncnn(depth=3, filters=4))
    rounding = "FakeQuantization"
    assert {pair for pair in seen if rounding not in pair} == {
        ("InputLayer", "Conv2D"),
        ("Conv2D", "Multiply"),  # by the gate of the first unit
        ("InputLayer", "Subtract"),  # of what comes out of the last convolution
        ("Add", "HardTanh"),  # one operation
    }
    assert {"QuantizedConvolution", "ZeroPadding2D", "Add", "Elu", "Multiply"} < {
        kind for source, kind in seen if source == rounding
    }


def test_sums_of_features_take_integers():
    network = xunit_keras.xespcn(scale=2, depth=3, filters=4, skips=True)
    taken = {source for source, kind in what_takes_what(network) if kind == "Add"}
    # The others are the correction and the enlarged image, at the end.
    assert taken == {"FakeQuantization", "DepthToSpace", "BicubicUpsampling"}


@pytest.mark.parametrize("depthwise", [False, True])
def test_kernels_have_8_bits_and_a_scale_for_each_channel(depthwise):
    kind = keras.layers.DepthwiseConv2D if depthwise else keras.layers.Conv2D
    arguments = {} if depthwise else {"filters": 3}
    layer = kind(kernel_size=3, padding="same", **arguments)
    image = np.random.default_rng(0).normal(size=(1, 9, 9, 3)).astype("float32")
    layer(image)
    kernel = np.random.default_rng(1).normal(size=layer.kernel.shape)
    kernel *= np.array([1.0, 0.01, 20.0]).reshape((-1, 1) if depthwise else (-1,))
    layer.kernel.assign(kernel)
    axes = (0, 1, 3) if depthwise else (0, 1, 2)
    step = np.abs(kernel).max(axis=axes, keepdims=True) / 127
    expected = kind(kernel_size=3, padding="same", **arguments)
    expected(image)
    expected.kernel.assign(np.round(kernel / step) * step)
    found = QuantizedConvolution(layer)(image)
    np.testing.assert_allclose(found, expected(image), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("depthwise", [False, True])
def test_the_next_weights_make_up_for_the_rounding_of_one(depthwise):
    kind = keras.layers.DepthwiseConv2D if depthwise else keras.layers.Conv2D
    arguments = {"kernel_size": 3} if depthwise else {"kernel_size": 3, "filters": 5}
    layer = kind(**arguments, padding="same")
    random = np.random.default_rng(0)
    # As in photographs, what is near to each other is alike.
    smooth = random.normal(size=(1, 40, 40, 4)).cumsum(1).cumsum(2).astype("float32")
    layer(smooth)
    layer.kernel.assign(random.normal(size=layer.kernel.shape))
    kernel = keras.ops.convert_to_numpy(layer.kernel)
    expected = keras.ops.convert_to_numpy(layer(smooth))
    rounding = QuantizedConvolution(layer)

    def off():
        return np.square(keras.ops.convert_to_numpy(rounding(smooth)) - expected).mean()

    nearest = off()
    # By the definition, of one pixel.
    part = smooth[:, 7:10, 4:7]
    pixels = part.reshape(9, 4).T[:, None] if depthwise else part.reshape(1, 1, -1)
    valid = kind(**arguments)
    valid(smooth)
    found = QuantizedConvolution(valid).moments(part)
    np.testing.assert_allclose(found, pixels.swapaxes(1, 2) @ pixels, rtol=1e-5)

    rounding.round(rounding.moments(smooth))
    assert off() < 0.3 * nearest
    axes = (0, 1, 3) if depthwise else (0, 1, 2)
    largest = np.abs(kernel).max(axis=axes, keepdims=True)
    rounded = keras.ops.convert_to_numpy(layer.kernel)
    np.testing.assert_allclose(np.abs(rounded).max(axis=axes, keepdims=True), largest)
    integers = rounded / largest * 127
    np.testing.assert_allclose(integers, np.round(integers), atol=1e-3)


def test_kernels_of_which_nothing_is_seen_are_rounded_to_what_is_next():
    layer = keras.layers.Conv2D(3, 1)
    black = np.zeros((1, 4, 4, 2), "float32")
    layer(black)
    kernel = np.array([[1.0, 0.5, 0.0], [0.3, -0.01, 0.0]]).reshape(1, 1, 2, 3)
    layer.kernel.assign(kernel)
    rounding = QuantizedConvolution(layer)
    rounding.round(rounding.moments(black))
    step = np.array([1.0, 0.5, 1.0]) / 127
    np.testing.assert_allclose(layer.kernel, np.round(kernel / step) * step, rtol=1e-5)


def test_it_loses_what_the_file_in_integers_loses(tmp_path):
    name = "xespcn-s-x3"
    task, model = from_card(xunit_keras.card(name)), xunit_keras.load(name)
    parts = list(calibration(task))
    plain = deploy(model, FORM, parts)
    network = quantized(plain, parts)
    shape = (None, *network.input_shape[1:])
    file = tmp_path / "model.tflite"
    formats.get("litert").write(Order(network, file, shape, task.scale, "int8-full"))
    run = engines.open_file(tmp_path / "model.tflite", "litert")
    rounded, integers = [], []
    for _, degraded in examples(task, 96, 96):
        exact = np.array(model(degraded[None]))
        rounded.append(np.abs(network(degraded[None]) - exact).mean())
        integers.append(np.abs(run(degraded[None]) - exact).mean())
    assert np.mean(integers) > 1e-3
    assert np.mean(rounded) == pytest.approx(np.mean(integers), rel=0.25)


def test_gradients_pass_and_what_is_learned_comes_back():
    model = as_trained(xunit_keras.xespcn(scale=2, depth=2, filters=8))
    plain = deploy(model, FORM)
    network = quantized(plain, images())
    network.compile(keras.optimizers.Adam(1e-3), "mse")
    names = ("conv_1", "conv_2")  # in float, and in integers

    def weights():
        return [w.copy() for name in names for w in plain.get_layer(name).get_weights()]

    before = weights()
    network.fit(np.stack(images()), np.ones((6, 48, 48, 1)), epochs=2, verbose=0)
    after = weights()
    assert all(np.abs(a - b).max() > 1e-4 for a, b in zip(after, before, strict=True))
    other = deploy(model, FORM)
    put_back(network, other)
    image = images(1)[0][None]
    np.testing.assert_allclose(other(image), plain(image), atol=1e-6)


@pytest.mark.slow
def test_the_program_trains_writes_and_scores(tmp_path, capsys):
    command = quantize.Command(
        "xsrcnn-f-x3",
        steps=2,
        patch_size=24,
        batch_size=2,
        data=("sample",),
        validation="sample",
        out=tmp_path / "run",
    )
    scores = quantize.quantize(command)
    assert (tmp_path / "run" / "model-int8.tflite").is_file()
    assert scores["float32"] > scores["plain"] > scores["float32"] - 1
    assert scores["float32"] > scores["trained"] > scores["float32"] - 2
    assert "sample, trained:" in capsys.readouterr().out
