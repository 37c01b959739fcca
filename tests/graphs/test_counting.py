"""Parameters and multiplications against the paper and against hand counts."""

import keras
import numpy as np
import pytest
from graphs import user_models
from keras import layers, ops
from networks import unet

import xunit_keras as xk
from xunit_keras.graphs.counting import multiply_adds

# Kernels, activations and other normalizations; the sums are the paper's.
TABLE = [
    ("dncnn", xk.dncnn, {}, (554_112, 0, 1_920), 556_032),
    ("xdncnn", xk.xdncnn, {}, (259_200, 43_520, 896), 303_616),
    ("xdncnn-rgb", xk.xdncnn, {"channels": 3}, (261_504, 43_520, 896), 305_920),
    ("xderain", xk.xderain, {}, (261_504, 43_520, 896), 305_920),
    ("derainnet", xk.derainnet, {}, (753_664, 0, 0), 753_664),
    ("srcnn", xk.srcnn, {}, (57_184, 0, 0), 57_184),
    ("xsrcnn_f", xk.xsrcnn_f, {}, (24_416, 8_160, 0), 32_576),
    ("xsrcnn_c", xk.xsrcnn_c, {}, (37_802, 6_290, 0), 44_092),
    ("srresnet", xk.srresnet, {}, (1_521_792, 0, 4_224), 1_526_016),
    ("srresnet-rgb", xk.srresnet, {"channels": 3}, (1_542_528, 0, 4_224), 1_546_752),
    ("xsrresnet", xk.xsrresnet, {}, (1_079_424, 54_400, 1_408), 1_135_232),
    (
        "xsrresnet-rgb",
        xk.xsrresnet,
        {"channels": 3},
        (1_100_160, 54_400, 1_408),
        1_155_968,
    ),
]


@pytest.mark.parametrize(
    ("builder", "arguments", "kinds", "total"),
    [row[1:] for row in TABLE],
    ids=[row[0] for row in TABLE],
)
def test_the_table_of_the_paper(builder, arguments, kinds, total):
    count = xk.count_parameters(builder(**arguments))
    assert (count.convolutions, count.activations, count.normalizations) == kinds
    assert count.total == total
    assert count.activation_share == pytest.approx(kinds[1] / total)


@pytest.mark.parametrize("builder", [xk.srcnn, xk.xsrcnn_f, xk.xsrcnn_c])
def test_scale_and_residual_cost_nothing(builder):
    plain = xk.count_parameters(builder())
    assert xk.count_parameters(builder(scale=3, residual=True)) == plain


def test_dncnn_as_published():
    """555 K is the count with the normalizations merged into 17 layers of biases."""
    model = xk.dncnn()
    biases = sum(
        int(np.prod(layer.bias.shape))
        for layer in model.layers
        if isinstance(layer, keras.layers.Conv2D)
    )
    assert xk.count_parameters(model).convolutions + biases == 555_137


def test_nothing_trainable_is_forgotten_but_biases():
    model = xk.xdncnn(depth=4, kernel_size=5, filters=6)
    biases = sum(
        int(np.prod(weight.shape))
        for weight in model.trainable_weights
        if weight.name == "bias"
    )
    trainable = sum(int(np.prod(w.shape)) for w in model.trainable_weights)
    assert xk.count_parameters(model).total == trainable - biases


def test_nested_models_and_other_layers():
    inner = xk.xnet(depth=3, kernel_size=5, filters=4)
    inputs = keras.Input((None, None, 1))
    x = inner(inputs)
    x = keras.layers.SeparableConv2D(2, 3)(x)
    x = keras.layers.DepthwiseConv2D(3)(x)
    x = keras.layers.BatchNormalization()(x)
    x = keras.layers.PReLU(shared_axes=(1, 2))(x)
    count = xk.count_parameters(keras.Model(inputs, x))
    alone = xk.count_parameters(inner)
    assert count.activations == alone.activations
    assert count.convolutions == alone.convolutions + (9 + 2) + 18
    assert count.normalizations == alone.normalizations + 4


def test_no_parameters_at_all():
    inputs = keras.Input((None, None, 1))
    model = keras.Model(inputs, xk.BicubicUpsampling(2)(inputs))
    count = xk.count_parameters(model)
    assert (count.total, count.activation_share) == (0, 0.0)


def test_a_model_without_weights_yet_is_refused():
    model = keras.Sequential([keras.layers.Conv2D(4, 3)], name="unbuilt")
    with pytest.raises(ValueError, match="unbuilt"):
        xk.count_parameters(model)
    with pytest.raises(ValueError, match=r"must be a Keras model.*'xdncnn'"):
        xk.count_parameters("xdncnn")


def counts(model):
    count = xk.count_parameters(model)
    return count.convolutions, count.activations, count.normalizations


def test_a_unit_inside_a_block_of_ones_own():
    """The unit's own normalizations are its own, the block's are not."""
    model = user_models.build("blocks")
    convolutions = 3 * 9 * 3 * 3
    assert counts(model) == (convolutions, (25 + 4) * 3, 2 * 2 * 3)
    wrapped = user_models.build("subclassed")
    assert counts(wrapped) == (convolutions, (25 + 4) * 3, 2 * 2 * 3)


def test_shared_layers_are_counted_once_and_lora_not_at_all():
    assert counts(user_models.build("nested")) == (3 * 9 * 3 * 3, 0, 2 * 3)
    assert counts(user_models.build("lora")) == (
        9 * 3 * 4 + 4 * 5 + 9 * 5 * 3,
        0,
        2 * 5,
    )


def stacked(*stack, channels=6):
    inputs = x = keras.Input((None, None, channels))
    for layer in stack:
        x = layer(x)
    return keras.Model(inputs, x)


# Multiplications in an image of 8x12 with 6 channels, by hand.
LAYERS = {
    "convolution": (
        lambda: layers.Conv2D(5, (3, 4), padding="same"),
        3 * 4 * 6 * 5 * (8 * 12),
    ),
    "strides": (
        lambda: layers.Conv2D(5, 3, strides=2, padding="same"),
        9 * 6 * 5 * (4 * 6),
    ),
    "inside alone": (lambda: layers.Conv2D(5, 3), 9 * 6 * 5 * (6 * 10)),
    "dilated": (
        lambda: layers.Conv2D(5, 3, dilation_rate=2, padding="same"),
        9 * 6 * 5 * (8 * 12),
    ),
    "groups": (
        lambda: layers.Conv2D(4, 3, groups=2, padding="same"),
        9 * 3 * 4 * (8 * 12),
    ),
    "depthwise": (
        lambda: layers.DepthwiseConv2D(5, depth_multiplier=3, padding="same"),
        25 * 6 * 3 * (8 * 12),
    ),
    "large depthwise": (
        lambda: xk.LargeKernelDepthwiseConv2D(9, padding="same"),
        81 * 6 * (8 * 12),
    ),
    "separable": (
        lambda: layers.SeparableConv2D(
            7, 3, strides=2, depth_multiplier=2, padding="same"
        ),
        (9 * 6 * 2 + 6 * 2 * 7) * (4 * 6),
    ),
    # Each pixel of the input is multiplied with the whole kernel.
    "transposed": (
        lambda: layers.Conv2DTranspose(5, 4, strides=2, padding="same"),
        16 * 6 * 5 * (8 * 12),
    ),
    "dense": (lambda: layers.Dense(7), 6 * 7 * (8 * 12)),
    "XUnit": (lambda: xk.XUnit(5), 25 * 6 * (8 * 12)),
    "dense XUnit": (lambda: xk.XUnit(5, form="dense"), (25 + 6) * 6 * (8 * 12)),
    "slim XUnit": (lambda: xk.XUnit(7, form="slim"), 49 * 6 * (8 * 12)),
    "nothing": (lambda: layers.ReLU(), 0),
    "a fixed interpolation": (lambda: layers.UpSampling2D(2), 0),
}


@pytest.mark.parametrize(
    ("name", "data_format"),
    [
        *((name, "channels_last") for name in LAYERS),
        # A dense layer is along the last axis.
        *((name, "channels_first") for name in LAYERS if name != "dense"),
    ],
)
def test_multiply_adds_of_layers_by_hand(name, data_format, keras_settings):
    keras_settings.set_image_data_format(data_format)
    layer, expected = LAYERS[name]
    inputs = keras.Input((None, None, 6))
    if data_format == "channels_first":
        inputs = keras.Input((6, None, None))
    before = layers.Conv2D(6, 1)(inputs)  # says what the data format is
    model = keras.Model(inputs, layer()(before))
    assert multiply_adds(model, 8, 12) == 36 * 8 * 12 + expected
    assert multiply_adds(model, np.int64(8), np.int32(12)) == 36 * 8 * 12 + expected


def test_multiply_adds_of_networks_by_hand():
    pixels = 10 * 7
    xdncnn = 9 * (64 + 7 * 64 * 64 + 64) + 8 * 81 * 64
    assert multiply_adds(xk.xdncnn(), 10, 7) == pixels * xdncnn
    srcnn = 81 * 64 + 25 * 64 * 32 + 25 * 32
    assert multiply_adds(xk.srcnn(scale=3), 10, 7) == pixels * 9 * srcnn
    down = 9 * 4 + (9 * 4 * 8 + 4 * 8 * 4) / 4
    assert multiply_adds(unet(), 8, 4) == (down + 9 * 8 * 4 + 9 * 4) * 8 * 4


def test_multiply_adds_of_models_as_people_write_them():
    pixels, conv = 6 * 8, 9 * 3 * 3
    for name, expected in {
        "lists": 2 * 9 * 3 * 4,
        "dictionaries": 2 * 9 * 3 * 4,
        "sequential": 2 * 9 * 3 * 4,
        # A model of two uses of a convolution, used twice, and two more.
        "nested": 6 * conv,
        "keywords": 2 * 9 * 3 * 4,
        # A unit inside a block.
        "blocks": 3 * conv + 25 * 3,
        "subclassed": 3 * conv + 25 * 3,
        "doubled": conv,
        "bilinear": 9 * 3 * 4 * (1 + 4),
        "lora": 9 * 3 * 4 + 4 * 5 + 9 * 5 * 3,
    }.items():
        assert multiply_adds(user_models.build(name), 6, 8) == pixels * expected, name


def test_multiplications_that_are_not_known_are_not_counted_as_none():
    class Mixing(layers.Layer):
        def build(self, shape):
            self.matrix = self.add_weight(shape=(shape[-1], shape[-1]))

        def call(self, x):
            return ops.matmul(x, self.matrix)

    for layer, name in (
        (Mixing(), "Mixing"),
        (layers.EinsumDense("bhwc,cd->bhwd", (None, None, 3)), "EinsumDense"),
        (user_models.Scaled(), "Scaled"),
    ):
        message = f"multiplications in the layer '.*' of class {name} are not known"
        with pytest.raises(ValueError, match=message):
            multiply_adds(stacked(layer, channels=3), 8, 8)


@pytest.mark.parametrize(
    ("size", "message"),
    [
        ((0, 8), "`height` must be an integer of at least 1. Received: height=0"),
        ((8, 8.5), "`width` must be an integer of at least 1. Received: width=8.5"),
        ((7, 8), "'unet' cannot take 7x8 pixels.*multiples"),
    ],
)
def test_multiply_adds_of_images_that_the_model_does_not_take(size, message):
    with pytest.raises(ValueError, match=message):
        multiply_adds(unet(), *size)
