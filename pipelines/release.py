"""Releases a trained model: scores it and puts it into the zoo with its card.

    python pipelines/release.py --run runs/sr-xsrcnn_f-x3 --name xsrcnn-f-x3

It is scored on the test sets of its task, and on the sample photographs, on which
every later change of the package must reach the same score.
"""

import dataclasses
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from pipelines import program

# isort: split
import keras
import tyro

from pipelines import evaluate
from pipelines.data import datasets
from pipelines.evaluate import Settings
from xunit_keras import zoo
from xunit_keras.atomic import replacing_folder
from xunit_keras.exporting.ready import write_ready
from xunit_keras.runtime.models import Card, card
from xunit_keras.tasks import Task

ZOO = Path(__file__).resolve().parent.parent / "saved_models"


@dataclass(frozen=True)
class Config:
    """What to release, under what name, and on what to score it."""

    run: Path
    """Folder of a finished training."""

    name: str
    """Name in the zoo."""

    data: tuple[str, ...] = ()
    """Test sets to score. Default: those of the task."""

    sigma: tuple[float, ...] = ()
    """Noise levels to score. Default: the one of the training."""

    quality: tuple[int, ...] = ()
    """Qualities of JPEG to score. Default: the one of the training."""

    data_root: Path | None = None
    """Folder of the published sets. Default: $XUNIT_KERAS_DATA, or data."""


def release(config: Config) -> Card:
    """Scores a trained model and writes it into the zoo.

    Returns:
        Its card.

    Raises:
        ValueError: The run has no model, a test set is missing or damaged, or the
            ready file does not equal the model.
    """
    if Path(config.name).name != config.name:
        raise ValueError(f"`name` must be that of a folder. Received: {config.name!r}")
    folder = config.run / "model"
    model = zoo.load(folder)
    round_kernels(model)
    asked = [Settings(sigma=sigma) for sigma in config.sigma]
    asked += [Settings(quality=quality) for quality in config.quality]
    scores = []
    for settings in asked or [Settings()]:
        task = evaluate.find_task(str(folder), model, settings=settings)
        for data in (*(config.data or task.test_sets), datasets.SAMPLE):
            scores.append(_score(model, data, task, config.data_root))
    known = dataclasses.replace(card(folder), scores=tuple(scores))
    # In the zoo when it is complete.
    with tempfile.TemporaryDirectory() as temporary:
        complete = Path(temporary) / config.name
        zoo.save(model, complete, known)
        difference = write_ready(complete).difference
        with replacing_folder(ZOO / config.name) as place:
            shutil.copytree(complete, place, dirs_exist_ok=True)
    print(f"Its ready file differs from the Keras model by {difference:.1g} at most.")
    return card(ZOO / config.name)


def round_kernels(model: keras.Model) -> None:
    """Rounds the kernels of convolutions to half precision, which halves their file.

    They remain float32 in the network. It costs a hundredth of a gray level.
    """
    for weights in model.weights:
        if len(weights.shape) == 4:
            kernel = keras.ops.convert_to_numpy(weights)
            weights.assign(kernel.astype("float16").astype(weights.dtype))


def _score(
    model: keras.Model, data: str, task: Task, data_root: Path | None
) -> dict[str, Any]:
    """Scores a model on a data set; what its card says of it."""
    evaluation = evaluate.evaluate(model, data, task, data_root)
    evaluate.print_table(evaluation, task)
    if evaluation.left_out:
        raise ValueError(
            f"A score is that of a whole set: {evaluation.left_out[0].reason}"
        )
    settings = {
        name: getattr(task, name)
        for name in task.settings()
        if name not in ("channels", "seed")
    }
    return {
        "data": data,
        "protocol": str(task),
        # Scored with one value, where a training may have a range.
        **{k: v[0] if isinstance(v, tuple) else v for k, v in settings.items()},
        "images": len(evaluation.scores),
        **{name: round(value, 4) for name, value in evaluation.means.items()},
    }


def main() -> None:
    """Reads the command line and releases."""
    config = tyro.cli(Config, description=__doc__)
    released = release(config)
    print(f"Released {released.name} in {ZOO / config.name}.")


if __name__ == "__main__":
    program.run(main, "release.py")
