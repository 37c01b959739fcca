"""What the networks learn to make small."""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="xunit_keras")
class CenterMeanSquaredError(keras.losses.Loss):
    """Mean squared error without `margin` pixels at the borders of a patch.

    Args:
        margin: Pixels left out at each border, at least 0.
        **kwargs: Arguments of `keras.losses.Loss`.

    Raises:
        ValueError: `margin` is negative.
    """

    def __init__(self, margin=0, name="mse", **kwargs):
        super().__init__(name=name, **kwargs)
        if margin < 0:
            raise ValueError(
                f"`margin` must be at least 0. Received: margin={margin!r}"
            )
        self.margin = int(margin)

    def call(self, y_true, y_pred):
        inside = slice(self.margin, -self.margin or None)
        error = (y_true - y_pred)[:, inside, inside, :]
        return ops.mean(ops.square(error), axis=-1)

    def get_config(self):
        return {**super().get_config(), "margin": self.margin}
