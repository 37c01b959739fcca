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
