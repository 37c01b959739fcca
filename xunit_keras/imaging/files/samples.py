"""Samples as files hold them, brought to those of a `Photograph`."""

import numpy as np

_TURNS = {
    1: lambda image: image,
    2: lambda image: image[:, ::-1],
    3: lambda image: image[::-1, ::-1],
    4: lambda image: image[::-1],
    5: lambda image: image.swapaxes(0, 1),
    6: lambda image: np.rot90(image, -1),
    7: lambda image: image[::-1, ::-1].swapaxes(0, 1),
    8: lambda image: np.rot90(image),
}


def upright(samples: np.ndarray, orientation: int) -> np.ndarray:
    """Turns `(H, W, ...)` as the EXIF orientation, 1 to 8, says; a view."""
    return _TURNS[orientation](samples)


def widened(samples: np.ndarray, bits: int) -> np.ndarray:
    """Spreads samples of 9 to 16 bits over the whole range of uint16, rounded."""
    white = 2**bits - 1
    wide = samples.astype(np.uint32)
    wide *= 65535
    wide += white // 2
    wide //= white
    return wide.astype(np.uint16)


def straight(samples: np.ndarray) -> np.ndarray:
    """Divides colors by their alpha, the last channel, that they were multiplied by."""
    white = np.iinfo(samples.dtype).max
    alpha = samples[..., -1:].astype(np.uint32)
    colors = samples[..., :-1].astype(np.uint32) * white // np.maximum(alpha, 1)
    colors = np.minimum(colors, white).astype(samples.dtype)
    return np.concatenate([colors, samples[..., -1:]], axis=-1)
