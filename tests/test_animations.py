"""Animated pictures, frame by frame."""

import numpy as np
import pytest
from PIL import Image, ImageSequence

from xunit_keras import animations
from xunit_keras.imaging.files import ImageFileError
from xunit_keras.restorer import Restorer, Settings
from xunit_keras.runtime.network import Network
from xunit_keras.runtime.restoring import enlarge
from xunit_keras.runtime.tiles import ReceptiveField
from xunit_keras.sizes import Size

DURATIONS = [40, 120, 70]


def double(batch):
    """Enlarges by repeating: what comes out is known, and few colors stay few."""
    return np.repeat(np.repeat(batch, 2, axis=1), 2, axis=2)


def restorer(**settings):
    network = Network("double", double, 3, ReceptiveField(2, 1))
    return Restorer(lambda model: network, "double", settings=Settings(**settings))


def frames(transparent=False):
    """Three pictures of a few colors, the last pixels transparent."""
    random = np.random.default_rng(0)
    made = []
    for _ in DURATIONS:
        colors = random.integers(0, 256, (6, 5, 4), np.uint8)
        colors = colors.repeat(4, axis=0).repeat(4, axis=1)
        colors[..., 3] = 255
        if transparent:
            colors[12:, 8:, 3] = 0
        made.append(Image.fromarray(colors))
    return made


def save(path, pictures, **options):
    first, *others = pictures
    if path.suffix == ".webp":
        options["lossless"] = True
    elif path.suffix == ".gif":
        options["disposal"] = 2
    first.save(path, save_all=True, append_images=others, duration=DURATIONS, **options)


def load(path):
    with Image.open(path) as image:
        loop = image.info.get("loop")
        pictures, durations = [], []
        for frame in ImageSequence.Iterator(image):
            pictures.append(np.asarray(frame.convert("RGBA")))
            durations.append(frame.info["duration"])
        return pictures, durations, loop


@pytest.mark.parametrize("suffix", list(animations.SUFFIXES))
@pytest.mark.parametrize("transparent", [False, True])
def test_frame_by_frame(tmp_path, suffix, transparent):
    source, target = tmp_path / f"in{suffix}", tmp_path / "new" / f"out{suffix}"
    save(source, frames(transparent), loop=3)
    seen = []
    animations.restore(source, target, restorer(), lambda *step: seen.append(step))
    before, durations, loop = load(source)
    after, new_durations, new_loop = load(target)
    assert (new_durations, new_loop) == (durations, loop) == (DURATIONS, 3)
    assert seen == [(0, 3), (1, 3), (2, 3), (3, 3)]
    for old, new in zip(before, after, strict=True):
        expected = old.repeat(2, axis=0).repeat(2, axis=1)
        visible = expected[..., 3] > 0
        if transparent:
            alpha = enlarge(old[..., 3], 2)
            if suffix == ".gif":
                alpha = np.where(alpha < 128, 0, 255)
            np.testing.assert_array_equal(new[..., 3], alpha)
            visible &= new[..., 3] == 255
        else:
            assert (new[..., 3] == 255).all()
        np.testing.assert_array_equal(new[visible][:, :3], expected[visible][:, :3])


@pytest.mark.parametrize("target", list(animations.SUFFIXES))
def test_once_and_for_ever(tmp_path, target):
    for source, loop in (("once.gif", {}), ("ever.gif", {"loop": 0})):
        save(tmp_path / source, frames(), **loop)
        out = tmp_path / f"{source}{target}"
        animations.restore(tmp_path / source, out, restorer())
        shown = load(out)[2]
        if loop:
            assert shown == 0
        else:  # Only GIF says nothing of what is shown once.
            assert shown in ({None} if target == ".gif" else {1})


def test_size(tmp_path):
    save(tmp_path / "in.webp", frames(transparent=True))
    animations.restore(
        tmp_path / "in.webp", tmp_path / "out.webp", restorer(size=Size(width=33))
    )
    assert {frame.shape for frame in load(tmp_path / "out.webp")[0]} == {(40, 33, 4)}


def test_gif_of_many_colors(tmp_path):
    """Frames of more colors than a palette has come near."""
    yy, xx = np.mgrid[:48, :64]
    ramp = np.dstack([4 * xx, 5 * yy, 2 * (xx + yy)]).astype(np.uint8)
    save(tmp_path / "in.png", [Image.fromarray(np.roll(ramp, k, 1)) for k in range(3)])
    animations.restore(tmp_path / "in.png", tmp_path / "out.gif", restorer())
    expected = ramp.repeat(2, axis=0).repeat(2, axis=1).astype(int)
    result = load(tmp_path / "out.gif")[0][0][..., :3]
    assert np.abs(result - expected).mean() < 8


def test_what_is_an_animation(tmp_path):
    still = frames()[0]
    for suffix in animations.SUFFIXES:
        save(tmp_path / f"many{suffix}", frames())
        still.save(tmp_path / f"one{suffix}")
        assert animations.is_animation(tmp_path / f"many{suffix}")
        assert not animations.is_animation(tmp_path / f"one{suffix}")
    (tmp_path / "text.gif").write_text("no picture")
    (tmp_path / "many.tif").write_bytes((tmp_path / "many.gif").read_bytes())
    for name in ("text.gif", "many.tif", "missing.gif"):
        assert not animations.is_animation(tmp_path / name)


@pytest.mark.parametrize("suffix", [".gif", ".webp"])
def test_cut_short(tmp_path, suffix):
    source, target = tmp_path / f"in{suffix}", tmp_path / f"out{suffix}"
    save(source, frames())
    content = source.read_bytes()
    source.write_bytes(content[: len(content) - len(content) // 4])
    target.write_text("kept")
    with pytest.raises(ImageFileError, match="Cannot read"):
        animations.restore(source, target, restorer())
    assert target.read_text() == "kept"
    assert {path.name for path in tmp_path.iterdir()} == {source.name, target.name}


def test_an_interruption_leaves_nothing(tmp_path):
    save(tmp_path / "in.gif", frames())

    def stop(done, total):
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        animations.restore(tmp_path / "in.gif", tmp_path / "out.gif", restorer(), stop)
    assert [path.name for path in tmp_path.iterdir()] == ["in.gif"]
