"""OpenVINO, in float32 or in bfloat16."""

import functools
import threading
from pathlib import Path
from typing import Any

from xunit_keras.packages import require
from xunit_keras.runtime.engines.base import (
    PREPARED_SHAPES,
    Engine,
    Form,
    Pool,
    Runner,
)

_EXTRA = "export"


def _open(path: Path, threads: int | None, precision: str = "f32") -> Runner:
    openvino = require("openvino", _EXTRA)
    core = openvino.Core()
    # A mapped file could not be removed everywhere.
    core.set_property({"ENABLE_MMAP": False})
    graph = core.read_model(path)
    properties: dict[str, Any] = {
        "INFERENCE_PRECISION_HINT": precision,
        "PERFORMANCE_HINT": "LATENCY",
    }
    if threads is not None:
        properties["INFERENCE_NUM_THREADS"] = threads
    compiling = threading.Lock()

    # A graph compiled for one shape is faster than a dynamic one.
    @functools.lru_cache(maxsize=PREPARED_SHAPES)
    def requests(shape):
        graph.reshape(shape)
        compiled = core.compile_model(graph, "CPU", properties)
        return Pool(compiled.create_infer_request)

    def run(batch):
        with compiling:
            pool = requests(batch.shape)
        with pool.borrowed() as request:
            return request.infer([batch], share_inputs=True)[0]

    return run


def _engine(name, precision) -> Engine:
    return Engine(
        name=name,
        package="openvino",
        extra=_EXTRA,
        suffix=".xml",
        format="openvino",
        open=functools.partial(_open, precision=precision),
        form=Form(affine="depthwise"),
    )


ENGINES = (
    _engine("openvino", "f32"),
    # Several times faster where the processor has bfloat16, and wrong by about 0.03.
    _engine("openvino-bf16", "bf16"),
)
