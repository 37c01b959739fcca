"""One training in a process of its own.

What a training leaves in memory goes with its process, and one that the system
kills takes nothing else along.
"""

import multiprocessing
import os
import sys
import threading
import traceback
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

from pipelines import train
from pipelines.callbacks import History
from tuning.hypermodel import Architecture
from xunit_keras.budget import count_parameters


class TrainingFailedError(RuntimeError):
    """A training ran out of memory, diverged or broke otherwise."""


def train_apart(config: train.Config, architecture: Architecture) -> dict[str, float]:
    """Trains a network in a process of its own, into the folder `config.out`.

    An interrupted training goes on from its last checkpoint. What the training
    prints is in `output.txt` of the folder, and the trained model in `model/`.

    Args:
        config: A resolved configuration.
        architecture: The network.

    Returns:
        `val_psnr` and `val_input_psnr` in decibels, with the averaged weights;
        `parameters` and `activation_share` of the model as built; `steps` and
        `seconds` of the training.

    Raises:
        TrainingFailedError: The training broke, in one sentence why.
    """
    # Processes fork from one that has imported TensorFlow and done nothing else, which
    # spares every training the many seconds of the import.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["xunit_keras"])
    with ProcessPoolExecutor(1, context, initializer=_end_with_parent) as pool:
        try:
            return pool.submit(_train, config, architecture).result()
        except BrokenProcessPool:
            raise TrainingFailedError(
                "The system killed the training, most likely for want of memory."
            ) from None


def _train(config, architecture):
    def build(_):
        model = architecture.build()
        count = count_parameters(model)
        if count != architecture.parameters:
            raise AssertionError(f"{count} is not {architecture.parameters}")
        return model

    config.out.mkdir(parents=True, exist_ok=True)
    with (config.out / "output.txt").open("a", encoding="utf-8") as output:
        # Also what TensorFlow prints from below Python.
        for stream in (sys.stdout, sys.stderr):
            os.dup2(output.fileno(), stream.fileno())
    try:
        train.train(config, resume=True, builder=build)
    except Exception as error:
        traceback.print_exc()
        # Not every exception of a backend survives the way between processes.
        message = " ".join(str(error).split())
        raise TrainingFailedError(f"{type(error).__name__}: {message:.300}") from None
    log = config.out / "log.csv"
    last = History.read(log)[-1]
    return {
        "val_psnr": float(last["val_psnr"]),
        "val_input_psnr": float(last["val_input_psnr"]),
        "parameters": architecture.parameters.total,
        "activation_share": architecture.parameters.activation_share,
        "steps": config.steps,
        "seconds": History.seconds(log),
    }


def _end_with_parent():
    """Ends this process when the one that started it is gone, killed or not."""

    def wait():
        multiprocessing.parent_process().join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()
