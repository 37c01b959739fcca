"""Drawn images: flat areas, gradients, shapes, text and patterns.

Photographs hardly show saturated flat colors and sharp edges between them, and a
network that never saw them restores graphics badly. These stand among the photographs
of a training.
"""

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw, ImageFont

SIZE = (320, 480)
"""Height and width of each image, about those of a photograph of BSDS500."""

COUNTS = {"flat": 24, "gradient": 8, "pattern": 8, "shapes": 8, "text": 8}
"""Images of each kind. Flat areas are where a network is furthest off."""

_SEED = 3
_CELLS = (2, 3)  # rows and columns of flat areas: each larger than a patch
_TEXT = "The quick brown fox jumps over the lazy dog 0123456789 (+-*/=) @#%&?!"
_BAYER = np.array([[0, 8, 2, 10], [12, 4, 14, 6], [3, 11, 1, 9], [15, 7, 13, 5]])

CORNERS = np.array(np.meshgrid([0, 255], [0, 255], [0, 255])).T.reshape(-1, 3)
"""The corners of the RGB cube: black, white, and the fully saturated colors."""


def drawings() -> dict[str, np.ndarray]:
    """The drawn images by name, the same at every call.

    Returns:
        uint8 arrays `(height, width, 3)` of `SIZE`: `COUNTS` of each kind. Another
        version of Pillow may draw shapes and letters a little differently.
    """
    return {
        f"{kind}-{number}": draw(np.random.default_rng((_SEED, place, number)))
        for place, (kind, draw) in enumerate(_KINDS.items())
        for number in range(COUNTS[kind])
    }


def _flat(random: np.random.Generator) -> np.ndarray:
    """Areas of one color, half of them corners of the RGB cube."""
    rows, columns = _CELLS
    corners = random.permutation(CORNERS)[: rows * columns // 2]
    others = random.integers(0, 256, (rows * columns - len(corners), 3))
    colors = random.permutation(np.concatenate([corners, others]))
    cells = colors.reshape(rows, columns, 3).astype(np.uint8)
    height, width = SIZE
    return cells.repeat(height // rows, axis=0).repeat(width // columns, axis=1)


def _gradient(random: np.random.Generator) -> np.ndarray:
    """From one color to another, along a line or around a point."""
    return _blend(_slope(random), *_colors(random, 2))


def _pattern(random: np.random.Generator) -> np.ndarray:
    """Checks, stripes and ordered dithering of two colors, side by side."""
    rows, columns = np.indices(SIZE)
    side = int(random.integers(1, 17))
    tones = _BAYER[rows % 4, columns % 4] / 16.0
    patterns = [
        (rows // side + columns // side) % 2,
        (rows * int(random.integers(0, 4)) + columns) // side % 2,
        _slope(random) > tones,
    ]
    thirds = np.arange(SIZE[1]) * len(patterns) // SIZE[1]
    share = np.choose(thirds, [pattern.astype(float) for pattern in patterns])
    return _blend(share, *_colors(random, 2))


def _shapes(random: np.random.Generator) -> np.ndarray:
    """Rectangles, ellipses, triangles and lines over each other; soft or hard."""
    soft = int(random.integers(1, 3))
    image, draw, (width, height) = _canvas(random, soft)
    for _ in range(24):
        color = _color(random)
        corners = random.uniform(-0.1, 1.1, (3, 2)) * (width, height)
        box = (*corners[:2].min(axis=0), *corners[:2].max(axis=0))
        kind = random.integers(4)
        if kind == 0:
            draw.rectangle(box, fill=color)
        elif kind == 1:
            draw.ellipse(box, fill=color)
        elif kind == 2:
            draw.polygon([tuple(corner) for corner in corners], fill=color)
        else:
            points = [tuple(corner) for corner in corners[:2]]
            draw.line(points, fill=color, width=soft * int(random.integers(1, 12)))
    return np.asarray(image.reduce(soft))


def _text(random: np.random.Generator) -> np.ndarray:
    """Lines of text of several sizes."""
    image, draw, (width, height) = _canvas(random, 1)
    top = 0
    while top < height:
        size = int(random.integers(9, 40))
        start = int(random.integers(len(_TEXT)))
        text = (_TEXT[start:] + " " + _TEXT)[: 3 * width // size]
        font = ImageFont.load_default(size)
        draw.text((int(random.integers(-8, 24)), top), text, _color(random), font)
        top += int(1.25 * size)
    return np.asarray(image)


_KINDS: dict[str, Callable[[np.random.Generator], np.ndarray]] = {
    "flat": _flat,
    "gradient": _gradient,
    "pattern": _pattern,
    "shapes": _shapes,
    "text": _text,
}


def _color(random: np.random.Generator) -> tuple[int, ...]:
    """A corner of the RGB cube, or any color: as often the one as the other."""
    corner, other = random.choice(CORNERS), random.integers(0, 256, 3)
    return tuple(map(int, corner if random.random() < 0.5 else other))


def _colors(random: np.random.Generator, count: int) -> np.ndarray:
    """Colors that differ."""
    colors: list[tuple[int, ...]] = []
    while len(colors) < count:
        color = _color(random)
        if color not in colors:
            colors.append(color)
    return np.array(colors, float)


def _canvas(random, scale: int):
    """An image of one color, `scale` times as large, what draws on it, and its size."""
    size = (SIZE[1] * scale, SIZE[0] * scale)
    image = Image.new("RGB", size, _color(random))
    return image, ImageDraw.Draw(image), size


def _slope(random: np.random.Generator) -> np.ndarray:
    """From 0 to 1, along a line or around a point."""
    rows, columns = np.indices(SIZE) / max(SIZE)
    if random.random() < 0.5:
        angle = random.uniform(0, 2 * np.pi)
        values = rows * np.sin(angle) + columns * np.cos(angle)
    else:
        values = np.hypot(rows - random.random(), columns - random.random())
    return (values - values.min()) / np.ptp(values)


def _blend(share: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    mixed = first + share[..., None] * (second - first)
    return np.floor(mixed + 0.5).astype(np.uint8)
