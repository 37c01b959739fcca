import keras
import numpy as np
import pytest
from keras import ops
from layers.checks import check_layer, random_images, randomize

from xunit_keras import FusedBatchNormalization

PLAIN = {"momentum": 0.9, "epsilon": 1e-5}
on_tensorflow = pytest.mark.skipif(
    keras.config.backend() != "tensorflow", reason="takes TensorFlow's gradient tape"
)


def numpy(tensor):
    return ops.convert_to_numpy(ops.cast(tensor, "float32"))


def twins(shape, **arguments):
    """Our layer and Keras' own with the same weights."""
    ours = FusedBatchNormalization(**arguments)
    theirs = keras.layers.BatchNormalization(**{**PLAIN, **arguments})
    for layer in (ours, theirs):
        layer.build(shape)
        randomize(layer)
    return ours, theirs


@pytest.mark.parametrize("axis", [-1, 1])
def test_layer(axis, tmp_path):
    shape = (3, 4, 5, 6)
    channels = shape[axis]
    check_layer(
        FusedBatchNormalization,
        {"axis": axis, "momentum": 0.8, "epsilon": 1e-4},
        input_shape=shape,
        output_shape=shape,
        trainable=2 * channels,
        non_trainable=2 * channels,
        tmp_path=tmp_path,
    )


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"axis": 3},
        {"axis": 1},
        {"scale": False},
        {"center": False},
        {"renorm": True},
        {"momentum": 0.5, "epsilon": 0.01},
        {"dtype": "float64"},
        {"dtype": "mixed_bfloat16"},
        {"dtype": "mixed_float16"},
    ],
    ids=str,
)
def test_outputs_and_moving_averages_are_those_of_keras(arguments):
    ours, theirs = twins((4, 6, 5, 3), **arguments)
    for seed in range(4):
        images = 3.0 * random_images(4, 6, 5, 3, seed=seed) + 2.0
        for training in (True, False):
            a, b = (layer(images, training=training) for layer in (ours, theirs))
            assert a.dtype == b.dtype
            # One unit in the last place of a 16-bit result.
            near = {"mixed_bfloat16": 2**-7, "mixed_float16": 2**-10}
            tolerance = near.get(arguments.get("dtype"), 2e-5)
            np.testing.assert_allclose(
                numpy(a), numpy(b), atol=tolerance, rtol=tolerance
            )
        for a, b in zip(ours.get_weights(), theirs.get_weights(), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("shape", [(1, 1, 1, 3), (2, 1, 1, 3), (5, 3)])
def test_few_samples_and_other_ranks(shape):
    ours, theirs = twins(shape)
    samples = random_images(*shape)
    np.testing.assert_allclose(
        numpy(ours(samples, training=True)),
        numpy(theirs(samples, training=True)),
        atol=1e-5,
    )
    for a, b in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_masked_and_frozen():
    ours, theirs = twins((2, 4, 4, 3))
    images = random_images(2, 4, 4, 3)
    mask = np.arange(32).reshape(2, 4, 4) % 3 > 0
    np.testing.assert_allclose(
        numpy(ours(images, training=True, mask=mask)),
        numpy(theirs(images, training=True, mask=mask)),
        atol=1e-6,
    )
    for layer in (ours, theirs):
        layer.trainable = False
    np.testing.assert_allclose(
        numpy(ours(images, training=True)),
        numpy(theirs(images, training=True)),
        atol=1e-6,
    )
    for a, b in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


@on_tensorflow
@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
@pytest.mark.parametrize("fixed", [False, True])
def test_gradients_are_those_of_keras(compiled, dtype, fixed):
    """With fixed statistics those of Keras' layer in use."""
    import tensorflow as tf

    shape = (3, 5, 4, 2)
    images = tf.constant(random_images(*shape))
    target = tf.constant(random_images(*shape, seed=1))
    found = []
    ours, theirs = twins(shape, dtype=dtype)
    ours.statistics_fixed = fixed
    before = ours.get_weights()
    for layer, training in ((ours, True), (theirs, not fixed)):

        def gradients(images, layer=layer, training=training):
            with tf.GradientTape() as tape:
                tape.watch(images)
                outputs = tf.cast(layer(images, training=training), "float32")
                loss = tf.reduce_sum(outputs * target)
            variables = [weight.value for weight in layer.trainable_weights]
            return tape.gradient(loss, [images, *variables])

        if compiled:
            gradients = tf.function(
                gradients, input_signature=[tf.TensorSpec([None, None, None, 2])]
            )
        found.append(gradients(images))
    tolerance = 1e-5 if dtype == "float32" else 3e-2
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, atol=tolerance, rtol=tolerance)
    same = [
        np.array_equal(*pair) for pair in zip(before, ours.get_weights(), strict=True)
    ]
    assert same == [True, True, fixed, fixed]


def test_weights_load_into_keras_own_layer(tmp_path):
    ours, theirs = twins((1, 4, 4, 3))
    randomize(theirs, seed=1)
    for source, target in ((ours, theirs), (theirs, ours)):
        target.set_weights(source.get_weights())
        names = [[w.name for w in layer.weights] for layer in (source, target)]
        assert names[0] == names[1]
    config = ours.get_config()
    assert keras.layers.BatchNormalization.from_config(config).get_config() == config
