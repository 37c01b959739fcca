import keras
import numpy as np
import pytest
from keras import layers, ops
from networks import as_trained

import xunit_keras as xk
from xunit_keras.graphs.counting import multiply_adds

SMALL_DENOISERS = {
    "convnet": lambda **kwargs: xk.convnet(depth=3, filters=4, **kwargs),
    "xnet": lambda **kwargs: xk.xnet(depth=3, kernel_size=5, filters=4, **kwargs),
    "dncnn": lambda **kwargs: xk.dncnn(depth=4, filters=4, **kwargs),
    "xdncnn": lambda **kwargs: xk.xdncnn(depth=4, kernel_size=5, filters=4, **kwargs),
}
DENOISING = [xk.convnet, xk.xnet, xk.dncnn, xk.xdncnn]
DERAINING = [xk.derainnet, xk.xderain]
SUPER_RESOLUTION = [xk.srcnn, xk.xsrcnn_f, xk.xsrcnn_c]
RESIDUAL = [xk.srresnet, xk.xsrresnet]
NOT_ONE_LAYER = (
    layers.InputLayer,
    layers.Subtract,
    layers.Add,
    xk.BicubicUpsampling,
)


def numpy(tensor):
    return ops.convert_to_numpy(tensor)


def random_images(*shape):
    return np.random.default_rng(0).random(shape).astype("float32")


def names(model):
    return [layer.name for layer in model.layers]


def convolutions(model):
    """Side, input channels and filters of every convolution."""
    return [
        (layer.kernel_size[0], layer.kernel.shape[-2], layer.filters)
        for layer in model.layers
        if isinstance(layer, layers.Conv2D)
    ]


def silence(model):
    """Zeroes the last convolution, so that the network predicts no difference."""
    last = [layer for layer in model.layers if isinstance(layer, layers.Conv2D)][-1]
    last.set_weights([np.zeros(weight.shape) for weight in last.weights])


def test_layers_of_xdncnn():
    model = xk.xdncnn()
    expected = ["image", "conv_1", "xunit_1"]
    for i in range(2, 9):
        expected += [f"norm_{i}", f"conv_{i}", f"xunit_{i}"]
    assert names(model) == [*expected, "conv_9", "restored"]
    middle = [(3, 64, 64)] * 7
    assert convolutions(model) == [(3, 1, 64), *middle, (3, 64, 1)]
    for layer in model.layers:
        if isinstance(layer, xk.XUnit):
            assert (layer.kernel_size, layer.gate) == (9, "gaussian")
            assert (layer.momentum, layer.epsilon) == (0.9, 1e-5)
        if isinstance(layer, layers.BatchNormalization):
            assert (layer.momentum, layer.epsilon) == (0.9, 1e-5)


def test_layers_of_dncnn():
    model = xk.dncnn()
    expected = ["image", "conv_1", "relu_1"]
    for i in range(2, 17):
        expected += [f"conv_{i}", f"norm_{i}", f"relu_{i}"]
    assert names(model) == [*expected, "conv_17", "restored"]
    middle = [(3, 64, 64)] * 15
    assert convolutions(model) == [(3, 1, 64), *middle, (3, 64, 1)]


def test_layers_of_the_small_denoisers():
    assert names(xk.convnet(depth=3)) == (
        "image conv_1 norm_1 relu_1 conv_2 norm_2 relu_2 conv_3 restored".split()
    )
    assert names(xk.xnet(depth=3)) == (
        "image conv_1 xunit_1 conv_2 xunit_2 conv_3 restored".split()
    )


def test_layers_of_the_rain_removers():
    model = xk.xderain()
    assert model.name == "xderain"
    assert names(model) == names(xk.xdncnn())
    assert model.input_shape == (None, None, None, 3)
    assert convolutions(model)[0] == (3, 3, 64)
    assert convolutions(model)[-1] == (3, 64, 3)

    model = xk.derainnet()
    assert convolutions(model) == [(16, 3, 512), (1, 512, 512), (8, 512, 3)]
    activations = [layer.activation.__name__ for layer in model.layers[1:]]
    assert activations == ["tanh", "tanh", "linear"]


@pytest.mark.parametrize(
    ("builder", "expected"),
    [
        (xk.srcnn, [(9, 1, 64), (5, 64, 32), (5, 32, 1)]),
        (xk.xsrcnn_f, [(9, 1, 64), (3, 64, 32), (5, 32, 1)]),
        (xk.xsrcnn_c, [(9, 1, 42), (5, 42, 32), (5, 32, 1)]),
    ],
)
def test_layers_of_super_resolution(builder, expected):
    activation = "relu" if builder is xk.srcnn else "xunit"
    body = f"conv_1 {activation}_1 conv_2 {activation}_2 conv_3".split()
    assert convolutions(builder()) == expected
    assert names(builder()) == ["image", *body]
    assert names(builder(scale=2)) == ["image", "bicubic", *body]
    assert names(builder(residual=True)) == ["image", *body, "restored"]
    assert names(builder(scale=3, residual=True)) == [
        "image",
        "bicubic",
        *body,
        "restored",
    ]


def test_layers_of_the_residual_networks():
    ends = ["conv_2", "norm_2", "features", "enlarge_1_conv", "enlarge_1_prelu"]
    block = "block_1_conv_1 block_1_{} block_1_conv_2 block_1_norm block_1"
    assert names(xk.xsrresnet(scale=3, blocks=1, filters=4)) == (
        ["image", "conv_1", "prelu_1", *block.format("xunit").split(), *ends, "conv_3"]
    )
    block = (
        "block_1_conv_1 block_1_norm_1 block_1_prelu block_1_conv_2 block_1_norm_2 "
        "block_1"
    )
    stage = ["enlarge_2_conv", "enlarge_2_prelu", "conv_3"]
    assert names(xk.srresnet(scale=4, blocks=1, filters=4)) == (
        ["image", "conv_1", "prelu_1", *block.split(), *ends, *stage]
    )
    first, *middle = convolutions(xk.srresnet(scale=4, channels=3))
    assert first == (9, 3, 64)
    assert middle == [(3, 64, 64)] * 33 + [(3, 64, 256)] * 2 + [(9, 64, 3)]
    first, *middle = convolutions(xk.xsrresnet(scale=3))
    assert first == (9, 1, 64)
    assert middle == [(3, 64, 64)] * 21 + [(3, 64, 576), (9, 64, 1)]


@pytest.mark.parametrize("builder", RESIDUAL)
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_residual_networks_enlarge_any_size(builder, scale):
    model = builder(scale=scale, residual=True, blocks=1, filters=4, channels=3)
    assert model.input_shape == model.output_shape == (None, None, None, 3)
    silence(model)
    for size in ((1, 1), (5, 3)):
        images = random_images(2, *size, 3)
        expected = numpy(xk.BicubicUpsampling(scale)(images))
        np.testing.assert_allclose(numpy(model(images)), expected, atol=1e-6)


@pytest.mark.parametrize("builder", RESIDUAL)
def test_a_silent_block_hands_on_what_it_got(builder):
    two, one = (builder(scale=2, blocks=blocks, filters=4) for blocks in (2, 1))
    for layer in one.layers:
        layer.set_weights(two.get_layer(layer.name).get_weights())
    last = "block_2_norm" if builder is xk.xsrresnet else "block_2_norm_2"
    two.get_layer(last).gamma.assign(np.zeros(4))
    images = random_images(1, 6, 7, 1)
    np.testing.assert_allclose(numpy(two(images)), numpy(one(images)), atol=1e-6)
    assert np.abs(numpy(two(images))).max() > 1e-3


def test_pixel_shuffle_lays_out_the_features():
    """The first filters of the last stage give the upper left pixels, and so on."""
    model = xk.srresnet(scale=3, blocks=1, filters=2)
    images = random_images(1, 4, 5, 1)
    inside = keras.Model(
        model.input,
        [model.get_layer("enlarge_1_conv").output, model.get_layer("conv_3").input],
    )
    before, after = (numpy(x) for x in inside(images))
    expected = before.reshape(1, 4, 5, 3, 3, 2).transpose(0, 1, 3, 2, 4, 5)
    # PReLU starts with slopes of zero.
    expected = np.maximum(expected.reshape(1, 12, 15, 2), 0)
    np.testing.assert_allclose(after, expected, atol=1e-6)


@pytest.mark.parametrize("builder", SMALL_DENOISERS.values(), ids=SMALL_DENOISERS)
@pytest.mark.parametrize("channels", [1, 3])
def test_denoisers_keep_any_size_and_subtract_what_they_predict(builder, channels):
    model = builder(channels=channels)
    assert model.input_shape == model.output_shape == (None, None, None, channels)
    silence(model)
    for size in ((1, 1), (1, 7), (6, 4)):
        images = random_images(2, *size, channels)
        np.testing.assert_array_equal(numpy(model(images)), images)


@pytest.mark.parametrize("builder", SUPER_RESOLUTION)
@pytest.mark.parametrize("scale", [None, 2, 3, 4])
def test_super_resolution_enlarges_any_size(builder, scale):
    model = builder(scale=scale, residual=True)
    assert model.input_shape == model.output_shape == (None, None, None, 1)
    silence(model)
    for size in ((1, 1), (5, 3)):
        images = random_images(2, *size, 1)
        expected = images
        if scale is not None:
            expected = numpy(xk.BicubicUpsampling(scale)(images))
        np.testing.assert_allclose(numpy(model(images)), expected, atol=1e-6)


def test_without_residual_the_network_predicts_the_image():
    model = xk.srcnn(scale=2)
    silence(model)
    result = numpy(model(random_images(1, 4, 5, 1)))
    np.testing.assert_array_equal(result, np.zeros((1, 8, 10, 1)))


def test_a_difference_starts_small():
    images = random_images(1, 16, 16, 1)
    for model in (
        *(b() for b in SMALL_DENOISERS.values()),
        xk.xsrcnn_f(scale=None, residual=True),
    ):
        assert np.abs(numpy(model(images)) - images).max() < 0.2
    enlarged = numpy(xk.BicubicUpsampling(2)(images))
    for builder in RESIDUAL:
        model = builder(scale=2, residual=True, blocks=2)
        assert np.abs(numpy(model(images)) - enlarged).max() < 0.2


@pytest.mark.parametrize(
    "builder", [*DENOISING, *DERAINING, *SUPER_RESOLUTION, *RESIDUAL]
)
def test_names(builder):
    model = builder()
    assert model.name == builder.__name__
    assert builder(name="mine").name == "mine"
    assert len(set(names(model))) == len(model.layers)
    paths = [weight.path for weight in model.weights]
    assert len(set(paths)) == len(paths)


def test_arguments_reach_the_activations():
    for model in (
        xk.xnet(depth=3, kernel_size=7, filters=4, gate="sigmoid"),
        xk.xdncnn(depth=3, kernel_size=7, filters=4, gate="sigmoid"),
        xk.xderain(depth=3, kernel_size=7, filters=4, gate="sigmoid"),
        xk.xsrcnn_f(kernel_size=7, gate="sigmoid"),
        xk.xsrcnn_c(kernel_size=7, gate="sigmoid"),
        xk.xsrresnet(blocks=2, kernel_size=7, gate="sigmoid"),
    ):
        units = [layer for layer in model.layers if isinstance(layer, xk.XUnit)]
        assert [(u.kernel_size, u.gate) for u in units] == [(7, "sigmoid")] * 2


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_under_mixed_precision_the_image_itself_stays_in_float32(
    keras_settings, policy
):
    keras_settings.set_dtype_policy(policy)
    images = random_images(1, 6, 5, 1)
    for model in (
        xk.xdncnn(depth=3, kernel_size=5, filters=4),
        xk.convnet(depth=3, filters=4),
        xk.xsrcnn_f(scale=None, residual=True),
    ):
        computing = {
            layer.compute_dtype
            for layer in model.layers
            if not isinstance(layer, NOT_ONE_LAYER)
        }
        assert policy.removeprefix("mixed_") in computing
        silence(model)
        result = model(images)
        assert keras.backend.standardize_dtype(result.dtype) == "float32"
        np.testing.assert_array_equal(numpy(result), images)

    model = xk.xsrcnn_c(scale=3, residual=True)
    silence(model)
    keras_settings.set_dtype_policy("float32")
    expected = numpy(xk.BicubicUpsampling(3)(images))
    np.testing.assert_allclose(numpy(model(images)), expected, atol=1e-6)


def test_channels_first(keras_settings):
    keras_settings.set_image_data_format("channels_first")
    assert xk.xdncnn(depth=3, kernel_size=5, filters=4, channels=3).input_shape == (
        None,
        3,
        None,
        None,
    )
    assert xk.convnet(depth=3, filters=4, channels=3).output_shape == (
        None,
        3,
        None,
        None,
    )
    for model in (
        xk.xsrcnn_f(scale=2, residual=True),
        xk.xsrresnet(scale=2, residual=True, blocks=1, kernel_size=3, filters=4),
    ):
        assert model.output_shape == (None, 1, None, None)
        assert model.compute_output_shape((4, 1, 5, 6)) == (4, 1, 10, 12)


@pytest.mark.parametrize(
    "build",
    [
        lambda: xk.xdncnn(depth=3, kernel_size=5, filters=4),
        lambda: xk.convnet(depth=3, filters=4),
        lambda: xk.srcnn(scale=2, residual=True),
        lambda: xk.xsrresnet(
            scale=2, residual=True, blocks=1, kernel_size=5, filters=4
        ),
    ],
)
def test_a_training_step_lowers_the_loss(build):
    keras.utils.set_random_seed(0)
    model = build()
    images = random_images(4, 8, 8, 1)
    targets = 0.5 * random_images(*model.compute_output_shape(images.shape))
    model.compile(keras.optimizers.Adam(1e-3), "mse")
    losses = [model.train_on_batch(images, targets) for _ in range(4)]
    assert losses[-1] < losses[0]


def test_the_same_seed_gives_the_same_weights():
    weights = []
    for seed in (1, 1, 2):
        keras.utils.set_random_seed(seed)
        weights.append(xk.xdncnn(depth=3, kernel_size=3, filters=4).get_weights())
    equal = [
        all(np.array_equal(a, b) for a, b in zip(weights[0], other, strict=True))
        for other in weights[1:]
    ]
    assert equal == [True, False]


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: xk.convnet(depth=1), "depth=1"),
        (lambda: xk.convnet(depth=0), "depth=0"),
        (lambda: xk.xnet(depth=2.5), r"depth=2\.5"),
        (lambda: xk.dncnn(depth=True), "depth=True"),
        (lambda: xk.dncnn(filters=0), "filters=0"),
        (lambda: xk.xdncnn(filters="64"), "filters='64'"),
        (lambda: xk.xdncnn(channels=-1), "channels=-1"),
        (lambda: xk.xdncnn(kernel_size=4), "kernel_size=4"),
        (lambda: xk.xnet(gate="tanh"), "gate='tanh'"),
        (lambda: xk.xderain(depth=1), "depth=1"),
        (lambda: xk.srcnn(scale=1), "scale=1"),
        (lambda: xk.xsrcnn_f(scale=2.5), r"scale=2\.5"),
        (lambda: xk.xsrcnn_c(gate=None), "gate=None"),
        (lambda: xk.srresnet(scale=None), "scale=None"),
        (lambda: xk.xsrresnet(blocks=0), "blocks=0"),
        (lambda: xk.xespcn_s(scale="3"), "scale='3'"),
        (lambda: xk.derainnet(weights="no-such-model"), "no-such-model"),
        (lambda: xk.xdncnn(weights="no/such.weights.h5"), "such.weights.h5"),
    ],
)
def test_bad_arguments(build, message):
    with pytest.raises(ValueError, match=message):
        build()


@pytest.mark.parametrize(
    ("build", "scale", "parameters", "macs"),
    [
        (xk.xespcn_s, 2, 12_096, 2_984),
        (xk.xespcn_s, 3, 12_816, 1_406),
        (xk.xespcn_s, 4, 11_088, 685),
        (xk.xespcn_m, 2, 36_720, 9_096),
        (xk.xespcn_m, 3, 37_800, 4_163),
        (xk.xespcn_m, 4, 39_312, 2_436),
        (xk.xespcn_l, 2, 92_352, 22_968),
        (xk.xespcn_l, 3, 94_512, 10_448),
        (xk.xespcn_l, 4, 97_536, 6_066),
    ],
)
def test_sizes_of_the_fast_family(build, scale, parameters, macs):
    model = build(scale=scale)
    assert xk.count_parameters(model).total == parameters
    assert round(multiply_adds(model, 24, 24) / (24 * 24 * scale**2)) == macs
    assert model.name == build.__name__
    # All that is computed is of the size of the small image.
    image = random_images(1, 7, 5, 1)
    outputs = keras.Model(model.input, model.get_layer("xunit_1").output)(image)
    assert outputs.shape[1:3] == (7, 5)
    assert model(image).shape == (1, 7 * scale, 5 * scale, 1)


@pytest.mark.parametrize("builder", [xk.espcn, xk.xespcn])
def test_skips_pass_on_what_a_convolution_gets(builder):
    skipping = as_trained(builder(depth=3, filters=4, skips=True))
    plain = as_trained(builder(depth=3, filters=4))
    short = builder(depth=1, filters=4)
    for model in (skipping, plain):
        for i in (2, 3):
            conv = model.get_layer(f"conv_{i}")
            conv.set_weights([np.zeros(w.shape) for w in conv.get_weights()])
    for layer in short.layers:
        if layer.weights:
            same = "conv_4" if layer.name == "conv_2" else layer.name
            layer.set_weights(skipping.get_layer(same).get_weights())
    image = random_images(1, 9, 7, 1)
    expected = np.asarray(short(image))
    np.testing.assert_allclose(skipping(image), expected, atol=1e-6)
    assert np.abs(plain(image) - expected).max() > 1e-3


def test_builders_take_keywords_only():
    with pytest.raises(TypeError):
        xk.xdncnn(9)


def test_integers_of_numpy():
    model = xk.xsrcnn_f(scale=np.int64(2), kernel_size=np.int64(5))
    assert model.output_shape == (None, None, None, 1)
    layer = model.get_layer("xunit_1")
    assert type(layer.kernel_size) is int
    assert xk.convnet(depth=np.int32(3), filters=np.int64(4)).count_params() > 0
    for wrong in (np.float64(3.0), np.int64(0), np.bool_(True)):
        with pytest.raises(ValueError, match="depth"):
            xk.convnet(depth=wrong)


def test_an_eightfold_network():
    model = xk.xsrcnn_f(scale=8, residual=True)
    silence(model)
    images = random_images(1, 3, 4, 1)
    assert model(images).shape == (1, 24, 32, 1)
