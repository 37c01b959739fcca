"""xDnCNN: the paper's denoiser."""

import keras

from xunit_keras.layers import XUnit
from xunit_keras.models.building import (
    check_denoiser,
    conv,
    image_input,
    norm,
    subtract_noise,
)
from xunit_keras.models.registry import network


@network("denoise", twin="dncnn")
def xdncnn(
    *,
    depth: int = 9,
    filters: int = 64,
    kernel_size: int = 9,
    gate: str = "gaussian",
    channels: int = 1,
    weights: str | None = None,
    name: str = "xdncnn",
) -> keras.Model:
    """xDnCNN: 9 convolutions and 8 `XUnit`, 303,616 parameters for gray images.

    Batch normalization stands between an activation and the next convolution,
    but for the last.

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
        >>> model = xunit_keras.xdncnn()
        >>> xunit_keras.count_parameters(model).total
        303616

    Reference:
        Kligvasser, Rott Shaham, Michaeli: xUnit: Learning a Spatial Activation
        Function for Efficient Image Restoration, CVPR 2018, section 4.1.
    """
    check_denoiser(depth, filters, channels)
    inputs = x = image_input(channels)
    for i in range(1, depth):
        if i > 1:
            x = norm(f"norm_{i}")(x)
        x = conv(filters, 3, f"conv_{i}")(x)
        x = XUnit(kernel_size, gate, name=f"xunit_{i}")(x)
    return subtract_noise(inputs, x, depth, weights, name)
