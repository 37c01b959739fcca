"""Degraded photographs as a model gets them: to verify its exports."""

import contextlib
from collections.abc import Iterator

import keras
import numpy as np

from xunit_keras import tasks
from xunit_keras.imaging.samples import sample_photographs
from xunit_keras.models import NETWORKS
from xunit_keras.runtime.models import Card

# Parts of photographs that tell the ranges of integers. With too few of them, or all of
# one place, integers end before the values of other photographs do.
_CALIBRATION_DRAWS, _CALIBRATION_SEED = 6, 1
_CALIBRATION_SIZE = (64, 64)


def task_of(
    model: keras.Model, scale: int, channels: int, card: Card | None = None
) -> tasks.Task:
    """The task that a model is for.

    As its card says; or else that of the network of the package that it is named
    after; or else the best that scale and channels tell.

    Args:
        model: The model.
        scale: The factor by which it enlarges.
        channels: Of its images.
        card: Its card, if it has one.
    """
    if card is not None:
        return tasks.from_card(card)
    network = NETWORKS.get(model.name)
    if network is not None:
        # A network may be made for other images than its task has.
        with contextlib.suppress(ValueError):
            return tasks.guess(channels, scale, network.task)
    return tasks.guess(channels, scale)


def examples(
    task: tasks.Task, height: int, width: int, draws: int = 0, seed: int = 0
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Parts of the bundled photographs: as they are, and as a model gets them.

    Args:
        task: It degrades them.
        height: Of what the model gets, in pixels.
        width: Likewise.
        draws: How many parts of each photograph are drawn at random, every second one
            as a negative; 0 gives the middles.
        seed: Of what is random.

    Yields:
        The ground truth and the degraded part, `(height, width, channels)` float32.
    """
    random = np.random.default_rng(seed)
    for part in _parts(height * task.scale, width * task.scale, draws, random):
        clean = task.clean(part)
        yield task.truth(clean), task.degrade(clean, random)


def calibration(
    task: tasks.Task, size: tuple[int, int] | None = None
) -> Iterator[np.ndarray]:
    """Degraded images, others than `examples`, that tell the ranges of integers.

    They reach from black to white, as the integers for an image have to.

    Args:
        task: It degrades them.
        size: Height and width of what the model gets; None where any will do.
    """
    random = np.random.default_rng(_CALIBRATION_SEED)
    height, width = (task.scale * length for length in size or _CALIBRATION_SIZE)
    for part in _parts(height, width, _CALIBRATION_DRAWS, random):
        yield task.degrade(task.clean(_stretched(part)), random)


def _parts(height, width, draws, random):
    for photograph in sample_photographs().values():
        for draw in range(max(draws, 1)):
            places = random.random(2) if draws else (0.5, 0.5)
            part = _part(photograph, height, width, places)
            yield 255 - part if draw % 2 else part


def _stretched(image):
    """An RGB image with black and white in it; a flat one as it is."""
    black, white = int(image.max(axis=-1).min()), int(image.min(axis=-1).max())
    if black >= white:
        return image
    stretched = (image - np.float32(black)) * (255 / (white - black))
    return stretched.round().clip(0, 255).astype(np.uint8)


def _part(image, height, width, places):
    """A part of an image, mirrored at the borders if it is too small.

    Places of 0 and 1 are the top and bottom, or the left and right.
    """
    for axis, (size, place) in enumerate(zip((height, width), places, strict=True)):
        missing = max(size - image.shape[axis], 0)
        pad = [(0, 0)] * 3
        pad[axis] = (0, missing)
        image = np.pad(image, pad, mode="symmetric")
        start = int(place * (image.shape[axis] - size))
        image = image.take(range(start, start + size), axis=axis)
    return image
