"""One training in a process of its own.

What a training leaves in memory goes with its process, and one that the system
kills takes nothing else along.
"""

import dataclasses
import multiprocessing
import os
import signal
import sys
import threading
import traceback
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

from pipelines import history, program, train
from pipelines.configuration import Resolved
from tuning.hypermodel import Architecture
from xunit_keras.graphs.counting import count_parameters


class TrainingFailedError(program.ProgramError):
    """A training ran out of memory, diverged or broke otherwise."""


def train_apart(config: Resolved, architecture: Architecture) -> dict[str, float]:
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
    context.set_forkserver_preload(["xunit_keras", "keras"])
    with ProcessPoolExecutor(1, context, initializer=_end_with_parent) as pool:
        try:
            return pool.submit(_train, config, architecture).result()
        except BrokenProcessPool:
            raise TrainingFailedError(
                "The system killed the training, most likely for want of memory."
            ) from None
        except program.Stopped:
            for child in multiprocessing.active_children():
                child.terminate()
            raise


def _train(config, architecture):
    def build():
        model = architecture.build()
        count = count_parameters(model)
        if count != architecture.parameters:
            raise AssertionError(f"{count} is not {architecture.parameters}")
        return model

    network = dataclasses.replace(architecture.blueprint, build=build)
    config.out.mkdir(parents=True, exist_ok=True)
    with (config.out / "output.txt").open("a", encoding="utf-8") as output:
        # Also what TensorFlow prints from below Python.
        for stream in (sys.stdout, sys.stderr):
            os.dup2(output.fileno(), stream.fileno())
    try:
        # Where this takes over from a worker that is thought dead, it may yet be alive.
        train.train(config, resume=True, network=network, wait=True)
    except Exception as error:
        traceback.print_exc()
        # Not every exception of a backend survives the way between processes.
        message = " ".join(str(error).split())
        raise TrainingFailedError(f"{type(error).__name__}: {message:.300}") from None
    rows = history.read(config.out / "log.csv")
    last = rows[-1]
    return {
        "val_psnr": float(last["val_psnr"]),
        "val_input_psnr": float(last["val_input_psnr"]),
        "parameters": architecture.parameters.total,
        "activation_share": architecture.parameters.activation_share,
        "steps": config.steps,
        "seconds": history.seconds(rows),
    }


def _end_with_parent():
    """Ends this process when the one that started it is gone, killed or not.

    Ctrl-C on a terminal reaches both; it is for the other one to answer it.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def wait():
        if parent := multiprocessing.parent_process():
            parent.join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()
