"""Drawn rain, for machines without photographs of real streaks."""

import numpy as np

_DENSITY = 0.004  # drops for each pixel
_LENGTH = 20  # pixels that a drop falls while the shutter is open
_BRIGHTNESS = (0.1, 0.4)


def draw_streaks(height: int, width: int, random: np.random.Generator) -> np.ndarray:
    """Slanted streaks: drops at random, smeared along their fall.

    Args:
        height: In pixels.
        width: In pixels.
        random: Where the drops come from.

    Returns:
        `(height, width, 1)` float32: the brightness in [0, 1] to be added to an image.
    """
    drops = random.random((height, width)) < _DENSITY
    drops = drops * random.uniform(*_BRIGHTNESS, (height, width))
    streaks = np.zeros((height, width))
    for step in range(_LENGTH):
        streaks = np.maximum(streaks, np.roll(drops, (step, step // 4), axis=(0, 1)))
    return streaks[..., None].astype(np.float32)
