"""The formats of exported models, one file each.

Every file in this folder that declares a `FORMAT` is found by being there. None of
them imports Keras, or what writes the format, before a model is written.
"""

from typing import TYPE_CHECKING, Literal

from xunit_keras.discovery import modules
from xunit_keras.exporting.formats.base import Format


def _found() -> dict[str, Format]:
    files = modules(__name__, __path__)
    declared = [file.FORMAT for file in files if hasattr(file, "FORMAT")]
    return {format.name: format for format in declared}


FORMATS: dict[str, Format] = _found()
"""The formats by name."""


def names() -> list[str]:
    """The names of the formats, each followed by its aliases."""
    return [
        name for format in FORMATS.values() for name in (format.name, *format.aliases)
    ]


# What a command line offers, which type checkers cannot see.
if TYPE_CHECKING:
    FormatName = str
else:
    FormatName = Literal[tuple(names())]


def precisions() -> list[str]:
    """The names of the precisions of all formats."""
    found = {name: None for format in FORMATS.values() for name in format.precisions}
    return list(found)


def get(name: str) -> Format:
    """A format by name or alias.

    Raises:
        ValueError: There is no such format.
    """
    for format in FORMATS.values():
        if name in (format.name, *format.aliases):
            return format
    raise ValueError(
        f"`format` must be one of {', '.join(names())}. Received: format={name!r}"
    )
