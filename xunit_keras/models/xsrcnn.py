"""xSRCNN: SRCNN with `XUnit`, with fewer layers' worth of weights or fewer filters."""

import keras

from xunit_keras.layers import XUnit
from xunit_keras.models.registry import network
from xunit_keras.models.srcnn import three_convolutions


@network("sr", twin="srcnn")
def xsrcnn_f(
    *,
    kernel_size: int = 9,
    gate: str = "gaussian",
    scale: int | None = None,
    residual: bool = False,
    weights: str | None = None,
    name: str = "xsrcnn_f",
) -> keras.Model:
    """xSRCNNf: SRCNN with a 3x3 middle layer and two `XUnit`, 32,576 parameters.

    Args:
        kernel_size: Odd side of the depthwise kernels of the activations.
        gate: Gate of the activations, see `XUnit`.
        scale: See `srcnn`.
        residual: See `srcnn`.
        weights: None, the name of a released model, or a `.weights.h5` file.
        name: Name of the model.

    Returns:
        A functional model, as `srcnn` gives.

    Raises:
        ValueError: An argument is out of range.

    Example:
        >>> model = xunit_keras.xsrcnn_f(weights="xsrcnn-f-x3")
        >>> xunit_keras.count_parameters(model).total
        32576

    Reference:
        Kligvasser, Rott Shaham, Michaeli: xUnit, CVPR 2018, section 4.3.
    """
    xunit = _xunits(kernel_size, gate)
    return three_convolutions(xunit, (64, 9), (32, 3), scale, residual, weights, name)


@network("sr", twin="srcnn")
def xsrcnn_c(
    *,
    kernel_size: int = 9,
    gate: str = "gaussian",
    scale: int | None = None,
    residual: bool = False,
    weights: str | None = None,
    name: str = "xsrcnn_c",
) -> keras.Model:
    """xSRCNNc: SRCNN with 42 filters first and two `XUnit`, 44,092 parameters.

    The arguments, the result and the errors are those of `xsrcnn_f`.

    Example:
        >>> model = xunit_keras.xsrcnn_c(scale=4)
        >>> xunit_keras.count_parameters(model).total
        44092
    """
    xunit = _xunits(kernel_size, gate)
    return three_convolutions(xunit, (42, 9), (32, 5), scale, residual, weights, name)


def _xunits(kernel_size, gate):
    """The activation after convolution `i`, as it starts in `start`."""
    return lambda i, start: XUnit(kernel_size, gate, name=f"xunit_{i}", **start.xunit)
