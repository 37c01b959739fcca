"""What a format is: one file here each, found by what it declares."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

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
        model: A deployed model from one image to one image; for integers, one whose
            values are rounded as theirs (see `xunit_keras.exporting.integers`).
        path: The file, or the folder.
        shape: Of the images that it takes.
        scale: The factor by which it enlarges.
        precision: One of the format's.
        metadata: What to tell of the model to those who have the file alone.
    """

    model: "keras.Model"
    path: Path
    shape: Shape
    scale: int
    precision: str
    metadata: Mapping[str, str] = field(default_factory=dict)


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
