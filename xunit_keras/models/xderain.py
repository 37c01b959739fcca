"""xDerain: xDnCNN as the paper uses it to remove rain."""

import keras

from xunit_keras.models.registry import network
from xunit_keras.models.xdncnn import xdncnn
from xunit_keras.zoo import load_weights


@network("derain", twin="dncnn")
def xderain(
    *,
    depth: int = 9,
    filters: int = 64,
    kernel_size: int = 9,
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

    Example:
        >>> model = xunit_keras.xderain()
        >>> xunit_keras.count_parameters(model).total
        305920
    """
    model = xdncnn(
        depth=depth,
        filters=filters,
        kernel_size=kernel_size,
        gate=gate,
        channels=3,
        name=name,
    )
    if weights is not None:
        load_weights(model, weights)
    return model
