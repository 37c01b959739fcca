"""The protocols of the literature: degrade a test set, score what comes out.

Every score carries its protocol, and the degraded input's own score beside it.
"""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np

from pipelines import datasets, degradations
from pipelines.patches import Task, with_channels
from xunit_keras import images
from xunit_keras.colour import luminance
from xunit_keras.metrics import psnr, ssim
from xunit_keras.receptive_field import receptive_field
from xunit_keras.resize import imresize


@dataclass(frozen=True)
class Protocol:
    """How a score is made.

    Attributes:
        task: `"denoise"`, `"derain"` or `"sr"`.
        channels: 1 scores grey images, 3 RGB. Super resolution scores Y.
        sigma: Noise level in 0..255.
        scale: Factor of the super resolution, 1 for the other tasks.
        seed: Of the noise; each image has its own, from this and its name.
    """

    task: Task
    channels: int = 1
    sigma: float = 25.0
    scale: int = 1
    seed: int = 0

    def __str__(self) -> str:
        if self.task == "denoise":
            colour = "RGB" if self.channels == 3 else "grey"
            return (
                f"{colour}, Gaussian noise sigma {self.sigma:g}/255 added in float, "
                f"not clipped, seed {self.seed}; output clipped; mean of the images' "
                "PSNR"
            )
        if self.task == "sr":
            return (
                f"x{self.scale}, MATLAB bicubic on uint8 RGB, rounded; BT.601 Y; "
                f"shave {self.scale}; mean of the images' PSNR"
            )
        return "rainy/clean pairs; RGB and BT.601 Y; mean of the images' PSNR"


class Example(NamedTuple):
    """A test image.

    Attributes:
        name: Name of the file.
        degraded: The degraded image, `(height, width, channels)` float32.
        enlarged: The same in the size of `clean`: bicubic for super resolution.
        clean: The ground truth, float32 in [0, 1].
    """

    name: str
    degraded: np.ndarray
    enlarged: np.ndarray
    clean: np.ndarray

    @property
    def baseline(self) -> np.ndarray:
        """The degraded image as it is scored and shown beside the restored one."""
        return np.clip(self.enlarged, 0.0, 1.0)

    def centre(self, side: int) -> "Example":
        """The square in the middle, of about `side` pixels of `clean`."""
        scale = self.clean.shape[0] // self.degraded.shape[0]
        size = max(1, side // scale)
        starts = [max(0, (n - size) // 2) for n in self.degraded.shape[:2]]
        small = tuple(slice(start, start + size) for start in starts)
        large = tuple(slice(s.start * scale, s.stop * scale) for s in small)
        return Example(
            self.name, self.degraded[small], self.enlarged[large], self.clean[large]
        )

    def given_to(self, model: keras.Model) -> np.ndarray:
        """The degraded image as a model takes it, which may enlarge it itself."""
        return self.degraded if receptive_field(model).scale > 1 else self.enlarged


def examples(
    name: str, protocol: Protocol, root: Path | None = None
) -> Iterator[Example]:
    """Degrades the images of a data set as the protocol says, one by one.

    A data set that is not there is told at the call, not at the first image.
    """
    if protocol.task == "derain":
        return _rainy_examples(name, root)
    photographs = datasets.photographs(name, root)
    return (example(photograph, protocol) for photograph in photographs)


def example(photograph: datasets.Photograph, protocol: Protocol) -> Example:
    """Degrades one photograph as the protocol says; for rain, with drawn streaks."""
    # The noise of an image does not depend on which others are scored.
    seed = (protocol.seed, zlib.crc32(Path(photograph.name).stem.encode()))
    if protocol.task == "sr":
        clean = with_channels(photograph.pixels, 3)
        clean = degradations.crop_to_multiple(clean, protocol.scale)
        degraded = degradations.downsample(clean, protocol.scale)
        degraded, clean = (
            luminance(images.to_float(image)) for image in (degraded, clean)
        )
        enlarged = imresize(degraded, protocol.scale)
        return Example(photograph.name, degraded, enlarged, clean)
    pixels = with_channels(photograph.pixels, protocol.channels)
    clean = images.to_float(pixels)
    if protocol.task == "derain":
        rainy = datasets.with_rain(pixels, np.random.default_rng(seed))
        degraded = images.to_float(rainy)
    else:
        noisy = degradations.add_noise(clean[None], (protocol.sigma,), seed)
        degraded = noisy[0].numpy()
    return Example(photograph.name, degraded, degraded, clean)


def first_examples(
    name: str, protocol: Protocol, root: Path | None, count: int
) -> list[Example]:
    """The first images of a data set, degraded."""
    return list(islice(examples(name, protocol, root), count))


def _rainy_examples(name, root):
    for rainy, clean in datasets.rainy_pairs(name, root):
        rainy_image, clean_image = (
            images.to_float(with_channels(photograph.pixels, 3))
            for photograph in (rainy, clean)
        )
        yield Example(rainy.name, rainy_image, rainy_image, clean_image)


def score(image: np.ndarray, example: Example, protocol: Protocol) -> dict[str, float]:
    """PSNR and SSIM of an image and of the degraded one, by column name."""
    shave = protocol.scale if protocol.task == "sr" else 0
    spaces = {"": False, "_y": True} if protocol.task == "derain" else {"": False}
    row = {}
    for suffix, on_luminance in spaces.items():
        for prefix, candidate in (("", image), ("input_", example.baseline)):
            for metric in (psnr, ssim):
                row[f"{prefix}{metric.__name__}{suffix}"] = metric(
                    candidate, example.clean, shave, on_luminance
                )
    return row


def mean(rows: list[dict], column: str) -> float:
    """Mean of a column of scores."""
    return float(np.mean([row[column] for row in rows]))
