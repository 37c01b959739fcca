"""DerainNet, the ReLU network that xDerain is measured against."""

import keras

from xunit_keras.models.building import conv, finish, image_dtype, image_input
from xunit_keras.models.registry import network


@network("derain")
def derainnet(*, weights: str | None = None, name: str = "derainnet") -> keras.Model:
    """DerainNet: three convolutions, 16x16x512, 1x1x512 and 8x8x3, with tanh.

    753,664 parameters. The original feeds it the high-frequency part of a guided
    filter; that split is not part of the network.

    Args:
        weights: None, the name of a released model, or a `.weights.h5` file.
        name: Name of the model.

    Returns:
        A functional model from `(batch, height, width, 3)` to the same shape.

    Example:
        >>> model = xunit_keras.derainnet()
        >>> xunit_keras.count_parameters(model).total
        753664

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
