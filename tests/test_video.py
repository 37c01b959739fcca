"""Videos, frame by frame: sound, times and colors come along."""

import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from xunit_keras import video
from xunit_keras.imaging.files import ImageFileError
from xunit_keras.restorer import Restorer, Settings
from xunit_keras.runtime.network import Network
from xunit_keras.runtime.tiles import ReceptiveField
from xunit_keras.sizes import Size

av = pytest.importorskip("av")

ROOT = Path(__file__).parents[1]
FULL, LIMITED, UNSAID = 2, 1, 0
BT709, BT601, BT2020, PQ = 1, 6, 9, 16
TIMES = [0, 40, 80, 200, 240, 280, 500, 540]  # In milliseconds.


def same(batch):
    return batch


def double(batch):
    return np.repeat(np.repeat(batch, 2, axis=1), 2, axis=2)


def restorer(run=same, scale=1, channels=3, **settings):
    network = Network("trial", run, channels, ReceptiveField(scale, 1))
    return Restorer(lambda model: network, "trial", settings=Settings(**settings))


def ramps(number, height, width):
    """Smooth colors, which move, so that compression hardly changes them."""
    yy, xx = np.mgrid[:height, :width].astype(float)
    red = 40 + 170 * xx / width
    green = 60 + 120 * yy / height
    return np.dstack([red, green, np.full_like(red, 60 + 8 * number)])


def make(
    path,
    size=(48, 64),
    form="yuv420p",
    codec="libx264",
    times=TIMES,
    sound=None,
    rotation=0,
    **colors,
):
    """Writes a video; `colors` are color_range, colorspace, primaries and trc."""
    height, width = size
    deep = "10" in form or "12" in form
    with av.open(str(path), "w") as film:
        options = {"crf": "4"} if codec == "libx264" else {}
        stream = film.add_stream(codec, rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = width, height, form
        stream.codec_context.time_base = stream.time_base = Fraction(1, 1000)
        for name, value in colors.items():
            setattr(stream.codec_context, name, value)
        if rotation:
            stream.set_display_rotation(rotation)
        tone = film.add_stream(sound, rate=48000) if sound else None
        for number, time in enumerate(times):
            rgb = ramps(number, height, width)
            rgb = np.rint(rgb * 257).astype("uint16") if deep else rgb.astype("uint8")
            frame = av.VideoFrame.from_ndarray(rgb, "rgb48le" if deep else "rgb24")
            frame.color_range = FULL
            frame = frame.reformat(
                format=form,
                dst_colorspace={BT601: 5}.get(c := colors.get("colorspace", 5), c),
                dst_color_range=colors.get("color_range") or LIMITED,
            )
            frame.pts, frame.time_base = time, Fraction(1, 1000)
            film.mux(stream.encode(frame))
        film.mux(stream.encode())
        if tone:
            wave = np.sin(np.arange(24000) / 20).astype(np.float32)[None]
            samples = av.AudioFrame.from_ndarray(wave, "fltp", "mono")
            samples.sample_rate = 48000
            film.mux(tone.encode(samples))
            film.mux(tone.encode())


def packets(path):
    with av.open(str(path)) as film:
        return [bytes(p) for p in film.demux(audio=0) if p.size]


def load(path):
    """Frames as RGB of 0..255, times in seconds, and the stream's words of color."""
    with av.open(str(path)) as film:
        stream = film.streams.video[0]
        context = stream.codec_context
        frames, times = [], []
        for frame in film.decode(stream):
            rgb = frame.reformat(
                format="rgb48le",
                src_color_range=FULL if frame.color_range == FULL else LIMITED,
                dst_color_range=FULL,
            ).to_ndarray()
            frames.append(rgb / 257)
            times.append(round(float(frame.pts * frame.time_base), 3))
        words = (
            context.color_range,
            context.colorspace,
            context.color_primaries,
            context.color_trc,
        )
        return frames, times, words, context.pix_fmt


def test_times_sound_and_frames(tmp_path):
    source, target = tmp_path / "in.mp4", tmp_path / "new" / "out.mp4"
    make(source, sound="aac")
    seen = []
    video.restore(source, target, restorer(double, 2), lambda *s: seen.append(s))
    frames, times, _, form = load(target)
    assert times == load(source)[1] == [time / 1000 for time in TIMES]
    assert form == "yuv420p"
    assert len(packets(source)) > 10
    assert packets(target) == packets(source)
    assert seen[0] == (0, 8) and seen[-1] == (8, 8)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    for number, frame in enumerate(frames):
        expected = double(ramps(number, 48, 64)[None])[0]
        assert frame.shape == expected.shape
        assert np.abs(frame - expected)[4:-4, 4:-4].mean() < 3


@pytest.mark.parametrize("suffix", [".mkv", ".mov", ".webm"])
def test_containers_without_sound(tmp_path, suffix):
    make(tmp_path / "in.mp4")
    video.restore(tmp_path / "in.mp4", tmp_path / f"out{suffix}", restorer())
    frames, times, _, _ = load(tmp_path / f"out{suffix}")
    assert times == [time / 1000 for time in TIMES]
    assert np.abs(frames[3] - ramps(3, 48, 64)).mean() < 2.5


@pytest.mark.parametrize(
    ("form", "colors"),
    [
        ("yuv420p", (LIMITED, BT709, 1, 1)),
        ("yuv420p", (FULL, BT709, 1, 13)),
        ("yuv420p", (LIMITED, BT601, 6, 6)),
        ("yuv420p", (UNSAID, 2, 2, 2)),
        ("yuv444p", (FULL, BT601, 6, 6)),
        ("yuv422p10le", (LIMITED, BT709, 1, 1)),
        ("yuv420p10le", (LIMITED, BT2020, 9, PQ)),
    ],
)
def test_colors(tmp_path, form, colors):
    names = ("color_range", "colorspace", "color_primaries", "color_trc")
    make(
        tmp_path / "in.mkv",
        form=form,
        times=TIMES[:3],
        **dict(zip(names, colors, strict=True)),
    )
    video.restore(tmp_path / "in.mkv", tmp_path / "out.mkv", restorer())
    before, _, words, _ = load(tmp_path / "in.mkv")
    after, _, new_words, new_form = load(tmp_path / "out.mkv")
    assert new_words == words
    assert new_form.replace("yuvj", "yuv") == form
    for old, new in zip(before, after, strict=True):
        difference = (new - old)[4:-4, 4:-4]
        # Another matrix or range would change the means by 5 and more.
        assert np.abs(difference.mean(axis=(0, 1))).max() < 1.5
        assert np.abs(difference).mean() < 1.5


def ten_bits(tmp_path):
    make(tmp_path / "in.mp4", (64, 128), "yuv420p10le", times=[0], color_range=FULL)
    video.restore(tmp_path / "in.mp4", tmp_path / "out.mp4", restorer())
    with av.open(str(tmp_path / "out.mp4")) as film:
        context = film.streams.video[0].codec_context
        assert (context.name, context.codec_tag) == ("hevc", "hvc1")
        frame = next(film.decode(video=0))
        levels = np.frombuffer(frame.planes[0], np.uint16)
    assert len(np.unique(levels)) > 1.5 * len(np.unique(levels // 4))


def test_ten_bits_are_more_than_eight(tmp_path, run_python):
    """In a process of its own: where another package has encoded gray HEIC with its own
    x265, as other tests do, that of PyAV fails."""
    run_python(
        "-c",
        "import pathlib, sys; sys.path.insert(0, 'tests')\n"
        "import test_video; test_video.ten_bits(pathlib.Path(sys.argv[1]))",
        tmp_path,
    )


@pytest.mark.parametrize("rotation", [90, 180, -90])
def test_turned_as_phones_do(tmp_path, rotation):
    make(tmp_path / "in.mp4", rotation=rotation, times=TIMES[:2])
    video.restore(tmp_path / "in.mp4", tmp_path / "out.mp4", restorer())
    frames, *_ = load(tmp_path / "out.mp4")
    expected = np.rot90(ramps(0, 48, 64), rotation // 90)
    assert frames[0].shape == expected.shape
    assert np.abs(frames[0] - expected).mean() < 2.5
    with av.open(str(tmp_path / "out.mp4")) as film:
        assert next(film.decode(video=0)).rotation == 0


def test_odd_sizes(tmp_path):
    """Of 4:2:0 in H.264 the last row and column are left out; VP9 keeps them."""
    make(tmp_path / "in.webm", (33, 51), codec="libvpx-vp9", times=TIMES[:2])
    for suffix, shape in ((".mp4", (32, 50, 3)), (".webm", (33, 51, 3))):
        video.restore(tmp_path / "in.webm", tmp_path / f"out{suffix}", restorer())
        assert load(tmp_path / f"out{suffix}")[0][0].shape == shape


def test_size(tmp_path):
    make(tmp_path / "in.mp4", times=TIMES[:2])
    model = restorer(double, 2, size=Size(width=90))
    video.restore(tmp_path / "in.mp4", tmp_path / "out.mp4", model)
    assert load(tmp_path / "out.mp4")[0][0].shape == (68, 90, 3)
    model = restorer(double, 2, size=Size(width=91))
    with pytest.raises(ImageFileError, match="are even"):
        video.restore(tmp_path / "in.mp4", tmp_path / "odd.mp4", model)
    assert not (tmp_path / "odd.mp4").exists()


def test_a_gray_network(tmp_path):
    make(tmp_path / "in.mp4", times=TIMES[:2])
    model = restorer(lambda batch: 1 - batch, channels=1)
    video.restore(tmp_path / "in.mp4", tmp_path / "out.mp4", model)
    inverted = 255 - load(tmp_path / "out.mp4")[0][0]
    assert np.abs(inverted - ramps(0, 48, 64)).mean() < 2.5


def test_sound_that_the_file_cannot_hold(tmp_path):
    make(tmp_path / "in.mp4", sound="aac", times=TIMES[:2])
    with pytest.raises(ImageFileError, match=r"do not hold its sound \(aac\)"):
        video.restore(tmp_path / "in.mp4", tmp_path / "out.webm", restorer())
    assert {path.name for path in tmp_path.iterdir()} == {"in.mp4"}


def test_refused(tmp_path):
    make(tmp_path / "in.mkv", form="yuv420p10le", times=[0])
    (tmp_path / "bad.mp4").write_bytes(b"This is no film." * 99)
    with av.open(str(tmp_path / "sound.mkv"), "w") as film:
        tone = film.add_stream("aac", rate=48000)
        silence = np.zeros((1, 4800), np.float32)
        samples = av.AudioFrame.from_ndarray(silence, "fltp", "mono")
        samples.sample_rate = 48000
        film.mux(tone.encode(samples))
        film.mux(tone.encode())
    make(tmp_path / "rgba.mkv", form="yuva420p", codec="ffv1", times=[0])
    before = {path.name for path in tmp_path.iterdir()}
    cases = {
        ("in.mkv", "out.webm"): "more than 8 bits",
        ("in.mkv", "out.avi"): "must end in one of .mp4",
        ("bad.mp4", "out.mp4"): "Cannot read",
        ("missing.mp4", "out.mp4"): "Cannot read .* No such file",
        ("sound.mkv", "out.mp4"): "it has no picture",
        ("rgba.mkv", "out.mp4"): "it is transparent",
    }
    for (source, target), message in cases.items():
        with pytest.raises(ValueError, match=message):
            video.restore(tmp_path / source, tmp_path / target, restorer())
    assert {path.name for path in tmp_path.iterdir()} == before


def test_an_interruption_leaves_nothing(tmp_path):
    make(tmp_path / "in.mp4", sound="aac")

    def stop(done, total):
        if done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        video.restore(tmp_path / "in.mp4", tmp_path / "out.mp4", restorer(), stop)
    assert {path.name for path in tmp_path.iterdir()} == {"in.mp4"}


def test_without_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(ImportError, match=r"pip install 'xunit-keras\[video\]'"):
        video.restore(tmp_path / "in.mp4", tmp_path / "out.mp4", restorer())


def test_on_the_command_line(tmp_path):
    make(tmp_path / "in.mp4", (24, 32), "yuv420p10le", times=TIMES[:2])
    command = [sys.executable, "-m", "xunit_keras", "restore", "-m", "xsrcnn-f-x2"]
    files = ["-i", tmp_path / "in.mp4", "-o", tmp_path / "out.mp4"]
    result = subprocess.run(
        [*command, *map(str, files)], cwd=ROOT, capture_output=True, text=True
    )
    assert (result.returncode, result.stderr) == (0, "")
    assert "Restored 1 of 1" in result.stdout
    assert load(tmp_path / "out.mp4")[0][0].shape == (48, 64, 3)
