"""Super resolution of the luminance (Y) channel."""

import keras

from xunit_keras.layers import BicubicUpsampling, XUnit
from xunit_keras.models.building import (
    add_to_image,
    conv,
    finish,
    image_dtype,
    image_input,
    super_resolution_start,
)


def srcnn(
    scale: int | None = None,
    residual: bool = False,
    weights: str | None = None,
    name: str = "srcnn",
) -> keras.Model:
    """SRCNN 9-5-5: 9x9x64, 5x5x32 and 5x5x1 with ReLU, 57,184 parameters.

    Args:
        scale: None: the paper's network, on a Y image already enlarged by
            bicubic interpolation. 2, 3 or 4: the interpolation is the first
            layer, and the model takes the small image.
        residual: Add the interpolated image to the output, so that the network
            predicts only what interpolation lost.
        weights: None, the name of a released model, or a `.weights.h5` file.
        name: Name of the model.

    Returns:
        A functional model from a Y image `(batch, height, width, 1)` in [0, 1]
        to `(batch, scale * height, scale * width, 1)`, not clipped.

    Raises:
        ValueError: `scale` is not None, 2, 3 or 4.

    Reference:
        Dong, Loy, He, Tang: Image Super-Resolution Using Deep Convolutional
        Networks, IEEE Trans. PAMI, 2016.
    """

    def relu(i, start):
        return keras.layers.ReLU(name=f"relu_{i}")

    return _three_convs(relu, (64, 9), (32, 5), scale, residual, weights, name)


def xsrcnn_f(
    scale: int | None = None,
    residual: bool = False,
    kernel_size: int = 9,
    gate: str = "gaussian",
    weights: str | None = None,
    name: str = "xsrcnn_f",
) -> keras.Model:
    """xSRCNNf: SRCNN with a 3x3 middle layer and two `XUnit`, 32,576 parameters.

    Args:
        scale: See `srcnn`.
        residual: See `srcnn`.
        kernel_size: Odd side of the depthwise kernels of the activations.
        gate: Gate of the activations, see `XUnit`.
        weights: None, the name of a released model, or a `.weights.h5` file.
        name: Name of the model.

    Returns:
        A functional model, as `srcnn` gives.

    Raises:
        ValueError: An argument is out of range.

    Reference:
        Kligvasser, Rott Shaham, Michaeli: xUnit, CVPR 2018, section 4.3.
    """
    xunit = _xunits(kernel_size, gate)
    return _three_convs(xunit, (64, 9), (32, 3), scale, residual, weights, name)


def xsrcnn_c(
    scale: int | None = None,
    residual: bool = False,
    kernel_size: int = 9,
    gate: str = "gaussian",
    weights: str | None = None,
    name: str = "xsrcnn_c",
) -> keras.Model:
    """xSRCNNc: SRCNN with 42 filters first and two `XUnit`, 44,092 parameters.

    The arguments, the result and the errors are those of `xsrcnn_f`.
    """
    xunit = _xunits(kernel_size, gate)
    return _three_convs(xunit, (42, 9), (32, 5), scale, residual, weights, name)


def _xunits(kernel_size, gate):
    """The activation after convolution `i`, as it starts in `start`."""
    return lambda i, start: XUnit(kernel_size, gate, name=f"xunit_{i}", **start.xunit)


def _three_convs(activation, first, second, scale, residual, weights, name):
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
