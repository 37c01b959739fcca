"""SRResNet: super resolution by a deep residual network at the small size."""

import keras
from keras import ops

from xunit_keras.layers import BicubicUpsampling
from xunit_keras.models.building import (
    add_to_image,
    channel_axis,
    conv,
    finish,
    image_dtype,
    image_input,
    norm,
    require_positive,
    super_resolution_start,
)
from xunit_keras.models.registry import network

# How the features are enlarged, each time by a convolution and a pixel shuffle.
_STAGES = {2: (2,), 3: (3,), 4: (2, 2)}


@network("sr")
def srresnet(
    *,
    blocks: int = 16,
    filters: int = 64,
    channels: int = 1,
    scale: int = 4,
    residual: bool = False,
    weights: str | None = None,
    name: str = "srresnet",
) -> keras.Model:
    """SRResNet: 16 residual blocks at the small size, enlarged by pixel shuffle.

    1,526,016 parameters at scale 4 for Y images, and 1,546,752 for RGB images, which
    is the published 1.546 M.

    Args:
        blocks: Number of residual blocks.
        filters: Filters of the convolutions at the small size.
        channels: Channels of the image, 1 for Y and 3 for RGB.
        scale: 2, 3 or 4.
        residual: Add the bicubically enlarged image to the output, so that the
            network predicts only what interpolation lost.
        weights: None, the name of a released model, or a `.weights.h5` file.
        name: Name of the model.

    Returns:
        A functional model from an image `(batch, height, width, channels)` in [0, 1]
        to `(batch, scale * height, scale * width, channels)`, not clipped.

    Raises:
        ValueError: `scale` is not 2, 3 or 4, or another argument is out of range.

    Example:
        >>> model = xunit_keras.srresnet()
        >>> xunit_keras.count_parameters(model).total
        1526016

    Reference:
        Ledig et al.: Photo-Realistic Single Image Super-Resolution Using a Generative
        Adversarial Network, CVPR 2017.
    """

    def block(x, i):
        x = conv(filters, 3, f"block_{i}_conv_1")(x)
        x = norm(f"block_{i}_norm_1")(x)
        x = prelu(f"block_{i}_prelu")(x)
        x = conv(filters, 3, f"block_{i}_conv_2")(x)
        return norm(f"block_{i}_norm_2")(x)

    return residual_blocks(
        block,
        blocks=blocks,
        filters=filters,
        channels=channels,
        scale=scale,
        residual=residual,
        weights=weights,
        name=name,
    )


def residual_blocks(
    block, *, blocks, filters, channels, scale, residual, weights, name
) -> keras.Model:
    """SRResNet's frame: residual blocks at the small size, enlarged by pixel shuffle.

    Args:
        block: Makes what block `i` adds to its input: `block(x, i)`.
        blocks: See `srresnet`.
        filters: See `srresnet`.
        channels: See `srresnet`.
        scale: See `srresnet`.
        residual: See `srresnet`.
        weights: See `srresnet`.
        name: Name of the model.
    """
    require_positive(blocks=blocks, filters=filters, channels=channels)
    if scale not in _STAGES:
        raise ValueError(
            f"`scale` must be one of {tuple(_STAGES)}. Received: scale={scale!r}"
        )
    image = image_input(channels)
    start = super_resolution_start(residual)
    x = first = prelu("prelu_1")(conv(filters, 9, "conv_1", start.first)(image))
    for i in range(1, blocks + 1):
        x = keras.layers.Add(name=f"block_{i}")([x, block(x, i)])
    x = norm("norm_2")(conv(filters, 3, "conv_2")(x))
    x = keras.layers.Add(name="features")([first, x])
    for i, factor in enumerate(_STAGES[scale], start=1):
        x = conv(filters * factor**2, 3, f"enlarge_{i}_conv")(x)
        x = ops.depth_to_space(x, factor, keras.config.image_data_format())
        x = prelu(f"enlarge_{i}_prelu")(x)
    outputs = conv(channels, 9, "conv_3", start.last, dtype=image_dtype())(x)
    if residual:
        enlarged = BicubicUpsampling(scale, dtype=image_dtype(), name="bicubic")(image)
        outputs = add_to_image(enlarged, outputs)
    return finish(image, outputs, name, weights)


def prelu(name):
    """PReLU with one slope for each channel."""
    pixels = (1, 2) if channel_axis() == -1 else (2, 3)
    return keras.layers.PReLU(shared_axes=pixels, name=name)
