"""Training on several devices and hosts: who is who, and each process' part of a batch.

With JAX, a training is spread over all devices of its process, and over those of other
processes if the environment names them, by Keras' own variables. Each process takes its
part of the one batch of a step, and all learn from the whole of it, so the training is
that of one process. The first process alone reads and writes the folder of the run.
"""

import atexit
import contextlib
import ctypes
import functools
import hashlib
import os
import re
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from pipelines.program import ProgramError, Stopped
from xunit_keras.interrupts import exit_code

ADDRESSES = "KERAS_DISTRIBUTION_JOB_ADDRESSES"
PROCESSES = "KERAS_DISTRIBUTION_NUM_PROCESSES"
PROCESS = "KERAS_DISTRIBUTION_PROCESS_ID"

MEETING = 60
"""Seconds in which the processes of a training must have found each other."""

# Seconds of silence after which a process counts as dead.
_HEARTBEAT = 10
# What the libraries call themselves by which devices of several processes speak.
_SPEAKERS = re.compile(r"\b(Gloo|NCCL)\b")


class LostError(ProgramError):
    """Another process of the training did not come, or is gone."""


@dataclass(frozen=True)
class Place:
    """The place of a process among those of a training.

    Attributes:
        address: `host:port` at which the first one is met.
        processes: How many there are.
        process: Which one this is, from 0.
    """

    address: str
    processes: int
    process: int


def place(environment: Mapping[str, str] = os.environ) -> Place | None:
    """What the environment says of other processes; None where there are none.

    Raises:
        ValueError: It says only a part of it, or what cannot be.
    """
    names = (ADDRESSES, PROCESSES, PROCESS)
    missing = [name for name in names if not environment.get(name)]
    if len(missing) == len(names):
        return None
    if missing:
        raise ValueError(
            f"Training on several processes needs {', '.join(names)}: set "
            f"{' and '.join(missing)}, or none of them."
        )
    processes = _number(PROCESSES, environment, 1)
    process = _number(PROCESS, environment, 0)
    if process >= processes:
        raise ValueError(
            f"{PROCESS} must be in 0..{processes - 1}, where {PROCESSES} is "
            f"{processes}. Received: {process}"
        )
    first, *others = environment[ADDRESSES].split(",")
    if others and len(others) + 1 != processes:
        raise ValueError(
            f"{ADDRESSES} must be the address of the first process, or those of all "
            f"{processes}. Received: {environment[ADDRESSES]!r}"
        )
    host, _, port = first.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 2**16:
        raise ValueError(
            f"{ADDRESSES} must have the form host:port. Received: {first!r}"
        )
    return Place(first, processes, process) if processes > 1 else None


def _number(name: str, environment: Mapping[str, str], least: int) -> int:
    text = environment[name]
    if not text.isdecimal() or int(text) < least:
        raise ValueError(
            f"{name} must be an integer of at least {least}. Received: {text!r}"
        )
    return int(text)


@contextlib.contextmanager
def joined() -> Iterator[None]:
    """Joins the processes that the environment names, for as long as the block lasts.

    It must begin before anything is computed. What others than the first process print
    is dropped. One that fails ends at once, and the others with it.

    Raises:
        ValueError: The environment does not fit, or Keras' backend is not JAX.
        LostError: Another process did not come, or is gone.
    """
    here = place()
    if keras.config.backend() != "jax":
        if here is not None:
            raise ValueError(
                "Only JAX trains on several processes: set KERAS_BACKEND=jax, or unset "
                f"{PROCESSES}. Received: the {keras.config.backend()} backend"
            )
        yield
        return
    # TensorFlow only makes the batches, and would take the memory of the devices.
    tf.config.set_visible_devices([], "GPU")
    if here is None:
        yield
        return
    try:
        _meet(here)
        with contextlib.ExitStack() as stack:
            if here.process:
                nowhere = stack.enter_context(Path(os.devnull).open("w"))
                stack.enter_context(contextlib.redirect_stdout(nowhere))
            yield
        # The first process has more to do. JAX itself would wait for five minutes.
        _multihost_utils().sync_global_devices("end")
    except BaseException as error:
        # Those that fail must not wait at exit for the others, which wait for them.
        atexit.register(_leave, exit_code(error))
        if isinstance(error, Stopped):
            error.add_note("The other processes end with this one.")
        if _SPEAKERS.search(str(error)):
            raise LostError(f"{_gone(here)} ({str(error)[:200]})") from error
        raise


def _meet(here: Place) -> None:
    import jax

    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    # It would keep SIGTERM for itself.
    jax.config.update("jax_enable_preemption_service", False)
    if here.process:
        _reach(here)
    _set_last_words(_absent(here))
    try:
        jax.distributed.initialize(
            here.address,
            here.processes,
            here.process,
            # Under Slurm, JAX would take one of the devices for each process.
            cluster_detection_method="deactivate",
            initialization_timeout=MEETING,
            heartbeat_timeout_seconds=_HEARTBEAT,
        )
    except RuntimeError as error:
        raise LostError(
            f"The processes of the training cannot meet at {here.address} ({error}): "
            "give another port, if that one is taken."
        ) from error
    _set_last_words(_gone(here))


def _reach(here: Place) -> None:
    """Waits until the first process listens: JAX does not say why it cannot."""
    host, _, port = here.address.rpartition(":")
    deadline = time.monotonic() + MEETING
    while True:
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=5).close()
            return
        except socket.gaierror as error:
            raise ValueError(
                f"{ADDRESSES} names a host that is not known. Received: "
                f"{here.address!r} ({error.strerror})"
            ) from error
        except OSError as error:
            if time.monotonic() > deadline:
                raise LostError(f"{_absent(here)} ({error})") from error
            time.sleep(0.5)


def _absent(here: Place) -> str:
    return (
        f"The {here.processes} processes of the training did not all meet at "
        f"{here.address} within {MEETING} seconds: start each of them, with {PROCESS} "
        f"from 0 to {here.processes - 1}."
    )


def _gone(here: Place) -> str:
    return (
        f"One of the other processes of the training, of {here.processes}, has ended "
        "or cannot be reached; if it could, it says why. The same commands with "
        "--resume go on from the last checkpoint."
    )


_last_words = ""


@ctypes.CFUNCTYPE(None, ctypes.c_int)
def _speak(number):
    line = f"{Path(sys.argv[0]).name}: {_last_words}\n"
    os.write(2, line.encode(errors="replace"))
    _leave(1)


def _set_last_words(words: str) -> None:
    """Sets what is said should JAX abort the process.

    It does so in C++ when another process is gone, with pages of its own; no Python
    code is asked, and Python's own handlers of signals would be run too late.
    """
    global _last_words
    _last_words = words
    if os.name == "posix":
        ctypes.CDLL(None).signal(signal.SIGABRT, _speak)


def _leave(code: int) -> None:
    """Ends the process, and asks nobody."""
    with contextlib.suppress(Exception):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)


@dataclass(frozen=True)
class Group:
    """Those who train together.

    Attributes:
        processes: How many processes there are.
        process: Which one this is; 0 is the first.
        devices: How many devices all of them have, each as many as the other.
    """

    processes: int = 1
    process: int = 0
    devices: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this process reads and writes the folder of the run, and reports."""
        return self.process == 0

    def check(self, batch_size: int) -> None:
        """Looks whether a batch can be divided.

        Raises:
            ValueError: It cannot.
        """
        if batch_size % self.devices:
            raise ValueError(
                f"`batch_size` must be a multiple of the {self.devices} devices that "
                f"train. Received: batch_size={batch_size}"
            )

    def agree(self, content: Callable[[], bytes], what: str) -> None:
        """Looks whether all processes have the same.

        Args:
            content: Gives what they are to have; only called where there are several.
            what: What it is called.

        Raises:
            ValueError: They do not.
        """
        if self.processes == 1:
            return
        digest = np.frombuffer(hashlib.sha256(content()).digest(), np.uint8)
        digests = _multihost_utils().process_allgather(digest)
        others = np.flatnonzero((digests != digests[0]).any(axis=1))
        if others.size:
            raise ValueError(
                f"All processes of a training must have the same {what}. Received: "
                f"others in process {', '.join(map(str, others))} than in process 0"
            )

    def from_first(self, content: bytes | None) -> bytes | None:
        """What the first process has, on all.

        Args:
            content: It, in the first process; that of the others is ignored.
        """
        if self.processes == 1:
            return content
        broadcast = _multihost_utils().broadcast_one_to_all
        size = int(broadcast(np.int32(-1 if content is None else len(content))))
        if size < 0:
            return None
        own = content if self.is_first and content is not None else bytes(size)
        return np.asarray(broadcast(np.frombuffer(own, np.uint8))).tobytes()

    def part(self, batches: tf.data.Dataset) -> tf.data.Dataset:
        """The patches of each batch that this process trains on.

        Args:
            batches: Whole batches, as tuples of tensors, of a size that passes `check`.
        """
        if self.processes == 1:
            return batches

        def rows(array):
            size = tf.shape(array)[0] // self.processes
            return array[self.process * size : (self.process + 1) * size]

        return batches.map(lambda *arrays: tuple(map(rows, arrays)))

    def spread(self) -> contextlib.AbstractContextManager:
        """Models that are built in this block, and train in it, use all devices."""
        if self.devices == 1:
            return contextlib.nullcontext()
        return _data_parallel().scope()


ALONE = Group()
"""One process, which trains on one device."""


def group() -> Group:
    """Those who train together with this process, itself among them.

    Raises:
        ValueError: They have not all as many devices.
    """
    if keras.config.backend() != "jax":
        return ALONE
    import jax

    found = Group(jax.process_count(), jax.process_index(), jax.device_count())
    own = jax.local_device_count()
    if own * found.processes != found.devices:
        raise ValueError(
            "All processes of a training must have the same number of devices. "
            f"Received: {own} here, and {found.devices} in {found.processes} processes"
        )
    return found


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """What is computed in this block is computed by this process alone."""
    before = keras.distribution.distribution()
    keras.distribution.set_distribution(None)
    try:
        yield
    finally:
        keras.distribution.set_distribution(before)


@functools.cache
def _data_parallel() -> keras.distribution.DataParallel:
    return keras.distribution.DataParallel(auto_shard_dataset=False)


def _multihost_utils():
    from jax.experimental import multihost_utils

    return multihost_utils
