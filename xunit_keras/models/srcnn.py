"""SRCNN, the ReLU network that xSRCNN is measured against."""

from collections.abc import Callable

import keras

from xunit_keras.layers import BicubicUpsampling
from xunit_keras.models.building import (
    Start,
    add_to_image,
    conv,
    finish,
    image_dtype,
    image_input,
    super_resolution_start,
)
from xunit_keras.models.registry import network


@network("sr")
def srcnn(
    *,
    scale: int | None = None,
    residual: bool = False,
    weights: str | None = None,
    name: str = "srcnn",
) -> keras.Model:
    """SRCNN 9-5-5: 9x9x64, 5x5x32 and 5x5x1 with ReLU, 57,184 parameters.

    Args:
        scale: None: the paper's network, on a Y image already enlarged by
            bicubic interpolation. An integer of at least 2: the interpolation is
            the first layer, and the model takes the small image.
        residual: Add the interpolated image to the output, so that the network
            predicts only what interpolation lost.
        weights: None, the name of a released model, or a `.weights.h5` file.
        name: Name of the model.

    Returns:
        A functional model from a Y image `(batch, height, width, 1)` in [0, 1]
        to `(batch, scale * height, scale * width, 1)`, not clipped.

    Raises:
        ValueError: `scale` is neither None nor an integer of at least 2.

    Example:
        >>> model = xunit_keras.srcnn()
        >>> xunit_keras.count_parameters(model).total
        57184

    Reference:
        Dong, Loy, He, Tang: Image Super-Resolution Using Deep Convolutional
        Networks, IEEE Trans. PAMI, 2016.
    """

    def relu(i, start):
        return keras.layers.ReLU(name=f"relu_{i}")

    return three_convolutions(relu, (64, 9), (32, 5), scale, residual, weights, name)


def three_convolutions(
    activation: Callable[[int, Start], keras.layers.Layer],
    first: tuple[int, int],
    second: tuple[int, int],
    scale: int | None,
    residual: bool,
    weights: str | None,
    name: str,
) -> keras.Model:
    """SRCNN's frame: three convolutions on the interpolated image.

    Args:
        activation: Makes the activation after convolution `i`, as it starts in
            `start`: `activation(i, start)`.
        first: Filters and side of the kernel of the first convolution.
        second: Likewise.
        scale: See `srcnn`.
        residual: See `srcnn`.
        weights: See `srcnn`.
        name: Name of the model.
    """
    inputs = enlarged = image_input(1)
    if scale is not None:
        enlarged = BicubicUpsampling(scale, dtype=image_dtype(), name="bicubic")(inputs)
    start = super_resolution_start(residual)
    x = conv(*first, "conv_1", start.first)(enlarged)
    x = activation(1, start)(x)
    x = conv(*second, "conv_2")(x)
    x = activation(2, start)(x)
    outputs = conv(1, 5, "conv_3", start.last, dtype=image_dtype())(x)
    if residual:
        outputs = add_to_image(enlarged, outputs)
    return finish(inputs, outputs, name, weights)
