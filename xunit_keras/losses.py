"""What the networks learn to make small."""

import keras
from keras import ops


class _Center(keras.losses.Loss):
    """A mean over all but `margin` pixels at the borders of a patch."""

    def __init__(self, measure, margin=0, **kwargs):
        super().__init__(**kwargs)
        if margin < 0:
            raise ValueError(
                f"`margin` must be at least 0. Received: margin={margin!r}"
            )
        self.measure = measure  # What an error of a pixel counts.
        self.margin = int(margin)

    def call(self, y_true, y_pred):
        inside = slice(self.margin, -self.margin or None)
        error = (y_true - y_pred)[:, inside, inside, :]
        return ops.mean(self.measure(error), axis=-1)

    def get_config(self):
        return {**super().get_config(), "margin": self.margin}


@keras.saving.register_keras_serializable(package="xunit_keras")
class CenterMeanSquaredError(_Center):
    """Mean squared error without `margin` pixels at the borders of a patch.

    Args:
        margin: Pixels left out at each border, at least 0.
        **kwargs: Arguments of `keras.losses.Loss`.

    Raises:
        ValueError: `margin` is negative.
    """

    def __init__(self, margin=0, name="mse", **kwargs):
        super().__init__(ops.square, margin, name=name, **kwargs)


@keras.saving.register_keras_serializable(package="xunit_keras")
class CenterMeanAbsoluteError(_Center):
    """Mean absolute error without `margin` pixels at the borders of a patch.

    The arguments and the errors are those of `CenterMeanSquaredError`.
    """

    def __init__(self, margin=0, name="mae", **kwargs):
        super().__init__(ops.abs, margin, name=name, **kwargs)
