"""What a training leaves after every round: a checkpoint, and a model with its card."""

import io
import os
import platform
import shlex
import sys
import zipfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from itertools import chain
from pathlib import Path

import keras
import numpy as np

from pipelines import distribution
from pipelines.building import Blueprint
from pipelines.configuration import Resolved, as_json
from pipelines.data import datasets
from pipelines.distribution import ALONE, Group
from pipelines.history import History
from xunit_keras import zoo
from xunit_keras.atomic import replacing
from xunit_keras.runtime.models import Card, find_card


class Checkpoint(keras.callbacks.Callback):
    """Keeps everything a training needs to go on, after every round.

    All variables of the model and of the optimizer, its averages among them, as
    plain arrays in one file that is replaced as a whole.

    Args:
        path: The file.

    Attributes:
        step: Of the training, in the file; 0 without one.
    """

    def __init__(self, path: Path):
        super().__init__()
        self.path = path
        self.step = 0

    def on_epoch_end(self, epoch, logs=None):
        arrays = {
            f"variable_{i}": keras.ops.convert_to_numpy(variable)
            for i, variable in enumerate(_state(self.model))
        }
        with replacing(self.path) as partial:
            np.savez(partial, epoch=epoch + 1, **arrays)
        self.step = int(self.model.optimizer.iterations)

    def restore(self, model: keras.Model, group: Group = ALONE) -> int:
        """Puts the kept state into a model.

        Args:
            model: The model.
            group: Who trains it. The first process reads the file for all.

        Returns:
            The number of rounds that it has trained; 0 where nothing was kept.

        Raises:
            ValueError: The file is damaged, or is not of such a model.
        """
        try:
            is_kept = group.is_first and self.path.exists()
            content = group.from_first(self.path.read_bytes() if is_kept else None)
            if content is None:
                return 0
            with np.load(io.BytesIO(content)) as arrays:
                for i, variable in enumerate(_state(model)):
                    variable.assign(arrays[f"variable_{i}"])
                epoch = int(arrays["epoch"])
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise ValueError(
                f"The checkpoint {str(self.path)!r} cannot be read: {error}"
            ) from error
        self.step = int(model.optimizer.iterations)
        return epoch


def _state(model):
    return [*model.variables, *model.optimizer.variables]


Averaged = Callable[[keras.Model], AbstractContextManager[keras.Model]]
"""Gives, for a model in training, one with its averaged weights, to score and show."""


@contextmanager
def averaged_weights(model: keras.Model) -> Iterator[keras.Model]:
    """Puts the moving average of the weights in place of the weights themselves.

    Keras' own `SwapEMAWeights` swaps by adding and subtracting, which rounds; here
    the weights come back bit by bit.
    """
    averages = _averages(model)
    trained = [keras.ops.convert_to_numpy(variable) for variable, _ in averages]
    for variable, average in averages:
        # A copy: JAX predicts in the memory of the weights, and keeps none of it.
        variable.assign(np.array(keras.ops.convert_to_numpy(average)))
    try:
        yield model
    finally:
        for (variable, _), value in zip(averages, trained, strict=True):
            variable.assign(value)


def averaged_on(twin: keras.Model) -> Averaged:
    """Puts the averaged weights into another model, which is on one device.

    What is trained on several can neither be asked nor changed by one process alone.

    Args:
        twin: A network like the one that is trained.
    """

    @contextmanager
    def averaged(model: keras.Model) -> Iterator[keras.Model]:
        averages = {id(variable): average for variable, average in _averages(model)}
        values = [averages.get(id(weight), weight) for weight in model.weights]
        with distribution.alone():
            # Copies, as above.
            arrays = [np.array(keras.ops.convert_to_numpy(value)) for value in values]
            twin.set_weights(arrays)
            yield twin

    return averaged


def _averages(model):
    """The trained variables of a model, each with its moving average."""
    optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)
    variables = optimizer._trainable_variables
    averages = optimizer._model_variables_moving_average
    return list(zip(variables, averages, strict=True))


class Keep(keras.callbacks.Callback):
    """Keeps the averaged model after every round, laid out like a released one.

    So a training that was cut short has a model too, whose card says how far it got.

    Args:
        kept: A network like the one that is trained, which takes its weights.
        folder: Where it is written.
        config: The configuration of the training.
        network: What is trained.
        history: Its log.
        averaged: What gives the averaged weights.
    """

    def __init__(
        self,
        kept: keras.Model,
        folder: Path,
        config: Resolved,
        network: Blueprint,
        history: History,
        averaged: Averaged = averaged_weights,
    ):
        super().__init__()
        self.kept = kept
        self.folder = folder
        self.config = config
        self.network = network
        self.history = history
        self.averaged = averaged

    def on_epoch_end(self, epoch, logs=None):
        self.write(self.model)

    def write(self, model: keras.Model) -> None:
        """Writes the averaged weights of a model that is in training."""
        steps = int(model.optimizer.iterations)
        with self.averaged(model) as averaged:
            self.kept.set_weights(averaged.get_weights())
            kept = self.network.kept
            zoo.save(
                self.kept if kept is None else kept(self.kept),
                self.folder,
                card(self.config, self.network, steps, self.history.seconds),
            )


def card(config: Resolved, network: Blueprint, steps: int, seconds: float) -> Card:
    """What is known of a model after so many steps of its training.

    `stages` lists the trainings that it went through, where it started from the
    weights of another one. What `zoo.save` fills in is left open.
    """
    recipe = {**as_json(config), "model": network.name}
    for name in ("data_root", "out"):  # of no use to others
        del recipe[name]
    stage = {
        "command": shlex.join(["python", *sys.argv]),
        "recipe": recipe,
        "steps": steps,
        "seconds": round(seconds),
        "machine": f"{machine()}, {keras.config.backend()} backend",
    }
    before = find_card(config.init) if config.init else None
    teacher = find_card(config.teacher) if config.teacher else None
    learned = [known.data for known in (before, teacher) if known]
    data = dict.fromkeys(chain(*learned, config.data))
    return Card(
        name=config.out.name,
        network=network.name,
        arguments=network.arguments,
        parameters=0,
        data=tuple(data),
        stages=(*(before.stages if before else ()), stage),
        license="Apache-2.0",
        data_terms=datasets.terms(data),
        **config.target.as_card(),
    )


def machine() -> str:
    """Processor and number of cores."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if "model name" in line]
    return f"{names[0] if names else platform.processor()}, {os.cpu_count()} cores"
