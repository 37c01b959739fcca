"""Results of any size: how large, in how many passes, and the exact way down."""

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from xunit_keras.imaging.resize import taps

_MOST_PASSES = 6


@dataclass(frozen=True)
class Size:
    """How large a result is to be: one of the three.

    Attributes:
        width: In pixels; the height follows, rounded.
        height: In pixels; the width follows, rounded.
        scale: The factor, more than 1; both sides are rounded.

    Raises:
        ValueError: None or several are given, or one is out of range.
    """

    width: int | None = None
    height: int | None = None
    scale: float | None = None

    def __post_init__(self):
        given = {name: value for name, value in vars(self).items() if value is not None}
        if len(given) != 1:
            raise ValueError(
                "The size must be given by one of width, height and scale. "
                f"Received: {', '.join(f'{k}={v}' for k, v in given.items()) or 'none'}"
            )
        for name in given.keys() & {"width", "height"}:
            if given[name] < 1:
                raise ValueError(
                    f"`{name}` must be at least 1 pixel. Received: {name}={given[name]}"
                )
        if self.scale is not None and not 1 < self.scale < math.inf:
            raise ValueError(
                "`scale` must be more than 1: images are enlarged. "
                f"Received: scale={self.scale}"
            )

    def of(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of the result for an image of this size.

        Raises:
            ValueError: The image is not smaller.
        """
        if self.width is not None:
            ratio = Fraction(self.width, width)
        elif self.height is not None:
            ratio = Fraction(self.height, height)
        else:
            ratio = Fraction(str(self.scale))
        if ratio <= 1:
            raise ValueError(
                f"The image has {width} x {height} pixels already, and images are "
                "enlarged only: ask for more pixels."
            )
        rows, columns = (
            max(1, math.floor(side * ratio + Fraction(1, 2)))
            for side in (height, width)
        )
        return rows, columns


def passes(ratio: Fraction, scales: Sequence[int]) -> tuple[int, ...]:
    """The networks that enlarge by `ratio` or little more, one after the other.

    Args:
        ratio: How much larger the result is.
        scales: By how much there are networks that enlarge.

    Returns:
        As few scales as reach `ratio`, and of those the least product.

    Raises:
        ValueError: They would be too many.
    """
    scales = sorted({scale for scale in scales if scale > 1})
    for count in range(1, _MOST_PASSES + 1):
        chains = itertools.combinations_with_replacement(scales, count)
        enough = [chain for chain in chains if math.prod(chain) >= ratio]
        if enough:
            return min(enough, key=math.prod)
    raise ValueError(
        f"{float(ratio):.4g} times the size takes more than {_MOST_PASSES} passes with "
        f"networks that enlarge by {', '.join(map(str, scales))}: ask for less."
    )


def shrink(
    bands: Iterable[np.ndarray], source: tuple[int, int], target: tuple[int, int]
) -> Iterator[np.ndarray]:
    """Shrinks an image to any size, as MATLAB's `imresize(image, [rows columns])` does.

    The kernel is bicubic and widened (antialiasing), borders are mirrored; see
    `xunit_keras.imaging.resize.imresize`.

    Args:
        bands: Rows of the image from top to bottom, `(n, width, channels)` float.
        source: Height and width of the image.
        target: Height and width of the result, neither larger.

    Yields:
        Rows of the result from top to bottom, float32, not clipped.
    """
    (rows, row_weights), (columns, column_weights) = (
        taps(length, size, size / length)
        for length, size in zip(source, target, strict=True)
    )
    # The first and the last row that each row of the result and those after, or
    # before it, are made of.
    first = np.minimum.accumulate(rows.min(axis=1)[::-1])[::-1]
    last = np.maximum.accumulate(rows.max(axis=1))
    kept: np.ndarray | None = None
    start = done = 0
    for band in bands:
        across = np.moveaxis(
            _weighted(np.moveaxis(band, 1, 0), columns, column_weights), 0, 1
        )
        kept = across if kept is None else np.concatenate([kept, across])
        ready = int(np.searchsorted(last, start + len(kept)))
        if ready > done:
            now = slice(done, ready)
            yield _weighted(kept, rows[now] - start, row_weights[now])
            done = ready
        if done < target[0]:
            kept = kept[first[done] - start :]
            start = int(first[done])


def _weighted(image, positions, weights) -> np.ndarray:
    """Sums of rows, `(size, ...)` float32."""
    weights = weights.astype(np.float32)
    result = np.zeros((len(positions), *image.shape[1:]), np.float32)
    for column in np.flatnonzero(weights.any(axis=0)):
        tap, weight = positions[:, column], weights[:, column]
        result += weight.reshape(-1, *(1,) * (image.ndim - 1)) * image[tap]
    return result
