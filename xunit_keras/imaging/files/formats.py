"""The formats of image files: how each is told, and what each can hold."""

import dataclasses
import os
from pathlib import Path

MAX_PIXELS = 1_000_000_000
"""The largest image, in pixels, that is read or written unless told otherwise."""

VARIABLE = "XUNIT_KERAS_MAX_PIXELS"
"""The environment variable that takes the place of `MAX_PIXELS`."""

# What a format may hold or not, in the words of an error message.
TRANSPARENCY = "transparency"
DEEP = "16 bits per sample"
PROFILE = "a color profile"
GRAY_PROFILE = "a gray color profile"
COLOR_CHUNKS = "a color space that PNG chunks describe"


@dataclasses.dataclass(frozen=True)
class Format:
    """What one file format that is written can hold.

    Attributes:
        name: what Pillow calls it.
        suffixes: the suffixes of its files.
        keeps: what it has a place for.
        max_side: pixels a side, at most.
        max_area: pixels in all, at most.
        options: how Pillow is asked to write it.
        quality: the quality that it is written with by default, or None where it is
            exact.
        by_rows: whether it is written a few rows at a time, without Pillow.
        memory: bytes a pixel that writing takes, in all, besides the pixels.
    """

    name: str
    suffixes: tuple[str, ...]
    keeps: frozenset[str]
    max_side: int = 2**31 - 1
    max_area: int = 2**62
    options: dict[str, object] = dataclasses.field(default_factory=dict)
    quality: int | None = None
    by_rows: bool = False
    memory: int = 0


_EVERYTHING = frozenset({TRANSPARENCY, DEEP, PROFILE, GRAY_PROFILE})

# The memory is what Pillow 13 took for 12 megapixels of RGB.
FORMATS = (
    Format("PNG", (".png",), _EVERYTHING | {COLOR_CHUNKS}, by_rows=True),
    Format("TIFF", (".tif", ".tiff"), _EVERYTHING, by_rows=True),
    Format(
        "WEBP",
        (".webp",),
        frozenset({TRANSPARENCY, PROFILE}),
        max_side=16_383,
        # `exact` keeps the colors under fully transparent pixels. The quality is the
        # effort here: a third of the time of Pillow's 80, for 1 % more bytes.
        options={"lossless": True, "exact": True, "quality": 20},
        memory=34,
    ),
    Format(
        "AVIF",
        (".avif",),
        frozenset({TRANSPARENCY, PROFILE}),
        max_side=32_768,
        max_area=2**28,  # libavif reads no more.
        # A quarter of the time of Pillow's speed of 6, for 3 % more bytes.
        options={"speed": 9, "subsampling": "4:4:4"},
        quality=90,
        memory=44,
    ),
    Format(
        "JPEG",
        (".jpg", ".jpeg", ".jfif"),
        frozenset({PROFILE, GRAY_PROFILE}),
        max_side=65_500,
        options={"subsampling": "4:4:4"},
        quality=95,
        memory=5,
    ),
    Format("BMP", (".bmp",), frozenset(), memory=5),
)

_BY_SUFFIX = {suffix: form for form in FORMATS for suffix in form.suffixes}

SUFFIXES = tuple(_BY_SUFFIX)
"""The suffixes, in lower case, of the files that `write` makes."""

READABLE_SUFFIXES = (*SUFFIXES, ".gif", ".heic", ".heif")
"""The suffixes, in lower case, of the files that `read` reads."""

READABLE = ("PNG", "JPEG", "TIFF", "WebP", "AVIF", "HEIC", "GIF", "BMP")
"""The formats that are read, as people write them."""

HEAD = 64
"""Bytes at the beginning of a file that `sniff` looks at."""

# The pixels that a byte of a file can hold at most, in images of one color: deflate
# packs 1032 bytes into one, of 8 pixels each; JPEG needs a bit for each block of 8x8
# pixels; GIF's longest code of 12 bits stands for 3,838 pixels. The others have no
# such bound: of what encoders make, an AVIF of one color has the most, 23,000.
_DENSEST = {"PNG": 8 * 1032, "JPEG": 1024, "GIF": 2600, "BMP": 256}
_DENSE = 25_000

_ON_TRUST = 64_000_000  # Pixels that a file may claim whatever its size.


def max_pixels() -> int:
    """The limit in force: $XUNIT_KERAS_MAX_PIXELS, or else `MAX_PIXELS`.

    Raises:
        ValueError: if the variable is not a positive whole number.
    """
    value = os.environ.get(VARIABLE, "").strip()
    if not value:
        return MAX_PIXELS
    if not value.isdecimal() or not int(value):
        raise ValueError(f"{VARIABLE} must be a number of pixels. Received: {value!r}")
    return int(value)


def is_plausible(kind: str, pixels: int, size: int) -> bool:
    """Whether a file of `size` bytes can hold as many pixels as it claims."""
    return pixels <= _ON_TRUST + size * _DENSEST.get(kind, _DENSE)


def of_path(path: Path) -> Format | None:
    """The format that the suffix of a file to write names, if there is one."""
    return _BY_SUFFIX.get(path.suffix.lower())


def writes_rows(path: str | os.PathLike) -> bool:
    """Whether `open_writer` can write this file: PNG and TIFF, by the suffix."""
    form = of_path(Path(path))
    return form is not None and form.by_rows


def writable_path(path: str | os.PathLike) -> Path:
    """A path that `write` can write: `path`, or `path` with ".png" behind it.

    Formats that are read only (GIF, HEIC) and names without a suffix become PNG. The
    old suffix stays, so that the results of `a.gif` and `a.png` keep apart.
    """
    path = Path(path)
    return path if of_path(path) else path.with_name(f"{path.name}.png")


def sniff(head: bytes) -> str | None:
    """Tells the format of a file by its first `HEAD` bytes.

    Returns:
        "PNG", "JPEG", "GIF", "WEBP", "TIFF", "BMP", "AVIF" or "HEIC", or None.
    """
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if head.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if head[:6] in (b"GIF87a", b"GIF89a"):
        return "GIF"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    if head[:4] in (b"II*\0", b"MM\0*", b"II+\0"):
        return "TIFF"
    # Two letters are few; the size of the second header is one of a handful.
    if head[:2] == b"BM" and head[14:18] in _BMP_HEADERS:
        return "BMP"
    if head[4:8] == b"ftyp":
        end = min(int.from_bytes(head[:4]), len(head))
        brands = {head[start : start + 4] for start in (8, *range(16, end, 4))}
        if brands & {b"avif", b"avis"}:
            return "AVIF"
        if brands & {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx"}:
            return "HEIC"
    return None


_BMP_HEADERS = {size.to_bytes(4, "little") for size in (12, 40, 52, 56, 64, 108, 124)}


def either(words: list[str] | tuple[str, ...]) -> str:
    """The words as a list of choices: "a, b or c"."""
    return " or ".join(filter(None, (", ".join(words[:-1]), words[-1])))
