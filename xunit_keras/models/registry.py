"""The networks by name: what they are for, and the ReLU networks they replace.

Every file in this folder holds networks, and is found by being there. A network is a
function under the decorator `network`, which says what a newcomer would ask.
"""

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras

from xunit_keras import tasks
from xunit_keras.runtime.models import find_card

Builder = Callable[..., keras.Model]


@dataclass(frozen=True)
class Network:
    """A network of the package.

    Attributes:
        name: Of its builder, and of the models that it makes.
        build: The builder; keyword arguments only.
        task: The word for the task that it is for.
        twin: The name of its ReLU counterpart, if it has one.
    """

    name: str
    build: Builder
    task: str
    twin: str | None

    @property
    def arguments(self) -> tuple[str, ...]:
        """The names of the builder's arguments."""
        return tuple(inspect.signature(self.build).parameters)

    def is_for(self, task: tasks.Task) -> bool:
        """Whether it can learn a task: for such images, enlarged or not as it needs."""
        own = tasks.get(self.task)()
        if "channels" not in self.arguments and task.channels != own.channels:
            return False
        return (own.scale > 1) == (task.scale > 1)

    def suited(self, task: tasks.Task, **arguments: Any) -> dict[str, Any]:
        """The arguments that make the network for a task.

        Args:
            task: What it is to do.
            **arguments: Further ones, such as `depth`; those that are None are left.

        Raises:
            ValueError: The network cannot learn the task, or has no such argument.
        """
        if not self.is_for(task):
            known = [n.name for n in NETWORKS.values() if n.is_for(task)]
            raise ValueError(
                f"{self.name!r} cannot learn {task.name!r} on images of "
                f"{task.channels} channels; {', '.join(known)} can. "
                f"Received: model={self.name!r}"
            )
        given = {k: v for k, v in arguments.items() if v is not None}
        for name, value in given.items():
            if name not in self.arguments:
                raise ValueError(
                    f"{self.name!r} has no `{name}`. Received: {name}={value!r}"
                )
        for name in ("channels", "scale"):
            if name in self.arguments:
                given[name] = getattr(task, name)
        return given


NETWORKS: dict[str, Network] = {}
"""The networks by name."""


def network(task: str, twin: str | None = None) -> Callable[[Builder], Builder]:
    """Registers a builder.

    Weights of a model that has a card imply the builder's arguments: those that were
    not given are the card's, and those that contradict it are refused. A network for
    other channels, another factor or another depth would take the same weights and
    restore nonsense.

    Args:
        task: The word for the task.
        twin: The name of the ReLU counterpart.
    """

    def register(builder: Builder) -> Builder:
        name = builder.__name__

        @functools.wraps(builder)
        def build(**arguments):
            return builder(**_implied(name, arguments))

        NETWORKS[name] = Network(name, build, task, twin)
        return build

    return register


def find(name: str) -> Network:
    """A network by name.

    Raises:
        ValueError: There is none.
    """
    if name not in NETWORKS:
        raise ValueError(
            f"`model` must be one of {', '.join(NETWORKS)}. Received: model={name!r}"
        )
    return NETWORKS[name]


def _implied(name: str, given: dict[str, Any]) -> dict[str, Any]:
    """A builder's arguments with those that its weights imply."""
    weights = given.get("weights")
    if weights is None:
        return given
    path = Path(weights)
    card = find_card(path.parent if path.name.endswith(".weights.h5") else weights)
    if card is None:
        return given
    if card.network != name:
        raise ValueError(
            f"The weights {str(weights)!r} are those of {card.network}(). Received: "
            f"weights={str(weights)!r} for {name}()"
        )
    parameters = inspect.signature(NETWORKS[name].build).parameters
    implied = {key: parameter.default for key, parameter in parameters.items()}
    implied.update(card.arguments)
    for key, value in given.items():
        if key not in ("name", "weights") and value != implied.get(key, value):
            raise ValueError(
                f"The weights {str(weights)!r} are those of a network with "
                f"{key}={implied[key]!r}: leave `{key}` out. Received: {key}={value!r}"
            )
    return {**card.arguments, **given}
