"""First weights that the layers and networks of this package start from."""

import keras
import numpy as np
from keras import ops

from xunit_keras.layers.saving import saved_as


@saved_as("CentreImpulse")
class CenterImpulse(keras.initializers.Initializer):
    """Depthwise kernels that start as an impulse at the center, plus noise.

    The first weight map then depends on the pixel itself, as that of a
    pointwise activation does, and the neighborhood is learned from there.

    Args:
        stddev: Standard deviation of the normal noise on every tap.
        seed: Integer, or None for a random one.

    Example:
        >>> kernel = xunit_keras.CenterImpulse(stddev=0.0)((3, 3, 1, 1))
        >>> keras.ops.convert_to_numpy(kernel)[..., 0, 0].tolist()
        [[0.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 0.0]]
    """

    def __init__(self, stddev: float = 0.03, seed: int | None = None):
        self.stddev = stddev
        self.seed = seed
        self._noise = keras.initializers.RandomNormal(stddev=stddev, seed=seed)

    def __call__(self, shape, dtype=None):
        impulse = np.zeros(shape, dtype="float32")
        impulse[shape[0] // 2, shape[1] // 2] = 1.0
        noise = self._noise(shape, dtype=dtype)
        return noise + ops.cast(impulse, noise.dtype)

    def get_config(self):
        return {"stddev": self.stddev, "seed": self.seed}


@keras.saving.register_keras_serializable(package="xunit_keras")
class ZeroMeanHeNormal(keras.initializers.Initializer):
    """He's initialization, with the mean of each filter taken away.

    For the first convolution of a network that predicts what an image lacks: filters
    that do not see the brightness give features around zero, on which the layers
    behind learn faster (benchmarks/initialization.py compares them).

    Args:
        seed: Seed of the random numbers.

    Example:
        >>> kernel = xunit_keras.ZeroMeanHeNormal(seed=0)((9, 9, 1, 64))
        >>> bool(abs(keras.ops.convert_to_numpy(kernel).mean((0, 1, 2))).max() < 1e-6)
        True
    """

    def __init__(self, seed: int | None = None):
        self.seed = seed
        self._he = keras.initializers.HeNormal(seed=seed)

    def __call__(self, shape, dtype=None):
        kernel = self._he(shape, dtype=dtype)
        return kernel - ops.mean(kernel, axis=(0, 1, 2), keepdims=True)

    def get_config(self):
        return {"seed": self.seed}
