"""Exporting models, each export verified against the Keras model."""

import dataclasses
import operator
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from xunit_keras import tasks, zoo
from xunit_keras.atomic import PREFIX, replacing_folder
from xunit_keras.exporting import formats
from xunit_keras.exporting.examples import calibration, examples, task_of
from xunit_keras.exporting.formats.base import Format, Order, Precision
from xunit_keras.exporting.integers import quantized
from xunit_keras.exporting.rgb import on_rgb
from xunit_keras.graphs.folding import deploy
from xunit_keras.graphs.image_model import DIVISIBLE, image_model, scale_on
from xunit_keras.graphs.receptive_field import receptive_field
from xunit_keras.imaging.metrics import psnr
from xunit_keras.imaging.resize import REACH
from xunit_keras.models import NETWORKS
from xunit_keras.quiet import silence
from xunit_keras.runtime import engines
from xunit_keras.runtime.models import (
    QUANTIZED_FILE,
    checked_file,
    find_card,
    find_folder,
)

LARGEST_DIFFERENCE = 1e-4
"""From the Keras model, in float32: a fortieth of a level of 8 bits.

Sums in another order, which processors choose, change results by 1e-5 and more in deep
networks. In the released models a normalization that is lost in one channel shows as
1e-4 to 0.1 (300 tried, one of them less), and a wrong border as 0.1.
"""

QUANTIZED = ("litert", "int8-full")
"""Format and precision of what some models bring along, trained as such."""

# Two sizes, one of them odd, show that dynamic axes work. Models that pool take the
# last ones.
_SIZES = ((96, 96), (53, 37), (64, 128))


@dataclass(frozen=True)
class Verification:
    """How an exported model differs from the Keras model, on degraded photographs.

    Attributes:
        difference: Largest absolute difference of the results.
        psnr_lost: Mean PSNR, against the undegraded photographs, that the results
            lost, in decibels.

    Example:
        >>> found = xunit_keras.Verification(difference=2e-6, psnr_lost=0.0)
        >>> found.difference < 1e-4
        True
    """

    difference: float
    psnr_lost: float


def export(
    model: keras.Model | str | Path,
    path: str | Path,
    format: str = "saved_model",
    precision: str = "float32",
    input_shape: tuple[int, int] | None = None,
    color: bool = False,
) -> Verification:
    """Writes a model for another engine, and verifies what was written.

    The exported model takes images `(batch, height, width, channels)`, float32 in
    [0, 1], and gives the restored ones, not clipped. A SavedModel also has a signature
    `uint8` from and to uint8 images beside `serving_default`; both take `image` and
    give `restored`. An ONNX file has metadata: `channels`, `scale` and `value_range`;
    `task` where it is known; `radius` (input pixels to each side that an output pixel
    depends on) and `stride` (see `ReceptiveField`) where the layers tell.

    It runs on parts of the bundled photographs that are degraded as those are that the
    model is for: as its card says, or its name if it is that of a network of this
    package; otherwise shrunk if it enlarges, or with noise of sigma 25. In float32 it
    must equal the Keras model to 1e-4, and otherwise lose at most 0.02 dB (float16) or
    0.10 dB (int8, int8-full). Only then does it appear at `path`.

    Args:
        model: A Keras model from one image to one image, or what `xunit_keras.load`
            takes.
        path: The file to write, `.tflite`, `.onnx` or, for OpenVINO, `.xml`, beside
            which a `.bin` is written; for a SavedModel a folder. Its folder is made
            if need be; what was exported there before is replaced.
        format: `"saved_model"`, `"litert"`, `"onnx"` or `"openvino"`;
            `"tf_saved_model"` and `"tflite"` name the first two as well.
        precision: `"float32"`; `"float16"`: weights in 16 bits (not for a
            SavedModel); `"int8"`: weights of the ordinary convolutions in 8 bits,
            and their inputs too, quantized as they come (for LiteRT). The scales of
            these depend on the whole image, so that tiles are no longer exactly the
            whole. `"int8-full"`: all values from the first convolution to the last are
            integers of 8 bits, with ranges from other parts of the bundled photographs;
            the image that they correct stays in float (for LiteRT). What a released
            model brings along in integers, trained as such, is given out.
        input_shape: Height and width to fix the model on, with a batch of 1; None
            leaves batch, height and width as dynamic as the model has them.
        color: Make a model of one channel take RGB images and give RGB images, as
            `restore` does.

    Returns:
        The `Verification`.

    Raises:
        ValueError: An argument is not as above, the model cannot be written in this
            format, `path` cannot be written, or the export does not equal the model.
        ImportError: A package is missing.

    Example:
        >>> path = tempfile.mkdtemp() + "/model.onnx"
        >>> verification = xunit_keras.export("xsrcnn-f-x3", path, "onnx")
        >>> verification.difference < 1e-4
        True
    """
    path, known = Path(path), formats.get(format)
    stored = known.precision(precision)
    size = _checked_size(input_shape)
    _check_path(path, known)
    card = trained = None
    if isinstance(model, str | Path):
        if (known.name, precision) == QUANTIZED and size is None and not color:
            trained = _trained_as_integers(model)
        model, card = zoo.load(model), find_card(model)
    subject = _Subject.of(model, size, color, card)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        folder = tempfile.TemporaryDirectory(prefix=PREFIX, dir=path.parent)
    except OSError as error:
        raise _unwritable(path, error) from error
    with folder:
        partial = Path(folder.name) / path.name
        if trained is None:
            _write(subject, partial, known, precision)
        else:
            shutil.copyfile(trained, partial)
        verification = _verify(subject, partial, known, stored)
        _judge(verification, path, precision, stored)
        try:
            _replace(partial, path)
        except OSError as error:
            raise _unwritable(path, error) from error
    return verification


def verify(
    name: str | Path, path: Path, format: str, precision: str = "float32"
) -> Verification:
    """How a file for another engine differs from its model, as `export` would see it.

    Args:
        name: What `xunit_keras.load` takes.
        path: The file.
        format: See `export`.
        precision: See `export`.

    Raises:
        ValueError: It differs more than an export may.
    """
    known = formats.get(format)
    stored = known.precision(precision)
    subject = _Subject.of(zoo.load(name), card=find_card(name))
    verification = _verify(subject, path, known, stored)
    _judge(verification, path, precision, stored)
    return verification


def _trained_as_integers(name: str | Path) -> Path | None:
    """The file in integers that a model brings along, if it does."""
    folder = find_folder(name)
    if folder is None or not (folder / QUANTIZED_FILE).is_file():
        return None
    return checked_file(folder, QUANTIZED_FILE)


def write(
    model: keras.Model,
    path: str | Path,
    format: str = "saved_model",
    precision: str = "float32",
    input_shape: tuple[int, int] | None = None,
    color: bool = False,
) -> None:
    """Writes a model without verifying it; see `export` for the arguments.

    Raises:
        ValueError: The model cannot be written in this format.
        ImportError: A package is missing.
    """
    known = formats.get(format)
    known.precision(precision)
    subject = _Subject.of(model, _checked_size(input_shape), color)
    _write(subject, Path(path), known, precision)


@dataclass(frozen=True)
class _Subject:
    """A model to export, and what is to be known of it.

    Attributes:
        model: From one image to one image, channels last.
        size: Height and width; None where any will do.
        scale: The factor by which it enlarges.
        color: Whether it is to take RGB images.
        task: What it is verified on, with the channels of the export.
        metadata: What to tell of it.
    """

    model: keras.Model
    size: tuple[int, int] | None
    scale: int
    color: bool
    task: tasks.Task
    metadata: dict[str, str]

    @classmethod
    def of(cls, model, size=None, color=False, card=None) -> "_Subject":
        model = image_model(model)
        _check_model(model, color)
        fixed = model.input_shape[1:3]
        if size is None and None not in fixed:
            size = fixed
        scale = scale_on(model, *(size or (DIVISIBLE, DIVISIBLE)))
        channels = 3 if color else model.input_shape[3]
        task = task_of(model, scale, model.input_shape[3], card)
        task = dataclasses.replace(task, channels=channels)
        metadata = _metadata(model, scale, channels, color)
        if card is not None or model.name in NETWORKS:
            metadata["task"] = task.name
        return cls(model, size, scale, color, task, metadata)

    def in_color(self, network: keras.Model) -> keras.Model:
        """A network that equals the model, for the images of the export."""
        return on_rgb(network, self.scale) if self.color else network

    def calibration(self) -> Iterable[np.ndarray]:
        """Images as the model gets them, that tell the ranges of its values."""
        channels = self.model.input_shape[3]
        return calibration(dataclasses.replace(self.task, channels=channels), self.size)

    def sizes(self) -> list[tuple[int, int]]:
        """Two sizes of images that the model takes, or the one."""
        if self.size is not None:
            return [self.size]
        return [size for size in _SIZES if _takes(self.model, size)][:2]


def _checked_size(input_shape) -> tuple[int, int] | None:
    if input_shape is None:
        return None
    try:
        if not any(isinstance(length, bool) for length in input_shape):
            height, width = map(operator.index, input_shape)
            if min(height, width) >= 1:
                return height, width
    except (TypeError, ValueError):
        pass
    raise ValueError(
        "`input_shape` must be a height and a width of at least 1. "
        f"Received: input_shape={input_shape!r}"
    )


def _check_path(path, known: Format):
    if known.suffix and path.suffix != known.suffix:
        raise ValueError(
            f"`path` must end in {known.suffix} for {known.name}. "
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


def _is_ours(folder) -> bool:
    """Whether a folder holds a SavedModel or nothing, so that it may be replaced."""
    return (folder / "saved_model.pb").is_file() or not any(folder.iterdir())


def _check_model(model, color):
    if keras.config.backend() != "tensorflow":
        raise ValueError(
            "Models are exported with the TensorFlow backend of Keras; set "
            "KERAS_BACKEND=tensorflow. Received: backend="
            f"{keras.config.backend()!r}"
        )
    shapes = [model.input_shape, model.output_shape]
    images = all(len(shape) == 4 for shape in shapes)
    if not images or {shape[3] for shape in shapes} not in ({1}, {3}):
        raise ValueError(
            "Only models from one image to one image, channels last, are exported. "
            f"Received: {model.name!r} with input shape {shapes[0]} and output shape "
            f"{shapes[1]}"
        )
    if color and shapes[0][3] != 1:
        raise ValueError(
            "`color` is for models of one channel; this one takes RGB images as it "
            f"is. Received: {model.name!r} with input shape {shapes[0]}"
        )


def _takes(model, size) -> bool:
    try:
        scale_on(model, *size)
    except ValueError:
        return False
    return True


def _metadata(model, scale, channels, color) -> dict[str, str]:
    told = {"channels": channels, "scale": scale, "value_range": "[0, 1]"}
    try:
        field = receptive_field(model)
    except ValueError:  # The layers do not tell.
        pass
    else:
        bicubic = color and scale > 1  # The chroma is enlarged beside the network.
        told["radius"] = max(field.radius, REACH) if bicubic else field.radius
        told["stride"] = field.stride
    return {name: str(value) for name, value in told.items()}


def _write(subject: _Subject, path: Path, known: Format, precision: str) -> None:
    """Deploys a model for the engine of a format, and writes it."""
    form = known.precision(precision).form
    images = list(subject.calibration()) if form.integers else []
    deployed = deploy(subject.model, form, images)
    if form.integers:
        deployed = quantized(deployed, images)
    deployed = subject.in_color(deployed)
    batch = deployed.input_shape[0]
    height, width = subject.size or (None, None)
    order = Order(
        deployed,
        path,
        (1 if subject.size else batch, height, width, deployed.input_shape[-1]),
        subject.scale,
        precision,
        subject.metadata,
    )
    try:
        with silence():
            known.write(order)
    except (ValueError, ImportError):
        raise
    # The converters raise a dozen kinds of errors, with pages of text.
    except Exception as error:
        raise ValueError(
            f"The model {subject.model.name!r} cannot be written as {known.name} in "
            f"{precision}: {_reason(error)}"
        ) from error


def _verify(subject, path, known: Format, stored: Precision) -> Verification:
    reference = subject.in_color(subject.model)
    exported = engines.open_file(path, known.engine)
    differences, lost = [], []
    for original, degraded in _tried(subject, stored):
        expected = reference(degraded[None], training=False)
        expected = keras.ops.convert_to_numpy(expected)[0]
        result = _run(exported, degraded, known)
        if result.shape != expected.shape:
            raise ValueError(
                f"The export {path.name!r} was removed: of {degraded.shape} it makes "
                f"{result.shape}, and the Keras model {expected.shape}."
            )
        differences.append(np.abs(result - expected).max())
        # The quality of images as they would be written.
        expected, result = np.clip(expected, 0, 1), np.clip(result, 0, 1)
        lost.append(psnr(expected, original) - psnr(result, original))
    return Verification(float(np.max(differences)), float(np.mean(lost)))


def _run(exported, image, known: Format) -> np.ndarray:
    try:
        return exported(image[None])[0]
    # Engines raise errors of their own, with pages of text.
    except Exception as error:
        raise ValueError(
            f"The export was removed: {known.engine} cannot run it on an image of "
            f"{image.shape}: {_reason(error)}"
        ) from error


def _reason(error: Exception) -> str:
    """The first line of an error."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _tried(subject, stored) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    for height, width in subject.sizes():
        yield from examples(subject.task, height, width, stored.draws)


def _judge(verification, path, precision, stored: Precision):
    """Raises unless the export is as good as promised; NaN is not."""
    if stored.lost is None:
        value, limit = verification.difference, LARGEST_DIFFERENCE
        what = "differs from the Keras model by"
    else:
        value, limit = verification.psnr_lost, stored.lost
        what = "loses, in dB,"
    if not value <= limit:
        raise ValueError(
            f"The export {str(path)!r} was removed: in {precision} it {what} "
            f"{value:.3g}, and {limit:g} is allowed."
        )


def _unwritable(path, error: OSError) -> ValueError:
    return ValueError(f"Cannot write {str(path)!r}: {error.strerror or error}.")


def _replace(partial, path):
    """Puts what was written in the folder of `partial` in its place."""
    if partial.is_dir():
        with replacing_folder(path) as folder:
            for part in partial.iterdir():
                part.replace(folder / part.name)
        return
    for part in sorted(partial.parent.iterdir()):  # OpenVINO's .bin before its .xml
        part.replace(path.with_name(part.name))
