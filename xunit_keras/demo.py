"""The demonstration: bundled photographs degraded, restored and compared."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from xunit_keras import restoration, tasks
from xunit_keras.imaging.pixels import from_float
from xunit_keras.imaging.samples import NAMES, sample_photographs
from xunit_keras.runtime import models

COUNT = len(NAMES)
_CROP = 240  # side of what the sheet shows of each photograph, in pixels
_LABEL = 24  # height of the line above it
_GAP = 4  # between columns
_SCALE = 3  # the factor that is shown


class Comparison(NamedTuple):
    """A photograph before and after, all `(height, width, 1 or 3)` float in [0, 1].

    Attributes:
        name: Name of the photograph.
        degraded: What was to be restored; enlarged bicubically for super resolution.
        restored: What the model made of it.
        original: The photograph.
        degraded_psnr: In decibels, as the task scores.
        restored_psnr: In decibels.
    """

    name: str
    degraded: np.ndarray
    restored: np.ndarray
    original: np.ndarray
    degraded_psnr: float
    restored_psnr: float


def one_a_task() -> list[str]:
    """A released model for each task: for RGB, x3, and the smallest of these."""
    chosen: dict[str, models.Card] = {}

    def rank(card):
        return -card.channels, abs(card.scale - _SCALE), card.parameters

    for card in map(models.card, models.list_models()):
        best = chosen.setdefault(card.task, card)
        if rank(card) < rank(best):
            chosen[card.task] = card
    return [card.name for card in chosen.values()]


def compare(name: str) -> Iterator[Comparison]:
    """Degrades the bundled photographs and restores them with a released model."""
    task = tasks.from_card(models.card(name)).in_color()
    for photograph, pixels in sample_photographs().items():
        example = task.example(photograph, pixels)
        restored = restoration.restore(example.degraded, name)
        scores = task.score(restored, example)
        yield Comparison(
            photograph,
            example.baseline,
            restored,
            example.clean,
            scores["input_psnr"],
            scores["psnr"],
        )


def mean_psnr(comparisons: list[Comparison]) -> tuple[float, float]:
    """Mean PSNR over photographs: degraded, restored."""
    return (
        float(np.mean([comparison.degraded_psnr for comparison in comparisons])),
        float(np.mean([comparison.restored_psnr for comparison in comparisons])),
    )


def sheet(comparisons: list[Comparison]) -> np.ndarray:
    """The centers of the photographs, degraded | restored | original, pixel by pixel.

    Returns:
        uint8 RGB, one row for each comparison.
    """
    size = (3 * _CROP + 2 * _GAP, len(comparisons) * (_LABEL + _CROP))
    canvas = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(canvas)
    font = ImageFont.load_default(size=_LABEL * 0.6)
    for row, comparison in enumerate(comparisons):
        top = row * (_LABEL + _CROP)
        panels = (
            (f"degraded {comparison.degraded_psnr:.2f} dB", comparison.degraded),
            (f"restored {comparison.restored_psnr:.2f} dB", comparison.restored),
            (f"original ({comparison.name})", comparison.original),
        )
        for column, (label, image) in enumerate(panels):
            left = column * (_CROP + _GAP)
            draw.text((left + 4, top + _LABEL // 2), label, "black", font, anchor="lm")
            pixels = from_float(_center(image), np.uint8)
            panel = Image.fromarray(pixels.squeeze()).convert("RGB")
            canvas.paste(panel, (left, top + _LABEL))
    return np.asarray(canvas)


def _center(image: np.ndarray) -> np.ndarray:
    top, left = ((size - _CROP) // 2 for size in image.shape[:2])
    return image[top : top + _CROP, left : left + _CROP]
