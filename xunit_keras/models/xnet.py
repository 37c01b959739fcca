"""xNet: ConvNet with `XUnit`."""

import keras

from xunit_keras.layers import XUnit
from xunit_keras.models.building import (
    check_denoiser,
    conv,
    image_input,
    subtract_noise,
)
from xunit_keras.models.registry import network


@network("denoise", twin="convnet")
def xnet(
    *,
    depth: int = 4,
    filters: int = 64,
    kernel_size: int = 9,
    gate: str = "gaussian",
    channels: int = 1,
    weights: str | None = None,
    name: str = "xnet",
) -> keras.Model:
    """xNet: convolution and `XUnit`, repeated; the twin of `convnet`.

    Args:
        depth: Number of 3x3 convolutions, at least 2.
        filters: Filters of all convolutions but the last.
        kernel_size: Odd side of the depthwise kernels of the activations.
        gate: Gate of the activations, see `XUnit`.
        channels: Channels of the image, 1 for gray and 3 for RGB.
        weights: None, the name of a released model, or a `.weights.h5` file.
        name: Name of the model.

    Returns:
        A functional model, as `convnet` gives.

    Raises:
        ValueError: An argument is out of range.

    Example:
        >>> model = xunit_keras.xnet(depth=4, filters=67)
        >>> xunit_keras.count_parameters(model).total
        99093
    """
    check_denoiser(depth, filters, channels)
    inputs = x = image_input(channels)
    for i in range(1, depth):
        x = conv(filters, 3, f"conv_{i}")(x)
        x = XUnit(kernel_size, gate, name=f"xunit_{i}")(x)
    return subtract_noise(inputs, x, depth, weights, name)
