"""The models of the zoo: their names, their cards, and their ready files.

A model of the zoo is a folder `<name>/` with `card.json`, `config.json` (the Keras
architecture), `model.weights.h5` and `model.onnx`, the ready file. The folders lie in
`saved_models/` of a clone and in `xunit_keras/saved_models/` of an installed package.
Such a folder may also be one of your own, or lie on a hub, see `xunit_keras.hub`.
"""

import dataclasses
import functools
import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from xunit_keras import hub
from xunit_keras.atomic import write_json
from xunit_keras.runtime.engines.onnxruntime import open_on
from xunit_keras.runtime.network import Network
from xunit_keras.runtime.tiles import ReceptiveField

READY_FILE, READY_FORMAT, READY_ENGINE = "model.onnx", "onnx", "onnxruntime"
WEIGHTS_FILE = "model.weights.h5"
CARD_FILE, CONFIG_FILE = "card.json", "config.json"
FILES = (CARD_FILE, CONFIG_FILE, READY_FILE, WEIGHTS_FILE)
"""What a model is: no other file of its folder is needed."""

QUANTIZED_FILE = "model-int8.tflite"
"""Of some models: in 8-bit integers for LiteRT, trained as such."""

_PACKAGE = Path(__file__).resolve().parents[1]
_FOLDERS = (_PACKAGE / "saved_models", _PACKAGE.parent / "saved_models")


@dataclass(frozen=True, kw_only=True)
class Card:
    """What is known of a model.

    Attributes:
        name: Its name, that of its folder.
        task: The word for its task.
        network: Its builder in `xunit_keras.models`; or what else made it.
        arguments: What the builder was given.
        parameters: As the paper counts them.
        channels: Of its images, 1 or 3.
        scale: Factor by which it enlarges.
        radius: Input pixels to each side that an output pixel depends on.
        stride: See `ReceptiveField`.
        sigma: For noise: the level, or the two ends of the range, in 0..255.
        quality: For JPEG: the quality, or the two ends of the range, in 1..100.
        data: What it was trained on.
        stages: The trainings that it went through, with command and recipe.
        integers: The training of its file in 8-bit integers, where there is one: as
            one of `stages`, with the dB that the file loses (`psnr_lost`).
        scores: What it reaches, each with its protocol.
        license: Of the weights.
        data_terms: What those who published the training data say of its use.
        versions: Of the packages that made it.
        sha256: Of its files, by name.

    Example:
        >>> card = xunit_keras.card("xderain")
        >>> card.task, card.channels, card.parameters
        ('derain', 3, 305920)
    """

    name: str
    task: str
    network: str
    channels: int
    parameters: int
    scale: int = 1
    radius: int | None = None
    stride: int = 1
    arguments: dict[str, Any] = field(default_factory=dict)
    sigma: tuple[float, ...] = ()
    quality: tuple[int, ...] = ()
    data: tuple[str, ...] = ()
    stages: tuple[dict[str, Any], ...] = ()
    integers: dict[str, Any] = field(default_factory=dict)
    scores: tuple[dict[str, Any], ...] = ()
    license: str = ""
    data_terms: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    sha256: dict[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, folder: Path) -> "Card":
        """The card in a folder.

        Raises:
            ValueError: It is damaged, or not a card of this version.
        """
        path = folder / CARD_FILE
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            values: dict[str, Any] = {
                key: tuple(value) if isinstance(value, list) else value
                for key, value in content.items()
            }
            return cls(**values)
        except (OSError, ValueError, TypeError, AttributeError) as error:
            raise ValueError(
                f"The card {str(path)!r} cannot be read: {error}"
            ) from error

    def write(self, folder: Path) -> None:
        """Writes the card into a folder, leaving out what says nothing."""
        values = dataclasses.asdict(self)
        write_json(
            folder / CARD_FILE,
            {k: v for k, v in values.items() if v not in (None, "", (), {})},
        )


def list_models() -> list[str]:
    """Names of the released models, sorted.

    Example:
        >>> "xsrcnn-f-x3" in xunit_keras.list_models()
        True
    """
    cards = (card for folder in _FOLDERS for card in folder.glob(f"*/{CARD_FILE}"))
    return sorted({card.parent.name for card in cards})


def card(name: str | Path) -> Card:
    """The card of a model: task, data, recipe, scores, sha256, license.

    Args:
        name: A name from `list_models()`, a folder laid out like a released model, or
            the address of one on a hub, see `xunit_keras.hub`.

    Raises:
        ValueError: There is no such model.
        OSError: It cannot be fetched from its hub.
        ImportError: The client of the hub is missing.

    Example:
        >>> xunit_keras.card("xsrcnn-f-x3").scale
        3
    """
    return Card.read(model_folder(name))


def find_card(name: str | Path) -> Card | None:
    """The card of a model, None for one without: a `.keras` file, a checkpoint."""
    folder = find_folder(name)
    return None if folder is None else Card.read(folder)


def find_folder(name: str | Path) -> Path | None:
    """The folder of a released model, or `name` itself where it is such a folder.

    A model on a hub is downloaded; its errors are those of `card`.
    """
    if isinstance(name, str) and hub.is_address(name):
        return _fetched(name)
    for folder in (*(f / str(name) for f in _FOLDERS), Path(name)):
        if (folder / CARD_FILE).is_file():
            return folder
    return None


# A model stays the same for as long as a process runs.
@functools.cache
def _fetched(text: str) -> Path:
    address = hub.parse(text)
    folder = hub.fetch(address, FILES)
    if not (folder / CARD_FILE).is_file():
        raise ValueError(
            f"{text!r} is no model of this package: it has no {CARD_FILE}. One that "
            "`xunit_keras.save_to_preset` wrote has."
        )
    found = digest(folder)
    if address.sha256 not in (None, found):
        raise ValueError(
            f"The files of {text!r} are not those that were asked for: their digest is "
            f"{found}."
        )
    return folder


def digest(folder: Path) -> str:
    """The sha256 of the list of a model's files, with the sha256 of each.

    In the folder, `sha256sum card.json config.json model.onnx model.weights.h5 |
    sha256sum` prints the same.
    """
    paths = [folder / name for name in FILES if (folder / name).is_file()]
    lines = "".join(f"{sha256(path)}  {path.name}\n" for path in paths)
    return hashlib.sha256(lines.encode()).hexdigest()


def model_folder(name: str | Path) -> Path:
    """As `find_folder`.

    Raises:
        ValueError: There is no such model.
    """
    folder = find_folder(name)
    if folder is None:
        raise ValueError(
            f"There is no model {str(name)!r}. Released models: "
            f"{', '.join(list_models()) or 'none'}."
        )
    return folder


def checked_file(folder: Path, name: str) -> Path:
    """A file of a model.

    Raises:
        ValueError: It is missing, or is not the one that the card is of.
    """
    path, known = folder / name, Card.read(folder)
    if not path.is_file() or sha256(path) != known.sha256.get(name):
        raise ValueError(
            f"The file {name} of the model {known.name!r} is damaged: {str(path)!r} "
            "is missing or does not have the sha256 of its card. Install the package, "
            "or get the model, again."
        )
    return path


def has_ready_file(name: str | Path) -> bool:
    """Whether a model runs without Keras."""
    folder = find_folder(name)
    return folder is not None and (folder / READY_FILE).is_file()


def open_ready(
    name: str | Path,
    threads: int | None = None,
    device: str = "cpu",
    precision: str = "float32",
) -> Network:
    """Opens the ready file of a model, without Keras.

    Args:
        name: See `card`.
        threads: Number of threads; None leaves it to the engine.
        device: See `xunit_keras.runtime.engines.onnxruntime.open_on`.
        precision: See there.

    Raises:
        ValueError: There is no such model, it is damaged, or the device is not there.
    """
    folder = model_folder(name)
    path = checked_file(folder, READY_FILE)
    known = Card.read(folder)
    if known.radius is None:
        raise ValueError(f"The card of {known.name!r} tells no receptive field.")
    return Network(
        known.name,
        open_on(path, threads, device, precision),
        known.channels,
        ReceptiveField(known.scale, known.radius, known.stride),
    )


def sha256(path: Path) -> str:
    """The sha256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
