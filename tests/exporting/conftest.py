"""Small networks to export."""

import keras
import pytest
from networks import as_trained

import xunit_keras


@pytest.fixture(scope="session")
def denoiser():
    return as_trained(xunit_keras.xdncnn(depth=3, filters=8))


@pytest.fixture(scope="session")
def upscaler():
    """A small network with all that the super-resolution networks have."""
    image = keras.Input((None, None, 1))
    enlarged = xunit_keras.BicubicUpsampling(2, name="bicubic")(image)
    x = keras.layers.Conv2D(8, 5, padding="same")(enlarged)
    x = xunit_keras.XUnit()(x)
    x = keras.layers.Conv2D(1, 3, padding="same")(x)
    return as_trained(keras.Model(image, keras.layers.Add()([enlarged, 0.05 * x])))
