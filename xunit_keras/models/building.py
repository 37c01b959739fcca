"""What all builders share: arguments checked, input, convolution, finished model."""

import keras

from xunit_keras.zoo import load_weights


def require_positive(**values) -> None:
    """Raises a `ValueError` unless every value is an integer of at least 1."""
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ValueError(
                f"`{name}` must be a positive integer. Received: {name}={value!r}"
            )


def channel_axis() -> int:
    """The axis of the channels in the configured data format."""
    return -1 if keras.config.image_data_format() == "channels_last" else 1


def image_input(channels: int):
    """Input for images of any height and width."""
    size = (None, None)
    shape = (*size, channels) if channel_axis() == -1 else (channels, *size)
    return keras.Input(shape, name="image")


def image_dtype():
    """Dtype of the image itself.

    Under a mixed precision policy, 8 bits of mantissa would cost the image that
    passes around the network more than the network gives, so what touches the
    image stays in the dtype of the variables.
    """
    return keras.config.dtype_policy().variable_dtype


def conv(filters: int, kernel_size: int, name: str, small: bool = False, **kwargs):
    """A "same" convolution with bias, He initialised.

    `small` starts it at a hundredth: the last convolution of a network that
    predicts a difference, so that training starts from the image as it came.
    """
    scale = 2.0e-4 if small else 2.0
    return keras.layers.Conv2D(
        filters,
        kernel_size,
        padding="same",
        kernel_initializer=keras.initializers.VarianceScaling(
            scale, mode="fan_in", distribution="truncated_normal"
        ),
        name=name,
        **kwargs,
    )


def finish(inputs, outputs, name: str, weights) -> keras.Model:
    """The model, with the weights of a released model or a file if asked for."""
    model = keras.Model(inputs, outputs, name=name)
    if weights is not None:
        load_weights(model, weights)
    return model
