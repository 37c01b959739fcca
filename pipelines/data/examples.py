"""Test images: the photographs of a data set, degraded as a task says."""

from collections.abc import Iterable
from itertools import islice
from pathlib import Path

from pipelines.data import datasets
from pipelines.data.datasets import Pair, Photograph, Unreadable
from xunit_keras.imaging.metrics import WINDOW
from xunit_keras.tasks import Example, Task


def examples(
    name: str, task: Task, root: Path | None = None
) -> Iterable[Example | Unreadable]:
    """Degrades the images of a data set as `task.scored()` says, one by one.

    Rain is scored on pairs, and on the sets that are made on the fly, which get drawn
    rain.

    Args:
        name: Name of the data set, see `datasets.read`.
        task: What degrades them.
        root: Folder of the published sets.

    Returns:
        The test images, and something in the place of those that cannot be read or
        are too small to be scored. `Lazy`, but for those of TensorFlow Datasets.

    Raises:
        ValueError: The data set is not there, or holds no pairs where it must; told
            at the call, not at the first image.
    """
    task = task.scored()
    if task.takes_pairs and name not in datasets.MADE:
        items = datasets.read_pairs(name, root)
    else:
        items = datasets.read(name, root)
    if isinstance(items, datasets.Lazy):
        return datasets.Lazy(lambda item: _example(item, task), items)
    return (_example(item, task) for item in items)


def first_examples(
    name: str, task: Task, root: Path | None, count: int
) -> list[Example]:
    """The first images of a data set, degraded.

    Raises:
        ValueError: As for `examples`, or one of them cannot be used.
    """
    return list(islice(datasets.all_readable(examples(name, task, root)), count))


def _example(item: Photograph | Pair | Unreadable, task: Task) -> Example | Unreadable:
    if isinstance(item, Unreadable):
        return item
    photograph = item.clean if isinstance(item, Pair) else item
    sides = task.clean(photograph.pixels).shape[:2]
    if min(sides) - 2 * task.shave < WINDOW:
        height, width, _ = photograph.pixels.shape
        return Unreadable(
            photograph.name,
            f"{photograph.name!r} is too small to be scored: SSIM needs {WINDOW}x"
            f"{WINDOW} pixels inside the borders. Received: {width}x{height} pixels",
        )
    if isinstance(item, Pair):
        return task.example_of_pair(
            photograph.name, item.degraded.pixels, photograph.pixels
        )
    return task.example(photograph.name, photograph.pixels)
