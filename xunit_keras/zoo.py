"""The released models: their names, their cards, and how to load them.

A released model is a folder `<name>/` with `config.json` (the Keras architecture),
`model.weights.h5` and `card.json`. The folders lie in `saved_models/` of a clone
and in `xunit_keras/saved_models/` of an installed package.
"""

import hashlib
import json
from pathlib import Path

import keras

from xunit_keras.budget import count_parameters

SIGMA = 25.0  # The noise level at which the literature compares denoisers.

_PACKAGE = Path(__file__).resolve().parent
_FOLDERS = (_PACKAGE / "saved_models", _PACKAGE.parent / "saved_models")


def list_models() -> list[str]:
    """Names of the released models, sorted."""
    cards = (card for folder in _FOLDERS for card in folder.glob("*/card.json"))
    return sorted({card.parent.name for card in cards})


def load(name: str | Path) -> keras.Model:
    """Loads a released model, or a model folder or `.keras` file of your own.

    Args:
        name: A name from `list_models()`, a folder laid out like a released model,
            or a `.keras` file.

    Returns:
        The Keras model, not compiled.

    Raises:
        ValueError: There is no such model, or its weights are damaged.
    """
    if Path(name).suffix == ".keras":
        if not Path(name).is_file():
            raise ValueError(f"There is no model file {str(name)!r}.")
        return keras.models.load_model(name, compile=False)
    folder = model_folder(name)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    model = keras.saving.deserialize_keras_object(config)
    model.load_weights(_checked_weights(folder))
    return model


def card(name: str | Path) -> dict:
    """The card of a released model: task, data, recipe, scores, sha256, licence.

    Raises:
        ValueError: There is no such model.
    """
    return json.loads((model_folder(name) / "card.json").read_text(encoding="utf-8"))


def find_card(name: str | Path) -> dict:
    """The card of a model, empty for one without: a `.keras` file, a checkpoint."""
    try:
        return card(name)
    except ValueError:
        return {}


def noise_level(card: dict) -> float:
    """The noise that a denoiser is tried with, in 0..255.

    The one that it was trained for, and `SIGMA` where it takes a range or has no card.
    """
    levels = card.get("sigma", [])
    return float(levels[0]) if len(levels) == 1 else SIGMA


def load_weights(model: keras.Model, source: str | Path) -> None:
    """Loads the weights of a released model, or of a `.weights.h5` file, in place.

    Raises:
        ValueError: There is no such model or file, it is damaged, or its weights
            do not fit the model.
    """
    path = Path(source)
    if path.name.endswith(".weights.h5"):
        if not path.is_file():
            raise ValueError(f"There is no weights file {str(source)!r}.")
    else:
        path = _checked_weights(model_folder(source))
    try:
        model.load_weights(path)
    except Exception as error:
        raise ValueError(
            f"The weights of {str(source)!r} do not fit the model "
            f"{model.name!r}: {error}"
        ) from error


def model_folder(name: str | Path) -> Path:
    """The folder of a released model, or `name` itself where it is such a folder.

    Raises:
        ValueError: There is no such model.
    """
    for folder in (*(f / str(name) for f in _FOLDERS), Path(name)):
        if (folder / "card.json").is_file():
            return folder
    raise ValueError(
        f"There is no model {str(name)!r}. Released models: "
        f"{', '.join(list_models()) or 'none'}."
    )


def save(model: keras.Model, folder: str | Path, card: dict) -> None:
    """Writes a model in the layout of the released ones.

    Args:
        model: A built model.
        folder: Its folder; the last part is the model's name.
        card: What to record; `name`, `parameters` and `sha256` are added.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    config = keras.saving.serialize_keras_object(model)
    config.pop("compile_config", None)
    _write_text(folder / "config.json", json.dumps(config))
    partial = folder / "partial.weights.h5"
    model.save_weights(partial)
    card = {
        **card,
        "name": folder.name,
        "parameters": count_parameters(model).total,
        "sha256": _sha256(partial),
    }
    partial.replace(folder / "model.weights.h5")
    _write_text(folder / "card.json", json.dumps(card, indent=2) + "\n")


def _checked_weights(folder: Path) -> Path:
    path = folder / "model.weights.h5"
    if not path.is_file() or _sha256(path) != card(folder)["sha256"]:
        raise ValueError(
            f"The weights of {folder.name!r} are damaged: {str(path)!r} is missing "
            "or does not have the sha256 of its card. Install the package again."
        )
    return path


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _write_text(path: Path, text: str) -> None:
    partial = path.with_name("partial." + path.name)
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)
