"""Reading and writing image files, losslessly in meaning.

`read` turns a file into a `Photograph`: plain pixels the right way up, beside the
transparency and the metadata that must survive a restoration. `write` does the
reverse. Whatever cannot be carried over intact is refused with a sentence, never
silently cut.
"""

import contextlib
import dataclasses
import io
import os
import threading
import uuid
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import DTypeLike
from PIL import ExifTags, Image, ImageCms, ImageOps, UnidentifiedImageError

MAX_PIXELS = 1_000_000_000
"""The largest image, in pixels, that is read or written: one gigapixel."""

# In the order tried. TIFF and WebP make Pillow load all of its plugins: last.
_READABLE = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP")

_MAX_JPEG_EXIF = 65_533  # bytes: what one JPEG segment holds.

# Tags of a TIFF directory that say how the pixels were stored (and not what they
# show), those superseded by `Photograph` (orientation, ICC profile), and the XMP,
# IPTC and Photoshop blocks, which repeat both.
_STORAGE_TAGS = frozenset(
    {
        *range(254, 267),  # Subfile type, size, bits, compression, photometric.
        *(273, 274, *range(277, 282), 284),  # Strips, orientation, planes.
        *(*range(288, 294), 301, *range(317, 348)),  # Curves, tiles, extra samples.
        *range(512, 533),  # JPEG in TIFF, YCbCr.
        *(700, 33723, 34377, 34675, 37724),  # XMP, IPTC, Photoshop, ICC, layers.
    }
)
# In the EXIF directory: the size as stored, and an offset into the old file.
_STORAGE_DETAILS = frozenset(
    {
        ExifTags.Base.ExifImageWidth,
        ExifTags.Base.ExifImageHeight,
        ExifTags.IFD.Interop,
    }
)


class ImageFileError(ValueError):
    """An image file cannot be read or written; the message names it and the reason."""


@dataclasses.dataclass(frozen=True, eq=False)
class Photograph:
    """The content of one image file.

    Attributes:
        pixels: `(H, W)` grey or `(H, W, 3)` RGB, uint8; or `(H, W)` grey, uint16.
            The full range of the type runs from black to white.
        alpha: `(H, W)` uint8, 0 for transparent and 255 for opaque, or None.
            Colours are not multiplied by it. Only beside uint8 pixels.
        icc_profile: the colour profile of `pixels`, or None (sRGB by convention).
        exif: the EXIF block, or None. It holds neither orientation nor size.
        dpi: horizontal and vertical pixels per inch, or None.

    Raises:
        ValueError: if shapes or types are not as above.
    """

    pixels: np.ndarray
    alpha: np.ndarray | None = None
    icc_profile: bytes | None = dataclasses.field(default=None, repr=False)
    exif: bytes | None = dataclasses.field(default=None, repr=False)
    dpi: tuple[float, float] | None = None

    def __post_init__(self):
        shape, dtype = self.pixels.shape, self.pixels.dtype
        grey = len(shape) == 2
        rgb = len(shape) == 3 and shape[2] == 3
        if not self.pixels.size or not (
            (dtype == np.uint8 and (grey or rgb)) or (dtype == np.uint16 and grey)
        ):
            raise ValueError(
                "`pixels` must be (H, W) or (H, W, 3) in uint8, or (H, W) in uint16, "
                "with at least one pixel. "
                f"Received: pixels of shape {shape} and type {dtype}"
            )
        if self.alpha is not None and not (
            dtype == self.alpha.dtype == np.uint8 and self.alpha.shape == shape[:2]
        ):
            raise ValueError(
                f"`alpha` must be {shape[:2]} in uint8, beside uint8 pixels. Received: "
                f"alpha of shape {self.alpha.shape} and type {self.alpha.dtype} beside "
                f"pixels of type {dtype}"
            )


@dataclasses.dataclass(frozen=True)
class _Format:
    """What one file format can hold, and how Pillow is asked to write it."""

    name: str
    max_side: int
    keeps: frozenset[str]
    options: dict[str, object] = dataclasses.field(default_factory=dict)


_ALPHA, _DEEP, _PROFILE = "transparency", "16 bits per sample", "a colour profile"
_PNG = _Format("PNG", 2**31 - 1, frozenset({_ALPHA, _DEEP, _PROFILE}))
# Uncompressed: through libtiff, Pillow cannot write the EXIF directories.
_TIFF = _Format(
    "TIFF", 2**31 - 1, frozenset({_ALPHA, _DEEP, _PROFILE}), {"compression": "raw"}
)
# `exact` keeps the colours under fully transparent pixels.
_WEBP = _Format(
    "WEBP", 16_383, frozenset({_ALPHA, _PROFILE}), {"lossless": True, "exact": True}
)
_JPEG = _Format("JPEG", 65_500, frozenset({_PROFILE}), {"subsampling": "4:4:4"})
_BMP = _Format("BMP", 2**31 - 1, frozenset())

_FORMATS = {
    ".png": _PNG,
    ".tif": _TIFF,
    ".tiff": _TIFF,
    ".webp": _WEBP,
    ".jpg": _JPEG,
    ".jpeg": _JPEG,
    ".jfif": _JPEG,
    ".bmp": _BMP,
}

SUFFIXES = tuple(_FORMATS)
"""The suffixes, in lower case, of the files that `write` makes and `find` lists."""


def read(path: str | os.PathLike) -> Photograph:
    """Reads an image file; its content, not its name, decides the format.

    PNG, JPEG, TIFF, WebP, BMP and GIF are read. The EXIF orientation is applied.
    Palettes become RGB, one-bit images grey (0 and 255), and any kind of
    transparency an alpha channel. CMYK becomes sRGB through the embedded profile
    (by the plain formula where there is none, or none that is usable), CIELAB
    becomes sRGB, and the profile of the original is dropped in both cases.
    XMP and IPTC blocks, and EXIF data that cannot be parsed, are left out.

    Args:
        path: the file.

    Returns:
        The `Photograph`.

    Raises:
        ImageFileError: if the file is missing, empty, not an image, damaged or cut
            short; has more than `MAX_PIXELS` pixels or more than one page or frame
            (of a phone's MPO file, the first picture is read); or has samples that
            would be cut: 16-bit colour, 16-bit grey with transparency, other
            depths above 8 bits, signed and floating-point samples.
    """
    path = Path(path)
    try:
        if path.is_dir():
            raise _unreadable(path, "it is a folder")
        if not path.is_file():
            raise _unreadable(path, "there is no such file")
        with _pillow_limits(), path.open("rb") as file:
            return _decode(path, file)
    except ImageFileError:
        raise
    except UnidentifiedImageError as error:
        kinds = f"{', '.join(_READABLE[:-1])} or {_READABLE[-1]}"
        raise _unreadable(path, f"it is not an intact {kinds} image") from error
    except Image.DecompressionBombError as error:
        raise _unreadable(path, f"it has more than {MAX_PIXELS:,} pixels") from error
    except MemoryError as error:
        raise _unreadable(path, "it does not fit into the memory") from error
    except Exception as error:
        # Damaged files make Pillow raise nearly anything, IndexError and
        # struct.error included. The system's own errors carry an errno.
        if isinstance(error, OSError) and error.errno is not None:
            raise _unreadable(path, error.strerror) from error
        raise _unreadable(path, f"it is damaged or cut short ({error})") from error


def check_writable(
    path: str | os.PathLike, photograph: Photograph, scale: int = 1
) -> None:
    """Checks, before any long work, that `write` will be able to keep its promise.

    Args:
        path: the file to write later. Nothing is created now.
        photograph: what will be written, or the original of it.
        scale: how many times larger than `photograph` the written image will be.

    Raises:
        ImageFileError: if the suffix is not one of `SUFFIXES`, the format cannot
            hold the photograph (transparency, 16 bits, colour profile, size), or
            the file cannot be placed there.
    """
    path = Path(path)
    form = _FORMATS.get(path.suffix.lower())
    if form is None:
        raise _unwritable(
            path,
            f"the suffix {path.suffix!r} is not supported; use {_either(SUFFIXES)}",
        )
    try:
        _check_place(path)
    except OSError as error:
        raise _unwritable(path, error.strerror) from error

    needs = set()
    if photograph.alpha is not None and photograph.alpha.min() < 255:
        needs.add(_ALPHA)
    if photograph.pixels.dtype == np.uint16:
        needs.add(_DEEP)
    if photograph.icc_profile is not None:
        needs.add(_PROFILE)
    if lost := needs - form.keeps:
        keepers = [suffix for suffix, other in _FORMATS.items() if needs <= other.keeps]
        raise _unwritable(
            path,
            f"{form.name} cannot keep {' and '.join(sorted(lost))}; "
            f"use {_either(keepers)}",
        )

    height, width = (side * scale for side in photograph.pixels.shape[:2])
    if max(height, width) > form.max_side or height * width > MAX_PIXELS:
        raise _unwritable(
            path,
            f"{width} x {height} pixels are more than {form.name} takes here: "
            f"{form.max_side:,} a side and {MAX_PIXELS:,} in all",
        )
    if form is _JPEG and len(photograph.exif or b"") > _MAX_JPEG_EXIF:
        raise _unwritable(
            path, "the EXIF data is too long for JPEG; use .png, .tif or .webp"
        )


def write(path: str | os.PathLike, photograph: Photograph, quality: int = 95) -> None:
    """Writes an image file in the format that its suffix names.

    PNG, TIFF (uncompressed), WebP (lossless) and BMP hold the exact pixels; JPEG
    is written with full colour resolution (4:4:4). Profile, EXIF and resolution
    are kept where the format has a place for them (BMP has none for EXIF, WebP
    none for the resolution), and a fully opaque alpha channel is left out where it
    has no place. Missing folders are made. The file appears under its name only
    when complete: on any failure an existing file stays as it was.

    Args:
        path: the file; its suffix is one of `SUFFIXES`, in any case.
        photograph: what to write.
        quality: the JPEG quality, 1 to 100. The other formats ignore it.

    Raises:
        ImageFileError: as `check_writable` says, or if writing fails.
        ValueError: if `quality` is out of range.
    """
    if not 1 <= quality <= 100:
        raise ValueError(f"`quality` must be 1 to 100. Received: quality={quality}")
    path = Path(path)
    check_writable(path, photograph)
    form = _FORMATS[path.suffix.lower()]

    image = Image.fromarray(photograph.pixels)
    if photograph.alpha is not None and _ALPHA in form.keeps:
        image.putalpha(Image.fromarray(photograph.alpha))
    options = dict(form.options)
    if form is _JPEG:
        options["quality"] = quality
    for name in ("icc_profile", "exif", "dpi"):
        if (value := getattr(photograph, name)) is not None:
            options[name] = value

    # Hidden, so that `find` passes over what a killed process leaves behind; and
    # short, because the name of the file itself may be as long as names can be.
    temporary = path.with_name(f".xunit-{uuid.uuid4().hex}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        image.save(temporary, format=form.name, **options)
        temporary.replace(path)
    except Exception as error:
        raise _unwritable(path, getattr(error, "strerror", None) or error) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def find(folder: str | os.PathLike) -> list[Path]:
    """Lists the image files in a folder and below it, as `SUFFIXES` tells them.

    Args:
        folder: where to look. Hidden files and folders are passed over, and links
            to folders are not followed.

    Returns:
        The files, sorted, as paths that begin with `folder`.

    Raises:
        ImageFileError: if `folder` is not a folder.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ImageFileError(f"There is no folder {str(folder)!r}.")
    return sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in _FORMATS
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and path.is_file()
    )


def to_float(pixels: np.ndarray) -> np.ndarray:
    """Converts uint8 or uint16 samples to float32 in [0, 1].

    Args:
        pixels: samples of any shape.

    Returns:
        A new float32 array of the same shape.

    Raises:
        ValueError: if `pixels` is of another type.
    """
    white = _white(pixels.dtype)
    array = pixels.astype(np.float32)
    array /= white
    return array


def from_float(array: np.ndarray, dtype: DTypeLike) -> np.ndarray:
    """Converts samples in [0, 1] to uint8 or uint16: clips, then rounds halves up.

    The exact inverse of `to_float`.

    Args:
        array: floating-point samples of any shape; values outside [0, 1] are clipped.
        dtype: `uint8` or `uint16`.

    Returns:
        A new array of the same shape.

    Raises:
        ValueError: if `dtype` is another type, or a sample is not a number.
    """
    white = _white(np.dtype(dtype))
    scaled = np.array(array, np.float32)
    if np.isnan(scaled.max(initial=0)):
        raise ValueError(
            "`array` must hold numbers only. Received: an array with NaN in it"
        )
    np.clip(scaled, 0, 1, out=scaled)
    scaled *= white
    scaled += 0.5
    return scaled.astype(dtype)  # The cast cuts: with the half added, it rounds.


def _white(dtype: np.dtype) -> int:
    if dtype not in (np.uint8, np.uint16):
        raise ValueError(f"Samples must be uint8 or uint16. Received: dtype={dtype}")
    return np.iinfo(dtype).max


_PILLOW = threading.Lock()


@contextlib.contextmanager
def _pillow_limits() -> Iterator[None]:
    """Sets Pillow's size limit to `MAX_PIXELS`, and its warnings aside, for a while.

    Both are global to the process: one thread at a time, and restored afterwards.
    """
    with _PILLOW, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        previous = Image.MAX_IMAGE_PIXELS
        Image.MAX_IMAGE_PIXELS = MAX_PIXELS // 2  # It warns here, raises at twice.
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = previous


def _decode(path: Path, file: BinaryIO) -> Photograph:
    header = file.read(25)
    if not header:
        raise _unreadable(path, "the file is empty")
    image = Image.open(file, formats=_READABLE)

    frames = getattr(image, "n_frames", 1)
    if frames > 1 and image.format != "MPO":
        raise _unreadable(
            path, f"it has {frames} frames or pages; save each as a file of its own"
        )
    bits, unsigned = 8, True
    if image.format == "PNG":
        bits = header[24]  # IHDR's bit depth; Pillow cuts 16-bit colour to 8 bits.
    elif image.format == "TIFF":
        bits = max(image.tag_v2.get(ExifTags.Base.BitsPerSample, (1,)))
        unsigned = set(image.tag_v2.get(ExifTags.Base.SampleFormat, (1,))) == {1}
    deep = image.mode.startswith("I;16")
    if not unsigned or (bits > 8 and not (bits == 16 and deep)):
        kind = f"{bits}-bit" if unsigned else "signed or floating-point"
        raise _unreadable(
            path,
            f"its {kind} samples would be cut; convert it to 8 bits per sample, or to "
            "16-bit grey",
        )

    image.load()
    if deep and image.has_transparency_data:
        raise _unreadable(
            path, "16-bit grey with transparency is not supported; convert it to 8 bits"
        )
    exif = _orient(image)
    profile = image.info.get("icc_profile") or None
    dpi = image.info.get("dpi")
    alpha = None
    if deep:
        pixels = np.asarray(image).astype(np.uint16)
        if image.format == "TIFF" and not image.tag_v2.get(
            ExifTags.Base.PhotometricInterpretation, 1
        ):
            pixels = 65535 - pixels  # White is zero; Pillow turns only 8 bits over.
    else:
        if image.mode == "L" and bits < 8 and "transparency" in image.info:
            # Pillow widens the samples of 2 and 4 bits, but not this one.
            image.info["transparency"] *= 255 // (2**bits - 1)
        if image.mode in ("CMYK", "LAB"):
            image, profile = _to_srgb(image, profile), None
        if image.mode in ("La", "RGBa"):
            image = image.convert(image.mode.upper())
        grey = image.mode in ("1", "L", "LA")
        if image.has_transparency_data:
            image = image.convert("LA" if grey else "RGBA")
            alpha = np.asarray(image.getchannel("A"))
        pixels = np.asarray(image.convert("L" if grey else "RGB"))
    return Photograph(pixels, alpha, profile, exif, _plausible(dpi))


def _orient(image: Image.Image) -> bytes | None:
    """Turns the image the right way up and returns the EXIF block that is left."""
    try:
        ImageOps.exif_transpose(image, in_place=True)
        exif = image.getexif()
        for tag in _STORAGE_TAGS.intersection(exif):
            del exif[tag]
        details = exif.get_ifd(ExifTags.IFD.Exif)
        for tag in _STORAGE_DETAILS.intersection(details):
            del details[tag]
        return exif.tobytes() if exif else None
    except Exception:  # As for `read`: damaged EXIF data makes Pillow raise anything.
        return None


def _to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Converts CMYK or LAB to RGB."""
    if image.mode == "LAB":
        source = ImageCms.createProfile("LAB")
    elif profile is not None:
        source = io.BytesIO(profile)
    else:
        return image.convert("RGB")
    try:
        return ImageCms.profileToProfile(
            image, source, ImageCms.createProfile("sRGB"), outputMode="RGB"
        )
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


def _check_place(path: Path) -> None:
    if path.is_dir():
        raise _unwritable(path, "it is a folder")
    place = next(folder for folder in path.absolute().parents if folder.exists())
    if not place.is_dir():
        raise _unwritable(path, f"{str(place)!r} is a file, not a folder")
    if not os.access(place, os.W_OK | os.X_OK):
        raise _unwritable(path, f"the folder {str(place)!r} cannot be written to")


def _either(suffixes: list[str] | tuple[str, ...]) -> str:
    return ", ".join(suffixes[:-1]) + f" or {suffixes[-1]}"


def _unreadable(path: Path, reason: object) -> ImageFileError:
    return ImageFileError(f"Cannot read {str(path)!r}: {reason}.")


def _unwritable(path: Path, reason: object) -> ImageFileError:
    return ImageFileError(f"Cannot write {str(path)!r}: {reason}.")
