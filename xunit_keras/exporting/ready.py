"""Files of a model of the zoo for engines: what is restored with, without Keras."""

import dataclasses
import shutil
from pathlib import Path
from typing import Any

from xunit_keras.atomic import replacing
from xunit_keras.exporting.exporting import QUANTIZED, Verification, export, verify
from xunit_keras.runtime.models import (
    QUANTIZED_FILE,
    READY_FILE,
    READY_FORMAT,
    Card,
    model_folder,
    sha256,
)


def write_ready(folder: Path) -> Verification:
    """Writes the ready file of a model, verified, and notes it on its card.

    Args:
        folder: A folder as `xunit_keras.zoo.save` writes it.

    Returns:
        How the file differs from the Keras model.

    Raises:
        ValueError: The model cannot be exported, or its file does not equal it.
        ImportError: What exports it is missing.
    """
    path = Path(folder) / READY_FILE
    verification = export(folder, path, READY_FORMAT)
    _note(path)
    return verification


def keep_quantized(name: str | Path, file: Path, stage: dict[str, Any]) -> Verification:
    """Puts a model in 8-bit integers, trained as such, beside the model itself.

    Args:
        name: A released model, or a folder laid out like one.
        file: What pipelines/quantize.py wrote.
        stage: The training behind it, for the card.

    Returns:
        How the file differs from the Keras model.

    Raises:
        ValueError: There is no such model, or the file loses more than an export may.
    """
    path = model_folder(name) / QUANTIZED_FILE
    verification = verify(name, file, *QUANTIZED)
    with replacing(path) as partial:
        shutil.copyfile(file, partial)
    lost = round(verification.psnr_lost, 3)
    _note(path, integers={**stage, "psnr_lost": lost})
    return verification


def _note(path: Path, **known: Any) -> None:
    """Notes a file of a model, and what is known of it, on the card beside it."""
    card = Card.read(path.parent)
    digests = {**card.sha256, path.name: sha256(path)}
    dataclasses.replace(card, sha256=digests, **known).write(path.parent)
