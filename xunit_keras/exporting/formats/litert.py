"""LiteRT, formerly TensorFlow Lite; also in integers of 8 bits."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from xunit_keras.exporting.formats.base import (
    EXTRA,
    FLOAT16_LOST,
    INT8_LOST,
    Format,
    Order,
    Precision,
)
from xunit_keras.packages import require
from xunit_keras.runtime import engines

_ENGINE = engines.get("litert")
_QUANTIZED = replace(_ENGINE.form, quantizes=True)
_INTEGERS = replace(_QUANTIZED, integers=True)


def _write(order: Order) -> None:
    import tensorflow as tf

    options: dict[str, Any] = {
        "target_spec": {"supported_ops": [tf.lite.OpsSet.TFLITE_BUILTINS]}
    }
    if order.precision == "float16":
        options["optimizations"] = [tf.lite.Optimize.DEFAULT]
        options["target_spec"]["supported_types"] = [tf.float16]
    if order.precision == "int8-full":
        # The converter takes the ranges that the model rounds to.
        options["optimizations"] = [tf.lite.Optimize.DEFAULT]
    order.model.export(
        str(order.path),
        format="litert",
        input_signature=[tf.TensorSpec(order.shape, "float32", name="image")],
        verbose=False,
        **options,
    )
    if order.precision == "int8":
        _quantize_convolutions(order.path)
    if order.precision == "int8-full":
        _integer_elus(order.path)


def _quantize_convolutions(path: Path) -> None:
    """8-bit weights, and activations quantized as they come, in the convolutions.

    The depthwise convolutions would lose more and run slower, and bicubic
    interpolation is the image itself.
    """
    recipes = require("ai_edge_quantizer.recipe", EXTRA)
    quantizer = require("ai_edge_quantizer.quantizer", EXTRA).Quantizer(str(path))
    recipe = [
        {**entry, "operation": "CONV_2D", "regex": "^(?!.*bicubic).*$"}
        for entry in recipes.dynamic_wi8_afp32()
    ]
    quantizer.load_quantization_recipe(recipe)
    result = quantizer.quantize(enable_progress_report=False)
    path.write_bytes(bytes(result.quantized_model))


def _integer_elus(path: Path) -> None:
    """ELU of integers, which the converter would turn to float, and back to integers.

    The runtime has one, with a table, and the gates are made with it.
    """
    tools = require("ai_edge_litert.tools.flatbuffer_utils", EXTRA)
    model = tools.read_model(str(path))

    def kind(operator) -> str:
        return tools.opcode_to_name(model, operator.opcodeIndex)

    for graph in model.subgraphs:
        operators = graph.operators
        makers = {operator.outputs[0]: operator for operator in operators}
        for elu in [operator for operator in operators if kind(operator) == "ELU"]:
            before = makers.get(elu.inputs[0])
            after = [x for x in operators if elu.outputs[0] in x.inputs]
            if before is None or kind(before) != "DEQUANTIZE":
                continue
            if [kind(operator) for operator in after] == ["QUANTIZE"]:
                elu.inputs, elu.outputs = before.inputs, after[0].outputs
                operators.remove(after[0])
                if not any(before.outputs[0] in x.inputs for x in operators):
                    operators.remove(before)
    tools.write_model(model, str(path))


FORMAT = Format(
    name="litert",
    aliases=("tflite",),
    title="a model for LiteRT",
    suffix=_ENGINE.suffix,
    engine=_ENGINE.name,
    precisions={
        "float32": Precision(_ENGINE.form),
        "float16": Precision(_ENGINE.form, FLOAT16_LOST),
        "int8": Precision(_QUANTIZED, INT8_LOST),
        # Integers end where the ranges of other photographs end, so they are tried on
        # more of them.
        "int8-full": Precision(_INTEGERS, INT8_LOST, draws=4),
    },
    write=_write,
)
