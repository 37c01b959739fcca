"""OpenVINO's own format: an `.xml` file, with the weights in a `.bin` beside it."""

import tempfile
from pathlib import Path

from xunit_keras.exporting.formats.base import (
    EXTRA,
    FLOAT16_LOST,
    Format,
    Order,
    Precision,
)
from xunit_keras.packages import require
from xunit_keras.runtime import engines

_ENGINE = engines.get("openvino")


def _write(order: Order) -> None:
    openvino = require("openvino", EXTRA)
    import tensorflow as tf

    with tempfile.TemporaryDirectory() as folder:
        raw = Path(folder) / order.path.name
        order.model.export(
            str(raw),
            format="openvino",
            input_signature=[tf.TensorSpec(order.shape, "float32", name="image")],
            verbose=False,
        )
        core = openvino.Core()
        core.set_property({"ENABLE_MMAP": False})  # The folder is removed below.
        graph = core.read_model(raw)
    graph.outputs[0].get_tensor().set_names({"restored"})
    openvino.save_model(
        graph, order.path, compress_to_fp16=order.precision == "float16"
    )


FORMAT = Format(
    name="openvino",
    title="a model for OpenVINO",
    suffix=_ENGINE.suffix,
    engine=_ENGINE.name,
    precisions={
        "float32": Precision(_ENGINE.form),
        "float16": Precision(_ENGINE.form, FLOAT16_LOST),
    },
    write=_write,
)
