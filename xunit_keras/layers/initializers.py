"""First weights that the layers and networks of this package start from."""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="xunit_keras")
class ZeroMeanHeNormal(keras.initializers.Initializer):
    """He's initialisation, with the mean of each filter taken away.

    For the first convolution of a network that predicts what an image lacks: filters
    that do not see the brightness give features around zero, on which the layers
    behind learn faster (benchmarks/initialization.py compares them).

    Args:
        seed: Seed of the random numbers.
    """

    def __init__(self, seed: int | None = None):
        self.seed = seed
        self._he = keras.initializers.HeNormal(seed=seed)

    def __call__(self, shape, dtype=None):
        kernel = self._he(shape, dtype=dtype)
        return kernel - ops.mean(kernel, axis=(0, 1, 2), keepdims=True)

    def get_config(self):
        return {"seed": self.seed}
