"""A Keras model on an engine."""

import contextlib
import tempfile
from pathlib import Path

import keras

from xunit_keras.exporting import formats
from xunit_keras.exporting.exporting import write
from xunit_keras.graphs.folding import deploy
from xunit_keras.runtime import engines
from xunit_keras.runtime.engines.base import Runner, check_threads
from xunit_keras.runtime.engines.keras import check_process


def open_model(
    model: keras.Model, engine: str = "keras", threads: int | None = None
) -> Runner:
    """Makes a Keras model ready to run on an engine.

    It is deployed for the engine (see `deploy`), and written for it in a temporary
    folder if need be; weights that change later do not change the engine. `"keras"`
    runs on the backend of Keras: a graph in TensorFlow, a compiled function in JAX.
    OpenVINO computes in float32; `"openvino-bf16"` computes in bfloat16 where the
    processor has it, several times faster and wrong by about 0.03.

    Args:
        model: A Keras model from one image to one image.
        engine: The name of one of `xunit_keras.runtime.engines.ENGINES`.
        threads: Number of threads of one run; None leaves it to the engine. For
            Keras, see `xunit_keras.runtime.engines.keras.set_keras_threads`.

    Returns:
        A `Runner`, on images in the layout of the model.

    Raises:
        ValueError: There is no such engine, the model does not run on it, or
            `threads` is out of range or cannot be set.
        ImportError: The engine's package is missing.
        ForkedError: Keras cannot run in this process.
    """
    check_process()
    chosen = engines.get(engine)
    threads = check_threads(threads)
    if not chosen.suffix:
        # A model that cannot be deployed runs as it is.
        with contextlib.suppress(ValueError):
            model = deploy(model, chosen.form)
        return chosen.open(model, threads)
    with tempfile.TemporaryDirectory() as folder:
        format = formats.get(chosen.format)
        path = Path(folder) / f"model{format.suffix}"
        write(model, path, format.name)
        return chosen.open(path, threads)
