"""The training data of a configuration, read into memory."""

from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np

from pipelines.data import datasets
from pipelines.data.datasets import Pair, Photograph
from pipelines.data.patches import PatchSource
from xunit_keras.imaging.resize import imresize
from xunit_keras.tasks import Task

_NAMED = 5  # of the images that are left out


def patch_source(config) -> PatchSource:
    """Reads the training data of a configuration into memory.

    Pairs are taken as they are, by a task that restores what they show; of all other
    photographs, the task degrades the patches.

    Args:
        config: A training configuration: its `target` is the task, and `data`,
            `data_root`, `shrink`, `streaks`, `shuffle_channels`, `patch_size`,
            `batch_size` and `seed` are those of `pipelines/train.py`.

    Raises:
        ValueError: A data set is not there, an image cannot be used (the message
            names it), or none is as large as a patch.
    """
    task = config.target
    copies = list(_copies(_read(config.data, task, config.data_root), config.shrink))
    names, degraded, clean = zip(*copies, strict=True)
    overlays = ()
    if task.needs_overlays:
        overlays = datasets.streak_masks(config.streaks, config.data_root)
    source = PatchSource(
        clean,
        task,
        config.patch_size,
        config.batch_size,
        config.seed,
        # A task that degrades whole photographs does so with all.
        degraded if any(image is not None for image in degraded) else None,
        overlays,
        config.shuffle_channels,
    )
    if source.skipped:
        left_out = [names[place] for place in source.skipped]
        more = f" and {len(left_out) - _NAMED} more" if len(left_out) > _NAMED else ""
        print(
            f"{len(left_out)} of {len(names)} images, copies by --shrink included, are "
            f"smaller than a patch and were left out: {', '.join(left_out[:_NAMED])}"
            f"{more}."
        )
    return source


_Images = tuple[str, np.ndarray | None, np.ndarray]
"""Name, degraded image if there is one, and clean image."""


def _read(names: Iterable[str], task: Task, root: Path | None) -> Iterator[_Images]:
    for name in names:
        if task.takes_pairs and datasets.has_pairs(name, root):
            items = datasets.read_pairs(name, root)
        else:
            items = datasets.read(name, root)
        for item in datasets.all_readable(items):
            yield _images(item)


def _images(item: Pair | Photograph) -> _Images:
    if isinstance(item, Pair):
        return item.clean.name, item.degraded.pixels, item.clean.pixels
    return item.name, None, item.pixels


def _copies(items: Iterable[_Images], factors: Iterable[float]) -> Iterator[_Images]:
    items = list(items)
    for factor in factors:
        scale = Fraction(float(factor)).limit_denominator(100)
        label = "" if scale == 1 else f" x{factor:g}"
        for name, degraded, clean in items:
            if degraded is not None:
                degraded = _resized(degraded, scale)
            yield name + label, degraded, _resized(clean, scale)


def _resized(image: np.ndarray, scale: Fraction) -> np.ndarray:
    return image if scale == 1 else imresize(image, scale)
