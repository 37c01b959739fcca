"""Reading image files."""

import contextlib
import importlib
import io
import logging
import os
import stat
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from xunit_keras.imaging.files import color_space, deep_tiff, exif, formats, heif
from xunit_keras.imaging.files.photograph import ImageFileError, Photograph
from xunit_keras.imaging.files.samples import upright


def read(path: str | os.PathLike, max_pixels: int | None = None) -> Photograph:
    """Reads an image file; its content, not its name, decides the format.

    PNG, JPEG, TIFF, WebP, AVIF, BMP and GIF are read, and HEIC with the extra `heic`.
    The EXIF orientation is applied. Palettes become RGB, one-bit images gray (0 and
    255), 10 and 12 bits 16 bits, and any kind of transparency an alpha channel. CMYK
    becomes sRGB through the embedded profile (by the plain formula where there is
    none, or none that is usable), CIELAB becomes sRGB, and the profile of the original
    is dropped in both cases. XMP and IPTC blocks, and EXIF data that cannot be parsed,
    are left out.

    Args:
        path: the file.
        max_pixels: the most pixels to read; None for $XUNIT_KERAS_MAX_PIXELS, or else
            `MAX_PIXELS`.

    Returns:
        The `Photograph`.

    Raises:
        ImageFileError: if the file is missing, empty, not an image, damaged or cut
            short; has more than `max_pixels` pixels, more than its bytes can hold, or
            more than one page or frame (of a phone's MPO or HEIC file, the main picture
            is read); is a camera's raw file; or has samples that would be cut: more
            than 16 bits, signed and floating-point samples, 16 bits in other colors
            than gray and RGB.
    """
    path = Path(path)
    limit = formats.max_pixels() if max_pixels is None else max_pixels
    try:
        kind = path.stat().st_mode
        if stat.S_ISDIR(kind):
            raise ImageFileError("it is a folder")
        if not stat.S_ISREG(kind):
            raise ImageFileError("it is not a regular file")
        with _pillow_limits(), path.open("rb") as file:
            return _decode(file, limit)
    except Exception as error:
        raise ImageFileError(f"Cannot read {str(path)!r}: {_reason(error)}.") from error


def _reason(error: Exception) -> str:
    """Why a file cannot be read, in words for those who do not know Python."""
    match error:
        case ImageFileError() | ImportError():
            return str(error)
        case FileNotFoundError():
            return "there is no such file"
        case UnidentifiedImageError():
            return f"it is not an intact {formats.either(formats.READABLE)} image"
        case MemoryError():
            return "it does not fit into the memory"
        case OSError(errno=int(), strerror=str(words)):
            return words
    # Damaged files make Pillow raise nearly anything, IndexError and struct.error
    # included. The system's own errors carry an errno.
    return f"it is damaged or cut short ({error})"


# What they have to say of damaged files is in the error; Python would print it as well.
for _package in ("PIL", "tifffile"):
    logging.getLogger(_package).addHandler(logging.NullHandler())

_BAND = 256  # Rows.

_PILLOW = threading.Lock()


@contextlib.contextmanager
def _pillow_limits() -> Iterator[None]:
    """Sets Pillow's own size limit, and its warnings, aside for a while.

    Both are global to the process: one thread at a time, and restored afterwards.
    """
    with _PILLOW, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        previous = Image.MAX_IMAGE_PIXELS
        Image.MAX_IMAGE_PIXELS = None
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = previous


def _decode(file: BinaryIO, limit: int) -> Photograph:
    head = file.read(formats.HEAD)
    if not head:
        raise ImageFileError("the file is empty")
    kind = formats.sniff(head)
    if kind is None:
        raise UnidentifiedImageError
    size = file.seek(0, os.SEEK_END)

    def check(width: int, height: int) -> None:
        if width * height > limit:
            raise ImageFileError(
                f"it has {width} x {height} pixels, and {limit:,} are allowed; "
                f"{formats.VARIABLE} sets another limit"
            )
        if not formats.is_plausible(kind, width * height, size):
            raise ImageFileError(
                f"it claims {width} x {height} pixels, more than its {size:,} bytes "
                "can hold"
            )

    if kind == "HEIC":
        samples, info = heif.read_heic(file, check)
        block = Image.Exif()
        with contextlib.suppress(Exception):  # As below: damaged, and left out.
            block.load(info.get("exif") or b"")
        return _photograph(samples, info, block, heif.color_chunks(file), turned=True)
    if kind == "TIFF":
        directory = deep_tiff.first_directory(file)
        deep_tiff.check(directory)
        info, block = deep_tiff.metadata(file, directory)
        if deep_tiff.is_deep(directory):
            tags = ExifTags.Base
            check(directory[tags.ImageWidth], directory[tags.ImageLength])
            return _photograph(deep_tiff.read(file, directory), info, block)
        image = _load(file, kind, check)
        return _photograph(_samples(image, info), info, block, turned=True)
    image = _load(file, kind, check)
    info: dict[Any, Any] = dict(image.info)
    try:
        block = image.getexif()
    except Exception:  # As for `read`: damaged, and it is left out.
        block = Image.Exif()
    samples, chunks = None, {}
    if kind == "PNG":
        chunks = color_space.of_png(file)
        bits = head[24]  # Of the header: Pillow cuts color to 8 bits.
        if bits == 16:
            samples = _deep_png(file)
        elif image.mode == "L" and bits < 8 and "transparency" in info:
            # Pillow widens the samples of 2 and 4 bits, but not this one.
            image.info["transparency"] *= 255 // (2**bits - 1)
    elif kind == "AVIF":
        chunks = heif.color_chunks(file)
        if (bits := heif.bits_of_avif(file)) > 8:
            samples = heif.read_deep_avif(file, bits)
    if samples is None:
        samples = _samples(image, info)
    return _photograph(samples, info, block, chunks)


# Imported by name, or Pillow would load all that it has.
_PLUGINS = {"PNG": "Png", "JPEG": "Jpeg", "GIF": "Gif", "BMP": "Bmp", "TIFF": "Tiff"}
_PLUGINS |= {"WEBP": "WebP", "AVIF": "Avif"}


def _load(file: BinaryIO, kind: str, check: Callable[[int, int], None]) -> Image.Image:
    """Has Pillow decode a file; `check` is called with width and height before."""
    importlib.import_module(f"PIL.{_PLUGINS[kind]}ImagePlugin")
    file.seek(0)
    image = Image.open(file, formats=[kind])
    check(*image.size)
    if getattr(image, "is_animated", False) and image.format != "MPO":
        raise ImageFileError(
            "it has several frames or pages; save each as a file of its own"
        )
    image.load()
    return image


def _samples(image: Image.Image, info: dict[Any, Any]) -> np.ndarray:
    """The samples of 8 bits, `(H, W, 1 to 4)`; of 2 or 4, the last is alpha.

    The profile in `info` goes where the colors become others.
    """
    if image.mode in ("CMYK", "LAB"):
        image = _to_srgb(image, info.pop("icc_profile", None))
    if image.mode in ("La", "RGBa"):
        image = image.convert(image.mode.upper())
    mode = "L" if image.mode in ("1", "L", "LA") else "RGB"
    if image.has_transparency_data:
        mode = "LA" if mode == "L" else "RGBA"
    if image.mode != mode:
        image = image.convert(mode)
    width, height = image.size
    samples = np.empty((height, width, len(mode)), np.uint8)
    # A band at a time: of a whole image, Pillow makes two copies more.
    for top in range(0, height, _BAND):
        band = image.crop((0, top, width, min(top + _BAND, height)))
        samples[top : top + _BAND] = np.asarray(band).reshape(-1, width, len(mode))
    return samples


def _deep_png(file: BinaryIO) -> np.ndarray:
    """The samples of 16 bits, `(H, W)` or `(H, W, 2 to 4)`; alpha is the last."""
    import imagecodecs

    file.seek(0)
    return imagecodecs.png_decode(file.read())


def _photograph(
    samples: np.ndarray,
    info: Mapping[Any, Any],
    block: Image.Exif,
    color_chunks: Mapping[str, bytes] | None = None,
    turned: bool = False,
) -> Photograph:
    """What a file holds, the right way up.

    Args:
        samples: `(H, W)` or `(H, W, 1 to 4)`; of 2 or 4 channels, the last is alpha.
        info: the metadata as Pillow names them.
        block: the EXIF block.
        color_chunks: as in `Photograph`.
        turned: whether the samples are the right way up already.
    """
    orientation = exif.orientation(block)
    swapped = orientation >= 5
    if not turned:
        samples = upright(samples, orientation)
    alpha = None
    if samples.ndim == 3:
        if samples.shape[2] in (2, 4):
            alpha = np.ascontiguousarray(samples[..., -1])
        samples = samples[..., 0] if samples.shape[2] < 3 else samples[..., :3]
    dpi = _plausible(info.get("dpi"))
    if dpi and swapped:
        dpi = (dpi[1], dpi[0])
    return Photograph(
        np.ascontiguousarray(samples),
        alpha,
        info.get("icc_profile") or None,
        exif.carried(block, swapped),
        dpi,
        color_chunks or {},
    )


def _to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Converts CMYK or LAB to RGB."""
    from PIL import ImageCms

    if image.mode == "LAB":
        source = ImageCms.createProfile("LAB")
    elif profile is not None:
        source = io.BytesIO(profile)
    else:
        return image.convert("RGB")
    try:
        converted = ImageCms.profileToProfile(
            image, source, ImageCms.createProfile("sRGB"), outputMode="RGB"
        )
        return cast(Image.Image, converted)  # None is for conversions in place.
    except ImageCms.PyCMSError:  # The profile is damaged, or not one of CMYK.
        return image.convert("RGB")


def _plausible(dpi: tuple[float, float] | None) -> tuple[float, float] | None:
    """The resolution as floats, or None where no file format could hold it."""
    if dpi is None:
        return None
    horizontal, vertical = map(float, dpi)
    if 1 <= horizontal <= 65535 and 1 <= vertical <= 65535:
        return horizontal, vertical
    return None
