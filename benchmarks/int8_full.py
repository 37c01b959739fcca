"""What a denoiser loses when everything in it is an integer: a trial.

    python benchmarks/int8_full.py --model xdncnn-gray-sigma25

Quantises xDnCNN after training, with ranges from noisy patches of the bundled
photographs, and prints what each remedy gives: PSNR lost against float32 on the noisy
photographs, processor time and size. `xunit-keras export --precision int8`, where only
ordinary convolutions are integers, is the last row.
"""

import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # As the package, before Keras.

import keras
import numpy as np
import tensorflow as tf
import tyro
from keras import layers, ops
from rich.table import Table

from pipelines import evaluate, scoring
from xunit_keras import XUnit, formats
from xunit_keras.deployment import scale_and_shift
from xunit_keras.engines import load_engine
from xunit_keras.metrics import psnr

CLIP = 3.0  # exp(-9) is 1e-4: what is beyond is shut all the same.


@dataclass(frozen=True)
class Config:
    """What to quantise, and on what."""

    model: str = "xdncnn-gray-sigma25"
    """A denoiser of `xunit_keras.xdncnn`: a released model, a model folder, a .keras
    file, or a published .pkl."""

    sigma: float = 25.0
    """Noise level in 0..255."""

    side: int = 160
    """Side of the middle of each photograph that is scored, in pixels."""

    calibration: int = 96
    """Side of the parts that give the ranges of the activations, in pixels."""

    rounds: int = 5
    """Runs that are timed; the median is printed."""


@dataclass(frozen=True)
class Variant:
    """A way to make integers of a network.

    Attributes:
        name: What it is called.
        clips: The argument of the gate ends at `CLIP`.
        equalises: The channels of a convolution get the same range, which the layers
            behind undo.
        activations: Bits of the activations, 8 or 16.
    """

    name: str
    clips: bool
    equalises: bool
    activations: int = 8


VARIANTS = (
    Variant("as it is", False, False),
    Variant("gate clipped", True, False),
    Variant("gate clipped, channels equalised", True, True),
    Variant("the same, 16-bit activations", True, True, 16),
)


def integer_form(model: keras.Model, variant: Variant, noisy: np.ndarray):
    """The network in operations that LiteRT has for integers.

    Normalizations are 1x1 depthwise convolutions, so that channels reach the next
    convolution alike.
    """
    ranges = _ranges(model, noisy) if variant.equalises else {}
    image = x = keras.Input((None, None, model.input_shape[-1]), name="image")
    factor = 1.0  # by channel: what the tensor must be multiplied by
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            scale, shift = scale_and_shift(layer)
            x, factor = _affine(x, scale * factor, shift, layer.name), 1.0
        elif isinstance(layer, layers.Conv2D):
            kernel, bias = layer.get_weights()
            kernel = kernel * np.reshape(factor, (-1, 1))
            factor = ranges.get(layer.name, 1.0)
            x = _with_weights(
                layers.Conv2D(layer.filters, 3, padding="same", name=layer.name),
                x,
                [kernel / factor, bias / factor],
            )
        elif isinstance(layer, XUnit):
            x = x * _gate(layer, x, factor, variant.clips)
    return keras.Model(image, image - x, name=model.name)


def _ranges(model, noisy) -> dict[str, np.ndarray]:
    """The largest value in each channel of the convolutions before units."""
    units = {
        layer.name.replace("xunit", "conv"): model.get_layer(
            layer.name.replace("xunit", "conv")
        ).output
        for layer in model.layers
        if isinstance(layer, XUnit)
    }
    features = keras.Model(model.input, units)(noisy, training=False)
    return {name: np.abs(x).max((0, 1, 2)) for name, x in features.items()}


def _gate(unit, x, factor, clips):
    """The weights of a unit, for a tensor that is to be multiplied by `factor`."""
    scale, shift = scale_and_shift(unit.input_norm)
    x = _affine(x, scale * factor, shift, f"{unit.name}_norm", activation="relu")
    scale, shift = scale_and_shift(unit.gate_norm)
    (kernel,) = unit.depthwise.get_weights()
    kernel = kernel * scale.reshape(1, 1, -1, 1)
    # A ReLU6 is part of the convolution, so its integers span what is left of d.
    clip = {"activation": "relu6"} if clips else {}
    offset = CLIP if clips else 0.0
    depthwise = layers.DepthwiseConv2D(
        unit.kernel_size, padding="same", name=f"{unit.name}_depthwise", **clip
    )
    d = _with_weights(depthwise, x, [kernel, shift + offset])
    d = d - offset if clips else d
    return ops.exp(d * (-1.0 * d))  # There is no 16-bit negation.


def _affine(x, scale, shift, name, **arguments):
    layer = layers.DepthwiseConv2D(1, name=name, **arguments)
    return _with_weights(layer, x, [np.reshape(scale, (1, 1, -1, 1)), shift])


def _with_weights(layer, x, weights):
    outputs = layer(x)
    layer.set_weights(weights)
    return outputs


def write(model: keras.Model, variant: Variant, parts: np.ndarray, path: Path) -> None:
    """Quantises a network, with ranges from `parts`, and writes it for LiteRT."""
    kinds = tf.lite.OpsSet
    integers = {
        8: kinds.TFLITE_BUILTINS_INT8,
        16: kinds.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8,
    }
    with formats.silence():
        model.export(
            str(path),
            format="litert",
            input_signature=[tf.TensorSpec((1, None, None, 1), tf.float32)],
            verbose=False,
            optimizations=[tf.lite.Optimize.DEFAULT],
            representative_dataset=lambda: ([part[None]] for part in parts),
            target_spec={"supported_ops": [integers[variant.activations]]},
        )


def middles(config: Config, side: int) -> Iterator[scoring.Example]:
    """The middles of the bundled photographs, noisy and clean."""
    protocol = scoring.Protocol("denoise", 1, config.sigma)
    for example in scoring.examples("sample", protocol):
        yield example.centre(side)


def lost(engine: Callable, reference: Callable, config: Config) -> float:
    """Mean PSNR that an engine loses against another one, in dB."""
    losses = []
    for example in middles(config, config.side):
        scores = [
            psnr(np.clip(run(example.degraded[None])[0], 0, 1), example.clean)
            for run in (reference, engine)
        ]
        losses.append(scores[0] - scores[1])
    return float(np.mean(losses))


def processor_time(engine: Callable, image: np.ndarray, rounds: int) -> float:
    """Median processor time of a run, in seconds."""
    times = []
    for _ in range(rounds + 1):  # The first one sets up.
        started = time.process_time()
        engine(image)
        times.append(time.process_time() - started)
    return float(np.median(times[1:]))


def main(config: Config) -> None:
    """Prints the table."""
    model = evaluate.load_model(config.model)
    parts = np.stack([e.degraded for e in middles(config, config.calibration)])
    image = next(middles(config, config.side)).degraded[None]
    table = Table("integers", "dB lost", "time", "MB")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.tflite"
        formats.write(model, path, "tflite")
        reference = load_engine(path, threads=1)
        unit = processor_time(reference, image, config.rounds)

        def row(name):
            engine = load_engine(path, threads=1)
            seconds = processor_time(engine, image, config.rounds)
            table.add_row(
                name,
                f"{lost(engine, reference, config):.3f}",
                f"{seconds / unit:.2f}",
                f"{path.stat().st_size / 1e6:.2f}",
            )

        row("none: float32")
        for variant in VARIANTS:
            write(integer_form(model, variant, parts), variant, parts, path)
            row(variant.name)
        formats.write(model, path, "tflite", "int8")
        row("ordinary convolutions alone")
    evaluate.console().print(table)


if __name__ == "__main__":
    try:
        main(tyro.cli(Config, description=__doc__))
    except ValueError as error:
        sys.exit(f"int8_full.py: {error}")
