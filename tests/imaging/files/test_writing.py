import os
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from imaging.files.made import SRGB, contents, exif_block, parsed, random_pixels
from PIL import ExifTags, Image, JpegImagePlugin

from xunit_keras.imaging import files
from xunit_keras.imaging.files import (
    ImageFileError,
    Photograph,
    png_writer,
    tiff_writer,
    writing,
)
from xunit_keras.imaging.files.png_writer import PngWriter
from xunit_keras.imaging.files.tiff_writer import TiffWriter

EXACT = (".png", ".tif", ".webp", ".bmp")


@pytest.mark.parametrize("suffix", EXACT)
@pytest.mark.parametrize("shape", [(1, 1), (1, 1, 3), (3, 2000, 3), (2000, 3), (5, 7)])
def test_round_trip_is_exact(tmp_path, suffix, shape):
    pixels = random_pixels(*shape)
    files.write(tmp_path / f"a{suffix}", Photograph(pixels))
    read = files.read(tmp_path / f"a{suffix}")
    if suffix == ".webp" and len(shape) == 2:  # WebP has no gray.
        pixels = np.repeat(pixels[..., None], 3, axis=-1)
    np.testing.assert_array_equal(read.pixels, pixels)
    assert read.pixels.dtype == np.uint8
    assert read.alpha is None and read.icc_profile is None and read.exif is None


def test_jpeg_keeps_full_color_resolution(tmp_path):
    ramp = np.linspace(0, 255, 40).astype(np.uint8)
    pixels = np.stack(np.broadcast_arrays(ramp, ramp[:, None], 255 - ramp), axis=-1)
    files.write(tmp_path / "a.JPG", Photograph(pixels))
    with Image.open(tmp_path / "a.JPG") as image:
        assert image.format == "JPEG"
        assert JpegImagePlugin.get_sampling(image) == 0  # 4:4:4.
    difference = files.read(tmp_path / "a.JPG").pixels.astype(int) - pixels
    assert abs(difference).max() <= 6


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_sixteen_bit_gray_round_trip(tmp_path, suffix):
    pixels = random_pixels(9, 13, dtype=np.uint16)
    files.write(tmp_path / f"a{suffix}", Photograph(pixels, icc_profile=SRGB))
    read = files.read(tmp_path / f"a{suffix}")
    assert read.pixels.dtype == np.uint16 and read.icc_profile == SRGB
    np.testing.assert_array_equal(read.pixels, pixels)
    with Image.open(tmp_path / f"a{suffix}") as image:
        assert image.mode == "I;16"


@pytest.mark.parametrize("suffix", [".png", ".tif", ".webp"])
def test_alpha_round_trip_keeps_hidden_colors(tmp_path, suffix):
    original = Photograph(random_pixels(6, 5, 3), random_pixels(6, 5) // 128 * 255)
    assert (original.alpha == 0).any()
    files.write(tmp_path / f"a{suffix}", original)
    read = files.read(tmp_path / f"a{suffix}")
    np.testing.assert_array_equal(read.pixels, original.pixels)
    np.testing.assert_array_equal(read.alpha, original.alpha)


@pytest.mark.parametrize(
    ("name", "photograph", "words"),
    [
        ("a.xyz", {}, [".xyz", ".png", ".jpg"]),
        ("a", {}, ["''", ".png"]),
        ("a.gif", {}, [".gif"]),
        ("a.heic", {}, [".heic"]),
        ("a.jpg", {"alpha": 0}, ["transparency", ".webp", ".avif"]),
        ("a.bmp", {"alpha": 0}, ["transparency"]),
        ("a.jpg", {"dtype": np.uint16}, ["16 bits", ".tif"]),
        ("a.webp", {"dtype": np.uint16}, ["16 bits", ".png"]),
        ("a.avif", {"dtype": np.uint16}, ["16 bits", ".tif"]),
        ("a.bmp", {"icc_profile": SRGB}, ["profile", ".jpg"]),
        ("a.jpg", {"exif": bytes(70_000)}, ["EXIF"]),
        ("a.webp", {"width": 16_384}, ["16384 x 1", "16,383"]),
        ("a.jpg", {"width": 65_501}, ["65,500"]),
        ("a.avif", {"width": 32_769}, ["32,768"]),
        ("file.txt/a.png", {}, ["file.txt"]),
        ("folder.png", {}, ["folder"]),
        ("x" * 300 + ".png", {}, ["long"]),
        ("loop.png", {}, ["symbolic links"]),
        ("loop.png/a.png", {}, ["symbolic links"]),
        ("nowhere/a.png", {}, ["nowhere", "directory"]),
        ("pipe.png", {}, ["regular file"]),
    ],
)
def test_refused_before_any_work(tmp_path, name, photograph, words):
    (tmp_path / "file.txt").write_text("a file")
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "loop.png").symlink_to("loop.png")
    (tmp_path / "nowhere").symlink_to("missing")
    os.mkfifo(tmp_path / "pipe.png")
    before = contents(tmp_path)
    width, dtype = photograph.pop("width", 1), photograph.pop("dtype", np.uint8)
    if "alpha" in photograph:
        photograph["alpha"] = np.zeros((1, width), np.uint8)
    photograph = Photograph(np.zeros((1, width), dtype), **photograph)
    for refuse in (files.check_writable, files.write):
        with pytest.raises(ImageFileError, match="Cannot write ") as caught:
            refuse(tmp_path / name, photograph)
        assert all(word in str(caught.value) for word in words), caught.value
    assert contents(tmp_path) == before


def test_check_writable_knows_the_size(tmp_path, monkeypatch):
    small = Photograph(np.zeros((1, 6000), np.uint8))
    files.check_writable(tmp_path / "a.webp", small, (2, 12_000))
    with pytest.raises(ImageFileError, match="18000 x 3"):
        files.check_writable(tmp_path / "a.webp", small, (3, 18_000))
    with pytest.raises(ImageFileError, match="1,000,000,000"):
        files.check_writable(tmp_path / "a.png", small, (40_000, 40_000))
    monkeypatch.setenv("XUNIT_KERAS_MAX_PIXELS", "2000000000")
    files.check_writable(tmp_path / "a.png", small, (40_000, 40_000))
    with pytest.raises(ImageFileError, match="268,435,456"):
        files.check_writable(tmp_path / "a.avif", small, (20_000, 20_000))


def test_folder_without_permission(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda *_: False)  # Root may write anywhere.
    with pytest.raises(ImageFileError, match="cannot be written to"):
        files.check_writable(tmp_path / "a.png", Photograph(np.zeros((1, 1), "u1")))


def test_write_makes_folders_and_respects_umask(tmp_path):
    path = tmp_path / "новая" / "папка 雪" / "é.PNG"
    pixels = random_pixels(3, 4, 3)
    photograph = Photograph(pixels)
    files.check_writable(path, photograph)
    assert not path.parent.parent.exists()
    files.write(path, photograph)
    (tmp_path / "plain").touch()
    assert path.stat().st_mode == (tmp_path / "plain").stat().st_mode
    assert list(path.parent.iterdir()) == [path]
    np.testing.assert_array_equal(files.read(path).pixels, pixels)


def test_opaque_alpha_needs_no_place(tmp_path):
    pixels, alpha = random_pixels(3, 4, 3), np.full((3, 4), 255, np.uint8)
    for suffix in (".bmp", ".jpg"):
        files.write(tmp_path / f"a{suffix}", Photograph(pixels, alpha))
        assert files.read(tmp_path / f"a{suffix}").alpha is None
    files.write(tmp_path / "a.png", Photograph(pixels, alpha))
    np.testing.assert_array_equal(files.read(tmp_path / "a.png").alpha, alpha)


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (OSError(28, "No space left on device"), ImageFileError),
        (KeyboardInterrupt(), KeyboardInterrupt),
    ],
)
@pytest.mark.parametrize("suffix", [".png", ".tif", ".webp"])
def test_failing_write_leaves_the_old_file_alone(
    tmp_path, monkeypatch, suffix, error, raised
):
    path = tmp_path / f"a{suffix}"
    files.write(path, Photograph(random_pixels(3, 4)))
    before = contents(tmp_path)
    half_written = []

    def fail(*args, **options):
        half_written.extend(p for p in tmp_path.iterdir() if p != path)
        raise error

    monkeypatch.setattr(Image.Image, "save", fail)
    monkeypatch.setattr(PngWriter, "write", fail)
    monkeypatch.setattr(TiffWriter, "write", fail)
    with pytest.raises(raised) as caught:
        files.write(path, Photograph(random_pixels(5, 6)))
    if raised is ImageFileError:
        assert str(path) in str(caught.value) and "No space left" in str(caught.value)
    if suffix != ".webp":
        assert len(half_written) == 1 and half_written[0].name.startswith(".xunit-")
    assert contents(tmp_path) == before


@pytest.mark.parametrize("suffix", [".jpg", ".avif"])
def test_quality(tmp_path, suffix):
    photograph = Photograph(random_pixels(32, 32, 3))
    for quality in (50, 95, None):
        files.write(tmp_path / f"{quality}{suffix}", photograph, quality=quality)
    sizes = [(tmp_path / f"{q}{suffix}").stat().st_size for q in (50, 95)]
    assert sizes[0] < sizes[1]
    default = {".jpg": 95, ".avif": 90}[suffix]
    files.write(tmp_path / f"default{suffix}", photograph, quality=default)
    contents = [(tmp_path / f"{n}{suffix}").read_bytes() for n in ("default", None)]
    assert contents[0] == contents[1]
    with pytest.raises(ValueError, match="quality=101"):
        files.write(tmp_path / f"a{suffix}", photograph, quality=101)


def test_avif_keeps_full_color_resolution(tmp_path):
    stripes = np.zeros((32, 32, 3), np.uint8)
    stripes[:, ::2], stripes[:, 1::2] = (200, 60, 60), (60, 60, 200)
    files.write(tmp_path / "a.avif", Photograph(stripes))
    difference = files.read(tmp_path / "a.avif").pixels.astype(int) - stripes
    assert abs(difference).max() <= 12  # Chroma of half the size: 70.


def test_compression(tmp_path):
    ramp = np.add.outer(np.arange(200), np.arange(300)).astype(np.uint8)
    sizes = []
    for compression in (0, 3, 9):
        files.write(tmp_path / "a.png", Photograph(ramp), compression=compression)
        np.testing.assert_array_equal(files.read(tmp_path / "a.png").pixels, ramp)
        sizes.append((tmp_path / "a.png").stat().st_size)
    assert sizes[0] > ramp.size > sizes[1] >= sizes[2]
    with pytest.raises(ValueError, match="compression=10"):
        files.write(tmp_path / "a.png", Photograph(ramp), compression=10)


# Row by row.


KINDS = [
    (shape, alpha, dtype)
    for shape in [(23, 17), (23, 17, 3)]
    for alpha in (False, True)
    for dtype in (np.uint8, np.uint16)
]


def photograph_of(shape, alpha, dtype):
    return Photograph(
        random_pixels(*shape, dtype=dtype),
        random_pixels(*shape[:2], dtype=dtype)[::-1] if alpha else None,
        icc_profile=SRGB,
        exif=exif_block(),
        dpi=(300, 150),
    )


@pytest.mark.parametrize(("shape", "alpha", "dtype"), KINDS)
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_rows_make_the_file_that_write_makes(tmp_path, suffix, shape, alpha, dtype):
    """Decoded by packages of other people, too."""
    photograph = photograph_of(shape, alpha, dtype)
    whole, by_rows = tmp_path / f"whole{suffix}", tmp_path / f"rows{suffix}"
    files.write(whole, photograph)
    assert files.writes_rows(by_rows)
    with files.open_writer(by_rows, photograph, *shape[:2]) as writer:
        for start, stop in ((0, 1), (1, 1), (1, 9), (9, 23)):
            opacity = photograph.alpha[start:stop] if alpha else None
            writer.write_rows(photograph.pixels[start:stop], opacity)
    reads = [files.read(path) for path in (whole, by_rows)]
    for read in reads:
        np.testing.assert_array_equal(read.pixels, photograph.pixels)
        assert (read.alpha is not None) == alpha
        if alpha:
            np.testing.assert_array_equal(read.alpha, photograph.alpha)
        assert read.icc_profile == SRGB and read.exif == reads[0].exif
        assert read.dpi == pytest.approx((300, 150), abs=0.02)

    samples = photograph.pixels
    if alpha:
        samples = np.dstack([samples, photograph.alpha])
    if suffix == ".png":
        decoded = imagecodecs.png_decode(by_rows.read_bytes())
    else:
        decoded = tifffile.imread(by_rows)
    np.testing.assert_array_equal(decoded.squeeze(), samples)


def test_tiff_of_more_than_four_gigabytes(tmp_path, monkeypatch):
    photograph = photograph_of((23, 17, 3), True, np.uint16)
    monkeypatch.setattr(tiff_writer, "_LARGEST_CLASSIC", 0)
    monkeypatch.setattr(tiff_writer, "_STRIP", 500)
    files.write(tmp_path / "a.tif", photograph)
    with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
        assert tiff.is_bigtiff and len(tiff.pages.first.dataoffsets) > 1
        decoded = tiff.pages.first.asarray()
    np.testing.assert_array_equal(decoded[..., :3], photograph.pixels)
    read = files.read(tmp_path / "a.tif")
    np.testing.assert_array_equal(read.alpha, photograph.alpha)
    assert parsed(read.exif)[ExifTags.Base.Make] == "Camera"


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_rows_of_many_bands(tmp_path, monkeypatch, suffix):
    for module in (png_writer, writing):
        monkeypatch.setattr(module, "_BAND", 100)
    monkeypatch.setattr(tiff_writer, "_STRIP", 100)
    photograph = photograph_of((23, 17, 3), True, np.uint8)
    files.write(tmp_path / f"a{suffix}", photograph)
    with Image.open(tmp_path / f"a{suffix}") as image:
        decoded = np.asarray(image)
    expected = np.dstack([photograph.pixels, photograph.alpha])
    np.testing.assert_array_equal(decoded, expected)


def test_png_of_hard_rows(tmp_path):
    """Differences of 8 bits that wrap around, ties, and the first row and column."""
    random = np.random.default_rng(3)
    for levels in ([0, 255], [0, 1, 254, 255], [7]):
        for channels in ((), (3,)):
            pixels = random.choice(np.uint8(levels), (40, 33, *channels))
            files.write(tmp_path / "a.png", Photograph(pixels))
            with Image.open(tmp_path / "a.png") as image:
                np.testing.assert_array_equal(np.asarray(image), pixels)


def test_rows_that_do_not_fit(tmp_path):
    photograph = photograph_of((4, 5, 3), True, np.uint8)
    pixels, alpha = photograph.pixels, photograph.alpha
    path = tmp_path / "a.png"
    path.write_text("old")
    for rows in (
        (pixels[:, :3], alpha[:, :3]),
        (pixels[..., 0], alpha),
        (pixels.astype(np.uint16), alpha),
        (pixels, None),
        (pixels, alpha[:3]),
        (pixels, alpha.astype(np.uint16)),
        (np.concatenate([pixels, pixels]), np.concatenate([alpha, alpha])),
    ):
        with (
            pytest.raises(ValueError, match="Received: "),
            files.open_writer(path, photograph, 4, 5) as writer,
        ):
            writer.write_rows(*rows)
    with (
        pytest.raises(ValueError, match="1 less"),
        files.open_writer(path, photograph, 4, 5) as writer,
    ):
        writer.write_rows(pixels[:3], alpha[:3])
    with pytest.raises(ZeroDivisionError), files.open_writer(path, photograph, 4, 5):
        raise ZeroDivisionError
    opaque = Photograph(pixels)
    with (
        pytest.raises(ValueError, match="Received: "),
        files.open_writer(path, opaque, 4, 5) as writer,
    ):
        writer.write_rows(pixels, alpha)
    assert contents(tmp_path) == {"a.png": b"old"}


def test_formats_that_are_written_at_once(tmp_path):
    photograph = Photograph(random_pixels(4, 5, 3))
    for suffix in (".jpg", ".webp", ".avif", ".bmp"):
        path = tmp_path / f"a{suffix}"
        assert not files.writes_rows(path)
        with (
            pytest.raises(ImageFileError, match="at once"),
            files.open_writer(path, photograph, 4, 5),
        ):
            pass
        assert files.bytes_needed(path, photograph, (10_000, 10_000)) > 3 * 10**8
    for suffix in (".png", ".TIFF"):
        assert files.writes_rows(tmp_path / f"a{suffix}")
        path = tmp_path / f"a{suffix}"
        assert files.bytes_needed(path, photograph, (10_000, 10_000)) < 10**8
    assert not files.writes_rows("a.gif") and not files.writes_rows("a")
    with pytest.raises(ImageFileError, match=r"\.gif"):
        files.bytes_needed("a.gif", photograph, (1, 1))


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_a_hundred_megapixels_in_little_memory(tmp_path, run_python, suffix):
    program = f"""
import resource
import numpy as np
from xunit_keras.imaging import files
rows = np.random.default_rng(0).integers(0, 256, (100, 10_000, 3), np.uint8)
photograph = files.Photograph(rows[:1, :1])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
with files.open_writer({str(tmp_path / "a")!r} + "{suffix}", photograph, 10_000, 10_000,
                       compression=1) as writer:
    for _ in range(100):
        writer.write_rows(rows)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    assert int(run_python("-c", program)) < 50_000  # Kilobytes.


def test_a_name_that_can_be_written():
    for name, expected in (
        ("a.png", "a.png"),
        ("a.JPG", "a.JPG"),
        ("b/a.gif", "b/a.gif.png"),
        ("a.heic", "a.heic.png"),
        ("a", "a.png"),
    ):
        assert files.writable_path(name) == Path(expected)
