"""One interface over the engines that run a network: `engine(batch) -> batch`."""

import contextlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import keras
import numpy as np

from xunit_keras import formats, zoo
from xunit_keras.deployment import deploy

EngineName = Literal["keras", "onnxruntime", "openvino", "openvino-bf16", "litert"]

Engine = Callable[[np.ndarray], np.ndarray]
"""`(batch, height, width, channels)` float32 to the restored float32 array.

The result is not clipped. An engine prepares itself anew when the shape changes, so
give it tiles of one shape.
"""

ENGINE_FORMATS = {
    "onnxruntime": "onnx",
    "openvino": "openvino",
    "openvino-bf16": "openvino",
    "litert": "tflite",
}
"""What a model is written in for the engines that take a file."""


def load_engine(
    model: keras.Model | str | Path,
    engine: EngineName | None = None,
    threads: int | None = None,
) -> Engine:
    """Makes a model ready to run on an engine.

    A model is deployed for the engine (see `deploy`), and written for it in a
    temporary folder if need be; weights that change later do not change the engine.
    `"keras"` runs on the backend of Keras: a graph in
    TensorFlow, a compiled function in JAX. OpenVINO computes in float32;
    `"openvino-bf16"` computes in bfloat16 where the processor has it, several times
    faster and wrong by about 0.03.

    Args:
        model: A Keras model; what `xunit_keras.load` takes; or an exported file: a
            `.tflite`, `.onnx` or `.xml` (OpenVINO) file, or a SavedModel folder.
        engine: One of `EngineName`; None is `"keras"` for models, and the engine
            that an exported file is for.
        threads: Number of threads; None leaves it to the engine. For Keras, see
            `set_keras_threads`.

    Returns:
        An `Engine`.

    Raises:
        ValueError: There is no such model, file or engine, the engine does not run
            such files, or `threads` is out of range or cannot be set.
        ImportError: The engine's package is missing.
    """
    _check_threads(threads)
    path = None if isinstance(model, keras.Model) else Path(model)
    file_engines = _engines_for(path)
    if engine is None:
        engine = file_engines[0] if file_engines else "keras"
    allowed = file_engines or tuple(_OPENERS)
    if engine not in allowed:
        raise ValueError(
            f"The engine must be one of {', '.join(allowed)} for "
            f"{str(path) if path else model.name!r}. Received: engine={engine!r}"
        )
    if engine == "keras" and threads is not None:
        set_keras_threads(threads)
    if file_engines:
        if not path.exists():
            raise ValueError(f"There is no exported model {str(path)!r}.")
        return _OPENERS[engine](path, threads)
    if path is not None:
        model = zoo.load(path)
    if engine == "keras":
        return _open_keras(model)
    with tempfile.TemporaryDirectory() as folder:
        format = ENGINE_FORMATS[engine]
        path = Path(folder) / f"model{formats.FORMATS[format].suffix}"
        formats.write(model, path, format)
        return _OPENERS[engine](path, threads)


def set_keras_threads(threads: int) -> None:
    """Sets the threads of the backend of Keras, for the whole process.

    Args:
        threads: At least 1. TensorFlow takes it before its first operation, which
            includes making or loading a model.

    Raises:
        ValueError: It is out of range, too late, or the backend is JAX, which takes
            one thread for each processor that the process may use.
    """
    _check_threads(threads)
    backend = keras.config.backend()
    if backend == "tensorflow":
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
    elif backend == "torch":
        import torch

        torch.set_num_threads(threads)
    else:
        raise ValueError(
            f"The backend {backend} takes a thread for each processor that the "
            f"process may use. Received: threads={threads}"
        )


def _check_threads(threads):
    if threads is not None and (not isinstance(threads, int) or threads < 1):
        raise ValueError(f"`threads` must be at least 1. Received: threads={threads!r}")


def _engines_for(path) -> tuple[EngineName, ...]:
    """The engines for an exported file; none for anything else."""
    if path is None:
        return ()
    if (path / "saved_model.pb").is_file():
        return ("keras",)
    return tuple(
        engine
        for engine, format in ENGINE_FORMATS.items()
        if path.suffix == formats.FORMATS[format].suffix
    )


def _open_keras(model, threads=None) -> Engine:
    if isinstance(model, Path):
        return _open_saved_model(model)
    backend = keras.config.backend()
    # A model that cannot be deployed runs as it is.
    with contextlib.suppress(ValueError):
        model = deploy(model, backend)
    if backend == "tensorflow":
        import tensorflow as tf

        # Not with XLA, which Keras would choose: its convolutions are slow on CPUs,
        # and it compiles again for each shape.
        spec = tf.TensorSpec(model.input_shape, tf.float32)
        function = tf.function(
            lambda batch: model(batch, training=False),
            input_signature=[spec],
            jit_compile=False,
        )
        # TensorFlow takes several models traced as they run for one traced too often.
        function.get_concrete_function()
        return lambda batch: function(batch).numpy()
    if backend == "jax":
        import jax

        function = jax.jit(
            lambda *arguments: model.stateless_call(*arguments, training=False)[0]
        )
        state = (
            [variable.value for variable in model.trainable_variables],
            [variable.value for variable in model.non_trainable_variables],
        )
        return lambda batch: np.asarray(function(*state, batch))
    import torch

    def run(batch):
        with torch.inference_mode():
            return keras.ops.convert_to_numpy(model(batch, training=False))

    return run


def _open_saved_model(path) -> Engine:
    import tensorflow as tf

    # The model, and not its signature alone: it owns the weights.
    loaded = tf.saved_model.load(str(path))

    def run(batch):
        return loaded.signatures["serving_default"](image=batch)["restored"].numpy()

    return run


def _open_onnxruntime(path, threads) -> Engine:
    onnxruntime = formats.require("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or 0
    # What the gate closes comes near 0, where processors are slow.
    options.add_session_config_entry("session.set_denormal_as_zero", "1")
    session = onnxruntime.InferenceSession(
        str(path), options, providers=["CPUExecutionProvider"]
    )
    name = session.get_inputs()[0].name
    return lambda batch: session.run(None, {name: batch})[0]


def _open_openvino(path, threads, precision="f32") -> Engine:
    openvino = formats.require("openvino")
    core = openvino.Core()
    # A mapped file could not be removed everywhere.
    core.set_property({"ENABLE_MMAP": False})
    graph = core.read_model(path)
    properties = {"INFERENCE_PRECISION_HINT": precision, "PERFORMANCE_HINT": "LATENCY"}
    if threads is not None:
        properties["INFERENCE_NUM_THREADS"] = threads
    compiled = None

    def run(batch):
        nonlocal compiled
        # A graph compiled for one shape is faster than a dynamic one.
        if compiled is None or tuple(compiled.inputs[0].shape) != batch.shape:
            graph.reshape(batch.shape)
            compiled = core.compile_model(graph, "CPU", properties)
        return compiled(batch)[0].copy()

    return run


def _open_openvino_bf16(path, threads) -> Engine:
    return _open_openvino(path, threads, precision="bf16")


def _open_litert(path, threads) -> Engine:
    litert = formats.require("ai_edge_litert.interpreter")
    # Read here: the file may be gone before the interpreter is.
    content = path.read_bytes()
    with formats.silence():
        interpreter = litert.Interpreter(
            model_content=content, num_threads=threads or os.cpu_count()
        )
        interpreter.allocate_tensors()  # Announces what it runs on.
    source = interpreter.get_input_details()[0]["index"]
    target = interpreter.get_output_details()[0]["index"]
    shape = None

    def run(batch):
        nonlocal shape
        if batch.shape != shape:
            interpreter.resize_tensor_input(source, batch.shape)
            interpreter.allocate_tensors()
            shape = batch.shape
        interpreter.set_tensor(source, batch)
        interpreter.invoke()
        return interpreter.get_tensor(target)

    return run


_OPENERS = {
    "keras": _open_keras,
    "onnxruntime": _open_onnxruntime,
    "openvino": _open_openvino,
    "openvino-bf16": _open_openvino_bf16,
    "litert": _open_litert,
}
