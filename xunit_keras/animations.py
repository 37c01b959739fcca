"""Animated pictures: GIF, WebP and APNG, a frame after the other."""

import contextlib
import importlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageSequence

from xunit_keras.atomic import replacing
from xunit_keras.imaging.files import ImageFileError, formats
from xunit_keras.restorer import Progress, Restorer

SUFFIXES = {".gif": "GIF", ".webp": "WEBP", ".png": "PNG"}
"""The suffixes of animations in lower case, and what Pillow calls their formats."""

_PLUGINS = {"GIF": "Gif", "WEBP": "WebP", "PNG": "Png"}
_COLORS = 255  # Of a GIF's palette; one more is transparent.
_VISIBLE = 128  # The least alpha that is seen in a GIF.
_DEPTH = 24  # Where the header of a PNG file tells its bits per sample.


def is_animation(path: Path) -> bool:
    """Whether a file holds several frames, and is not merely called an animation."""
    if path.suffix.lower() not in SUFFIXES:
        return False
    try:
        with _open(path) as image:
            return getattr(image, "is_animated", False)
    # Whatever is wrong with it, who reads it will say.
    except Exception:
        return False


def restore(
    source: Path, target: Path, restorer: Restorer, progress: Progress | None = None
) -> None:
    """Restores an animation; durations, repetitions and transparency are kept.

    A GIF has a palette of 255 colors for each frame, and pixels are transparent or not.

    Args:
        source: A GIF, WebP or PNG file.
        target: With one of `SUFFIXES`.
        restorer: Finds the networks; one choice is made for all frames.
        progress: Called with frames done and all frames.

    Raises:
        ValueError: It cannot be read, restored or written.
    """
    form = SUFFIXES[target.suffix.lower()]
    with _as_sentence(f"Cannot read {str(source)!r}"):
        image = _open(source)
    with image:
        with _as_sentence(f"Cannot read {str(source)!r}"):
            durations = _check(image, source)
            loop = image.info.get("loop")
        frames = _restored(image, source, restorer, progress, len(durations), form)
        options: dict[str, object] = {"duration": durations}
        if loop is None and form != "GIF":
            loop = 1  # Without a word, a GIF is shown once, and the others for ever.
        if loop is not None:
            options["loop"] = loop
        if profile := image.info.get("icc_profile"):
            options["icc_profile"] = profile
        if form == "GIF":
            options |= {"disposal": 2, "optimize": False}
        elif form == "WEBP":
            options |= {"lossless": True, "quality": 20}
        first, *others = frames
        importlib.import_module(f"PIL.{_PLUGINS[form]}ImagePlugin")
        with _as_sentence(f"Cannot write {str(target)!r}"), replacing(target) as path:
            first.save(path, form, save_all=True, append_images=others, **options)


def _open(path: Path) -> Image.Image:
    with path.open("rb") as file:
        kind = formats.sniff(file.read(formats.HEAD))
    if kind not in _PLUGINS:
        raise ImageFileError("it is not an animation")
    # Imported by name, or Pillow would load all that it has.
    importlib.import_module(f"PIL.{_PLUGINS[kind]}ImagePlugin")
    return Image.open(path, formats=[kind])


def _check(image: Image.Image, path: Path) -> list[float]:
    """The durations of the frames, in milliseconds, of what can be kept."""
    width, height = image.size
    if width * height > formats.max_pixels():
        raise ImageFileError(f"it has {width} x {height} pixels")
    with path.open("rb") as file:
        if image.format == "PNG" and file.read(_DEPTH + 1)[_DEPTH] > 8:
            raise ImageFileError("its 16 bits per sample would be cut")
    durations = []
    for number in range(getattr(image, "n_frames", 1)):
        image.seek(number)
        image.load()  # WebP tells the duration then.
        durations.append(image.info.get("duration", 0))
    image.seek(0)
    return durations


def _restored(image, source, restorer, progress, count, form) -> Iterator[Image.Image]:
    """The restored frames, each as its format takes it."""
    report = progress or (lambda done, total: None)
    report(0, count)
    route = None
    for number, frame in enumerate(ImageSequence.Iterator(image), start=1):
        with _as_sentence(f"Cannot read {str(source)!r}"):
            rgba = np.asarray(frame.convert("RGBA"))
        pixels = np.ascontiguousarray(rgba[..., :3])
        alpha = np.ascontiguousarray(rgba[..., 3])
        route = route or restorer.route(pixels, source.name)
        # All frames alike: some formats would not take the others.
        with route.turn:
            colors, opacity = route.whole(pixels, alpha)
        restored = Image.fromarray(np.dstack([colors, opacity]))
        yield _with_palette(restored) if form == "GIF" else restored
        report(number, count)


def _with_palette(image: Image.Image) -> Image.Image:
    """A frame of a GIF: the color after the last of the palette is transparent."""
    visible = np.asarray(image)[..., 3] >= _VISIBLE
    frame = image.convert("RGB").quantize(_COLORS, Image.Quantize.MEDIANCUT)
    indices = np.where(visible, np.asarray(frame), _COLORS).astype(np.uint8)
    result = Image.fromarray(indices, "P")
    palette = (frame.getpalette() or [])[: 3 * _COLORS]
    result.putpalette(palette + [0] * (3 * (_COLORS + 1) - len(palette)))
    if not visible.all():
        result.info["transparency"] = _COLORS
    return result


@contextlib.contextmanager
def _as_sentence(beginning: str) -> Iterator[None]:
    """Damaged files make Pillow raise nearly anything."""
    try:
        yield
    except Exception as error:
        reason = getattr(error, "strerror", None) or error
        raise ImageFileError(f"{beginning}: {reason}.") from error
