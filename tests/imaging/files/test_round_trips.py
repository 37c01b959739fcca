"""Whatever is written is read again: random photographs through every format."""

import contextlib

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from imaging.files.made import SRGB, exif_block, parsed
from PIL import ExifTags, Image

from xunit_keras.imaging import files
from xunit_keras.imaging.files import ImageFileError, Photograph

EXACT = (".png", ".tif", ".tiff", ".webp", ".bmp")

TURNS = {
    1: lambda x: x,
    2: np.fliplr,
    3: lambda x: np.rot90(x, 2),
    4: np.flipud,
    5: lambda x: np.swapaxes(x, 0, 1),
    6: lambda x: np.rot90(x, -1),
    7: lambda x: np.rot90(np.swapaxes(x, 0, 1), 2),
    8: np.rot90,
}

quick = settings(
    max_examples=60,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@st.composite
def photographs(draw, dtypes=(np.uint8, np.uint16)):
    """Small photographs of every kind; few levels, so that rows repeat, or many."""
    height, width = draw(st.integers(1, 40)), draw(st.integers(1, 40))
    channels = draw(st.sampled_from([(), (3,)]))
    dtype = draw(st.sampled_from(dtypes))
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    white = np.iinfo(dtype).max
    step = draw(st.sampled_from([1, 1 + white // 3]))

    def samples(*shape):
        return (random.integers(0, white + 1, shape) // step * step).astype(dtype)

    pixels = samples(height, width, *channels)
    layout = draw(st.sampled_from(["C", "F", "reversed", "strided"]))
    if layout == "F":
        pixels = np.asfortranarray(pixels)
    elif layout == "reversed":
        pixels = pixels[::-1, ::-1]
    elif layout == "strided":
        pixels = np.repeat(pixels, 2, axis=1)[:, ::2]
    opacity = draw(st.sampled_from([None, "opaque", "any"]))
    alpha = None if opacity is None else np.full((height, width), white, dtype)
    if opacity == "any":
        alpha = samples(height, width)
    return Photograph(
        pixels,
        alpha,
        icc_profile=draw(st.sampled_from([None, SRGB])),
        exif=draw(st.sampled_from([None, exif_block()])),
        dpi=draw(st.sampled_from([None, (300.0, 150.0)])),
        color_chunks=draw(st.sampled_from([{}, {"gAMA": b"\0\0\xb1\x8f"}])),
    )


def in_rgb(pixels):
    return pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, axis=-1)


@quick
@given(photographs(), st.sampled_from(files.SUFFIXES))
def test_written_is_read(tmp_path, photograph, suffix):
    path = tmp_path / f"a{suffix}"
    try:
        files.check_writable(path, photograph)
    except ImageFileError:
        with pytest.raises(ImageFileError):
            files.write(path, photograph)
        return
    files.write(path, photograph)
    read = files.read(path)
    assert read.pixels.shape[:2] == photograph.pixels.shape[:2]
    assert read.pixels.dtype == photograph.pixels.dtype
    if suffix in EXACT:
        same_channels = read.pixels.shape == photograph.pixels.shape
        assert same_channels or suffix == ".webp"  # It has no gray.
        expected = photograph.pixels if same_channels else in_rgb(photograph.pixels)
        np.testing.assert_array_equal(read.pixels, expected)
    if photograph.is_transparent:
        difference = read.alpha.astype(int) - photograph.alpha
        assert abs(difference).max() <= (40 if suffix == ".avif" else 0)
    else:
        assert not read.is_transparent
    assert read.icc_profile == photograph.icc_profile
    if suffix == ".png":
        assert read.color_chunks == photograph.color_chunks
    if suffix != ".bmp" and photograph.exif is not None:
        assert parsed(read.exif)[ExifTags.Base.Make] == "Camera"


@quick
@given(
    photographs(dtypes=(np.uint8,)),
    st.sampled_from([".png", ".tif"]),
    st.integers(1, 8),
)
def test_orientation(tmp_path, photograph, suffix, orientation):
    """Written by Pillow with an orientation, read the right way up."""
    samples = np.ascontiguousarray(photograph.pixels)
    if photograph.alpha is not None:
        samples = np.dstack([samples, photograph.alpha])
    path = tmp_path / f"a{suffix}"
    Image.fromarray(samples).save(path, exif=exif_block(orientation))
    read, turn = files.read(path), TURNS[orientation]
    np.testing.assert_array_equal(read.pixels, turn(photograph.pixels))
    if photograph.alpha is not None:
        np.testing.assert_array_equal(read.alpha, turn(photograph.alpha))


@quick
@given(photographs(), st.sampled_from([".png", ".tif"]), st.data())
def test_rows(tmp_path, photograph, suffix, data):
    """However the rows are cut into bands, the file is the same."""
    height, width = photograph.pixels.shape[:2]
    path = tmp_path / f"a{suffix}"
    with files.open_writer(path, photograph, height, width) as writer:
        start = 0
        while start < height:
            stop = start + data.draw(st.integers(1, height - start))
            alpha = photograph.alpha
            writer.write_rows(
                photograph.pixels[start:stop],
                None if alpha is None else alpha[start:stop],
            )
            start = stop
    read = files.read(path)
    np.testing.assert_array_equal(read.pixels, photograph.pixels)
    if photograph.alpha is not None:
        np.testing.assert_array_equal(read.alpha, photograph.alpha)


@quick
@given(
    photographs(),
    st.sampled_from(files.SUFFIXES),
    st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 255)), max_size=3),
    st.floats(0, 1),
)
def test_damage_is_told_in_a_sentence(tmp_path, photograph, suffix, changes, length):
    """Bytes changed and the end cut off: a photograph or an `ImageFileError`."""
    path = tmp_path / f"a{suffix}"
    with contextlib.suppress(ImageFileError):
        files.write(path, photograph)
        content = bytearray(path.read_bytes())
        for place, value in changes:
            content[int(place * len(content))] = value
        path.write_bytes(content[: round(length * len(content))])
        files.read(path, max_pixels=10**6)
