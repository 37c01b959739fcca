"""xESPCN: super resolution with `XUnit` at the resolution of the small image."""

import keras

from xunit_keras.layers import XUnit
from xunit_keras.models.espcn import subpixel
from xunit_keras.models.registry import network


@network("sr", twin="espcn")
def xespcn(
    *,
    depth: int = 4,
    filters: int = 16,
    kernel_size: int = 5,
    first_kernel: int = 5,
    skips: bool = False,
    gate: str = "gaussian",
    form: str = "slim",
    channels: int = 1,
    scale: int = 3,
    weights: str | None = None,
    name: str = "xespcn",
) -> keras.Model:
    """Convolutions with `XUnit` on the small image, enlarged by a pixel shuffle.

    10,336 parameters at scale 3, and a twentieth of the multiplications of `xsrcnn_f`,
    which works on the enlarged image.

    Args:
        depth: Number of convolutions before the last, each followed by an activation.
        filters: See `espcn`.
        kernel_size: Odd side of the depthwise kernels of the activations.
        first_kernel: See `espcn`.
        skips: See `espcn`.
        gate: Gate of the activations, see `XUnit`.
        form: Form of the activations, see `XUnit`. The slim one, which is cheaper, is
            better here too.
        channels: See `espcn`.
        scale: See `espcn`.
        weights: See `espcn`.
        name: Name of the model.

    Returns:
        A functional model, as `espcn` gives.

    Raises:
        ValueError: An argument is out of range.

    Example:
        >>> model = xunit_keras.xespcn(scale=3)
        >>> xunit_keras.count_parameters(model).total
        10336
    """
    return subpixel(
        lambda i: XUnit(kernel_size, gate, form, name=f"xunit_{i}"),
        depth=depth,
        filters=filters,
        first_kernel=first_kernel,
        skips=skips,
        channels=channels,
        scale=scale,
        weights=weights,
        name=name,
    )


@network("sr", twin="fsrcnn")
def xespcn_s(
    *,
    channels: int = 1,
    scale: int = 3,
    weights: str | None = None,
    name: str = "xespcn_s",
) -> keras.Model:
    """The small xESPCN, at most 13,000 parameters for Y at scales 2 to 4.

    16 filters and slim 5x5 activations after five convolutions, four from scale 4 on,
    whose last one is larger. docs/fast-family.md tells how it was found.

    Args:
        channels: See `espcn`.
        scale: See `espcn`.
        weights: See `espcn`.
        name: Name of the model.

    Returns:
        A functional model, as `espcn` gives.

    Raises:
        ValueError: An argument is out of range.

    Example:
        >>> model = xunit_keras.xespcn_s(scale=3)
        >>> xunit_keras.count_parameters(model).total
        12816
    """
    return xespcn(
        depth=5 if scale in (2, 3) else 4,
        filters=16,
        first_kernel=3,
        channels=channels,
        scale=scale,
        weights=weights,
        name=name,
    )


@network("sr", twin="fsrcnn")
def xespcn_m(
    *,
    channels: int = 1,
    scale: int = 3,
    weights: str | None = None,
    name: str = "xespcn_m",
) -> keras.Model:
    """The medium xESPCN, at most 43,000 parameters for Y at scales 2 to 4.

    24 filters and slim 5x5 activations after seven convolutions, of which all but the
    first add to what they get. The arguments, the result and the errors are those of
    `xespcn_s`.

    Example:
        >>> model = xunit_keras.xespcn_m(scale=3)
        >>> xunit_keras.count_parameters(model).total
        37800
    """
    return xespcn(
        depth=7,
        filters=24,
        first_kernel=3,
        skips=True,
        channels=channels,
        scale=scale,
        weights=weights,
        name=name,
    )


@network("sr", twin="fsrcnn")
def xespcn_l(
    *,
    channels: int = 1,
    scale: int = 3,
    weights: str | None = None,
    name: str = "xespcn_l",
) -> keras.Model:
    """The large xESPCN, at most 110,000 parameters for Y at scales 2 to 4.

    48 filters and slim 5x5 activations after five convolutions. The arguments, the
    result and the errors are those of `xespcn_s`.

    Example:
        >>> model = xunit_keras.xespcn_l(scale=3)
        >>> xunit_keras.count_parameters(model).total
        94512
    """
    return xespcn(
        depth=5,
        filters=48,
        channels=channels,
        scale=scale,
        weights=weights,
        name=name,
    )
