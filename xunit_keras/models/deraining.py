"""Networks that take rain off a photograph."""

import keras

from xunit_keras.models.building import conv, finish, image_dtype, image_input
from xunit_keras.models.denoising import xdncnn


def derainnet(weights: str | None = None, name: str = "derainnet") -> keras.Model:
    """DerainNet: three convolutions, 16x16x512, 1x1x512 and 8x8x3, with tanh.

    753,664 parameters. The original feeds it the high-frequency part of a guided
    filter; that split is not part of the network.

    Args:
        weights: None, the name of a released model, or a `.weights.h5` file.
        name: Name of the model.

    Returns:
        A functional model from `(batch, height, width, 3)` to the same shape.

    Reference:
        Fu, Huang, Ding, Liao, Paisley: Clearing the Skies: A Deep Network
        Architecture for Single-Image Rain Removal, IEEE Trans. Image Processing,
        2017.
    """
    inputs = image_input(3)
    x = conv(512, 16, "conv_1", activation="tanh")(inputs)
    x = conv(512, 1, "conv_2", activation="tanh")(x)
    outputs = conv(3, 8, "conv_3", dtype=image_dtype())(x)
    return finish(inputs, outputs, name, weights)


def xderain(
    depth: int = 9,
    kernel_size: int = 9,
    filters: int = 64,
    gate: str = "gaussian",
    weights: str | None = None,
    name: str = "xderain",
) -> keras.Model:
    """xDnCNN on RGB images, as the paper uses it to remove rain.

    305,920 parameters. The arguments are those of `xdncnn`; the network predicts
    the rain, and the model returns rainy - rain.

    Returns:
        A functional model from a rainy image `(batch, height, width, 3)` in
        [0, 1] to the clean one, not clipped.

    Raises:
        ValueError: An argument is out of range.
    """
    return xdncnn(
        depth=depth,
        kernel_size=kernel_size,
        filters=filters,
        channels=3,
        gate=gate,
        weights=weights,
        name=name,
    )
