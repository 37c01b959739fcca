"""Windows that overlap by what a network sees, so that tiles equal the whole."""

import itertools
import operator
from dataclasses import dataclass
from typing import Literal, NamedTuple

from xunit_keras.imaging.resize import REACH

AUTO_WINDOW = 936
"""Side, in output pixels, of a square that has as many as windows of `tile="auto"` may.

The activations of xDnCNN take 0.83 kB a pixel, 730 MB in all. Its halo of 41 pixels
then adds 15 % to the work on a photograph of 12 megapixels; half the side would add
39 %.
"""


@dataclass(frozen=True)
class ReceptiveField:
    """What a network makes of sizes and positions.

    Attributes:
        scale: Output pixels for one input pixel, along each axis.
        radius: Input pixels to each side of its own that an output pixel depends on.
        stride: A tile of the input must start at a multiple of it, and differ from
            the whole image in size by a multiple of it; 1 for networks without
            pooling and strides.
    """

    scale: int
    radius: int
    stride: int = 1


class Tile(NamedTuple):
    """Part of one axis of an image, in input pixels."""

    window: slice  # what the network sees
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


def check_tile(tile: int | Literal["auto"]) -> int | Literal["auto"]:
    """A tile as `cover` takes it.

    Raises:
        ValueError: `tile` is neither `"auto"` nor an integer of at least 0.
    """
    if isinstance(tile, str) and tile == "auto":
        return "auto"
    try:
        if not isinstance(tile, bool) and operator.index(tile) >= 0:
            return operator.index(tile)
    except TypeError:
        pass
    raise ValueError(
        '`tile` must be "auto", 0 for the whole image, or a number of pixels. '
        f"Received: tile={tile!r}"
    )


def cover(
    field: ReceptiveField,
    height: int,
    width: int,
    tile: int | Literal["auto"],
    window: int = AUTO_WINDOW,
) -> list[tuple[Tile, Tile]]:
    """Covers an image with windows that overlap by the receptive field.

    Args:
        field: Of the network.
        height: Height of the image.
        width: Width of the image.
        tile: The most pixels along a side that a window contributes to the result;
            `"auto"` chooses what is the least work, and 0 is the whole image.
        window: Side, in output pixels, of a square that has as many as windows of
            `tile="auto"` may.

    Returns:
        Rows and columns of the windows, all of one shape.

    Raises:
        ValueError: `tile` is not as above.
    """
    return list(itertools.product(*cuts(field, height, width, tile, window)))


def cuts(
    field: ReceptiveField,
    height: int,
    width: int,
    tile: int | Literal["auto"],
    window: int = AUTO_WINDOW,
) -> tuple[list[Tile], list[Tile]]:
    """The rows and the columns of the windows of `cover`, from which these are made."""
    tile = check_tile(tile)
    if tile == 0:
        rows, columns = slice(0, height), slice(0, width)
        return [Tile(rows, rows)], [Tile(columns, columns)]
    if tile == "auto":
        return _least_work(field, height, width, window // field.scale)
    return _cut(height, tile, field), _cut(width, tile, field)


def _least_work(
    field: ReceptiveField, height: int, width: int, side: int
) -> tuple[list[Tile], list[Tile]]:
    """Windows of at most `side * side` pixels that have the fewest in all.

    Where the field is too wide for that, those that come nearest.
    """
    halo = 2 * _halo(field)
    # Narrow tiles are mostly halo.
    least = max(side // 4, halo, 1)
    choices = []
    for count in range(1, max(height - halo, 0) // least + 2):
        rows = _cut(height, max(-(-(height - halo) // count), 1), field)
        columns = _cut(width, max(side**2 // _length(rows) - halo, least), field)
        pixels = _length(rows) * _length(columns)
        beyond = max(pixels - side**2, 0)
        work = pixels * len(rows) * len(columns)
        choices.append((beyond, work, rows, columns))
    return min(choices, key=operator.itemgetter(0, 1))[2:]


def _length(tiles: list[Tile]) -> int:
    """That of the windows."""
    return tiles[0].window.stop - tiles[0].window.start


def _halo(field: ReceptiveField) -> int:
    """What a window has to see to each side of what is kept of it."""
    # Chroma is enlarged bicubically beside the network.
    return max(field.radius, REACH) if field.scale > 1 else field.radius


def _cut(length: int, tile: int, field: ReceptiveField) -> list[Tile]:
    """Covers an axis with windows of one length that keep `tile` pixels or fewer.

    Windows end where the image ends, so that the padding in the network's layers falls
    where it does for the whole image, and share the work evenly.
    """
    halo = _halo(field)
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
