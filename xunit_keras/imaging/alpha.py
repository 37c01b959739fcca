"""Colors under transparent pixels."""

import numpy as np

_BAND = 256  # Rows that are worked on at a time; even.
_DOUBTFUL = 8.0  # Of 255: with this alpha, a color counts as much as its surroundings.


def fill_transparent(pixels: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Fills the colors that nobody sees with those of the opaque pixels nearby.

    What lies under transparent pixels is often black, and whatever looks at neighbors
    (a network, an interpolation) spreads it into the soft edges of what is visible: a
    dark fringe. Here each transparent pixel gets the mean of the visible colors around
    it, weighted by their alpha, the nearest first. Nearly transparent colors, which
    may be no more than rounding, are mixed with it: composed over any background, no
    pixel changes by more than 4 levels of 255, and none with an alpha of 255 at all.

    Args:
        pixels: `(H, W)` or `(H, W, 3)`, uint8 or uint16.
        alpha: `(H, W)` of the same type, 0 for transparent.

    Returns:
        The pixels, an array of its own unless nothing is to be filled.

    Reference:
        Gortler, Grzeszczuk, Szeliski, Cohen: The Lumigraph, SIGGRAPH 1996: the pull
        and push of a pyramid.
    """
    white = np.iinfo(alpha.dtype).max
    if alpha.min() == white or not alpha.any():
        return pixels
    height, width = alpha.shape
    colors = pixels.reshape(height, width, -1)
    bands = [slice(start, start + _BAND) for start in range(0, height, _BAND)]
    small = [_halved(_weighted(colors[band], alpha[band])) for band in bands]
    around = _spread(np.concatenate(small))

    filled = colors.copy()
    for band in bands:
        if alpha[band].min() == white:
            continue
        first = max(band.start // 2 - 1, 0)  # One row more on each side.
        near = _doubled(around[first : (band.start + _BAND) // 2 + 1])
        near = near[band.start - 2 * first :][: len(filled[band]), :width]
        opacity = alpha[band][..., None].astype(np.float32) * (255.0 / white)
        own = opacity**2 / (opacity**2 + _DOUBTFUL**2)
        mixed = own * filled[band] + (1 - own) * near + 0.5
        filled[band] = np.where(opacity < 255, mixed.astype(filled.dtype), filled[band])
    return filled.reshape(pixels.shape)


def _weighted(colors: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Colors times weights of 0 to 1, and as the last channel the weights."""
    weights = alpha[..., None] / np.float32(np.iinfo(alpha.dtype).max)
    return np.concatenate([colors * weights, weights], axis=-1)


def _halved(level: np.ndarray) -> np.ndarray:
    """The sums of 2x2 pixels, weights above 1 brought down to 1."""
    height, width = level.shape[:2]
    level = np.pad(level, ((0, height % 2), (0, width % 2), (0, 0)))
    half = level[::2] + level[1::2]
    half = half[:, ::2] + half[:, 1::2]
    half /= np.maximum(half[..., -1:], 1)
    return half


def _spread(level: np.ndarray) -> np.ndarray:
    """A color for each pixel: its own as far as its weight goes, or one from around."""
    height, width = level.shape[:2]
    if height == width == 1:
        return level[..., :-1] / level[..., -1:]
    around = _doubled(_spread(_halved(level)))[:height, :width]
    around *= 1 - level[..., -1:]
    around += level[..., :-1]
    return around


def _doubled(image: np.ndarray) -> np.ndarray:
    """Twice the size, interpolated linearly."""
    for axis in (0, 1):
        lines = np.moveaxis(image, axis, 0)
        before = np.concatenate([lines[:1], lines[:-1]])
        after = np.concatenate([lines[1:], lines[-1:]])
        double = np.empty((2 * len(lines), *lines.shape[1:]), np.float32)
        double[::2] = 0.75 * lines + 0.25 * before
        double[1::2] = 0.75 * lines + 0.25 * after
        image = np.moveaxis(double, 0, axis)
    return image
