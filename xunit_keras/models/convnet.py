"""ConvNet: the ReLU network of the paper's studies."""

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
def convnet(
    *,
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
        channels: Channels of the image, 1 for gray and 3 for RGB.
        weights: None, the name of a released model, or a `.weights.h5` file.
        name: Name of the model.

    Returns:
        A functional model from a noisy image `(batch, height, width, channels)`
        in [0, 1] to the restored image of the same shape, not clipped.

    Raises:
        ValueError: An argument is out of range.

    Example:
        >>> model = xunit_keras.convnet(depth=4, filters=74)
        >>> xunit_keras.count_parameters(model).total
        100344
    """
    check_denoiser(depth, filters, channels)
    inputs = x = image_input(channels)
    for i in range(1, depth):
        x = conv(filters, 3, f"conv_{i}")(x)
        x = norm(f"norm_{i}")(x)
        x = keras.layers.ReLU(name=f"relu_{i}")(x)
    return subtract_noise(inputs, x, depth, weights, name)
