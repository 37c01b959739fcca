"""What is to be restored: one file a task, which owns all that tells it from others.

`TASKS` is the one list of the words; everything else asks a task object. To add a
task, write its file and add its class here.
"""

from collections.abc import Mapping
from typing import Any

from xunit_keras.tasks.base import SIGMA, Example, Task
from xunit_keras.tasks.denoise import Denoise
from xunit_keras.tasks.derain import Derain
from xunit_keras.tasks.jpeg import Jpeg
from xunit_keras.tasks.super_resolution import SuperResolution

_TASKS: tuple[type[Task], ...] = (
    Denoise,
    Derain,
    SuperResolution,
    Jpeg,
)
TASKS: dict[str, type[Task]] = {task.name: task for task in _TASKS}
"""The tasks by the word that names them."""

__all__ = ["SIGMA", "TASKS", "Example", "Task", "create", "from_card", "get", "guess"]


def get(name: str) -> type[Task]:
    """The class of a task.

    Raises:
        ValueError: There is no such task.
    """
    if name not in TASKS:
        raise ValueError(
            f"`task` must be one of {', '.join(TASKS)}. Received: task={name!r}"
        )
    return TASKS[name]


def create(name: str, **settings: Any) -> Task:
    """A task with settings, such as `sigma` or `scale`; those that are None are left.

    Raises:
        ValueError: There is no such task, it has no such setting, or one is out of
            range.
    """
    task = get(name)
    given = {key: value for key, value in settings.items() if value is not None}
    for key, value in given.items():
        if key not in task.settings():
            raise ValueError(
                f"{name!r} has no `{key}`; it has {', '.join(task.settings())}. "
                f"Received: {key}={value!r}"
            )
    return task(**given)


def from_card(card: Any) -> Task:
    """The task that a model was trained for, from its card.

    Args:
        card: A `Card`, or what else has the settings of its task as attributes or
            keys.

    Raises:
        ValueError: The card names no task.
    """
    if not isinstance(card, Mapping):
        card = vars(card)
    task = get(card["task"])
    given = {
        key: card[key] for key in task.settings() if card.get(key) not in (None, ())
    }
    return task(**given)


def guess(channels: int, scale: int, name: str | None = None) -> Task:
    """The task of a network that has no card: the best that its shape tells.

    Args:
        channels: Of its image, 1 or 3.
        scale: The factor by which it enlarges.
        name: The task, where it is known.
    """
    if name is None:
        name = SuperResolution.name if scale > 1 else Denoise.name
    settings = {"channels": channels, "scale": scale}
    task = get(name)
    return task(**{k: v for k, v in settings.items() if k in task.settings()})
