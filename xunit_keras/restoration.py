"""Restoring images of any size: exact tiles, colour, self-ensemble."""

import functools
import hashlib
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Literal, NamedTuple

import keras
import numpy as np

from xunit_keras import images, zoo
from xunit_keras.colour import rgb_to_ycbcr, ycbcr_to_rgb
from xunit_keras.engines import Engine, EngineName, load_engine
from xunit_keras.layers import BicubicUpsampling
from xunit_keras.layers.bicubic import REACH
from xunit_keras.receptive_field import (
    ReceptiveField,
    image_channel_axis,
    receptive_field,
)

# Side, in output pixels, of the windows that tile="auto" works on. The activations
# of xDnCNN take 1.1 kB a pixel, 650 MB in all. Its halo of 41 pixels then adds 22 % to
# the work on a photograph of 12 megapixels; half the side would add 55 %.
AUTO_WINDOW = 768

Network = Callable[[np.ndarray], np.ndarray]
"""`(height, width, channels)` float32 to the restored float32 array, not clipped."""


class Tile(NamedTuple):
    """Part of one axis of an image, in input pixels."""

    window: slice  # what the model sees
    kept: slice  # what of it goes into the result

    def within(self, scale: int) -> slice:
        """The kept part, in pixels of the window's result."""
        start = self.window.start
        return slice(
            (self.kept.start - start) * scale,
            (self.kept.stop - start) * scale,
        )

    def target(self, scale: int) -> slice:
        """The kept part, in pixels of the result."""
        return slice(self.kept.start * scale, self.kept.stop * scale)


def restore(
    image: np.ndarray,
    model: keras.Model | str | Path,
    tile: int | Literal["auto"] = "auto",
    self_ensemble: bool = False,
    progress: Callable[[int, int], None] | None = None,
    engine: EngineName = "keras",
    threads: int | None = None,
) -> np.ndarray:
    """Restores an image with a model: denoises, derains or enlarges it.

    The model sees one window of the image after the other. Windows overlap by the
    model's receptive field, so that the result is that of the whole image at once,
    to float rounding; memory is bounded by the window. All windows of an image have
    the same shape.

    Where the channels of image and model differ:

    - a grey model that keeps the size restores R, G and B one by one;
    - a grey model that enlarges restores the luminance (BT.601 Y), and Cb and Cr
      are enlarged bicubically;
    - an RGB model gets a grey image three times and gives the mean of R, G and B.

    Args:
        image: `(height, width)` or `(height, width, 1 or 3)`, uint8, uint16, or
            float in [0, 1] (noise may go beyond).
        model: A Keras model from one image to one image with values in [0, 1], or
            what `xunit_keras.load` takes: a released model's name or a path. To
            restore many images, load the model once.
        tile: The most pixels along a side of the image that a window contributes to
            the result; `"auto"` chooses by the model's receptive field; 0 takes the
            whole image at once.
        self_ensemble: Give the mean of the results for the eight flips and
            rotations of the image: slightly better, eight times as long.
        progress: Called with `(done, total)`, in windows, before the first and after
            each of them.
        engine: What runs the model, see `xunit_keras.engines.load_engine`.
        threads: Number of threads of the engine; None leaves it to the engine.

    Returns:
        The restored image, with as many channels and axes as `image`: uint8 or uint16
        as given, or else float32 clipped to [0, 1].

    Raises:
        ValueError: The image, `tile`, `engine` or `threads` is not as above, there is
            no such model, or it does not work on images, on tiles or on the engine.
        ImportError: The package of the engine is missing.
    """
    image = np.asarray(image)
    check_image(image)
    if not isinstance(model, keras.Model):
        model = zoo.load(model)
    planes = image if image.ndim == 3 else image[..., None]
    height, width, channels = planes.shape

    scale, tiles = cover(model, height, width, tile)
    restore_window = _restorer(model, channels, scale, self_ensemble, engine, threads)

    dtype = np.float32 if image.dtype.kind == "f" else image.dtype
    restored = np.empty((height * scale, width * scale, channels), dtype)
    for done, (rows, columns) in enumerate(tiles):
        if progress is not None:
            progress(done, len(tiles))
        result = restore_window(to_float(planes[rows.window, columns.window]))
        result = result[rows.within(scale), columns.within(scale)]
        restored[rows.target(scale), columns.target(scale)] = _from_float(result, dtype)
    if progress is not None:
        progress(len(tiles), len(tiles))
    return restored.reshape(*restored.shape[:2], *image.shape[2:])


def enlarge(image: np.ndarray, scale: int) -> np.ndarray:
    """Enlarges an image bicubically, as MATLAB does; see `restore` for the types."""
    channels = 3 if image.ndim == 3 and image.shape[2] == 3 else 1
    return restore(image, _bicubic_model(scale, channels))


def auto_tile(field: ReceptiveField, window: int = AUTO_WINDOW) -> int:
    """The tile for `tile="auto"`: what `window` output pixels leave beside the halo.

    Of models that look very far, the tile is as wide as the halo around it.
    """
    halo = 2 * field.radius
    return max(window // field.scale - halo, halo, 1)


def cover(
    model: keras.Model,
    height: int,
    width: int,
    tile: int | Literal["auto"],
    window: int = AUTO_WINDOW,
) -> tuple[int, list[tuple[Tile, Tile]]]:
    """Covers an image with windows that overlap by a model's receptive field.

    Args:
        model: A model from one image to one image.
        height: Height of the image.
        width: Width of the image.
        tile: See `restore`.
        window: Side, in output pixels, of the windows of `tile="auto"`.

    Returns:
        The factor by which the model enlarges; and rows and columns of the windows.

    Raises:
        ValueError: `tile` is not as `restore` says, or the model does not work on
            images or on tiles.
    """
    if tile != "auto" and (
        isinstance(tile, bool) or not isinstance(tile, int) or tile < 0
    ):
        raise ValueError(
            '`tile` must be "auto", 0 for the whole image, or a number of pixels. '
            f"Received: tile={tile!r}"
        )
    scale = scale_on(model, height, width)
    if tile == 0:
        field, tile = ReceptiveField(scale, radius=0, stride=1), max(height, width)
    else:
        field = receptive_field(model)
        tile = auto_tile(field, window) if tile == "auto" else tile
    cuts = (_cut(length, tile, field) for length in (height, width))
    return scale, list(itertools.product(*cuts))


def check_image(image: np.ndarray) -> None:
    """Raises a `ValueError` unless `image` is one that `restore` takes."""
    shaped = image.ndim == 2 or (image.ndim == 3 and image.shape[2] in (1, 3))
    typed = image.dtype in (np.uint8, np.uint16) or image.dtype.kind == "f"
    if not (shaped and typed and image.size):
        raise ValueError(
            "`image` must be (height, width) or (height, width, 1 or 3), in uint8, "
            "uint16 or float, and not empty. "
            f"Received: shape {image.shape} and type {image.dtype}"
        )


def scale_on(model, height, width) -> int:
    """The factor by which a model enlarges an image.

    Raises:
        ValueError: The model does not work on images, or makes no whole multiple of
            this height and width.
    """
    axis = image_channel_axis(model)
    shape = [1, height, width]
    shape.insert(axis, model.input_shape[axis])
    output = list(model.compute_output_shape(tuple(shape)))
    del output[axis]
    scale = output[1] // height
    if output[1:] != [scale * height, scale * width] or scale < 1:
        raise ValueError(
            f"The model {model.name!r} makes {output[1]}x{output[2]} pixels of "
            f"{height}x{width}. Models that pool or stride need images whose height "
            "and width are multiples of what they divide by."
        )
    return scale


def _cut(length: int, tile: int, field: ReceptiveField) -> list[Tile]:
    """Covers an axis with windows of one length that keep `tile` pixels or fewer.

    Windows end where the image ends, so that the padding in the model's layers falls
    where it does for the whole image, and share the work evenly.
    """
    # Chroma is enlarged bicubically beside the model.
    halo = max(field.radius, REACH) if field.scale > 1 else field.radius
    whole = [Tile(slice(0, length), slice(0, length))]
    if length <= tile + 2 * halo:
        return whole
    count = -(-(length - 2 * halo) // tile)
    step = -(-(length - 2 * halo) // count)
    step += -step % field.stride
    window = step + 2 * halo
    window += (length - window) % field.stride
    if window >= length:
        return whole
    starts = [*range(0, length - window, step), length - window]
    ends = [start + window - halo for start in starts[:-1]]
    return [
        Tile(slice(start, start + window), slice(*kept))
        for start, kept in zip(
            starts, itertools.pairwise((0, *ends, length)), strict=True
        )
    ]


def _restorer(model, channels, scale, self_ensemble, engine, threads) -> Network:
    """The model as a function on windows with `channels` channels."""
    network = _network(model, engine, threads)
    if self_ensemble:
        network = _ensemble(network)
    model_channels = model.input_shape[image_channel_axis(model)]
    if channels == model_channels:
        return network
    if model_channels == 3:
        return lambda grey: network(np.repeat(grey, 3, axis=2)).mean(2, keepdims=True)
    if scale == 1:
        return lambda rgb: np.dstack([network(rgb[..., i : i + 1]) for i in range(3)])
    return _on_luminance(network, scale)


def _on_luminance(network: Network, scale: int) -> Network:
    chroma_network = _network(_bicubic_model(scale, 1))

    def restore_luminance(rgb):
        ycbcr = rgb_to_ycbcr(rgb)
        y = network(ycbcr[..., :1])
        chroma = [chroma_network(ycbcr[..., i : i + 1]) for i in (1, 2)]
        return ycbcr_to_rgb(np.dstack([y, *chroma]))

    return restore_luminance


def _ensemble(network: Network) -> Network:
    def mean(window):
        total = 0.0
        for view, turns in itertools.product((window, window[:, ::-1]), range(4)):
            result = np.rot90(network(np.rot90(view, turns)), -turns)
            total += result if view is window else result[:, ::-1]
        return total / 8

    return mean


def _network(
    model: keras.Model, engine: EngineName = "keras", threads: int | None = None
) -> Network:
    run = _runner(model, engine, threads, _fingerprint(model))
    channels_first = image_channel_axis(model) == 1

    def network(window):
        batch = window[None]
        if channels_first:
            batch = batch.transpose(0, 3, 1, 2)
        result = run(np.ascontiguousarray(batch)).astype(np.float32)
        if channels_first:
            result = result.transpose(0, 2, 3, 1)
        return result[0]

    return network


@functools.lru_cache(maxsize=4)
def _runner(
    model: keras.Model, engine: EngineName, threads: int | None, weights: bytes
) -> Engine:
    """The engine for a model, kept for as long as the weights are the same."""
    return load_engine(model, engine, threads)


def _fingerprint(model: keras.Model) -> bytes:
    digest = hashlib.blake2b()
    for weight in model.get_weights():
        digest.update(weight.tobytes())
    return digest.digest()


@functools.cache
def _bicubic_model(scale: int, channels: int) -> keras.Model:
    image = keras.Input((None, None, channels), name="image")
    enlarged = BicubicUpsampling(scale, data_format="channels_last", dtype="float32")(
        image
    )
    return keras.Model(image, enlarged, name=f"bicubic_x{scale}")


def to_float(window: np.ndarray) -> np.ndarray:
    """Samples of any type that `restore` takes, as float32."""
    if window.dtype.kind == "f":
        return window.astype(np.float32)
    return images.to_float(window)


def _from_float(result: np.ndarray, dtype: np.dtype) -> np.ndarray:
    if dtype == np.float32:
        return np.clip(result, 0.0, 1.0)
    return images.from_float(result, dtype)
