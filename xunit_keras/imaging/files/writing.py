"""Writing image files: at once, or a few rows at a time."""

import contextlib
import importlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from xunit_keras.atomic import replacing
from xunit_keras.imaging.files import formats
from xunit_keras.imaging.files.color_space import beyond_srgb
from xunit_keras.imaging.files.photograph import ImageFileError, Photograph
from xunit_keras.imaging.files.png_writer import PngWriter
from xunit_keras.imaging.files.tiff_writer import TiffWriter

COMPRESSION = 3
"""The PNG compression: within 2 % of the size of 6 on photographs, in half the time."""

_MAX_JPEG_EXIF = 65_533  # Bytes: what one JPEG segment holds.
_PLUGINS = {"JPEG": "Jpeg", "WEBP": "WebP", "AVIF": "Avif", "BMP": "Bmp"}
_BAND = 2**20  # Bytes that are handed on at a time.


def check_writable(
    path: str | os.PathLike,
    photograph: Photograph,
    size: tuple[int, int] | None = None,
) -> None:
    """Checks, before any long work, that `write` will be able to keep its promise.

    Args:
        path: the file to write later. Nothing is created now.
        photograph: what will be written, or the original of it.
        size: height and width of what will be written; None for those of `photograph`.

    Raises:
        ImageFileError: if the suffix is not one of `SUFFIXES`, the format cannot
            hold the photograph (transparency, 16 bits, color profile, size), or
            the file cannot be placed there.
    """
    _checked(Path(path), photograph, size or photograph.pixels.shape[:2])


def write(
    path: str | os.PathLike,
    photograph: Photograph,
    quality: int | None = None,
    compression: int = COMPRESSION,
) -> None:
    """Writes an image file in the format that its suffix names.

    PNG, TIFF (uncompressed), WebP (lossless) and BMP hold the exact pixels; JPEG and
    AVIF, whose transparency is inexact as well, are written with full color resolution
    (4:4:4). Gray becomes RGB in WebP, and in AVIF if it is transparent. Profile, EXIF
    and resolution are kept where the format has a place for them (BMP has none for
    EXIF, WebP and AVIF none for the resolution), and a fully opaque alpha channel is
    left out where it has no place. Missing folders are made. The file appears under its
    name only when complete: on any failure an existing file stays as it was.

    Args:
        path: the file; its suffix is one of `SUFFIXES`, in any case.
        photograph: what to write.
        quality: that of JPEG or AVIF, 1 to 100; None for 95 (JPEG) and 90 (AVIF), which
            are alike. The other formats are exact.
        compression: that of PNG, 0 (none) to 9 (smallest, slow).

    Raises:
        ImageFileError: as `check_writable` says, or if writing fails.
        ValueError: if `quality` or `compression` is out of range.
    """
    path = Path(path)
    height, width = photograph.pixels.shape[:2]
    if quality is not None:
        _check_number("quality", quality, 1, 100)
    _check_number("compression", compression, 0, 9)
    form = _checked(path, photograph, (height, width))
    if form.by_rows:
        with open_writer(path, photograph, height, width, compression) as writer:
            writer.write_rows(photograph.pixels, photograph.alpha)
        return

    options = dict(form.options)
    if form.quality is not None:
        options["quality"] = quality or form.quality
    if photograph.is_gray:
        options.pop("subsampling", None)  # With it, AVIF makes RGB of gray.
    for name in ("icc_profile", "exif", "dpi"):
        if (value := getattr(photograph, name)) is not None:
            options[name] = value
    with _failing_as_sentence(path), replacing(path) as partial:
        image = Image.fromarray(photograph.pixels)
        if photograph.alpha is not None and photograph.is_transparent:
            image.putalpha(Image.fromarray(photograph.alpha))
        importlib.import_module(f"PIL.{_PLUGINS[form.name]}ImagePlugin")
        image.save(partial, format=form.name, **options)


class RowWriter:
    """Takes the rows of an image from top to bottom; made by `open_writer`."""

    def __init__(
        self,
        path: Path,
        encoder: PngWriter | TiffWriter,
        like: Photograph,
        height: int,
        width: int,
    ):
        self._path, self._encoder = path, encoder
        self._dtype, self._has_alpha = like.pixels.dtype, like.alpha is not None
        self._row = (width, *like.pixels.shape[2:])
        self.rows_left = height

    def write_rows(self, pixels: np.ndarray, alpha: np.ndarray | None = None) -> None:
        """Writes the next rows.

        Args:
            pixels: `(n, W)` or `(n, W, 3)`, of the type announced.
            alpha: `(n, W)` of the same type, if announced, or else None.

        Raises:
            ImageFileError: if writing fails.
            ValueError: if shapes or types are not as announced, or too many rows come.
        """
        count = len(pixels)
        if (pixels.shape[1:], pixels.dtype) != (self._row, self._dtype) or (
            count > self.rows_left
        ):
            raise ValueError(
                f"`pixels` must be up to {self.rows_left} rows of {self._row} in "
                f"{self._dtype}. Received: pixels of shape {pixels.shape} and type "
                f"{pixels.dtype}"
            )
        expected = (pixels.shape[:2], self._dtype) if self._has_alpha else None
        received = None if alpha is None else (alpha.shape, alpha.dtype)
        if received != expected:
            raise ValueError(
                f"`alpha` must have shape and type {expected}. Received: {received}"
            )
        with _failing_as_sentence(self._path):
            # A band at a time, as whole images come here, too, and merging copies.
            step = max(1, _BAND // max(1, pixels[:1].nbytes))
            for start in range(0, count, step):
                band = pixels[start : start + step]
                if alpha is not None:
                    opacity = alpha[start : start + step]
                    band = np.dstack([band, opacity])
                self._encoder.write(band)
        self.rows_left -= count


@contextlib.contextmanager
def open_writer(
    path: str | os.PathLike,
    like: Photograph,
    height: int,
    width: int,
    compression: int = COMPRESSION,
) -> Iterator[RowWriter]:
    """Opens a PNG or TIFF file that is written a few rows at a time.

    The file is the one that `write` makes, and appears under its name when all rows
    have come and the block ends; if the block raises, an existing file stays as it was.

        with open_writer("large.png", photograph, height, width) as writer:
            for rows in bands:
                writer.write_rows(rows)

    Args:
        path: the file, for which `writes_rows` is true.
        like: the original: its metadata are written, and the rows have its number of
            channels, its type, and alpha if it has.
        height: in pixels.
        width: in pixels.
        compression: that of PNG, 0 (none) to 9 (smallest, slow).

    Yields:
        The `RowWriter`.

    Raises:
        ImageFileError: as for `check_writable`, if the format cannot be written by
            rows, or if writing fails.
        ValueError: if `compression` is out of range, or rows are missing in the end.
    """
    _check_number("compression", compression, 0, 9)
    path = Path(path)
    form = _checked(path, like, (height, width))
    if not form.by_rows:
        raise _unwritable(path, f"{form.name} is written at once, not row by row")
    with contextlib.ExitStack() as stack:
        with _failing_as_sentence(path):
            partial = stack.enter_context(replacing(path))
            file = stack.enter_context(partial.open("wb"))
            if form.name == "PNG":
                encoder = PngWriter(file, like, height, width, compression)
            else:
                encoder = TiffWriter(file, like, height, width)
        writer = RowWriter(path, encoder, like, height, width)
        yield writer
        if writer.rows_left:
            raise ValueError(
                f"All {height} rows must be written. Received: {writer.rows_left} less"
            )
        with _failing_as_sentence(path):
            encoder.finish()
            stack.close()


def bytes_needed(
    path: str | os.PathLike, photograph: Photograph, size: tuple[int, int]
) -> int:
    """About how much memory it takes to write an image, the image included.

    Little where `writes_rows`, and the image is made row by row.

    Args:
        path: the file, with one of `SUFFIXES`.
        photograph: the original.
        size: height and width of what will be written.
    """
    form = _format(Path(path))
    if form.by_rows:
        return 16 * _BAND
    channels = (1 if photograph.is_gray else 3) + (photograph.alpha is not None)
    return size[0] * size[1] * (channels + form.memory)


def _format(path: Path) -> formats.Format:
    if form := formats.of_path(path):
        return form
    raise _unwritable(
        path,
        f"the suffix {path.suffix!r} is not supported; use "
        f"{formats.either(formats.SUFFIXES)}",
    )


def _checked(
    path: Path, photograph: Photograph, size: tuple[int, int]
) -> formats.Format:
    """The format of a file that can be written."""
    form = _format(path)
    _check_place(path)
    needs = _needs(photograph)
    if lost := [words for need, words in needs.items() if need not in form.keeps]:
        keepers = [f for f in formats.FORMATS if needs.keys() <= f.keeps]
        suffixes = [suffix for other in keepers for suffix in other.suffixes]
        raise _unwritable(
            path,
            f"{form.name} cannot keep {' and '.join(sorted(lost))}; "
            f"use {formats.either(suffixes)}",
        )
    height, width = size
    area = min(form.max_area, formats.max_pixels())
    if min(size) < 1 or max(size) > form.max_side or height * width > area:
        raise _unwritable(
            path,
            f"{width} x {height} pixels are not what {form.name} takes here: 1 to "
            f"{form.max_side:,} a side and {area:,} in all",
        )
    if form.name == "JPEG" and len(photograph.exif or b"") > _MAX_JPEG_EXIF:
        raise _unwritable(
            path, "the EXIF data is too long for JPEG; use .png, .tif or .webp"
        )
    return form


def _needs(photograph: Photograph) -> dict[str, str]:
    """What a format must have a place for, and how to say it."""
    needs = []
    if photograph.is_transparent:
        needs.append(formats.TRANSPARENCY)
    if photograph.pixels.dtype == np.uint16:
        needs.append(formats.DEEP)
    if profile := photograph.icc_profile:
        is_gray = profile[16:20] == b"GRAY"  # The color space, in its header.
        needs.append(formats.GRAY_PROFILE if is_gray else formats.PROFILE)
    words = {need: need for need in needs}
    chunks = beyond_srgb(photograph.color_chunks, profile, photograph.is_gray)
    if chunks:
        words[formats.COLOR_CHUNKS] = f"the color space ({' and '.join(chunks)})"
    return words


def _check_place(path: Path) -> None:
    """Refuses a path that no file can be put at."""
    try:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            kind = path.stat().st_mode
            if stat.S_ISDIR(kind):
                raise _unwritable(path, "it is a folder")
            if not stat.S_ISREG(kind):
                raise _unwritable(path, "it is not a regular file")
        place = next(p for p in path.absolute().parents if os.path.lexists(p))
        if not stat.S_ISDIR(place.stat().st_mode):
            raise _unwritable(path, f"{str(place)!r} is a file, not a folder")
        if not os.access(place, os.W_OK | os.X_OK):
            raise _unwritable(path, f"the folder {str(place)!r} cannot be written to")
    except OSError as error:
        raise _unwritable(path, error.strerror) from error


def _check_number(name: str, value: int, least: int, most: int) -> None:
    if not least <= value <= most:
        raise ValueError(
            f"`{name}` must be {least} to {most}. Received: {name}={value}"
        )


@contextlib.contextmanager
def _failing_as_sentence(path: Path) -> Iterator[None]:
    try:
        yield
    except ImageFileError:
        raise
    except Exception as error:
        raise _unwritable(path, getattr(error, "strerror", None) or error) from error


def _unwritable(path: Path, reason: object) -> ImageFileError:
    return ImageFileError(f"Cannot write {str(path)!r}: {reason}.")
