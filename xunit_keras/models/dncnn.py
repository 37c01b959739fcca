"""DnCNN-S, the ReLU network that xDnCNN is measured against."""

import keras

from xunit_keras.models.building import (
    check_denoiser,
    conv,
    image_input,
    norm,
    subtract_noise,
)
from xunit_keras.models.registry import network


@network("denoise")
def dncnn(
    *,
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
        channels: Channels of the image, 1 for gray and 3 for RGB.
        weights: None, the name of a released model, or a `.weights.h5` file.
        name: Name of the model.

    Returns:
        A functional model, as `convnet` gives.

    Raises:
        ValueError: An argument is out of range.

    Example:
        >>> model = xunit_keras.dncnn()
        >>> xunit_keras.count_parameters(model).total
        556032

    Reference:
        Zhang et al.: Beyond a Gaussian Denoiser: Residual Learning of Deep CNN
        for Image Denoising, IEEE Trans. Image Processing, 2017.
    """
    check_denoiser(depth, filters, channels)
    inputs = x = image_input(channels)
    for i in range(1, depth):
        x = conv(filters, 3, f"conv_{i}")(x)
        if i > 1:
            x = norm(f"norm_{i}")(x)
        x = keras.layers.ReLU(name=f"relu_{i}")(x)
    return subtract_noise(inputs, x, depth, weights, name)
