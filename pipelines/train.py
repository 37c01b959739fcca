"""Trains a restoration network.

    python pipelines/train.py --task sr --scale 3

Everything of a run lies in one folder: the configuration, the log, the curves,
sample images, the last checkpoint, and the trained model laid out like a released
one. The same command with --resume goes on where an interrupted run stood, and
ends where an uninterrupted one ends.
"""

import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from pipelines import program

# isort: split
import keras
import tensorflow as tf
import tyro

from pipelines import building, distribution, runs
from pipelines.building import Blueprint
from pipelines.callbacks import (
    Curves,
    Pictures,
    Samples,
    StopOnDivergence,
    Validation,
)
from pipelines.configuration import Config, Resolved, as_json, resolve
from pipelines.data.examples import first_examples
from pipelines.data.patches import PatchSource
from pipelines.data.training import patch_source
from pipelines.distribution import Group
from pipelines.history import History
from pipelines.keeping import Checkpoint, Keep, averaged_on, averaged_weights
from xunit_keras.packages import require
from xunit_keras.tasks import Example

# Batches over which the statistics of normalizations are estimated.
_STATISTICS_BATCHES = 50


def train(
    config: Resolved,
    resume: bool = False,
    network: Blueprint | None = None,
    wait: bool = False,
) -> keras.Model:
    """Trains as configured, into the folder `config.out`.

    The folder is taken when the network has been built and all data has been read: a
    training that cannot start leaves nothing behind. With JAX, all devices train, those
    of processes that have joined this one among them.

    Args:
        config: A resolved configuration.
        resume: Go on from the last checkpoint, if there is one.
        network: What to train; None for what the configuration says.
        wait: Wait for another process that trains in the folder.

    Returns:
        The trained model, with the weights as they were trained; the averaged ones
        are in `model/` of the folder.

    Raises:
        ValueError: An argument does not fit, data is missing, or the folder holds
            another run.
        DivergenceError: The training went the wrong way.
    """
    for package in ("matplotlib", "tensorboard", "filelock"):
        require(package, "train")
    group = distribution.group()
    group.check(config.batch_size)
    if group.is_first:
        runs.check(config, resume)
    group.agree(lambda: _told(config, resume), "arguments")
    network = network or building.blueprint(config)
    keras.utils.set_random_seed(config.seed)
    with group.spread():
        model = building.compiled(config, network)
    kept = network.build()  # Computes in float32, however it was trained.
    source = patch_source(config)
    group.agree(source.digest, "training data")
    if not group.is_first:
        _fit(config, resume, network, model, kept, source, [], group)
        return model
    task = config.target.scored()
    images = first_examples(
        config.validation, task, config.data_root, config.validation_images
    )
    print(f"Validation: {config.validation}, {task}")
    with runs.claimed(config, resume, wait):
        _fit(config, resume, network, model, kept, source, images, group)
    return model


def _told(config: Resolved, resume: bool) -> bytes:
    """What all processes must be told alike: all but where files lie."""
    told = as_json(config)
    del told["data_root"], told["out"]
    return json.dumps([told, resume], sort_keys=True).encode()


def _fit(
    config: Resolved,
    resume: bool,
    network: Blueprint,
    model: keras.Model,
    kept: keras.Model,
    source: PatchSource,
    images: list[Example],
    group: Group,
) -> None:
    """The training itself. The first process has a folder that nobody else touches."""
    out, task = config.out, config.target.scored()
    checkpoint = Checkpoint(out / "checkpoint.npz")
    epoch = checkpoint.restore(model, group) if resume else 0
    if config.fix_statistics and not epoch:
        some = source.batches(stop=_STATISTICS_BATCHES)
        new = building.estimate_statistics(model, some)
        print(f"Statistics: {'estimated anew' if new else f'those of {config.init}'}.")

    def fit(callbacks):
        with group.spread():
            model.fit(
                group.part(source.batches(start=epoch * config.every)),
                initial_epoch=epoch,
                epochs=config.steps // config.every,
                steps_per_epoch=config.every,
                shuffle=False,
                # A bar of progress is for a terminal; a file gets a line a round.
                verbose="auto" if sys.stdout.isatty() else 2,
                callbacks=callbacks,
            )

    if not group.is_first:
        fit([])
        return
    averaged = averaged_on(kept) if group.devices > 1 else averaged_weights
    history = History(out / "log.csv", epoch)
    keep = Keep(kept, out / "model", config, network, history, averaged)
    if epoch:
        print(f"Going on from step {checkpoint.step} of {config.steps}.")
        # The process may have been killed between the checkpoint and the model.
        keep.write(model)
    try:
        fit(
            [
                Validation(images, task, averaged),
                history,
                Curves(history, out / "curves.png"),
                Samples(out / "samples", images[0], averaged),
                keras.callbacks.TensorBoard(out / "tensorboard"),
                Pictures(out / "tensorboard" / "pictures", images[0], task, averaged),
                StopOnDivergence(config.validation),
                checkpoint,
                keep,
            ]
        )
    except program.Stopped as stop:
        stop.add_note(_advice(checkpoint, out))
        raise
    except tf.errors.ResourceExhaustedError as error:
        raise program.ProgramError(
            f"Out of memory or out of disk space: {error.message.splitlines()[0]} "
            f"{_advice(checkpoint, out)}"
        ) from error
    print(f"The trained model is in {out / 'model'}.{_verdict(history)}")


def _advice(checkpoint, out) -> str:
    if not checkpoint.step:
        return f"There is no checkpoint yet in {out}: --resume begins anew."
    return (
        f"The last checkpoint in {out} is of step {checkpoint.step}: the same command "
        "with --resume goes on from there."
    )


def _verdict(history) -> str:
    """What to say of a model that a short training made worse than nothing."""
    last = history.rows[-1]
    score, before = float(last["val_psnr"]), float(last["val_input_psnr"])
    if score >= before:
        return ""
    return (
        f" It restores to {score:.2f} dB what has {before:.2f} dB without it: train "
        "longer."
    )


def profile(config: Resolved, rounds: int = 10) -> None:
    """Prints how fast patches are made, and how fast training steps take them."""
    group = distribution.group()
    group.check(config.batch_size)
    source = patch_source(config)
    keras.utils.set_random_seed(config.seed)
    with group.spread():
        model = building.compiled(config, building.blueprint(config))
        batch = next(group.part(source.batches()).as_numpy_iterator())
        model.train_on_batch(*batch)
        started = time.perf_counter()
        for _ in range(rounds):
            model.train_on_batch(*batch)
    step = (time.perf_counter() - started) / rounds
    batches = iter(group.part(source.batches()))
    next(batches)
    started = time.perf_counter()
    for _ in range(5 * rounds):
        next(batches)
    delivery = (time.perf_counter() - started) / (5 * rounds)
    print(
        f"patches: {config.batch_size / delivery:,.0f} a second delivered, "
        f"{config.batch_size / step:,.0f} a second trained on: "
        f"{step / delivery:.1f} times as fast as needed"
    )


@dataclass(frozen=True)
class Command:
    """What the command line says."""

    config: tyro.conf.OmitArgPrefixes[Config]
    resume: bool = False
    """Go on from the last checkpoint in the folder of the run."""
    profile: bool = False
    """Only measure how fast patches are made and trained on."""


def main() -> None:
    """Reads the command line and trains, or measures."""
    command = tyro.cli(
        Command, description=__doc__, config=(tyro.conf.FlagCreatePairsOff,)
    )
    config = resolve(command.config)
    with distribution.joined():
        if command.profile:
            profile(config)
        else:
            train(config, resume=command.resume)


if __name__ == "__main__":
    program.run(main, "train.py")
