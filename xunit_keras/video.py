"""Videos, a frame after the other; needs the extra `video`."""

import contextlib
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from xunit_keras.atomic import replacing
from xunit_keras.imaging.files import ImageFileError
from xunit_keras.packages import require
from xunit_keras.restorer import Progress, Restorer, Route

_X264 = ("libx264", {"crf": "16", "preset": "medium"})
# Of more than 8 bits: players know them in H.265, and hardly in H.264.
_X265 = (
    "libx265",
    {"crf": "16", "preset": "medium", "x265-params": "log-level=none"},
)
_VP9 = ("libvpx-vp9", {"crf": "20", "b": "0", "row-mt": "1", "deadline": "good"})

WRITTEN = {".mp4": _X264, ".m4v": _X264, ".mov": _X264, ".mkv": _X264, ".webm": _VP9}
"""The suffixes of videos that are written; the encoder of each, and its settings."""

SUFFIXES = (*WRITTEN, ".avi", ".mpg", ".mpeg", ".ts", ".mts", ".m2ts", ".wmv", ".3gp")
"""The suffixes of videos that are read, in lower case."""

_FULL = 2  # AVCOL_RANGE_JPEG: of RGB samples.
_LIMITED = 1
_OLD_FULL = "yuvj"  # Names of formats that say that the range is full.
_BT709, _BT601 = 1, 5
# What swscale calls SMPTE 170M: the same matrix. Nothing said is BT.601 to it, too.
_MATRICES = {2: _BT601, 6: _BT601}


def is_video(path: Path) -> bool:
    """Whether the suffix is that of a video."""
    return path.suffix.lower() in SUFFIXES


def check_target(path: Path) -> None:
    """Refuses a file that no video can be written to.

    Raises:
        ValueError: Its suffix is not one of `WRITTEN`.
        ImportError: The extra is missing.
    """
    require("av", "video")
    if path.suffix.lower() not in WRITTEN:
        raise ValueError(
            f"A video's output must end in one of {', '.join(WRITTEN)}. "
            f"Received: {str(path)!r}"
        )


def restore(
    source: Path, target: Path, restorer: Restorer, progress: Progress | None = None
) -> None:
    """Restores a video.

    Sound is copied as it is. Time stamps, color range, primaries, matrix and transfer,
    and the shape of pixels are kept, and so are 10 bits (in H.265; 12 become 10). What
    a phone has turned is turned upright. Subtitles and other data are left out. Where
    color is halved, H.264 and H.265 have even sides only: what is odd loses its last
    row or column.

    Args:
        source: A file with one of `SUFFIXES`.
        target: A file with one of `WRITTEN`.
        restorer: Finds the networks; one choice is made for all frames.
        progress: Called with frames done and about how many there are.

    Raises:
        ValueError: It cannot be read, restored or written.
        ImportError: The extra is missing.
    """
    check_target(target)
    av = require("av", "video")
    with _as_sentence(av, f"Cannot read {str(source)!r}"):
        film = av.open(str(source))
    with film:
        if not film.streams.video:
            raise ImageFileError(f"Cannot read {str(source)!r}: it has no picture.")
        with (
            _as_sentence(av, f"Cannot restore {str(source)!r} into {str(target)!r}"),
            replacing(target) as partial,
            av.open(str(partial), "w") as result,
        ):
            _Copy(film, result, target, source.name, restorer, progress).run()


class _Copy:
    """A film on its way into another file."""

    def __init__(self, film, result, target, name, restorer, progress):
        self.film, self.result, self.target = film, result, target
        self.name, self.restorer = name, restorer
        self.report = progress or (lambda done, total: None)
        self.source = film.streams.video[0]
        self.source.thread_type = "AUTO"
        self.video: Any = None
        self.route: Route
        self.done = 0
        self.last: int | None = None
        self.waiting: list[Any] = []
        self.sounds: dict[int, Any] = {}

    def run(self) -> None:
        """Copies everything."""
        known = self.film.metadata.items()
        self.result.metadata.update({k: v for k, v in known if k in _METADATA})
        self.report(0, self._expected())
        for packet in self.film.demux(self.source, *self.film.streams.audio):
            if packet.stream is self.source:
                for frame in packet.decode():
                    self._frame(frame)
            elif packet.dts is not None:
                self._sound(packet)
        if self.video is None:
            raise ImageFileError("it has no frames")
        self.result.mux(self.video.encode())
        self.report(self.done, self.done)

    def _frame(self, frame) -> None:
        if self.video is None:
            self._start(frame)
        if (frame.width, frame.height) != self.shape:
            raise ImageFileError("its frames change in size")
        with self.route.turn:
            pixels, _ = self.route.whole(self._pixels(frame))
        self._encode(pixels, frame)
        self.done += 1
        self.report(self.done, max(self.done, self._expected()))

    def _start(self, frame) -> None:
        """Finds the networks and opens the encoder, by the first frame."""
        self.shape = (frame.width, frame.height)
        form = frame.format
        if any(component.is_alpha for component in form.components):
            raise ImageFileError("it is transparent, which is not kept in videos")
        self.deep = max(component.bits for component in form.components) > 8
        self.is_full = frame.color_range == _FULL or form.name.startswith(_OLD_FULL)
        self.space = _BT709 if form.is_rgb else int(frame.colorspace)
        self.matrix = _MATRICES.get(self.space, self.space)
        self.turns = round(frame.rotation / 90) % 4
        pixels = self._pixels(frame)
        self.route = self.restorer.route(pixels, self.name)
        encoder, options = WRITTEN[self.target.suffix.lower()]
        self.format = self._pixel_format(form, encoder)
        if self.deep:
            encoder, options = _X265
        height, width = self.route.size
        size = self.restorer.settings.size
        if encoder != _VP9[0]:
            across = 1 if "444" in self.format else 2
            down = 2 if "420" in self.format else 1
            asked = size and ((size.width or 0) % across or (size.height or 0) % down)
            if asked:
                raise ImageFileError(
                    "width and height of such a video are even: ask for one more"
                )
            height, width = height - height % down, width - width % across
        if not (height and width):
            raise ImageFileError("nothing is left of so small a picture")
        rate = self.source.average_rate or self.source.guessed_rate or Fraction(25)
        video = self.result.add_stream(encoder, rate=rate, options=dict(options))
        video.width, video.height, video.pix_fmt = width, height, self.format
        context = video.codec_context
        if self.deep and self.result.format.name in ("mp4", "mov"):
            context.codec_tag = "hvc1"  # As Apple's players want it.
        self.time_base = self.source.time_base
        context.time_base = self.time_base
        video.time_base = self.time_base
        context.color_range = _FULL if self.is_full else int(frame.color_range)
        context.colorspace = self.space
        context.color_primaries = int(frame.color_primaries)
        context.color_trc = int(frame.color_trc)
        aspect = self.source.codec_context.sample_aspect_ratio
        if aspect and aspect > 0:
            context.sample_aspect_ratio = 1 / aspect if self.turns % 2 else aspect
        self.video, self.size = video, (height, width)
        self._start_sounds()

    def _start_sounds(self) -> None:
        for sound in self.film.streams.audio:
            name = sound.codec_context.codec.canonical_name
            if name not in self.result.supported_codecs:
                raise ImageFileError(
                    f"{self.target.suffix} files do not hold its sound ({name}); "
                    "write .mkv"
                )
            self.sounds[sound.index] = self.result.add_stream_from_template(sound)
        for packet in self.waiting:
            self._sound(packet)

    def _sound(self, packet) -> None:
        if self.video is None:
            # The head of the file comes first, and tells what the video is.
            self.waiting.append(packet)
        else:
            packet.stream = self.sounds[packet.stream.index]
            self.result.mux(packet)

    def _pixel_format(self, form, encoder) -> str:
        """As the film has it: chroma as fine, 10 bits for more than 8."""
        first, second = form.components[0], form.components[-1]
        if len(form.components) == 1 or form.is_rgb:
            layout = "444" if form.is_rgb else "420"
        else:
            across = second.width < first.width
            down = second.height < first.height
            layout = "420" if down else "422" if across else "444"
        if self.deep and encoder != "libx264":
            raise ImageFileError(
                "it has more than 8 bits per sample, which .webm files lose here; "
                "write .mp4 or .mkv"
            )
        return f"yuv{layout}p{'10le' if self.deep else ''}"

    def _pixels(self, frame) -> np.ndarray:
        """A frame as RGB, upright."""
        rgb = frame.reformat(
            format="rgb48le" if self.deep else "rgb24",
            src_colorspace=self.matrix,
            src_color_range=(
                _FULL if self.is_full or frame.format.is_rgb else _LIMITED
            ),
            dst_color_range=_FULL,
            interpolation=_interpolation(),
        )
        return np.ascontiguousarray(np.rot90(rgb.to_ndarray(), self.turns))

    def _encode(self, pixels: np.ndarray, like) -> None:
        """Encodes a restored frame with the time of the one that it comes from."""
        av = require("av", "video")
        height, width = self.size
        pixels = np.ascontiguousarray(pixels[:height, :width])
        rgb = av.VideoFrame.from_ndarray(
            pixels, format="rgb48le" if self.deep else "rgb24"
        )
        rgb.color_range = _FULL
        frame = rgb.reformat(
            format=self.format,
            dst_colorspace=self.matrix,
            dst_color_range=_FULL if self.is_full else _LIMITED,
            interpolation=_interpolation(),
        )
        frame.colorspace = self.space
        frame.color_primaries, frame.color_trc = like.color_primaries, like.color_trc
        frame.time_base = self.time_base
        frame.pts = self._time(like)
        self.result.mux(self.video.encode(frame))

    def _time(self, frame) -> int:
        """The time stamp, later than the one before; from the rate if there is none."""
        pts = frame.pts
        if pts is None:
            rate = self.source.average_rate or Fraction(25)
            pts = round(self.done / rate / self.time_base)
        if self.last is not None:
            pts = max(pts, self.last + 1)
        self.last = pts
        return pts

    def _expected(self) -> int:
        """About how many frames there are."""
        if self.source.frames:
            return self.source.frames
        seconds = self.film.duration / 1e6 if self.film.duration else 0.0
        return max(1, round(seconds * float(self.source.average_rate or 25)))


_METADATA = ("title", "artist", "comment", "date", "creation_time", "location")


def _interpolation():
    av = require("av.video.reformatter", "video")
    kinds = av.Interpolation
    return (
        kinds.BICUBIC | kinds.ACCURATE_RND | kinds.FULL_CHR_H_INT | kinds.FULL_CHR_H_INP
    )


@contextlib.contextmanager
def _as_sentence(av, beginning: str) -> Iterator[None]:
    try:
        yield
    except ImportError:
        raise
    except (av.FFmpegError, ImageFileError, OSError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ImageFileError(f"{beginning}: {reason}.") from error
