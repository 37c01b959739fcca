"""ONNX, with readable names for its interface, and metadata."""

import numpy as np

from xunit_keras.exporting.formats.base import (
    EXTRA,
    FLOAT16_LOST,
    Format,
    Order,
    Precision,
)
from xunit_keras.packages import require
from xunit_keras.runtime import engines

OPSET = 18  # tf2onnx refuses later ones.

_ENGINE = engines.get("onnxruntime")
_ATTEMPTS = 10


def _write(order: Order) -> None:
    require("tf2onnx", EXTRA)
    onnx = require("onnx", EXTRA)
    model = _converted(onnx, order)
    model.graph.name = order.model.name
    _name_interface(model.graph, order)
    if order.precision == "float16":
        _halve_weights(onnx, model.graph)
    onnx.helper.set_model_props(model, dict(order.metadata))
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, str(order.path))


def _converted(onnx, order):
    """What Keras makes of the model.

    What tf2onnx makes of one and the same model depends on the names that it gives,
    and about one time in eight it adds an axis.
    """
    import tensorflow as tf

    # Keras refuses to export a model that was never called.
    order.model(np.zeros([size or 8 for size in order.shape], "float32"))
    for _ in range(_ATTEMPTS):
        order.model.export(
            str(order.path),
            format="onnx",
            opset_version=OPSET,
            input_signature=[tf.TensorSpec(order.shape, "float32", name="image")],
            verbose=False,
        )
        converted = onnx.load(str(order.path))
        (restored,) = converted.graph.output
        if len(restored.type.tensor_type.shape.dim) == len(order.shape):
            return converted
    raise ValueError("tf2onnx adds an axis to its result.")


def _name_interface(graph, order) -> None:
    """Readable names for the output and for the dynamic axes."""
    (image,), (restored,) = graph.input, graph.output
    for node in graph.node:
        for names in (node.output, node.input):
            names[:] = ["restored" if name == restored.name else name for name in names]
    restored.name = "restored"
    batch, height, width, _ = order.shape
    sizes = (size and size * order.scale for size in (height, width))
    prefix = "" if order.scale == 1 else "restored_"
    axes = ("batch", f"{prefix}height", f"{prefix}width", None)
    for value, shape, names in (
        (image, order.shape, ("batch", "height", "width", None)),
        (restored, (batch, *sizes, order.model.output_shape[-1]), axes),
    ):
        dims = value.type.tensor_type.shape.dim
        for dim, size, name in zip(dims, shape, names, strict=True):
            dim.Clear()
            if size is None:
                dim.dim_param = name
            else:
                dim.dim_value = size
    del graph.value_info[:]  # It still has the old names.


def _halve_weights(onnx, graph) -> None:
    """Stores weights in 16 bits; a cast that runtimes fold gives the 32-bit ones."""
    for weights in graph.initializer:
        array = onnx.numpy_helper.to_array(weights)
        if array.dtype != np.float32:
            continue
        name = weights.name
        weights.CopyFrom(
            onnx.numpy_helper.from_array(array.astype(np.float16), f"{name}_float16")
        )
        cast = onnx.helper.make_node(
            "Cast", [weights.name], [name], to=onnx.TensorProto.FLOAT
        )
        graph.node.insert(0, cast)


FORMAT = Format(
    name="onnx",
    title="a model for ONNX Runtime",
    suffix=_ENGINE.suffix,
    engine=_ENGINE.name,
    precisions={
        "float32": Precision(_ENGINE.form),
        "float16": Precision(_ENGINE.form, FLOAT16_LOST),
    },
    write=_write,
)
