"""Keras itself, on its backend: for models, and for SavedModel folders."""

import contextlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from xunit_keras.runtime.engines.base import (
    Engine,
    ForkedError,
    Form,
    Runner,
    check_threads,
)

if TYPE_CHECKING:
    import keras


def _open(source: "keras.Model | Path", threads: int | None) -> Runner:
    check_process()
    if isinstance(source, Path):
        return _checked(_open_saved_model(source, threads))
    import keras

    if threads is not None:
        set_keras_threads(threads)
    openers = {"tensorflow": _open_tensorflow, "jax": _open_jax, "torch": _open_torch}
    return _checked(openers[keras.config.backend()](source))


def set_keras_threads(threads: int) -> None:
    """Sets the threads of the backend of Keras, for the whole process.

    Args:
        threads: At least 1. TensorFlow takes it before its first operation, which
            includes making or loading a model.

    Raises:
        ValueError: It is out of range, too late, or the backend is JAX, which takes
            one thread for each processor that the process may use.
    """
    check_threads(threads)
    import keras

    backend = keras.config.backend()
    if backend == "tensorflow":
        _set_tensorflow_threads(threads)
    elif backend == "torch":
        import torch  # pyright: ignore[reportMissingImports]

        torch.set_num_threads(threads)
    else:
        raise ValueError(
            f"The backend {backend} takes a thread for each processor that the "
            f"process may use. Received: threads={threads}"
        )


def _set_tensorflow_threads(threads):
    import tensorflow as tf

    threading = tf.config.threading
    try:
        threading.set_intra_op_parallelism_threads(threads)
    except RuntimeError as error:
        if threading.get_intra_op_parallelism_threads() != threads:
            raise ValueError(
                "TensorFlow takes the number of threads before its first "
                "operation only; set TF_NUM_INTRAOP_THREADS. "
                f"Received: threads={threads}"
            ) from error


def check_process() -> None:
    """Keeps what runs in Keras from a process where it would wait for ever.

    Raises:
        ForkedError: The process was forked after TensorFlow or JAX had started their
            threads, which do not survive it.
    """
    if _forked_from_started:
        raise ForkedError(
            "Keras cannot run in a process that was forked after a model was loaded "
            'or run: start processes with multiprocessing.get_context("spawn").'
        )


def _open_tensorflow(model) -> Runner:
    import tensorflow as tf

    # Not with XLA, which Keras would choose: its convolutions are slow on CPUs, and
    # it compiles again for each shape.
    function = tf.function(
        lambda batch: model(batch, training=False),
        input_signature=[tf.TensorSpec(model.input_shape, tf.float32)],
        jit_compile=False,
    )
    # TensorFlow takes several models traced as they run for one traced too often.
    function.get_concrete_function()
    return lambda batch: function(batch).numpy()


def _open_jax(model) -> Runner:
    import jax

    function = jax.jit(
        lambda *arguments: model.stateless_call(*arguments, training=False)[0]
    )
    state = (
        [variable.value for variable in model.trainable_variables],
        [variable.value for variable in model.non_trainable_variables],
    )
    return lambda batch: np.asarray(function(*state, batch))


def _open_torch(model) -> Runner:
    import keras
    import torch  # pyright: ignore[reportMissingImports]

    def run(batch):
        with torch.inference_mode():
            return keras.ops.convert_to_numpy(model(batch, training=False))

    return run


def _open_saved_model(path, threads) -> Runner:
    import tensorflow as tf

    if threads is not None:
        _set_tensorflow_threads(threads)
    # The model, and not its signature alone: it owns the weights.
    loaded = tf.saved_model.load(str(path))

    def run(batch):
        return loaded.signatures["serving_default"](image=batch)["restored"].numpy()

    return run


# Of a child: whether the backend had been started by the time it was forked.
_forked_from_started = False


def _note_fork() -> None:
    global _forked_from_started
    _forked_from_started = _forked_from_started or _started()


def _started() -> bool:
    """Whether TensorFlow or JAX has started its threads in this process."""
    # No import here: another thread may have been in the middle of it.
    jax, tensorflow = sys.modules.get("jax"), sys.modules.get("tensorflow")
    with contextlib.suppress(AttributeError):  # JAX does not publish it.
        if jax is not None and jax._src.xla_bridge.backends_are_initialized():
            return True
    with contextlib.suppress(AttributeError):
        if tensorflow is not None:
            threading = tensorflow.config.threading
            threads = threading.get_intra_op_parallelism_threads()
            try:
                # Refused from the first operation on.
                threading.set_intra_op_parallelism_threads(threads + 1)
            except RuntimeError:
                return True
            threading.set_intra_op_parallelism_threads(threads)
    return False


def _checked(run: Runner) -> Runner:
    def checked(batch):
        check_process()
        return run(batch)

    return checked


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_note_fork)


ENGINES = (
    Engine(
        name="keras",
        package="keras",
        extra="",
        suffix="",
        format="saved_model",
        open=_open,
        form=Form(depthwise="auto"),
    ),
)
