"""Finding the image files of a folder."""

import dataclasses
import os
import stat
from pathlib import Path

from xunit_keras.imaging.files import formats
from xunit_keras.imaging.files.photograph import ImageFileError


@dataclasses.dataclass(frozen=True)
class Survey:
    """What lies in a folder.

    Attributes:
        files: the image files, sorted, as paths that begin with the folder.
        passed_over: everything else but hidden names, and why it is not among them.
    """

    files: list[Path]
    passed_over: dict[Path, str]


def survey(folder: str | os.PathLike) -> Survey:
    """Tells the image files in a folder, and below it, from everything else.

    An image file has one of `READABLE_SUFFIXES`, whatever it holds (`read` says what is
    wrong with it), or no suffix and the content of an image. Hidden files and folders
    are left out in silence, and links to folders are not followed.

    Args:
        folder: where to look.

    Raises:
        ImageFileError: if `folder` is not a folder, or cannot be read.
    """
    folder = Path(folder)
    files: list[Path] = []
    passed_over: dict[Path, str] = {}
    waiting = [folder]
    while waiting:
        place = waiting.pop()
        try:
            entries = sorted(os.scandir(place), key=lambda entry: entry.name)
        except OSError as error:
            if place == folder:
                raise _no_folder(folder, error) from error
            passed_over[place] = f"it cannot be looked into ({error.strerror})"
            continue
        for entry in entries:
            if entry.name.startswith("."):
                continue
            path = place / entry.name
            if entry.is_dir(follow_symlinks=False):
                waiting.append(path)
            elif reason := _not_an_image(path):
                passed_over[path] = reason
            else:
                files.append(path)
    return Survey(sorted(files), dict(sorted(passed_over.items())))


def find(folder: str | os.PathLike) -> list[Path]:
    """Lists the image files in a folder and below it, as `survey` does."""
    return survey(folder).files


def _not_an_image(path: Path) -> str | None:
    """Why a file is passed over, or None."""
    try:
        kind = path.stat().st_mode
        if stat.S_ISDIR(kind):
            return "it is a link to a folder"
        if not stat.S_ISREG(kind):
            return "it is not a regular file"
        suffix = path.suffix.lower()
        if suffix in formats.READABLE_SUFFIXES:
            return None
        if suffix:
            return f"{suffix} is not the suffix of an image that can be read"
        with path.open("rb") as file:
            if formats.sniff(file.read(formats.HEAD)):
                return None
        return "it has no suffix, and its content is not that of an image"
    except OSError as error:
        return f"it cannot be opened ({error.strerror})"


def _no_folder(folder: Path, error: OSError) -> ImageFileError:
    if isinstance(error, (FileNotFoundError, NotADirectoryError)):
        return ImageFileError(f"There is no folder {str(folder)!r}.")
    return ImageFileError(f"Cannot look into {str(folder)!r}: {error.strerror}.")
