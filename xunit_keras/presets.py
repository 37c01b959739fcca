"""Models as presets: folders that can be given to others, and lie on hubs."""

import dataclasses
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xunit_keras import hub, model_card
from xunit_keras.atomic import PREFIX, replacing_folder, write_text
from xunit_keras.runtime import models
from xunit_keras.runtime.models import FILES, Card

if TYPE_CHECKING:
    import keras


def save_to_preset(
    model: "keras.Model | str | Path", folder: str | Path, **known: Any
) -> Card:
    """Writes a model as a folder that `load` and `restore` take, and `upload` sends.

    It has the layout of the released models: `card.json`, `config.json`,
    `model.weights.h5`, which Keras itself loads too, and `model.onnx`, with which
    `restore` needs no Keras. The last is verified against the model.

    Args:
        model: A Keras model from one image to one image with values in [0, 1], or what
            `load` takes.
        folder: Where to; what is there is replaced when all is written. Its name
            becomes that of the model.
        **known: Fields of its `Card`, beside those that a card of `model` has and those
            that can be told from it: `task="denoise"`, `sigma=(25.0,)`,
            `license="MIT"`.

    Returns:
        The card.

    Raises:
        ValueError: There is no such model, the model does not restore images, its task
            is not given, a field is none of a card, or Keras runs on another backend
            than TensorFlow, which writes the ready file.
        ImportError: What writes the ready file is missing: the extra `export`.

    Example:
        >>> model = xunit_keras.xespcn(scale=3)
        >>> folder = tempfile.mkdtemp() + "/small"
        >>> card = xunit_keras.save_to_preset(model, folder, task="sr")
        >>> card.name, card.scale, card.parameters
        ('small', 3, 10336)
    """
    from xunit_keras import zoo
    from xunit_keras.exporting.ready import write_ready

    folder = Path(folder)
    before = None
    if isinstance(model, str | Path):
        before, model = models.find_card(model), zoo.load(model)
    card = _card(model, before, known)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=PREFIX, dir=folder.parent) as temporary:
        complete = Path(temporary) / folder.name
        zoo.save(model, complete, card)
        write_ready(complete)
        with replacing_folder(folder) as place:
            shutil.copytree(complete, place, dirs_exist_ok=True)
    return models.card(folder)


def upload(model: str | Path, address: str) -> str:
    """Uploads a model to Hugging Face or Kaggle.

    What is uploaded is its four files and `README.md`, the card that the hub shows. If
    the folder holds none, one is made of the model's card, with its scores as the
    hub reads them. Your account is the one that the client of the hub knows
    (`hf auth login`, or `~/.kaggle/access_token`).

    Args:
        model: A released model's name, or a folder that `save_to_preset` or a training
            wrote.
        address: `"hf://user/name"` or `"kaggle://owner/model/framework/variation"`.

    Returns:
        The address of these very files: `"hf://user/name@COMMIT#sha256=DIGEST"`.

    Raises:
        ValueError: There is no such model, it is damaged, or the address is none.
        ImportError: The client of the hub is missing: the extra `hub`.
        OSError: The upload fails.

    Example:
        >>> xunit_keras.upload("xsrcnn-f-x3", "somewhere")
        Traceback (most recent call last):
        ValueError: The address of a model is hf://user/name, ...
    """
    place = hub.parse(address)
    source = models.model_folder(model)
    card = Card.read(source)
    for name in card.sha256:
        models.checked_file(source, name)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for name in (*FILES, model_card.FILE):
            if (source / name).is_file():
                shutil.copyfile(source / name, folder / name)
        if not (folder / model_card.FILE).is_file():
            write_text(folder / model_card.FILE, model_card.markdown(card, address))
        sent = hub.send(folder, place, f"{card.name} of xunit-keras", card.license)
        return str(sent._replace(sha256=models.digest(folder)))


def _card(model: "keras.Model", before: Card | None, known: dict[str, Any]) -> Card:
    """The card of a model, but for what `zoo.save` fills in."""
    from xunit_keras.graphs.image_model import image_channel_axis, image_model
    from xunit_keras.graphs.receptive_field import receptive_field

    fields = [field.name for field in dataclasses.fields(Card)]
    for name in known:
        if name not in fields:
            raise ValueError(f"A card has no {name!r}; it has {', '.join(fields)}.")
    if before is not None:
        return dataclasses.replace(before, **known)
    if "task" not in known:
        raise ValueError(
            "The model has no card that tells its task: give it, such as "
            'task="denoise", sigma=(25.0,).'
        )
    graph = image_model(model)
    told = {
        "name": "",
        "network": model.name,
        "parameters": 0,
        "channels": graph.input_shape[image_channel_axis(graph)],
        "scale": receptive_field(model).scale,
    }
    return Card(**{**told, **known})
