"""The ready file of a model of the zoo: what is restored with, without Keras."""

import dataclasses
from pathlib import Path

from xunit_keras.exporting.exporting import Verification, export
from xunit_keras.runtime.models import READY_FILE, READY_FORMAT, Card, sha256


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
    card = Card.read(folder)
    digests = {**card.sha256, READY_FILE: sha256(path)}
    dataclasses.replace(card, sha256=digests).write(folder)
    return verification
