"""Drawn rain, for machines without photographs of real streaks."""

import numpy as np

_DENSITY = 0.0012  # drops of one length for each pixel
_LENGTHS = (10, 20, 35)  # pixels that drops fall while the shutter is open
_BRIGHTNESS = (0.1, 0.7)
_SLANT = 0.5  # pixels to the side for each down, at most


def draw_streaks(height: int, width: int, random: np.random.Generator) -> np.ndarray:
    """Slanted streaks: drops at random, smeared along their fall.

    Args:
        height: In pixels.
        width: In pixels.
        random: Where the drops come from.

    Returns:
        `(height, width, 1)` float32: the brightness in [0, 1] to be added to an image.
    """
    slant = random.uniform(-_SLANT, _SLANT)
    streaks = np.zeros((height, width))
    for length in _LENGTHS:
        drops = random.random((height, width)) < _DENSITY
        drops = drops * random.uniform(*_BRIGHTNESS, (height, width))
        for step in range(length):
            brightness = np.sin(np.pi * (step + 0.5) / length)  # thin at both ends
            column, part = divmod(step * slant, 1)
            for aside, share in ((int(column), 1 - part), (int(column) + 1, part)):
                moved = np.roll(drops, (step, aside), axis=(0, 1))
                streaks = np.maximum(streaks, moved * brightness * share)
    # Two pixels wide, as they are a little out of focus.
    around = np.roll(streaks, 1, axis=1) + np.roll(streaks, -1, axis=1)
    return (streaks / 2 + around / 4)[..., None].astype(np.float32)


def draw_rain(image: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """An image `(height, width, channels)`, float in [0, 1], in drawn streaks."""
    height, width = image.shape[:2]
    return np.minimum(image + draw_streaks(height, width, random), 1.0)
