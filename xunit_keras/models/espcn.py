"""ESPCN: super resolution at the resolution of the small image, with PReLU."""

import keras

from xunit_keras.layers import BicubicUpsampling, ZeroMeanHeNormal
from xunit_keras.models.building import (
    add_to_image,
    channel_axis,
    conv,
    finish,
    image_dtype,
    image_input,
    require_positive,
    small_start,
)
from xunit_keras.models.registry import network


@network("sr")
def espcn(
    *,
    depth: int = 4,
    filters: int = 16,
    first_kernel: int = 5,
    skips: bool = False,
    channels: int = 1,
    scale: int = 3,
    weights: str | None = None,
    name: str = "espcn",
) -> keras.Model:
    """Convolutions with PReLU on the small image, enlarged by a pixel shuffle.

    Everything is computed at the resolution of the input, and the bicubically
    enlarged image is added to the result. It is the twin of `xespcn`.

    Args:
        depth: Number of convolutions before the last, at least 1; the first has
            kernels of `first_kernel`, the others 3x3.
        filters: Filters of all convolutions but the last.
        first_kernel: Side of the kernels of the first convolution.
        skips: Whether each convolution from the second to the one before the last
            adds to what it gets, after its activation.
        channels: Channels of the image, 1 for Y and 3 for RGB.
        scale: An integer of at least 2.
        weights: None, the name of a released model, or a `.weights.h5` file.
        name: Name of the model.

    Returns:
        A functional model from an image `(batch, height, width, channels)` in [0, 1]
        to `(batch, scale * height, scale * width, channels)`, not clipped.

    Raises:
        ValueError: An argument is out of range.

    Example:
        >>> model = xunit_keras.espcn(scale=3)
        >>> xunit_keras.count_parameters(model).total
        8608

    Reference:
        Shi et al.: Real-Time Single Image and Video Super-Resolution Using an
        Efficient Sub-Pixel Convolutional Neural Network, CVPR 2016.
    """
    pixels = (1, 2) if channel_axis() == -1 else (2, 3)

    def prelu(i):
        return keras.layers.PReLU(shared_axes=pixels, name=f"prelu_{i}")

    return subpixel(
        prelu,
        depth=depth,
        filters=filters,
        first_kernel=first_kernel,
        skips=skips,
        channels=channels,
        scale=scale,
        weights=weights,
        name=name,
    )


def subpixel(
    activation,
    *,
    depth,
    filters,
    first_kernel,
    skips,
    channels,
    scale,
    weights,
    name,
) -> keras.Model:
    """ESPCN's frame, with any activation.

    Args:
        activation: Makes the activation after convolution `i`: `activation(i)`.
        depth: See `espcn`.
        filters: See `espcn`.
        first_kernel: See `espcn`.
        skips: See `espcn`.
        channels: See `espcn`.
        scale: See `espcn`.
        weights: See `espcn`.
        name: Name of the model.
    """
    require_positive(
        depth=depth, filters=filters, first_kernel=first_kernel, channels=channels
    )
    image = image_input(channels)
    enlarged = BicubicUpsampling(scale, dtype=image_dtype(), name="bicubic")(image)
    x = conv(filters, first_kernel, "conv_1", ZeroMeanHeNormal())(image)
    x = activation(1)(x)
    for i in range(2, depth + 1):
        features = activation(i)(conv(filters, 3, f"conv_{i}")(x))
        x = keras.layers.Add(name=f"sum_{i}")([x, features]) if skips else features
    last = conv(
        int(scale) ** 2 * channels,
        3,
        f"conv_{depth + 1}",
        small_start(),
        dtype=image_dtype(),
    )
    data_format = keras.config.image_data_format()
    difference = keras.ops.depth_to_space(last(x), int(scale), data_format)
    return finish(image, add_to_image(enlarged, difference), name, weights)
