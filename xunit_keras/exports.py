"""Exporting models, each export verified against the Keras model."""

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from xunit_keras import formats, zoo
from xunit_keras.engines import load_engine
from xunit_keras.examples import examples
from xunit_keras.formats import FORMATS, FormatName, Precision, on_rgb
from xunit_keras.metrics import psnr

LARGEST_DIFFERENCE = 1e-5
MOST_PSNR_LOST = {"float16": 0.02, "int8": 0.10, "int8-full": 0.10}

# Two sizes, one of them odd, show that dynamic axes work.
_SIZES = ((96, 96), (53, 37))

# Integers end where the ranges of other photographs end, so they are tried on more.
_DRAWS = {"int8-full": 4}


@dataclass(frozen=True)
class Verification:
    """How an exported model differs from the Keras model, on degraded photographs.

    Attributes:
        difference: Largest absolute difference of the results.
        psnr_lost: Mean PSNR, against the undegraded photographs, that the results
            lost, in decibels.
    """

    difference: float
    psnr_lost: float


def export(
    model: keras.Model | str | Path,
    path: str | Path,
    format: FormatName = "saved_model",
    precision: Precision = "float32",
    input_shape: tuple[int, int] | None = None,
    colour: bool = False,
) -> Verification:
    """Writes a model for another engine, and verifies what was written.

    The exported model takes images `(batch, height, width, channels)`, float32 in
    [0, 1], and gives the restored ones, not clipped. A SavedModel also has a signature
    `uint8` from and to uint8 images beside `serving_default`; both take `image` and
    give `restored`. It runs on the bundled photographs, shrunk if the model enlarges,
    with drawn rain for `xderain` and `derainnet`, or with noise, of the level on the
    model's card or sigma 25; in float32 it must equal the Keras model to 1e-5, and
    otherwise lose at most 0.02 dB (float16) or 0.10 dB (int8, int8-full). Only then
    does it appear at `path`.

    Args:
        model: A Keras model, or what `xunit_keras.load` takes.
        path: The file to write, `.tflite`, `.onnx` or, for OpenVINO, `.xml`, beside
            which a `.bin` is written; for a SavedModel a folder. Its folder is made
            if need be; what was exported there before is replaced.
        format: `"saved_model"`, `"tflite"`, `"onnx"` or `"openvino"`.
        precision: `"float32"`; `"float16"`: weights in 16 bits (not for a
            SavedModel); `"int8"`: weights of the ordinary convolutions in 8 bits,
            and their inputs too, quantised as they come (for TFLite). The scales of
            these depend on the whole image, so that tiles are no longer exactly the
            whole. `"int8-full"`: everything is an integer of 8 bits, with ranges from
            other parts of the bundled photographs (for TFLite). Few networks pass.
        input_shape: Height and width to fix the model on, with a batch of 1; None
            leaves batch, height and width dynamic.
        colour: Make a model of one channel take RGB images and give RGB images, as
            `restore` does.

    Returns:
        The `Verification`.

    Raises:
        ValueError: An argument is not as above, the model cannot be written in this
            format, `path` cannot be written, or the export does not equal the model.
        ImportError: A package is missing.
    """
    path = Path(path)
    _check(path, format, precision, input_shape)
    card = {}
    if not isinstance(model, keras.Model):
        model, card = _load(model), zoo.find_card(model)
    sigma = zoo.noise_level(card)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        folder = tempfile.TemporaryDirectory(prefix=".export-", dir=path.parent)
    except OSError as error:
        raise ValueError(f"Cannot write {str(path)!r}: {error.strerror}.") from error
    with folder:
        partial = Path(folder.name) / path.name
        try:
            formats.write(model, partial, format, precision, input_shape, colour, sigma)
        except (ValueError, ImportError):
            raise
        # The converters raise a dozen kinds of errors, with pages of text.
        except Exception as error:
            reason = str(error).strip().splitlines() or [type(error).__name__]
            raise ValueError(
                f"The model {model.name!r} cannot be written as {format} in "
                f"{precision}: {reason[0]}"
            ) from error
        verification = _verify(
            model, partial, input_shape, colour, sigma, _DRAWS.get(precision, 0)
        )
        _judge(verification, path, precision)
        _replace(partial, path)
    return verification


def _check(path, format, precision, input_shape):
    if format not in FORMATS:
        raise ValueError(
            f"`format` must be one of {', '.join(FORMATS)}. Received: format={format!r}"
        )
    known = FORMATS[format]
    if precision not in known.precisions:
        raise ValueError(
            f"`precision` must be one of {', '.join(known.precisions)} for {format}. "
            f"Received: precision={precision!r}"
        )
    if known.suffix and path.suffix != known.suffix:
        raise ValueError(
            f"`path` must end in {known.suffix} for {format}. "
            f"Received: path={str(path)!r}"
        )
    if path.is_dir() and (known.suffix or not _is_ours(path)):
        raise ValueError(
            f"`path` is a folder that is not a SavedModel. Received: {str(path)!r}"
        )
    if not known.suffix and path.is_file():
        raise ValueError(
            "`path` must be a folder for a SavedModel, and there is a file. "
            f"Received: path={str(path)!r}"
        )
    if input_shape is None:
        return
    sizes = tuple(input_shape)
    if len(sizes) != 2 or any(not isinstance(n, int) or n < 1 for n in sizes):
        raise ValueError(
            "`input_shape` must be a height and a width of at least 1. "
            f"Received: input_shape={input_shape!r}"
        )


def _load(name) -> keras.Model:
    try:
        return zoo.load(name)
    except ValueError:
        raise
    # Keras raises a TypeError for classes it does not know: a page of text, whose end
    # names the class.
    except Exception as error:
        reason = str(error).strip().splitlines()[-1]
        raise ValueError(f"Cannot load {str(name)!r}: {reason}") from error


def _is_ours(folder) -> bool:
    """Whether a folder holds a SavedModel or nothing, so that it may be replaced."""
    return (folder / "saved_model.pb").is_file() or not any(folder.iterdir())


def _verify(model, path, input_shape, colour, sigma, draws) -> Verification:
    reference = on_rgb(model) if colour else model
    exported = load_engine(path)
    sizes = _SIZES if input_shape is None else (tuple(input_shape),)
    differences, lost = [], []
    for size in sizes:
        for original, degraded in examples(reference, *size, sigma, draws):
            expected = reference(degraded[None], training=False)
            expected = keras.ops.convert_to_numpy(expected)[0]
            result = exported(degraded[None])[0]
            differences.append(np.abs(result - expected).max())
            # The quality of images as they would be written.
            expected, result = np.clip(expected, 0, 1), np.clip(result, 0, 1)
            lost.append(psnr(expected, original) - psnr(result, original))
    return Verification(float(np.max(differences)), float(np.mean(lost)))


def _judge(verification, path, precision):
    """Raises unless the export is as good as promised; NaN is not."""
    if precision == "float32":
        value, limit = verification.difference, LARGEST_DIFFERENCE
        what = "differs from the Keras model by"
    else:
        value, limit = verification.psnr_lost, MOST_PSNR_LOST[precision]
        what = "loses, in dB,"
    if not value <= limit:
        raise ValueError(
            f"The export {str(path)!r} was removed: in {precision} it {what} "
            f"{value:.2g}, and {limit:g} is allowed."
        )


def _replace(partial, path):
    """Puts what was written in the folder of `partial` in its place."""
    if partial.is_dir():
        if path.exists():
            shutil.rmtree(path)
        partial.replace(path)
        return
    for part in sorted(partial.parent.iterdir()):  # OpenVINO's .bin before its .xml
        part.replace(path.with_name(part.name))
