"""What a format is: one file here each, found by what it declares."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from xunit_keras.runtime.engines.base import Form

if TYPE_CHECKING:
    import keras

EXTRA = "export"
"""The extra of this package that brings what the formats need."""

FLOAT16_LOST, INT8_LOST = 0.02, 0.10
"""Decibels of PSNR that numbers of 16 and of 8 bits may cost."""

Shape = tuple[int | None, int | None, int | None, int]
"""Batch, height, width, channels; None is dynamic."""


@dataclass(frozen=True)
class Precision:
    """How a file stores numbers.

    Attributes:
        form: What the engine then runs fastest.
        lost: Decibels of PSNR that it may cost; None where the file must equal the
            Keras model but for rounding.
        draws: Parts, drawn at random, of each photograph that a file is verified on;
            0 is the middle.
    """

    form: Form
    lost: float | None = None
    draws: int = 0


@dataclass(frozen=True)
class Order:
    """What is to be written.

    Attributes:
        model: A deployed model from one image to one image.
        path: The file, or the folder.
        shape: Of the images that it takes.
        scale: The factor by which it enlarges.
        precision: One of the format's.
        calibration: Gives images of a height and a width as the model gets them,
            `(height, width, channels)`, from which ranges of integers are told.
        metadata: What to tell of the model to those who have the file alone.
    """

    model: "keras.Model"
    path: Path
    shape: Shape
    scale: int
    precision: str
    calibration: Callable[[int, int], Iterable[np.ndarray]]
    metadata: Mapping[str, str]


@dataclass(frozen=True)
class Format:
    """A format of model files.

    Attributes:
        name: What it is called in Python and on the command line.
        title: What it is called in sentences.
        suffix: Of the file; empty for a folder.
        engine: The engine that opens it.
        precisions: What it can store, by name.
        write: Writes a file. Errors may be of any kind.
        aliases: Further names.
    """

    name: str
    title: str
    suffix: str
    engine: str
    precisions: Mapping[str, Precision]
    write: Callable[[Order], None]
    aliases: tuple[str, ...] = ()

    def precision(self, name: str) -> Precision:
        """One of its precisions.

        Raises:
            ValueError: It has no such precision.
        """
        if name not in self.precisions:
            raise ValueError(
                f"`precision` must be one of {', '.join(self.precisions)} for "
                f"{self.name}. Received: precision={name!r}"
            )
        return self.precisions[name]
