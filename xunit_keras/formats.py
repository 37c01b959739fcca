"""Writing a model in the formats of other engines, in the form each runs fastest."""

import contextlib
import importlib
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Literal

import keras
import numpy as np
from keras import layers, ops

from xunit_keras.colour import rgb_to_ycbcr, ycbcr_to_rgb
from xunit_keras.deployment import deploy
from xunit_keras.examples import examples, scale_of
from xunit_keras.layers import BicubicUpsampling
from xunit_keras.zoo import SIGMA

FormatName = Literal["saved_model", "tflite", "onnx", "openvino"]
Precision = Literal["float32", "float16", "int8", "int8-full"]

# Parts of photographs that tell the ranges of integers. Too few of them, or all of one
# place, and on other photographs integers end before the values do.
_RANGES_SIDE = 64
_RANGES_DRAWS = 6

ONNX_OPSET = 18  # tf2onnx refuses later ones.

Shape = tuple[int | None, int | None, int | None, int]
"""Batch, height, width, channels; None is dynamic."""


@dataclass(frozen=True)
class Format:
    """A format of model files.

    Attributes:
        suffix: Of the file; empty for a folder.
        target: Target of `deploy`.
        precisions: What it can store.
        write: Writes a deployed model for images of a shape, which may be in noise of
            a level.
    """

    suffix: str
    target: str
    precisions: tuple[Precision, ...]
    write: Callable[[keras.Model, Shape, Precision, Path, float], None]


def write(
    model: keras.Model,
    path: Path,
    format: FormatName,
    precision: Precision = "float32",
    input_shape: tuple[int, int] | None = None,
    colour: bool = False,
    sigma: float = SIGMA,
) -> None:
    """Deploys a model and writes it; see `xunit_keras.export` for the arguments.

    What is made of integers gets their ranges from photographs, for a denoiser in
    noise of `sigma`.

    Raises:
        ValueError: The model cannot be written in this format.
        ImportError: A package is missing.
    """
    _check_model(model, colour)
    target = FORMATS[format].target
    if precision.startswith("int8"):
        target = f"{target}-{precision}"
    deployed = deploy(model, target)
    if colour:
        deployed = on_rgb(deployed)
    shape = (None, None, None) if input_shape is None else (1, *input_shape)
    with silence():
        FORMATS[format].write(
            deployed, (*shape, deployed.input_shape[-1]), precision, path, sigma
        )


def require(package: str) -> ModuleType:
    """Imports a package of the extra `export`.

    Raises:
        ImportError: It is missing, which the message says.
    """
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise ImportError(
            f"This needs {package!r}, which cannot be imported ({error}). "
            "It comes with: pip install 'xunit-keras[export]'"
        ) from error


def on_rgb(network: keras.Model) -> keras.Model:
    """A grey network as one from RGB to RGB, as `restore` treats RGB images.

    A network that enlarges gets the luminance (BT.601 Y), and Cb and Cr are enlarged
    bicubically; one that keeps the size gets R, G and B one by one.

    Args:
        network: A functional model from `(batch, height, width, 1)` to the same or an
            integer multiple of height and width.

    Returns:
        A model from `(batch, height, width, 3)` in [0, 1], not clipped.
    """
    image = keras.Input((None, None, 3), name="image")
    scale = scale_of(network)
    if scale == 1:
        restored = [network(image[..., i : i + 1]) for i in range(3)]
        return keras.Model(image, layers.Concatenate()(restored), name=network.name)
    ycbcr = _pointwise(rgb_to_ycbcr, image)
    chroma = BicubicUpsampling(scale, name="bicubic_chroma")(ycbcr[..., 1:])
    enlarged = layers.Concatenate()([network(ycbcr[..., :1]), chroma])
    return keras.Model(image, _pointwise(ycbcr_to_rgb, enlarged), name=network.name)


def _pointwise(function, image):
    """An affine function of NumPy on colours, as operations of the graph."""
    offset = function(np.zeros(3))
    matrix = function(np.eye(3)) - offset
    return ops.matmul(image, matrix.astype("float32")) + offset.astype("float32")


def _check_model(model, colour):
    if keras.config.backend() != "tensorflow":
        raise ValueError(
            "Models are exported with the TensorFlow backend of Keras; set "
            "KERAS_BACKEND=tensorflow. Received: backend="
            f"{keras.config.backend()!r}"
        )
    shapes = [model.input_shape, model.output_shape]
    images = all(
        isinstance(shape, tuple) and len(shape) == 4 and shape[3] in (1, 3)
        for shape in shapes
    )
    if not images:
        raise ValueError(
            "Only models from one image to one image, channels last, are exported. "
            f"Received: {model.name!r} with input shape {shapes[0]} and output shape "
            f"{shapes[1]}"
        )
    if colour and shapes[0][3] != 1:
        raise ValueError(
            "`colour` is for models of one channel; this one takes RGB images as it "
            f"is. Received: {model.name!r} with input shape {shapes[0]}"
        )


def _signature(shape, dtype="float32"):
    import tensorflow as tf

    return [tf.TensorSpec(shape, dtype, name="image")]


def _write_saved_model(model, shape, precision, path, sigma):
    import tensorflow as tf

    def restore_float(image):
        return {"restored": model(image, training=False)}

    def restore_uint8(image):
        restored = model(tf.cast(image, "float32") / 255.0, training=False)
        restored = tf.round(tf.clip_by_value(restored, 0.0, 1.0) * 255.0)
        return {"restored": tf.cast(restored, "uint8")}

    archive = keras.export.ExportArchive()
    archive.track(model)
    archive.add_endpoint("serving_default", restore_float, _signature(shape))
    archive.add_endpoint("uint8", restore_uint8, _signature(shape, "uint8"))
    archive.write_out(str(path), verbose=False)


def _write_tflite(model, shape, precision, path, sigma):
    import tensorflow as tf

    options = {"target_spec": {"supported_ops": [tf.lite.OpsSet.TFLITE_BUILTINS]}}
    if precision == "float16":
        options["optimizations"] = [tf.lite.Optimize.DEFAULT]
        options["target_spec"]["supported_types"] = [tf.float16]
    if precision == "int8-full":
        options["optimizations"] = [tf.lite.Optimize.DEFAULT]
        options["target_spec"]["supported_ops"] = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        size = [given or _RANGES_SIDE for given in shape[1:3]]
        options["representative_dataset"] = lambda: (
            [degraded[None]]
            for _, degraded in examples(model, *size, sigma, _RANGES_DRAWS, seed=1)
        )
    model.export(
        str(path),
        format="litert",
        input_signature=_signature(shape),
        verbose=False,
        **options,
    )
    if precision == "int8":
        _quantize_convolutions(path)


def _quantize_convolutions(path):
    """8-bit weights, and activations quantised as they come, in the convolutions.

    The depthwise convolutions would lose more and run slower, and bicubic
    interpolation is the image itself.
    """
    recipes = require("ai_edge_quantizer.recipe")
    quantizer = require("ai_edge_quantizer.quantizer").Quantizer(str(path))
    recipe = [
        {**entry, "operation": "CONV_2D", "regex": "^(?!.*bicubic).*$"}
        for entry in recipes.dynamic_wi8_afp32()
    ]
    quantizer.load_quantization_recipe(recipe)
    quantized = quantizer.quantize().quantized_model
    path.write_bytes(bytes(quantized))


def _write_onnx(model, shape, precision, path, sigma):
    require("tf2onnx")
    onnx = require("onnx")
    # Keras refuses to export a model that was never called.
    model(np.zeros([size or 8 for size in shape], "float32"))
    for _ in range(10):
        model.export(
            str(path),
            format="onnx",
            opset_version=ONNX_OPSET,
            input_signature=_signature(shape),
            verbose=False,
        )
        graph_model = onnx.load(str(path))
        graph = graph_model.graph
        # What tf2onnx makes of one and the same model depends on the names that it
        # gives, and about one time in eight it adds an axis.
        if len(graph.output[0].type.tensor_type.shape.dim) == len(shape):
            break
    graph.name = model.name
    _name_interface(graph, model, shape)
    if precision == "float16":
        _halve_weights(onnx, graph)
    onnx.checker.check_model(graph_model, full_check=True)
    onnx.save(graph_model, str(path))


def _name_interface(graph, model, shape):
    """Readable names for the output and for the dynamic axes."""
    (image,), (restored,) = graph.input, graph.output
    for node in graph.node:
        node.output[:] = [
            "restored" if name == restored.name else name for name in node.output
        ]
        node.input[:] = [
            "restored" if name == restored.name else name for name in node.input
        ]
    restored.name = "restored"
    scale = scale_of(model)
    sizes = (shape[0], *(size and size * scale for size in shape[1:3]))
    prefix = "" if scale == 1 else "restored_"
    names = ("batch", f"{prefix}height", f"{prefix}width")
    for value, axes, fixed in (
        (image, ("batch", "height", "width"), shape),
        (restored, names, (*sizes, model.output_shape[-1])),
    ):
        dims = value.type.tensor_type.shape.dim
        for dim, size, name in zip(dims, fixed, (*axes, None), strict=True):
            dim.Clear()
            if size is None:
                dim.dim_param = name
            else:
                dim.dim_value = size
    del graph.value_info[:]  # It still has the old names.


def _halve_weights(onnx, graph):
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


def _write_openvino(model, shape, precision, path, sigma):
    openvino = require("openvino")
    raw = path.with_name("raw.xml")
    model.export(
        str(raw), format="openvino", input_signature=_signature(shape), verbose=False
    )
    core = openvino.Core()
    core.set_property({"ENABLE_MMAP": False})  # The raw file is removed below.
    graph = core.read_model(raw)
    graph.outputs[0].get_tensor().set_names({"restored"})
    openvino.save_model(graph, path, compress_to_fp16=precision == "float16")
    for part in (raw, raw.with_suffix(".bin")):
        part.unlink()


@contextlib.contextmanager
def silence() -> Iterator[None]:
    """Keeps the remarks of packages, which come from C++ too, from the terminal.

    Processes that are started meanwhile keep quiet for good.
    """
    with (
        Path(os.devnull).open("w") as nowhere,
        contextlib.redirect_stdout(nowhere),
    ):
        sys.stderr.flush()
        kept = os.dup(2)
        os.dup2(nowhere.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(kept, 2)
            os.close(kept)


FORMATS = {
    "saved_model": Format("", "tensorflow", ("float32",), _write_saved_model),
    "tflite": Format(
        ".tflite",
        "litert",
        ("float32", "float16", "int8", "int8-full"),
        _write_tflite,
    ),
    "onnx": Format(".onnx", "onnxruntime", ("float32", "float16"), _write_onnx),
    "openvino": Format(".xml", "openvino", ("float32", "float16"), _write_openvino),
}
