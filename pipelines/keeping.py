"""What a training leaves after every round: a checkpoint, and a model with its card."""

import os
import platform
import shlex
import sys
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import keras
import numpy as np

from pipelines.building import Blueprint
from pipelines.configuration import Resolved, as_json
from pipelines.data import datasets
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

    def restore(self, model: keras.Model) -> int:
        """Puts the kept state into a model.

        Returns:
            The number of rounds that it has trained; 0 where nothing was kept.

        Raises:
            ValueError: The file is damaged, or is not of such a model.
        """
        if not self.path.exists():
            return 0
        try:
            with np.load(self.path) as arrays:
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


@contextmanager
def averaged_weights(model: keras.Model) -> Iterator[None]:
    """Puts the moving average of the weights in place of the weights themselves.

    Keras' own `SwapEMAWeights` swaps by adding and subtracting, which rounds; here
    the weights come back bit by bit.
    """
    optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)
    variables = optimizer._trainable_variables
    trained = [keras.ops.convert_to_numpy(v) for v in variables]
    averages = optimizer._model_variables_moving_average
    for variable, average in zip(variables, averages, strict=True):
        # A copy: JAX predicts in the memory of the weights, and keeps none of it.
        variable.assign(np.array(keras.ops.convert_to_numpy(average)))
    try:
        yield
    finally:
        for variable, value in zip(variables, trained, strict=True):
            variable.assign(value)


class Keep(keras.callbacks.Callback):
    """Keeps the averaged model after every round, laid out like a released one.

    So a training that was cut short has a model too, whose card says how far it got.

    Args:
        kept: A network like the one that is trained, which takes its weights.
        folder: Where it is written.
        config: The configuration of the training.
        network: What is trained.
        history: Its log.
    """

    def __init__(
        self,
        kept: keras.Model,
        folder: Path,
        config: Resolved,
        network: Blueprint,
        history: History,
    ):
        super().__init__()
        self.kept = kept
        self.folder = folder
        self.config = config
        self.network = network
        self.history = history

    def on_epoch_end(self, epoch, logs=None):
        self.write(self.model)

    def write(self, model: keras.Model) -> None:
        """Writes the averaged weights of a model that is in training."""
        with averaged_weights(model):
            self.kept.set_weights(model.get_weights())
        steps = int(model.optimizer.iterations)
        zoo.save(
            self.kept,
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
    data = dict.fromkeys((*(before.data if before else ()), *config.data))
    return Card(
        name=config.out.name,
        network=network.name,
        arguments=network.arguments,
        parameters=0,
        data=tuple(data),
        stages=(*(before.stages if before else ()), stage),
        license="Apache-2.0",
        data_terms=_terms(data),
        **config.target.as_card(),
    )


def _terms(data: Iterable[str]) -> str:
    """What those who published the data sets say of their use."""
    known = [datasets.PUBLISHED[name] for name in data if name in datasets.PUBLISHED]
    # Those of one folder are parts of one set.
    names = list(dict.fromkeys(one.folder.partition("/")[0] for one in known))
    if not names:
        return ""
    verb = "is" if len(names) == 1 else "are"
    return f"{' and '.join(names)} {verb} published for research use."


def machine() -> str:
    """Processor and number of cores."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if "model name" in line]
    return f"{names[0] if names else platform.processor()}, {os.cpu_count()} cores"
