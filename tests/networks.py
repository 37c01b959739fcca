"""Small networks that look trained, for tests of what is made of trained ones."""

import keras
import numpy as np


def as_trained(model: keras.Model, seed: int = 0) -> keras.Model:
    """Gives the weights the variety that training does, dead channels included."""
    random = np.random.default_rng(seed)
    for weight in model.weights:
        if weight.name == "gamma":
            values = random.normal(0.0, 1.0, weight.shape)
            # Negative, nearly and exactly zero: kept, or moved elsewhere.
            values[:4] = [-0.7, 1e-3, 1e-9, 0.0][: len(values[:4])]
        elif weight.name in ("beta", "moving_mean", "bias"):
            values = random.normal(0.0, 0.3, weight.shape)
        elif weight.name == "moving_variance":
            values = random.uniform(0.3, 2.0, weight.shape)
        else:  # Kernels: results of order 1 from inputs of order 1.
            values = random.normal(
                0.0, np.prod(weight.shape[:-1]) ** -0.5, weight.shape
            )
        weight.assign(values)
    return model


def unet(channels: int = 1, filters: int = 4) -> keras.Model:
    """A U-Net whose activations are those of its convolutions."""

    def conv(x, filters, name):
        layer = keras.layers.Conv2D(
            filters, 3, padding="same", activation="relu", name=name
        )
        return layer(x)

    image = keras.Input((None, None, channels), name="image")
    wide = conv(image, filters, "down_1")
    deep = conv(keras.layers.MaxPooling2D(2)(wide), 2 * filters, "down_2")
    up = keras.layers.Conv2DTranspose(
        filters, 2, strides=2, activation="relu", name="up"
    )(deep)
    x = conv(keras.layers.Concatenate()([wide, up]), filters, "joined")
    outputs = keras.layers.Conv2D(channels, 3, padding="same", name="last")(x)
    return keras.Model(image, outputs, name="unet")


def without_dead_channels(model: keras.Model) -> keras.Model:
    """Moves the scales away from zero, so that every norm can be folded."""
    for weight in model.weights:
        if weight.name == "gamma":
            values = keras.ops.convert_to_numpy(weight)
            weight.assign(np.where(np.abs(values) < 0.1, 0.1, values))
    return model


def noisy(*shape: int) -> np.ndarray:
    """Random images, beyond [0, 1] too, as noise makes them."""
    return np.random.default_rng(1).normal(0.5, 0.4, shape).astype("float32")
