"""FSRCNN, the small fast network that others are measured against."""

import keras

from xunit_keras.models.building import (
    channel_axis,
    conv,
    finish,
    image_dtype,
    image_input,
)
from xunit_keras.models.registry import network


@network("sr")
def fsrcnn(
    *,
    scale: int = 3,
    weights: str | None = None,
    name: str = "fsrcnn",
) -> keras.Model:
    """FSRCNN(56, 12, 4) as published: 12,464 parameters, a transposed convolution last.

    Args:
        scale: An integer of at least 2.
        weights: None, the name of a released model, or a `.weights.h5` file.
        name: Name of the model.

    Returns:
        A functional model from a Y image `(batch, height, width, 1)` in [0, 1] to
        `(batch, scale * height, scale * width, 1)`, not clipped.

    Raises:
        ValueError: `scale` is not such an integer.

    Example:
        >>> model = xunit_keras.fsrcnn(scale=3)
        >>> xunit_keras.count_parameters(model).total
        12464

    Reference:
        Dong, Loy, Tang: Accelerating the Super-Resolution Convolutional Neural Network,
        ECCV 2016.
    """
    if isinstance(scale, bool) or scale != int(scale) or scale < 2:
        raise ValueError(
            f"`scale` must be an integer of at least 2. Received: scale={scale!r}"
        )
    pixels = (1, 2) if channel_axis() == -1 else (2, 3)
    image = x = image_input(1)
    rows = ((56, 5), (12, 1), *[(12, 3)] * 4, (56, 1))
    for i, (filters, kernel_size) in enumerate(rows, start=1):
        x = conv(filters, kernel_size, f"conv_{i}")(x)
        x = keras.layers.PReLU(shared_axes=pixels, name=f"prelu_{i}")(x)
    last = keras.layers.Conv2DTranspose(
        1,
        9,
        strides=int(scale),
        padding="same",
        kernel_initializer="glorot_normal",
        dtype=image_dtype(),
        name="restored",
    )
    return finish(image, last(x), name, weights)
