"""xSRResNet: SRResNet with `XUnit`."""

import keras

from xunit_keras.layers import XUnit
from xunit_keras.models.building import conv, norm
from xunit_keras.models.registry import network
from xunit_keras.models.srresnet import residual_blocks


@network("sr", twin="srresnet")
def xsrresnet(
    *,
    blocks: int = 10,
    filters: int = 64,
    kernel_size: int = 9,
    gate: str = "gaussian",
    channels: int = 1,
    scale: int = 4,
    residual: bool = False,
    weights: str | None = None,
    name: str = "xsrresnet",
) -> keras.Model:
    """xSRResNet: SRResNet with ten blocks of convolution, `XUnit` and convolution.

    1,135,232 parameters at scale 4 for Y images, and 1,155,968 for RGB images, which
    is the published 1.155 M. Outside the blocks it is `srresnet`, PReLU included.

    Args:
        blocks: Number of residual blocks.
        filters: See `srresnet`.
        kernel_size: Odd side of the depthwise kernels of the activations.
        gate: Gate of the activations, see `XUnit`.
        channels: See `srresnet`.
        scale: See `srresnet`.
        residual: See `srresnet`.
        weights: None, the name of a released model, or a `.weights.h5` file.
        name: Name of the model.

    Returns:
        A functional model, as `srresnet` gives.

    Raises:
        ValueError: An argument is out of range.

    Example:
        >>> model = xunit_keras.xsrresnet()
        >>> xunit_keras.count_parameters(model).total
        1135232

    Reference:
        Kligvasser, Rott Shaham, Michaeli: xUnit: Learning a Spatial Activation
        Function for Efficient Image Restoration, CVPR 2018, section 4.3.
    """

    def block(x, i):
        x = conv(filters, 3, f"block_{i}_conv_1")(x)
        x = XUnit(kernel_size, gate, name=f"block_{i}_xunit")(x)
        x = conv(filters, 3, f"block_{i}_conv_2")(x)
        return norm(f"block_{i}_norm")(x)

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
