"""The demonstration: bundled photographs degraded, restored and compared."""

from collections.abc import Iterator
from fractions import Fraction
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from xunit_keras import images, zoo
from xunit_keras.metrics import psnr
from xunit_keras.photographs import NAMES, sample_photographs
from xunit_keras.rain import draw_rain
from xunit_keras.resize import imresize
from xunit_keras.restoration import enlarge, restore

COUNT = len(NAMES)
_SEED = 0
_CROP = 240  # side of what the sheet shows of each photograph, in pixels
_LABEL = 24  # height of the line above it
_GAP = 4  # between columns


class Comparison(NamedTuple):
    """A photograph before and after, all `(height, width, 1 or 3)` float in [0, 1].

    Attributes:
        name: Name of the photograph.
        degraded: What was to be restored; enlarged bicubically for super resolution.
        restored: What the model made of it.
        original: The photograph.
        degraded_psnr: In decibels.
        restored_psnr: In decibels.
    """

    name: str
    degraded: np.ndarray
    restored: np.ndarray
    original: np.ndarray
    degraded_psnr: float
    restored_psnr: float


def compare(name: str) -> Iterator[Comparison]:
    """Degrades the bundled photographs and restores them with a released model."""
    card = zoo.card(name)
    model = zoo.load(name)
    photographs = sample_photographs()
    for number, (photograph, pixels) in enumerate(photographs.items()):
        original = _suited(pixels, card)
        degraded = _degrade(original, card, seed=(_SEED, number))
        restored = restore(degraded, model)
        shave = 0
        if card["task"] == "sr":
            shave = card["scale"]
            degraded = enlarge(degraded, shave)
        original = images.to_float(original)
        degraded = np.clip(degraded, 0.0, 1.0)
        scores = [
            psnr(image, original, shave, on_luminance=card["task"] == "sr")
            for image in (degraded, restored)
        ]
        yield Comparison(photograph, degraded, restored, original, *scores)


def mean_psnr(comparisons: list[Comparison]) -> tuple[float, float]:
    """Mean PSNR over photographs: degraded, restored."""
    return tuple(
        float(np.mean([getattr(comparison, field) for comparison in comparisons]))
        for field in ("degraded_psnr", "restored_psnr")
    )


def purpose(card: dict) -> str:
    """What a model is for: `"sr x3"`, `"denoise sigma 25"`, `"derain"`."""
    if card["task"] == "sr":
        return f"sr x{card['scale']}"
    if card["task"] == "denoise":
        return f"denoise sigma {'-'.join(f'{sigma:g}' for sigma in card['sigma'])}"
    return card["task"]


def protocol(card: dict) -> str:
    """How `compare` degrades and scores, in one line."""
    if card["task"] == "sr":
        return (
            f"MATLAB bicubic 1/{card['scale']} on uint8, rounded; PSNR of the BT.601 "
            f"Y channel, shave {card['scale']}"
        )
    colours = "RGB" if card["channels"] == 3 else "grey"
    if card["task"] == "denoise":
        return (
            f"Gaussian noise sigma {zoo.noise_level(card):g}/255 in float, not "
            f"clipped; PSNR of {colours}"
        )
    return f"synthetic rain streaks; PSNR of {colours}"


def sheet(comparisons: list[Comparison]) -> np.ndarray:
    """The centres of the photographs, degraded | restored | original, pixel by pixel.

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
            pixels = images.from_float(_centre(image), np.uint8)
            panel = Image.fromarray(pixels.squeeze()).convert("RGB")
            canvas.paste(panel, (left, top + _LABEL))
    return np.asarray(canvas)


def _suited(pixels: np.ndarray, card: dict) -> np.ndarray:
    """A uint8 photograph as the model's protocol takes it."""
    if card["task"] == "sr":
        height, width = (size - size % card["scale"] for size in pixels.shape[:2])
        return pixels[:height, :width]
    mode = "RGB" if card["channels"] == 3 else "L"
    pixels = np.asarray(Image.fromarray(pixels.squeeze()).convert(mode))
    return pixels.reshape(*pixels.shape[:2], -1)


def _degrade(original: np.ndarray, card: dict, seed) -> np.ndarray:
    if card["task"] == "sr":
        return images.to_float(imresize(original, Fraction(1, card["scale"])))
    random = np.random.default_rng(seed)
    clean = images.to_float(original)
    if card["task"] == "denoise":
        noise = random.normal(scale=zoo.noise_level(card) / 255, size=clean.shape)
        return (clean + noise).astype(np.float32)
    return draw_rain(clean, random)


def _centre(image: np.ndarray) -> np.ndarray:
    top, left = ((size - _CROP) // 2 for size in image.shape[:2])
    return image[top : top + _CROP, left : left + _CROP]
