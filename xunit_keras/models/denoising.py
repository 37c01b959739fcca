"""Denoisers: the network predicts the noise, the model returns image - noise."""

import keras

from xunit_keras.layers import XUnit
from xunit_keras.models.building import (
    channel_axis,
    conv,
    finish,
    image_dtype,
    image_input,
    norm,
    require_positive,
    small_start,
)


def convnet(
    depth: int = 4,
    filters: int = 64,
    channels: int = 1,
    weights: str | None = None,
    name: str = "convnet",
) -> keras.Model:
    """ConvNet: convolution, batch normalization and ReLU, repeated.

    Args:
        depth: Number of 3x3 convolutions, at least 2.
        filters: Filters of all convolutions but the last.
        channels: Channels of the image, 1 for grey and 3 for RGB.
        weights: None, the name of a released model, or a `.weights.h5` file.
        name: Name of the model.

    Returns:
        A functional model from a noisy image `(batch, height, width, channels)`
        in [0, 1] to the restored image of the same shape, not clipped.

    Raises:
        ValueError: An argument is out of range.
    """
    _check(depth, filters, channels)
    inputs = x = image_input(channels)
    for i in range(1, depth):
        x = conv(filters, 3, f"conv_{i}")(x)
        x = norm(f"norm_{i}")(x)
        x = keras.layers.ReLU(name=f"relu_{i}")(x)
    return _subtract_noise(inputs, x, depth, weights, name)


def xnet(
    depth: int = 4,
    kernel_size: int = 9,
    filters: int = 64,
    channels: int = 1,
    gate: str = "gaussian",
    weights: str | None = None,
    name: str = "xnet",
) -> keras.Model:
    """xNet: convolution and `XUnit`, repeated; the twin of `convnet`.

    Args:
        depth: Number of 3x3 convolutions, at least 2.
        kernel_size: Odd side of the depthwise kernels of the activations.
        filters: Filters of all convolutions but the last.
        channels: Channels of the image, 1 for grey and 3 for RGB.
        gate: Gate of the activations, see `XUnit`.
        weights: None, the name of a released model, or a `.weights.h5` file.
        name: Name of the model.

    Returns:
        A functional model, as `convnet` gives.

    Raises:
        ValueError: An argument is out of range.
    """
    _check(depth, filters, channels)
    inputs = x = image_input(channels)
    for i in range(1, depth):
        x = conv(filters, 3, f"conv_{i}")(x)
        x = XUnit(kernel_size, gate, name=f"xunit_{i}")(x)
    return _subtract_noise(inputs, x, depth, weights, name)


def dncnn(
    depth: int = 17,
    filters: int = 64,
    channels: int = 1,
    weights: str | None = None,
    name: str = "dncnn",
) -> keras.Model:
    """DnCNN-S: 17 convolutions, 556,032 parameters.

    The first convolution has no batch normalization.

    Args:
        depth: Number of 3x3 convolutions, at least 2.
        filters: Filters of all convolutions but the last.
        channels: Channels of the image, 1 for grey and 3 for RGB.
        weights: None, the name of a released model, or a `.weights.h5` file.
        name: Name of the model.

    Returns:
        A functional model, as `convnet` gives.

    Raises:
        ValueError: An argument is out of range.

    Reference:
        Zhang et al.: Beyond a Gaussian Denoiser: Residual Learning of Deep CNN
        for Image Denoising, IEEE Trans. Image Processing, 2017.
    """
    _check(depth, filters, channels)
    inputs = x = image_input(channels)
    for i in range(1, depth):
        x = conv(filters, 3, f"conv_{i}")(x)
        if i > 1:
            x = norm(f"norm_{i}")(x)
        x = keras.layers.ReLU(name=f"relu_{i}")(x)
    return _subtract_noise(inputs, x, depth, weights, name)


def xdncnn(
    depth: int = 9,
    kernel_size: int = 9,
    filters: int = 64,
    channels: int = 1,
    gate: str = "gaussian",
    weights: str | None = None,
    name: str = "xdncnn",
) -> keras.Model:
    """xDnCNN: 9 convolutions and 8 `XUnit`, 303,616 parameters for grey images.

    Batch normalization stands between an activation and the next convolution,
    but for the last.

    Args:
        depth: Number of 3x3 convolutions, at least 2.
        kernel_size: Odd side of the depthwise kernels of the activations.
        filters: Filters of all convolutions but the last.
        channels: Channels of the image, 1 for grey and 3 for RGB.
        gate: Gate of the activations, see `XUnit`.
        weights: None, the name of a released model, or a `.weights.h5` file.
        name: Name of the model.

    Returns:
        A functional model, as `convnet` gives.

    Raises:
        ValueError: An argument is out of range.

    Reference:
        Kligvasser, Rott Shaham, Michaeli: xUnit: Learning a Spatial Activation
        Function for Efficient Image Restoration, CVPR 2018, section 4.1.
    """
    _check(depth, filters, channels)
    inputs = x = image_input(channels)
    for i in range(1, depth):
        if i > 1:
            x = norm(f"norm_{i}")(x)
        x = conv(filters, 3, f"conv_{i}")(x)
        x = XUnit(kernel_size, gate, name=f"xunit_{i}")(x)
    return _subtract_noise(inputs, x, depth, weights, name)


def _check(depth, filters, channels):
    require_positive(depth=depth, filters=filters, channels=channels)
    if depth < 2:
        raise ValueError(f"`depth` must be at least 2. Received: depth={depth}")


def _subtract_noise(inputs, features, depth, weights, name):
    channels = inputs.shape[channel_axis()]
    noise = conv(channels, 3, f"conv_{depth}", small_start())(features)
    outputs = keras.layers.Subtract(name="restored", dtype=image_dtype())(
        [inputs, noise]
    )
    return finish(inputs, outputs, name, weights)
