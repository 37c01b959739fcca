"""Restoring images of any size: exact tiles, color, self-ensemble."""

import functools
import itertools
from collections.abc import Callable, Iterator
from typing import Literal

import numpy as np
from numpy.typing import DTypeLike

from xunit_keras.imaging import pixels
from xunit_keras.imaging.color import rgb_to_ycbcr, ycbcr_to_rgb
from xunit_keras.imaging.resize import REACH, enlargement
from xunit_keras.runtime.network import Network
from xunit_keras.runtime.tiles import ReceptiveField, cuts

Function = Callable[[np.ndarray], np.ndarray]
"""`(height, width, channels)` float32 to the restored float32 array, not clipped."""


def restore(
    image: np.ndarray,
    network: Network,
    tile: int | Literal["auto"] = "auto",
    self_ensemble: bool = False,
    progress: Callable[[int, int], None] | None = None,
    strength: float = 1.0,
) -> np.ndarray:
    """Restores an image with a network; see `xunit_keras.restore`."""
    image = check_image(image)
    scale = network.field.scale
    shape = (image.shape[0] * scale, image.shape[1] * scale, *image.shape[2:])
    restored = np.empty(shape, np.float32 if image.dtype.kind == "f" else image.dtype)
    start = 0
    for band in restore_bands(image, network, tile, self_ensemble, progress, strength):
        restored[start : start + len(band)] = band
        start += len(band)
    return restored


def restore_bands(
    image: np.ndarray,
    network: Network,
    tile: int | Literal["auto"] = "auto",
    self_ensemble: bool = False,
    progress: Callable[[int, int], None] | None = None,
    strength: float = 1.0,
    dtype: DTypeLike | None = None,
) -> Iterator[np.ndarray]:
    """As `restore`, a band of rows after the other, so that the whole is never there.

    Args:
        image: See `xunit_keras.restore`, as for what follows.
        network: What restores it.
        tile: See there.
        self_ensemble: See there.
        progress: See there.
        strength: See there.
        dtype: Of the result, uint8, uint16 or float32; None for what `restore` gives.

    Yields:
        Some rows of the restored image, from top to bottom.
    """
    image = check_image(image)
    planes = image if image.ndim == 3 else image[..., None]
    height, width, channels = planes.shape
    scale = network.field.scale
    rows, columns = cuts(network.field, height, width, tile)
    restore_window = _restorer(
        network, channels, self_ensemble, check_strength(strength)
    )
    if dtype is None:
        dtype = np.float32 if image.dtype.kind == "f" else image.dtype
    total, done = len(rows) * len(columns), 0
    report = progress or (lambda done, total: None)
    report(0, total)
    for row in rows:
        target = row.target(scale)
        band = np.empty((target.stop - target.start, width * scale, channels), dtype)
        for column in columns:
            result = restore_window(as_float(planes[row.window, column.window]))
            result = result[row.within(scale), column.within(scale)]
            band[:, column.target(scale)] = _from_float(result, dtype, network)
            done += 1
            report(done, total)
        yield band.reshape(*band.shape[:2], *image.shape[2:])


def enlarge(image: np.ndarray, scale: int) -> np.ndarray:
    """Enlarges an image bicubically, as MATLAB does; see `restore` for the types."""
    channels = 3 if image.ndim == 3 and image.shape[2] == 3 else 1
    return restore(image, _bicubic(scale, channels))


def enlarge_rows(image: np.ndarray, scale: int, start: int, stop: int) -> np.ndarray:
    """The rows of `enlarge(image, scale)` that rows `start` to `stop` become."""
    first, last = max(start - REACH, 0), min(stop + REACH, len(image))
    band = enlarge(image[first:last], scale)
    return band[(start - first) * scale : (stop - first) * scale]


def check_image(image: np.ndarray) -> np.ndarray:
    """An image as `restore` takes it.

    Raises:
        ValueError: Shape, type or values are not as `restore` says.
    """
    image = np.asarray(image)
    shaped = image.ndim == 2 or (image.ndim == 3 and image.shape[2] in (1, 3))
    typed = image.dtype in (np.uint8, np.uint16) or image.dtype.kind == "f"
    if not (shaped and typed and image.size):
        raise ValueError(
            "`image` must be (height, width) or (height, width, 1 or 3), in uint8, "
            "uint16 or float, and not empty. "
            f"Received: shape {image.shape} and type {image.dtype}"
        )
    if image.dtype.kind == "f":
        low, high = float(image.min()), float(image.max())
        if not (np.isfinite(low) and np.isfinite(high)):
            raise ValueError(
                "A float image must hold finite numbers only. Received: an image with "
                "NaN or infinity in it"
            )
        if max(-low, high) > pixels.LARGEST_SAMPLE:
            raise ValueError(
                "A float image must lie in [0, 1], beyond which only noise may go: "
                "divide one of 0..255 by 255. "
                f"Received: values from {low:g} to {high:g}"
            )
    return image


def check_strength(strength: float) -> float:
    """How much of the change is applied, 0 to 1.

    Raises:
        ValueError: It is out of range.
    """
    valid = isinstance(strength, int | float | np.number) and 0 <= strength <= 1
    if isinstance(strength, bool) or not valid:
        raise ValueError(
            "`strength` must be 0 (the image as it came) to 1 (all of the change). "
            f"Received: strength={strength!r}"
        )
    return float(strength)


def as_float(window: np.ndarray) -> np.ndarray:
    """Samples of any type that `restore` takes, as float32."""
    if window.dtype.kind == "f":
        return window.astype(np.float32)
    return pixels.to_float(window)


def _from_float(result: np.ndarray, dtype: DTypeLike, network: Network) -> np.ndarray:
    if np.isnan(result.max()):
        raise ValueError(f"The model {network.name!r} gives NaN for this image.")
    if dtype == np.float32:
        return np.clip(result, 0.0, 1.0)
    return pixels.from_float(result, dtype)


def _restorer(
    network: Network, channels: int, self_ensemble: bool, strength: float
) -> Function:
    """The network as a function on windows with `channels` channels."""
    scale = network.field.scale

    def run(window):
        result = np.asarray(network.run(np.ascontiguousarray(window[None])))[0]
        expected = (scale * window.shape[0], scale * window.shape[1], window.shape[2])
        if result.shape != expected:
            raise ValueError(
                f"The model {network.name!r} makes {result.shape} of {window.shape}. "
                "Models that pool or stride need images whose height and width are "
                "multiples of what they divide by."
            )
        return result.astype(np.float32, copy=False)

    function: Function = _ensemble(run) if self_ensemble else run
    function = _for_channels(function, channels, network)
    return function if strength == 1 else _blended(function, scale, strength)


def _for_channels(function: Function, channels: int, network: Network) -> Function:
    if channels == network.channels:
        return function
    if network.channels == 3:
        return lambda gray: function(np.repeat(gray, 3, axis=2)).mean(2, keepdims=True)
    if network.field.scale == 1:
        return lambda rgb: np.dstack([function(rgb[..., i : i + 1]) for i in range(3)])

    def restore_luminance(rgb):
        ycbcr = rgb_to_ycbcr(rgb)
        chroma = _enlarged(ycbcr[..., 1:], network.field.scale)
        return ycbcr_to_rgb(np.dstack([function(ycbcr[..., :1]), chroma]))

    return restore_luminance


def _ensemble(function: Function) -> Function:
    def mean(window):
        total = np.zeros((), np.float32)
        for view, turns in itertools.product((window, window[:, ::-1]), range(4)):
            result = np.rot90(function(np.rot90(view, turns)), -turns)
            total = total + (result if view is window else result[:, ::-1])
        return total / 8

    return mean


def _blended(function: Function, scale: int, strength: float) -> Function:
    """A part of the change: between the image as it came and the restored one."""

    def blend(window):
        before = window if scale == 1 else _enlarged(window, scale)
        return before + np.float32(strength) * (function(window) - before)

    return blend


def _enlarged(window: np.ndarray, scale: int) -> np.ndarray:
    """A window `(height, width, channels)` enlarged as `imresize` does."""
    height, width, channels = window.shape
    rows = _matrix(height, scale) @ window.reshape(height, width * channels)
    rows = rows.reshape(scale * height, width, channels)
    return np.matmul(_matrix(width, scale), rows)


_matrix = functools.lru_cache(maxsize=8)(enlargement)


@functools.cache
def _bicubic(scale: int, channels: int) -> Network:
    """Bicubic interpolation as a network, so that it goes through tiles."""

    def run(batch):
        return np.stack([_enlarged(image, scale) for image in batch])

    return Network(f"bicubic_x{scale}", run, channels, ReceptiveField(scale, REACH))
