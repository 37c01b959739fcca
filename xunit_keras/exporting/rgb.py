"""A gray network as one from RGB to RGB, inside the graph."""

import keras
import numpy as np
from keras import layers, ops

from xunit_keras.imaging.color import rgb_to_ycbcr, ycbcr_to_rgb
from xunit_keras.layers import BicubicUpsampling


def on_rgb(network: keras.Model, scale: int) -> keras.Model:
    """A gray network as one from RGB to RGB, as `restore` treats RGB images.

    A network that enlarges gets the luminance (BT.601 Y), and Cb and Cr are enlarged
    bicubically; one that keeps the size gets R, G and B one by one.

    Args:
        network: A functional model from `(batch, height, width, 1)` to the same or an
            integer multiple of height and width.
        scale: That multiple.

    Returns:
        A model from `(batch, height, width, 3)` in [0, 1], not clipped.
    """
    image = keras.Input((*network.input_shape[1:3], 3), name="image")
    if scale == 1:
        restored = [network(image[..., i : i + 1]) for i in range(3)]
        return keras.Model(image, layers.Concatenate()(restored), name=network.name)
    ycbcr = _pointwise(rgb_to_ycbcr, image)
    chroma = BicubicUpsampling(scale, name="bicubic_chroma")(ycbcr[..., 1:])
    enlarged = layers.Concatenate()([network(ycbcr[..., :1]), chroma])
    return keras.Model(image, _pointwise(ycbcr_to_rgb, enlarged), name=network.name)


def _pointwise(function, image):
    """An affine function of NumPy on colors, as operations of the graph."""
    offset = function(np.zeros(3))
    matrix = function(np.eye(3)) - offset
    return ops.matmul(image, matrix.astype("float32")) + offset.astype("float32")
