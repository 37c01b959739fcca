"""What all builders share: arguments checked, input, convolution, finished model."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import keras
import numpy as np

from xunit_keras.layers import FusedBatchNormalization, ZeroMeanHeNormal
from xunit_keras.zoo import load_weights


def require_positive(**values) -> None:
    """Raises a `ValueError` unless every value is an integer of at least 1."""
    for name, value in values.items():
        integer = isinstance(value, int | np.integer) and not isinstance(value, bool)
        if not integer or value < 1:
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


def conv(
    filters: int, kernel_size: int, name: str, initializer="he_normal", **kwargs
) -> keras.layers.Conv2D:
    """A "same" convolution with bias, He initialized."""
    return keras.layers.Conv2D(
        int(filters),
        int(kernel_size),
        padding="same",
        kernel_initializer=initializer,
        name=name,
        **kwargs,
    )


def norm(name: str) -> FusedBatchNormalization:
    """A batch normalization of the channels."""
    return FusedBatchNormalization(axis=channel_axis(), name=name)


def add_to_image(image, difference):
    """The restored image, where a network predicts what the given one lacks."""
    layer = keras.layers.Add(name="restored", dtype=image_dtype())
    return layer([image, difference])


def small_start() -> keras.initializers.Initializer:
    """He's initialization at a hundredth.

    For the last convolution of a network that predicts a difference, so that training
    starts from the image as it came.
    """
    return keras.initializers.VarianceScaling(
        2.0e-4, mode="fan_in", distribution="truncated_normal"
    )


class Start(NamedTuple):
    """First weights of a network.

    Attributes:
        first: Initializer of the first convolution.
        last: Initializer of the last convolution.
        xunit: Arguments of its `XUnit` layers.
    """

    first: Any = "he_normal"
    last: Any = "he_normal"
    xunit: Mapping[str, str] = MappingProxyType({})


def super_resolution_start(residual: bool) -> Start:
    """How a super resolution network starts.

    What interpolation lost has no mean, so brightness would only be in the way of a
    residual network. With few layers and wide kernels, the units start as the paper's
    do, and not with the layer's defaults, which are for deep stacks of small kernels
    (benchmarks/initialization.py compares them).
    """
    units = {"depthwise_initializer": "glorot_uniform", "gate_initializer": "ones"}
    if residual:
        return Start(ZeroMeanHeNormal(), small_start(), units)
    return Start(xunit=units)


def finish(inputs, outputs, name: str, weights) -> keras.Model:
    """The model, with the weights of a released model or a file if asked for."""
    model = keras.Model(inputs, outputs, name=name)
    if weights is not None:
        load_weights(model, weights)
    return model


def check_denoiser(depth, filters, channels) -> None:
    """Raises a `ValueError` unless the arguments of a denoiser are in range."""
    require_positive(depth=depth, filters=filters, channels=channels)
    if depth < 2:
        raise ValueError(f"`depth` must be at least 2. Received: depth={depth}")


def subtract_noise(inputs, features, depth, weights, name) -> keras.Model:
    """The denoiser whose features tell the noise: the model gives image - noise."""
    channels = inputs.shape[channel_axis()]
    noise = conv(channels, 3, f"conv_{depth}", small_start())(features)
    outputs = keras.layers.Subtract(name="restored", dtype=image_dtype())(
        [inputs, noise]
    )
    return finish(inputs, outputs, name, weights)
