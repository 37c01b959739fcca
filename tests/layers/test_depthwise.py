import keras
import numpy as np
import pytest
import references
from keras import ops
from layers.checks import check_layer, random_images, randomize

from xunit_keras import LargeKernelDepthwiseConv2D
from xunit_keras.layers.depthwise import LARGEST_BLOCK, split_taps

EVALUATIONS = ["native", "shifts", "blocks"]
TINY = [(1, 1), (1, 9), (2, 3)]
RECTANGLES = [(1, 9), (9, 1), (3, 7), (5, 11), (4, 9), (15, 2)]
on_tensorflow = pytest.mark.skipif(
    keras.config.backend() != "tensorflow", reason="takes TensorFlow's gradient tape"
)


def numpy(tensor):
    return ops.convert_to_numpy(ops.cast(tensor, "float32"))


def random_kernel(kernel_size, channels=3):
    return random_images(*kernel_size, channels, seed=5)


def convolve(images, kernel, evaluation, **arguments):
    layer = LargeKernelDepthwiseConv2D(
        kernel.shape[:2], evaluation=evaluation, use_bias=False, **arguments
    )
    layer.build(images.shape)
    layer.set_weights([kernel[..., None]])
    return numpy(layer(images))


@pytest.mark.parametrize("evaluation", ["auto", *EVALUATIONS])
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_layer(evaluation, data_format, tmp_path):
    last = data_format == "channels_last"
    check_layer(
        LargeKernelDepthwiseConv2D,
        {
            "kernel_size": (6, 5),
            "evaluation": evaluation,
            "padding": "valid",
            "activation": "tanh",
            "data_format": data_format,
        },
        input_shape=(2, 9, 8, 3) if last else (2, 3, 9, 8),
        output_shape=(2, 4, 4, 3) if last else (2, 3, 4, 4),
        trainable=6 * 5 * 3 + 3,
        tmp_path=tmp_path,
    )


@pytest.mark.parametrize("side", range(1, 16))
@pytest.mark.parametrize("padding", ["same", "valid"])
def test_all_evaluations_equal_the_definition(side, padding):
    kernel = random_kernel((side, side))
    images = random_images(2, 15, 17, 3)
    expected = references.depthwise(images, kernel, padding)
    for evaluation in EVALUATIONS:
        result = convolve(images, kernel, evaluation, padding=padding)
        np.testing.assert_allclose(result, expected, atol=5e-5, err_msg=evaluation)


@pytest.mark.parametrize("kernel_size", RECTANGLES)
@pytest.mark.parametrize("padding", ["same", "valid"])
def test_rectangular_kernels(kernel_size, padding):
    kernel = random_kernel(kernel_size)
    images = random_images(1, 15, 12, 3)
    expected = references.depthwise(images, kernel, padding)
    for evaluation in EVALUATIONS:
        result = convolve(images, kernel, evaluation, padding=padding)
        np.testing.assert_allclose(result, expected, atol=5e-5, err_msg=evaluation)


@pytest.mark.parametrize("size", TINY)
@pytest.mark.parametrize("side", [2, 5, 6, 9, 12, 15])
def test_images_smaller_than_the_kernel(size, side):
    kernel = random_kernel((side, side))
    images = random_images(2, *size, 3)
    expected = references.depthwise(images, kernel)
    for evaluation in EVALUATIONS:
        result = convolve(images, kernel, evaluation, padding="same")
        np.testing.assert_allclose(result, expected, atol=2e-5, err_msg=evaluation)


@pytest.mark.parametrize("evaluation", EVALUATIONS)
@pytest.mark.parametrize("kernel_size", [(9, 9), (6, 11), (3, 3)])
@pytest.mark.parametrize("padding", ["same", "valid"])
def test_channels_first(evaluation, kernel_size, padding):
    kernel = random_kernel(kernel_size)
    images = random_images(2, 10, 12, 3)
    result = convolve(
        images.transpose(0, 3, 1, 2),
        kernel,
        evaluation,
        padding=padding,
        data_format="channels_first",
    )
    np.testing.assert_allclose(
        result.transpose(0, 2, 3, 1),
        references.depthwise(images, kernel, padding),
        atol=5e-5,
    )


@pytest.mark.parametrize("evaluation", EVALUATIONS)
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize("training", [False, True])
def test_weights_and_results_are_those_of_keras(evaluation, data_format, training):
    arguments = {
        "padding": "same",
        "data_format": data_format,
        "activation": "relu",
        "bias_initializer": "random_normal",
    }
    theirs = keras.layers.DepthwiseConv2D((9, 7), **arguments)
    ours = LargeKernelDepthwiseConv2D((9, 7), evaluation=evaluation, **arguments)
    # No two sizes alike: given a width equal to the channels, Keras on TensorFlow
    # adds a channels_first bias along the width.
    images = random_images(2, 5, 8, 7)
    for layer in (theirs, ours):
        layer.build(images.shape)
    assert [w.name for w in ours.weights] == [w.name for w in theirs.weights]
    ours.set_weights(theirs.get_weights())
    np.testing.assert_allclose(
        numpy(ours(images, training=training)), numpy(theirs(images)), atol=1e-5
    )


@pytest.mark.parametrize(
    "arguments",
    [
        {"strides": 2},
        {"dilation_rate": 2},
        {"depth_multiplier": 2},
        {"padding": "valid", "strides": (3, 3)},
    ],
    ids=str,
)
@pytest.mark.parametrize("training", [False, True])
def test_other_arguments_of_keras_are_kept(arguments, training):
    arguments = {"padding": "same", **arguments}
    theirs = keras.layers.DepthwiseConv2D(5, **arguments)
    ours = LargeKernelDepthwiseConv2D(5, **arguments)
    images = random_images(2, 12, 11, 3)
    for layer in (theirs, ours):
        layer.build(images.shape)
    ours.set_weights(theirs.get_weights())
    np.testing.assert_allclose(
        numpy(ours(images, training=training)), numpy(theirs(images)), atol=1e-5
    )
    if arguments == {"padding": "same", "dilation_rate": 2}:
        assert ours.get_config()["dilation_rate"] == (2, 2)


def test_split_taps_covers_every_tap_once():
    for size in range(1, 32):
        blocks = split_taps(size)
        owned = [
            tap
            for block in blocks
            for tap in range(block.start + block.shared, block.stop)
        ]
        assert owned == list(range(size))
        assert all(b.stop - b.start <= LARGEST_BLOCK for b in blocks)
    # The form that LiteRT fuses: each block reaches to one side of the center.
    assert [(b.start, b.stop) for b in split_taps(9)] == [(0, 5), (4, 9)]


@on_tensorflow
@pytest.mark.parametrize("size", [*TINY, (7, 9)])
@pytest.mark.parametrize(
    "kernel_size", [(1, 1), (2, 2), (3, 3), (4, 5), (9, 9), (9, 1), (1, 9), (15, 15)]
)
def test_training_gradients_on_tensorflow_are_the_plain_ones(size, kernel_size):
    _compare_gradients(size, kernel_size, "same")


@on_tensorflow
@pytest.mark.parametrize("kernel_size", [(1, 1), (3, 3), (4, 5), (7, 9), (7, 2)])
@pytest.mark.parametrize("compiled", [False, True])
def test_training_gradients_without_padding(kernel_size, compiled):
    _compare_gradients((7, 9), kernel_size, "valid", compiled)


@on_tensorflow
@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16", "mixed_float16"])
def test_training_gradients_with_open_sizes_and_precisions(dtype):
    _compare_gradients((6, 8), (9, 9), "same", compiled=True, dtype=dtype)


@on_tensorflow
@pytest.mark.parametrize("evaluation", ["shifts", "blocks"])
def test_gradients_of_the_other_evaluations(evaluation):
    _compare_gradients((6, 8), (9, 9), "same", evaluation=evaluation)
    _compare_gradients((8, 7), (6, 7), "valid", evaluation=evaluation)


def _compare_gradients(
    size, kernel_size, padding, compiled=False, dtype="float32", evaluation="native"
):
    import tensorflow as tf

    images = tf.constant(random_images(2, *size, 3))
    arguments = {"padding": padding, "dtype": dtype, "activation": "tanh"}
    theirs = keras.layers.DepthwiseConv2D(kernel_size, **arguments)
    ours = LargeKernelDepthwiseConv2D(kernel_size, evaluation=evaluation, **arguments)
    found = []
    for layer in (theirs, ours):
        layer.build(images.shape)
        layer.set_weights(
            [
                0.2 * random_kernel(kernel_size)[..., None],
                np.array([0.1, -0.2, 0.3], "float32"),
            ]
        )

        def gradients(images, layer=layer):
            with tf.GradientTape() as tape:
                tape.watch(images)
                outputs = tf.cast(layer(images, training=True), "float32")
                loss = tf.reduce_mean(outputs * tf.cos(outputs))
            variables = [weight.value for weight in layer.trainable_weights]
            return [loss, *tape.gradient(loss, [images, *variables])]

        if compiled:
            gradients = tf.function(
                gradients, input_signature=[tf.TensorSpec([None, None, None, 3])]
            )
        found.append(gradients(images))
    tolerance = {"float32": 1e-5}.get(dtype, 3e-2)
    for a, b in zip(*found, strict=True):
        scale = np.abs(a).max()
        np.testing.assert_allclose(b, a, atol=tolerance * scale, rtol=0)


@pytest.mark.parametrize("dtype", ["mixed_bfloat16", "mixed_float16"])
@pytest.mark.parametrize("evaluation", EVALUATIONS)
def test_mixed_precision_stays_near(dtype, evaluation):
    kernel = random_kernel((9, 9)) / 9
    images = random_images(2, 12, 12, 3)
    expected = references.depthwise(images, kernel)
    result = convolve(images, kernel, evaluation, padding="same", dtype=dtype)
    unit = 2**-8 if dtype == "mixed_bfloat16" else 2**-11
    # TensorFlow sums in 16 bits; the shifts are summed in 32.
    tolerance = (5 if evaluation == "shifts" else 20) * unit
    np.testing.assert_allclose(result, expected, atol=tolerance * expected.std())


@on_tensorflow
def test_xla_is_left_out_where_it_is_slow():
    def supports_jit(evaluation):
        return LargeKernelDepthwiseConv2D(9, evaluation=evaluation).supports_jit

    assert supports_jit("shifts")
    assert not any(map(supports_jit, ("auto", "native", "blocks")))


@on_tensorflow
def test_compiled_by_xla_the_shifts_are_the_same():
    layer = LargeKernelDepthwiseConv2D(9, padding="same", evaluation="shifts")
    images = random_images(2, 6, 7, 3)
    layer.build(images.shape)
    randomize(layer)
    model = keras.Sequential([keras.Input((6, 7, 3)), layer])
    model.compile(jit_compile=True)
    np.testing.assert_allclose(
        model.predict(images, verbose=0), numpy(layer(images)), atol=1e-5
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"evaluation": "fft"}, "evaluation='fft'"),
        ({"evaluation": None}, "evaluation=None"),
        ({"evaluation": "shifts", "strides": 2}, r"strides=\(2, 2\)"),
        ({"evaluation": "blocks", "dilation_rate": 3}, r"dilation_rate=\(3, 3\)"),
        ({"evaluation": "blocks", "depth_multiplier": 2}, "depth_multiplier=2"),
        ({"kernel_size": 0}, "kernel_size"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        LargeKernelDepthwiseConv2D(**{"kernel_size": 9, **arguments})
