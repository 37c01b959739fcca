"""The Keras side of the zoo: loading models, and writing them with their cards."""

import dataclasses
import json
import zipfile
from importlib import metadata
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np

from xunit_keras import hub
from xunit_keras.atomic import replacing, replacing_folder, write_json
from xunit_keras.graphs.counting import count_parameters
from xunit_keras.graphs.receptive_field import receptive_field
from xunit_keras.runtime.models import (
    CONFIG_FILE,
    WEIGHTS_FILE,
    Card,
    checked_file,
    model_folder,
    sha256,
)

# What an archive may unpack to: so many bytes, or so many times its own size.
_UNPACKED_BYTES, _UNPACKED_RATIO = 256 * 2**20, 20
_CONFIG_BYTES = 64 * 2**20
_VERSIONED = ("xunit-keras", "keras", "tensorflow")

# Of what Keras brings, this holds programs, or reads other files.
_REFUSED = ("Lambda", "TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer")
_VALUES = (
    "__keras_tensor__ __tensor__ __numpy__ __bytes__ __ellipsis__ __slice__".split()
)


def load(name: str | Path) -> keras.Model:
    """Loads a released model, one on a hub, or one of your own.

    Nothing that a file brings along is executed. What comes from a hub may name
    Keras' own layers and those of this package, and no others.

    Args:
        name: A name from `list_models()`, a folder laid out like a released model,
            a `.keras` file, or an address: `"hf://user/name"`,
            `"kaggle://owner/model/framework/variation"`, see `xunit_keras.hub`.

    Returns:
        The Keras model, not compiled.

    Raises:
        ValueError: There is no such model, or it is damaged, or it needs classes that
            are not known here.
        OSError: It cannot be fetched from its hub.
        ImportError: The client of the hub is missing.

    Example:
        >>> model = xunit_keras.load("xsrcnn-f-x3")
        >>> xunit_keras.count_parameters(model).total
        32576
    """
    path, foreign = Path(name), hub.is_address(name)
    if path.suffix == ".keras" and not foreign:
        if not path.is_file():
            raise ValueError(f"There is no model file {str(name)!r}.")
        _check_archive(path)
        return _loaded(name, lambda: keras.models.load_model(path, compile=False))
    folder = model_folder(name)
    model = _loaded(name, lambda: _from_config(folder / CONFIG_FILE, foreign))
    model.load_weights(checked_file(folder, WEIGHTS_FILE))
    return model


def load_weights(model: keras.Model, source: str | Path) -> None:
    """Loads the weights of a released model, or of a `.weights.h5` file, in place.

    Only the shapes of the weights have to fit: a network for one factor or noise level
    can start from the weights of one for another.

    Raises:
        ValueError: There is no such model or file, it is damaged, or its weights
            do not fit the model.
    """
    path = Path(source)
    if path.name.endswith(".weights.h5"):
        if not path.is_file():
            raise ValueError(f"There is no weights file {str(source)!r}.")
    else:
        path = checked_file(model_folder(source), WEIGHTS_FILE)
    try:
        model.load_weights(path)
    except Exception as error:  # Keras and h5py raise anything, with pages of text.
        raise ValueError(
            f"The weights of {str(source)!r} do not fit the model "
            f"{model.name!r}: {' '.join(str(error).split())[:300]}"
        ) from error


def save(model: keras.Model, folder: str | Path, card: Card) -> Card:
    """Writes a model in the layout of the released ones, whole or not at all.

    Args:
        model: A built model.
        folder: Its folder; the last part is the model's name.
        card: What to record; name, parameters, receptive field, versions and sha256
            are filled in.

    Returns:
        The card as written.
    """
    folder = Path(folder)
    config = keras.saving.serialize_keras_object(model)
    config.pop("compile_config", None)
    with replacing_folder(folder) as partial:
        write_json(partial / CONFIG_FILE, config)
        model.save_weights(partial / WEIGHTS_FILE)
        _compress(partial / WEIGHTS_FILE)
        field = receptive_field(model)
        card = dataclasses.replace(
            card,
            name=folder.name,
            parameters=count_parameters(model).total,
            radius=field.radius,
            stride=field.stride,
            versions=versions(),
            sha256={WEIGHTS_FILE: sha256(partial / WEIGHTS_FILE)},
        )
        card.write(partial)
    return card


def _compress(path: Path) -> None:
    """Deflates the arrays of a weights file, which Keras reads as it reads others.

    What half precision holds exactly is stored so.
    """
    with (
        replacing(path) as partial,
        h5py.File(path) as source,
        h5py.File(partial, "w", libver="latest") as file,
    ):

        def copy(name, item):
            if isinstance(item, h5py.Group):
                new = file.require_group(name)
            else:
                deflated = {"compression": 9, "shuffle": True} if item.size > 1 else {}
                new = file.create_dataset(name, data=_narrow(item[()]), **deflated)
            new.attrs.update(item.attrs)

        file.attrs.update(source.attrs)
        source.visititems(copy)


def _narrow(values: np.ndarray) -> np.ndarray:
    if values.dtype != np.float32:
        return values
    with np.errstate(over="ignore"):
        half = values.astype(np.float16)
    return half if np.array_equal(half, values) else values


def versions() -> dict[str, str]:
    """The versions of the packages that make a model."""
    return {name: metadata.version(name) for name in _VERSIONED}


def _from_config(path: Path, foreign: bool) -> keras.Model:
    if path.stat().st_size > _CONFIG_BYTES:
        raise ValueError(f"{str(path)!r} is larger than the description of a model")
    config = json.loads(path.read_text(encoding="utf-8"))
    if foreign:
        _check_classes(config)
    return keras.saving.deserialize_keras_object(config)


def _check_classes(config: Any) -> None:
    """Refuses a model that is made of more than Keras' own classes and ours.

    Keras takes what other packages, and the program itself, registered with it too.
    """
    if isinstance(config, list | dict):
        for part in config.values() if isinstance(config, dict) else config:
            _check_classes(part)
    if isinstance(config, dict) and "class_name" in config and not _is_own(config):
        raise ValueError(
            f"it holds {config['class_name']!r} of {config.get('module')!r} "
            f"({config.get('registered_name')!r}), and what comes from a hub may hold "
            "layers of Keras and of this package alone."
        )


def _is_own(config: dict[str, Any]) -> bool:
    name = config["class_name"]
    if name in _VALUES:
        return True
    known = config.get("config" if name == "function" else "registered_name")
    if ">" in str(known):  # Registered, by the package before the sign.
        return str(known).startswith("xunit_keras>")
    package = str(config.get("module")).partition(".")[0]
    return package in ("keras", "builtins") and name not in _REFUSED


def _loaded(name, make) -> keras.Model:
    try:
        model = make()
    # Keras raises a TypeError for classes it does not know: a page of text, whose end
    # names the class. Damaged files make it raise nearly anything.
    except Exception as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise ValueError(f"Cannot load the model {str(name)!r}: {lines[-1]}") from error
    if not isinstance(model, keras.Model):
        raise ValueError(
            f"Cannot load the model {str(name)!r}: it holds a {type(model).__name__}."
        )
    return model


def _check_archive(path: Path) -> None:
    """Refuses archives that unpack to far more than they are."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, OSError) as error:
        raise ValueError(f"Cannot load the model {str(path)!r}: {error}.") from error
    unpacked = sum(member.file_size for member in members)
    allowed = max(_UNPACKED_BYTES, _UNPACKED_RATIO * path.stat().st_size)
    texts = [m.file_size for m in members if m.filename.endswith(".json")]
    if unpacked > allowed or max(texts, default=0) > _CONFIG_BYTES:
        raise ValueError(
            f"Cannot load the model {str(path)!r}: its {path.stat().st_size:,} bytes "
            f"would unpack to {unpacked:,}, which no intact model does."
        )
