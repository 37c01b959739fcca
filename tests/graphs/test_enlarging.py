"""Interpolation by fixed kernels, against the backend's own."""

import keras
import numpy as np
import pytest
from graphs import user_models
from keras import layers, ops
from networks import as_trained, noisy

from xunit_keras.graphs.enlarging import AnySizeUpSampling2D
from xunit_keras.graphs.folding import deploy

pytestmark = pytest.mark.skipif(
    keras.config.backend() != "tensorflow", reason="stands in on TensorFlow alone"
)
INTERPOLATIONS = ("bilinear", "bicubic", "lanczos3", "lanczos5")


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
@pytest.mark.parametrize("size", [2, 3, (4, 1), (2, 5)])
def test_equals_the_layer_of_keras_down_to_one_pixel(interpolation, size):
    theirs = layers.UpSampling2D(size, interpolation=interpolation)
    ours = AnySizeUpSampling2D.from_config(theirs.get_config())
    for shape in ((1, 1, 1, 2), (1, 2, 3, 1), (2, 13, 9, 3)):
        x = noisy(*shape)
        np.testing.assert_allclose(ours(x), theirs(x), atol=1e-5)
        assert ours.compute_output_shape(shape) == ours(x).shape


def test_channels_first():
    settings = {"interpolation": "bicubic", "data_format": "channels_first"}
    ours = AnySizeUpSampling2D((2, 3), **settings)
    theirs = layers.UpSampling2D((2, 3), **settings)
    x = noisy(2, 3, 5, 4)
    np.testing.assert_allclose(ours(x), theirs(x), atol=1e-6)


def test_it_stands_in_for_what_keras_cannot_do_alone():
    needed = AnySizeUpSampling2D.is_needed_for
    for interpolation in INTERPOLATIONS:
        assert needed(layers.UpSampling2D(2, interpolation=interpolation))
    assert not needed(layers.UpSampling2D(2))
    assert not needed(layers.ReLU())


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_a_deployed_model_where_the_size_is_not_known(interpolation):
    import tensorflow as tf

    model = as_trained(user_models.interpolating(interpolation, (3, 2))())
    deployed = deploy(model)

    @tf.function(input_signature=[tf.TensorSpec((None, None, None, 3))])
    def graph(x):
        return deployed(x, training=False)

    for shape in ((1, 1, 1, 3), (1, 2, 5, 3), (2, 9, 4, 3)):
        x = noisy(*shape)
        expected = ops.convert_to_numpy(model(x, training=False))
        np.testing.assert_allclose(graph(x), expected, rtol=1e-5, atol=1e-5)
