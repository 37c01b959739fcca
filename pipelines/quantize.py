"""Trains a model on as 8-bit integers compute, and writes it for LiteRT in integers.

    python pipelines/quantize.py --model xespcn-s-x3 --steps 2000

A network whose values are rounded to 256 steps as an afterthought loses more than one
that has learned with them. The training is one like any other, from the model's weights
and on its task; what it ends with is written as `model-int8.tflite` into the folder of
the run, and scored there beside the model itself. With --release the file stands in the
model's folder too, and the training on its card, if it loses no more than exports may,
and `xunit-keras export -f litert --precision int8-full` gives it out.
"""

import dataclasses
import sys
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from pipelines import program

# isort: split
import tyro

from pipelines import evaluate
from pipelines.building import Blueprint
from pipelines.configuration import Config, Resolved, resolve
from pipelines.train import train
from xunit_keras import zoo
from xunit_keras.atomic import replacing
from xunit_keras.exporting import formats
from xunit_keras.exporting.examples import calibration
from xunit_keras.exporting.exporting import QUANTIZED
from xunit_keras.exporting.formats.base import Order
from xunit_keras.exporting.integers import put_back, quantized
from xunit_keras.exporting.ready import keep_quantized
from xunit_keras.graphs.folding import deploy
from xunit_keras.restoration import open_network
from xunit_keras.runtime import engines
from xunit_keras.runtime.models import QUANTIZED_FILE, card
from xunit_keras.tasks import from_card

_LEARNED = "learned.weights.h5"


@dataclass(frozen=True)
class Command:
    """What to train, and for how long."""

    model: str
    """A released model, or the model/ of a run."""

    steps: int = 2000
    """Batches in all."""

    learning_rate: float = 3e-4
    """Peak of the learning rate of Adam."""

    patch_size: int | None = None
    """Side of a clean patch. Default: the task's."""

    batch_size: int | None = None
    """Patches in a batch. Default: the task's."""

    data: tuple[str, ...] = ()
    """Data to train on. Default: the model's own."""

    validation: str | None = None
    """Test set to score. Default: the task's."""

    data_root: Path | None = None
    """Folder of the published sets. Default: $XUNIT_KERAS_DATA, or data."""

    out: Path | None = None
    """Folder of the run. Default: runs/<model>-int8."""

    resume: bool = False
    """Go on from the last checkpoint in the folder of the run."""

    release: bool = False
    """Put the file into the folder of the model."""


def configuration(command: Command) -> Resolved:
    """The training that a command stands for."""
    known = card(command.model)
    task = from_card(known)
    settings = {k: getattr(task, k) for k in task.settings() if k != "seed"}
    return resolve(
        Config(
            task=task.name,
            **settings,
            data=command.data or known.data,
            data_root=command.data_root,
            validation=command.validation,
            steps=command.steps,
            learning_rate=command.learning_rate,
            optimizer="adam",
            patch_size=command.patch_size,
            batch_size=command.batch_size,
            out=command.out or Path("runs") / f"{Path(command.model).name}-int8",
        )
    )


def quantize(command: Command) -> dict[str, float]:
    """Trains, writes the file, and scores it.

    Returns:
        The PSNR on the validation set: `float32` of the model as it was, `plain` of its
        integers without a training, `trained` of those with it.

    Raises:
        ValueError: There is no such model, its data is missing, or it cannot be
            written in integers.
    """
    config = configuration(command)
    base, known = zoo.load(command.model), card(command.model)
    name, precision = QUANTIZED
    form = formats.get(name).precision(precision).form
    images = list(calibration(from_card(known)))

    def build():
        return quantized(deploy(base, form, images), images)

    def plain(trained):
        # The file at the end is of the network that rounds.
        with replacing(config.out / _LEARNED) as partial:
            trained.save_weights(partial)
        network = deploy(base, form, images)
        put_back(trained, network)
        return network

    train(
        config, command.resume, Blueprint(known.network, known.arguments, build, plain)
    )
    exact, network = open_network(base), build()

    def score(opened):
        task = config.target.scored()
        found = evaluate.evaluate(opened, config.validation, task, config.data_root)
        return found.means["psnr"]

    scores = {"float32": score(exact)}
    for stage, file in (("plain", "plain.tflite"), ("trained", QUANTIZED_FILE)):
        if stage == "trained":
            network.load_weights(config.out / _LEARNED)
        with replacing(config.out / file) as partial:
            shape = (None, *network.input_shape[1:])
            scale = config.target.scale
            formats.get(name).write(Order(network, partial, shape, scale, precision))
        run = engines.open_file(config.out / file, formats.get(name).engine)
        scores[stage] = score(dataclasses.replace(exact, run=run))
    for stage, reached in scores.items():
        print(f"{config.validation}, {stage}: {reached:.3f} dB")
    return scores


def main() -> None:
    """Reads the command line, trains, and releases if asked to."""
    command = tyro.cli(Command, description=__doc__)
    quantize(command)
    if command.release:
        out = configuration(command).out
        stage = card(out / "model").stages[-1]
        lost = keep_quantized(command.model, out / QUANTIZED_FILE, stage).psnr_lost
        print(f"{QUANTIZED_FILE} of {command.model}: {lost:.3f} dB lost.")


if __name__ == "__main__":
    program.run(main, "quantize.py")
