"""Degraded photographs as a model gets them: to verify it, and to measure it."""

from collections.abc import Iterator
from fractions import Fraction

import keras
import numpy as np

from xunit_keras import images
from xunit_keras.colour import luminance
from xunit_keras.photographs import sample_photographs
from xunit_keras.rain import draw_rain
from xunit_keras.resize import imresize
from xunit_keras.zoo import SIGMA

_DERAINERS = ("derainnet", "xderain")  # Names that the builders give.


def examples(
    model: keras.Model,
    height: int,
    width: int,
    sigma: float = SIGMA,
    draws: int = 0,
    seed: int = 0,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Parts of the bundled photographs: as they are, and as a model gets them.

    They are shrunk for a model that enlarges, in drawn rain for those named as rain
    removers are, and in noise for all others.

    Args:
        model: A `channels_last` model.
        height: Of what the model gets, in pixels.
        width: Likewise.
        sigma: Level of the noise in 0..255.
        draws: How many parts of each photograph are drawn at random, every second one
            as a negative; 0 gives the middles.
        seed: Of the noise, the rain and the places.
    """
    channels, scale = model.input_shape[-1], scale_of(model)
    random = np.random.default_rng(seed)
    for pixels in sample_photographs().values():
        photograph = images.to_float(pixels)
        if channels == 1:
            photograph = luminance(photograph)
        photograph = np.broadcast_to(photograph, (*photograph.shape[:2], channels))
        for draw in range(max(draws, 1)):
            places = random.random(2) if draws else (0.5, 0.5)
            original = _part(photograph, height * scale, width * scale, places)
            if draw % 2:
                original = 1.0 - original
            if scale > 1:
                degraded = imresize(original, Fraction(1, scale))
            elif model.name in _DERAINERS:
                degraded = draw_rain(original, random)
            else:
                noise = random.normal(scale=sigma / 255, size=original.shape)
                degraded = original + noise
            yield original, degraded.astype(np.float32)


def _part(image, height, width, places):
    """A part of an image, mirrored at the borders if it is too small.

    Places of 0 and 1 are the top and bottom, or the left and right.
    """
    for axis, (size, place) in enumerate(zip((height, width), places, strict=True)):
        missing = max(size - image.shape[axis], 0)
        pad = [(0, 0)] * 3
        pad[axis] = (0, missing)
        image = np.pad(image, pad, mode="symmetric")
        start = int(place * (image.shape[axis] - size))
        image = image.take(range(start, start + size), axis=axis)
    return image


def scale_of(model: keras.Model) -> int:
    """The factor by which a `channels_last` model enlarges images."""
    side = 16
    shape = (1, side, side, model.input_shape[-1])
    return model.compute_output_shape(shape)[1] // side
