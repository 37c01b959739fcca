"""LiteRT, formerly TensorFlow Lite: the engine of phones."""

import contextlib
import functools
import os
from pathlib import Path

from xunit_keras.packages import require
from xunit_keras.quiet import silence
from xunit_keras.runtime.engines.base import (
    PREPARED_SHAPES,
    Engine,
    Form,
    Pool,
    Runner,
)

_EXTRA = "export"


def _open(path: Path, threads: int | None) -> Runner:
    litert = require("ai_edge_litert.interpreter", _EXTRA)
    # Read here: the file may be gone before the next interpreter is made.
    content = path.read_bytes()
    first = litert.Interpreter(model_content=content, num_threads=1)
    # The first in a process announces what it runs on. This one has an image of a
    # single pixel, which not every network takes.
    with silence(), contextlib.suppress(RuntimeError):
        first.allocate_tensors()
    source = first.get_input_details()[0]["index"]
    target = first.get_output_details()[0]["index"]

    def interpreter(shape):
        made = litert.Interpreter(
            model_content=content, num_threads=threads or os.cpu_count()
        )
        made.resize_tensor_input(source, shape)
        made.allocate_tensors()
        return made

    @functools.lru_cache(maxsize=PREPARED_SHAPES)
    def interpreters(shape):
        return Pool(functools.partial(interpreter, shape))

    def run(batch):
        with interpreters(batch.shape).borrowed() as one:
            one.set_tensor(source, batch)
            one.invoke()
            return one.get_tensor(target)

    return run


ENGINES = (
    Engine(
        name="litert",
        package="ai_edge_litert",
        extra=_EXTRA,
        suffix=".tflite",
        format="litert",
        open=_open,
        form=Form(depthwise="blocks", affine="depthwise"),
    ),
)
