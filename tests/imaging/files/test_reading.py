import os
import struct
import sys
import time
import warnings

import imagecodecs
import numpy as np
import pytest
import tifffile
from imaging.files.made import (
    SRGB,
    cmyk_profile,
    exif_block,
    parsed,
    png,
    random_pixels,
    refusal,
    save,
)
from PIL import ExifTags, Image

from xunit_keras.imaging import files
from xunit_keras.imaging.files import ImageFileError, Photograph

# What the pixels are.


@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("photometric", ["minisblack", "miniswhite"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_gray_tiff_of_another_program(tmp_path, byteorder, photometric, dtype):
    pixels = random_pixels(5, 6, dtype=dtype)
    stored = pixels
    if photometric == "miniswhite":
        stored = np.iinfo(dtype).max - pixels
    tifffile.imwrite(
        tmp_path / "a.tif", stored, photometric=photometric, byteorder=byteorder
    )
    read = files.read(tmp_path / "a.tif")
    np.testing.assert_array_equal(read.pixels, pixels)
    assert read.pixels.dtype == np.dtype(dtype)


def test_sixteen_bit_png_of_another_program(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(png(2, 1, 16, 0, [struct.pack(">HH", 258, 65535)]))
    assert files.read(path).pixels.tolist() == [[258, 65535]]


def test_deep_png_by_hand(tmp_path):
    """Samples in big-endian order, one after the other, for each color type."""
    path = tmp_path / "a.png"
    for color, channels in ((0, 1), (2, 3), (4, 2), (6, 4)):
        samples = random_pixels(3, 2, channels, dtype=np.uint16)
        rows = [row.astype(">u2").tobytes() for row in samples]
        path.write_bytes(png(2, 3, 16, color, rows))
        read = files.read(path)
        colors = samples[..., :3] if channels > 2 else samples[..., 0]
        np.testing.assert_array_equal(read.pixels, colors)
        assert read.pixels.dtype == np.uint16
        if channels in (2, 4):
            np.testing.assert_array_equal(read.alpha, samples[..., -1])
        else:
            assert read.alpha is None


@pytest.mark.parametrize(
    ("color", "samples"), [(0, [[7], [8]]), (2, [[7, 8, 9], [7, 8, 10]])]
)
def test_deep_png_with_a_transparent_color(tmp_path, color, samples):
    path = tmp_path / "a.png"
    row = np.array(samples, ">u2").tobytes()
    key = np.array(samples[0], ">u2").tobytes()
    path.write_bytes(png(2, 1, 16, color, [row], (b"tRNS", key)))
    read = files.read(path)
    np.testing.assert_array_equal(read.pixels.reshape(2, -1), samples)
    assert read.alpha.tolist() == [[0, 65535]]


@pytest.mark.parametrize(
    ("byteorder", "bigtiff"), [("<", False), (">", False), ("<", True)]
)
@pytest.mark.parametrize("compression", [None, "zlib", "lzw"])
@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("channels", [3, 4])
def test_deep_color_tiff(tmp_path, byteorder, bigtiff, compression, planar, channels):
    samples = random_pixels(5, 6, channels, dtype=np.uint16)
    tifffile.imwrite(
        tmp_path / "a.tif",
        samples if planar == "contig" else np.moveaxis(samples, -1, 0),
        byteorder=byteorder,
        bigtiff=bigtiff,
        compression=compression,
        predictor=compression is not None,
        planarconfig=planar,
        photometric="rgb",
        extrasamples=["unassalpha"] if channels == 4 else None,
        rowsperstrip=2,
        resolution=(300, 150),
        resolutionunit="inch",
        iccprofile=SRGB,
    )
    read = files.read(tmp_path / "a.tif")
    np.testing.assert_array_equal(read.pixels, samples[..., :3])
    assert read.pixels.dtype == np.uint16 and read.dpi == (300, 150)
    assert read.icc_profile == SRGB
    if channels == 4:
        np.testing.assert_array_equal(read.alpha, samples[..., 3])
    else:
        assert read.alpha is None


@pytest.mark.parametrize("photometric", ["minisblack", "miniswhite"])
def test_deep_gray_tiff_with_alpha(tmp_path, photometric):
    samples = random_pixels(5, 6, 2, dtype=np.uint16)
    tifffile.imwrite(
        tmp_path / "a.tif",
        samples,
        photometric=photometric,
        planarconfig="contig",
        extrasamples=["unassalpha"],
    )
    read = files.read(tmp_path / "a.tif")
    gray = samples[..., 0]
    expected = 65535 - gray if photometric == "miniswhite" else gray
    np.testing.assert_array_equal(read.pixels, expected)
    np.testing.assert_array_equal(read.alpha, samples[..., 1])


@pytest.mark.parametrize("bits", [10, 12])
def test_deep_avif(tmp_path, bits):
    samples = random_pixels(16, 24, 4, dtype=np.uint16) >> (16 - bits)
    encoded = imagecodecs.avif_encode(samples, bitspersample=bits, level=100)
    (tmp_path / "a.avif").write_bytes(encoded)
    read = files.read(tmp_path / "a.avif")
    expected = np.round(samples / (2**bits - 1) * 65535)
    np.testing.assert_array_equal(read.pixels, expected[..., :3])
    np.testing.assert_array_equal(read.alpha, expected[..., 3])


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
def test_heic(tmp_path, mode):
    pillow_heif = pytest.importorskip("pillow_heif")
    ramp = np.linspace(0, 255, 64).astype(np.uint8)
    channels = np.broadcast_arrays(ramp, ramp[:48, None], 255 - ramp, ramp[16:, None])
    samples = np.stack(channels[: len(mode)], axis=-1).squeeze()
    heif = pillow_heif.from_bytes(mode, (64, 48), samples.tobytes())
    heif.save(
        tmp_path / "a.heic", quality=-1, chroma=444, matrix_coefficients=0
    )  # Lossless.
    read = files.read(tmp_path / "a.heic")
    colors = samples[..., :3] if mode != "L" else samples
    if mode == "L" and read.pixels.ndim == 3:
        colors = np.repeat(colors[..., None], 3, axis=-1)
    assert abs(read.pixels.astype(int) - colors).max() <= 1
    assert (read.alpha is not None) == (mode == "RGBA")
    if mode == "RGBA":
        np.testing.assert_array_equal(read.alpha, samples[..., 3])


def test_deep_heic(tmp_path):
    pillow_heif = pytest.importorskip("pillow_heif")
    samples = (np.linspace(0, 1023, 64 * 48).astype(np.uint16) << 6).reshape(48, 64)
    samples = np.stack([samples, samples.T.reshape(48, 64), samples[::-1]], axis=-1)
    heif = pillow_heif.from_bytes("RGB;16", (64, 48), samples.tobytes())
    heif.save(tmp_path / "a.heic", quality=-1, chroma=444, matrix_coefficients=0)
    read = files.read(tmp_path / "a.heic")
    assert read.pixels.dtype == np.uint16
    difference = read.pixels - np.round((samples >> 6) / 1023 * 65535)
    assert abs(difference).max() <= 2 * 65535 / 1023


def test_heic_is_turned_once(tmp_path):
    pillow_heif = pytest.importorskip("pillow_heif")
    flat = np.full((32, 64, 3), 90, np.uint8)
    flat[:16, :32] = 200
    pillow_heif.register_heif_opener()  # The file then holds a rotation and EXIF.
    Image.fromarray(flat).save(tmp_path / "a.heic", exif=exif_block(6))
    read = files.read(tmp_path / "a.heic")
    assert read.pixels.shape == (64, 32, 3)
    assert read.pixels[8, 24, 0] > 190 and read.pixels[8, 8, 0] < 100
    exif = parsed(read.exif)
    assert exif[ExifTags.Base.Make] == "Camera"
    assert ExifTags.Base.Orientation not in exif


def test_heic_without_its_package(tmp_path, monkeypatch):
    (tmp_path / "a.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    assert "xunit-keras[heic]" in refusal(tmp_path / "a.heic")


def test_one_bit_becomes_gray(tmp_path):
    bits = random_pixels(9, 11) > 127
    read = files.read(save(tmp_path / "a.png", bits))
    np.testing.assert_array_equal(read.pixels, np.where(bits, 255, 0))
    assert read.pixels.dtype == np.uint8 and read.alpha is None


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_gray_with_alpha(tmp_path, suffix):
    samples = random_pixels(6, 5, 2)
    path = save(tmp_path / f"a{suffix}", samples)
    read = files.read(path)
    np.testing.assert_array_equal(read.pixels, samples[..., 0])
    np.testing.assert_array_equal(read.alpha, samples[..., 1])


@pytest.mark.parametrize("channels", [2, 4])
def test_premultiplied_tiff(tmp_path, channels):
    alpha = np.array([[255, 128, 0]], np.uint8)
    color = np.array([[200, 50, 0]], np.uint8)
    samples = np.stack([color] * (channels - 1) + [alpha], axis=-1)
    tifffile.imwrite(
        tmp_path / "a.tif",
        samples,
        photometric="rgb" if channels == 4 else "minisblack",
        planarconfig="contig",
        extrasamples=["assocalpha"],
    )
    read = files.read(tmp_path / "a.tif")
    np.testing.assert_array_equal(read.alpha, alpha)
    straight = [200, 50 * 255 // 128, 0]
    channel = read.pixels if channels == 2 else read.pixels[..., 1]
    assert channel.tolist() == [straight]


def test_palette(tmp_path):
    palette = random_pixels(256, 3)
    indices = random_pixels(8, 9)
    image = Image.fromarray(indices)
    image.putpalette(palette.tobytes())
    image.save(tmp_path / "a.png")
    image.save(tmp_path / "a.gif")
    for name in ("a.png", "a.gif"):
        read = files.read(tmp_path / name)
        np.testing.assert_array_equal(read.pixels, palette[indices])
        assert read.alpha is None


def test_palette_with_transparency(tmp_path):
    palette, opacities = random_pixels(4, 3), bytes([0, 128, 255])
    rows = [bytes([0, 1, 2, 3])]
    path = tmp_path / "a.png"
    chunks = (b"PLTE", palette.tobytes()), (b"tRNS", opacities)
    path.write_bytes(png(4, 1, 8, 3, rows, *chunks))
    read = files.read(path)
    np.testing.assert_array_equal(read.pixels, palette[None])
    assert read.alpha.tolist() == [[0, 128, 255, 255]]


def test_gif_with_transparency(tmp_path):
    image = Image.fromarray(np.array([[0, 1, 2]], np.uint8))
    image.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90])
    image.save(tmp_path / "a.gif", transparency=1)
    read = files.read(tmp_path / "a.gif")
    assert read.alpha.tolist() == [[255, 0, 255]]
    assert read.pixels[0, 2].tolist() == [70, 80, 90]


@pytest.mark.parametrize(
    ("depth", "row", "values", "transparent"),
    [
        (1, [0b01100000], [0, 255, 255], 1),
        (2, [0b00011000], [0, 85, 170], 1),
        (4, [0x0F, 0x30], [0, 255, 51], 3),
        (8, [7, 200, 3], [7, 200, 3], 200),
    ],
)
def test_gray_with_a_transparent_shade(tmp_path, depth, row, values, transparent):
    path = tmp_path / "a.png"
    shade = (b"tRNS", struct.pack(">H", transparent))
    path.write_bytes(png(3, 1, depth, 0, [bytes(row)], shade))
    read = files.read(path)
    assert read.pixels.tolist() == [values]
    shade = transparent * 255 // (2**depth - 1)
    assert read.alpha.tolist() == [[0 if v == shade else 255 for v in values]]


def test_rgb_with_a_transparent_color(tmp_path):
    path = tmp_path / "a.png"
    color = (b"tRNS", struct.pack(">HHH", 4, 5, 6))
    path.write_bytes(png(2, 1, 8, 2, [bytes([4, 5, 6, 4, 5, 7])], color))
    read = files.read(path)
    assert read.pixels.tolist() == [[[4, 5, 6], [4, 5, 7]]]
    assert read.alpha.tolist() == [[0, 255]]


def lab_to_srgb(lightness, a, b):
    """CIELAB (D50) to sRGB by the textbook formulas, Bradford adapted."""
    y = (lightness + 16) / 116
    f = np.array([y + a / 500, y, y - b / 200])
    xyz = np.where(f > 6 / 29, f**3, (f - 4 / 29) * 3 * (6 / 29) ** 2)
    linear = (
        np.array(
            [
                [3.1338561, -1.6168667, -0.4906146],
                [-0.9787684, 1.9161415, 0.0334540],
                [0.0719453, -0.2289914, 1.4052427],
            ]
        )
        @ (xyz * [0.9642, 1, 0.8249])
    ).clip(0, 1)
    low = linear * 12.92
    high = 1.055 * linear ** (1 / 2.4) - 0.055
    return 255 * np.where(linear <= 0.0031308, low, high)


@pytest.mark.parametrize(
    "profile", [None, b"not a profile", SRGB], ids=["none", "damaged", "of RGB"]
)
def test_cmyk_without_a_usable_profile(tmp_path, profile):
    inks = random_pixels(8, 8, 4)
    path = tmp_path / "a.tif"
    Image.fromarray(inks, "CMYK").save(path, icc_profile=profile)
    light = 255 - inks.astype(float)
    expected = light[..., :3] * light[..., 3:] / 255
    read = files.read(path)
    assert read.icc_profile is None
    assert abs(read.pixels - expected).max() <= 0.5


@pytest.mark.parametrize("suffix", [".tif", ".jpg"])
def test_cmyk_through_its_profile(tmp_path, suffix):
    lab = (60, 30, -20)  # Far from any cyan: only the profile can tell.
    inks = np.zeros((16, 48, 4), np.uint8)
    inks[:, :16, 0] = 255
    inks[:, 16:32, 3] = 255
    path = tmp_path / f"a{suffix}"
    options = {"quality": 100} if suffix == ".jpg" else {}
    image = Image.fromarray(inks, "CMYK")
    image.save(path, icc_profile=cmyk_profile(lab), **options)
    read = files.read(path)
    assert read.icc_profile is None and read.pixels.shape == (16, 48, 3)
    np.testing.assert_allclose(read.pixels[8, 8], lab_to_srgb(*lab), atol=2)
    np.testing.assert_allclose(read.pixels[8, 24], 0, atol=2)
    np.testing.assert_allclose(read.pixels[8, 40], 255, atol=2)


def test_lab(tmp_path):
    labs = [(60, 30, -20), (30, -10, 15), (100, 0, 0)]
    samples = np.array([[(round(x * 2.55), a, b) for x, a, b in labs]])
    tifffile.imwrite(
        tmp_path / "a.tif",
        samples.astype(np.uint8),  # a and b are signed, in two's complement.
        photometric="cielab",
    )
    read = files.read(tmp_path / "a.tif")
    expected = [[lab_to_srgb(*lab) for lab in labs]]
    np.testing.assert_allclose(read.pixels, expected, atol=2)


def test_ycbcr(tmp_path):
    colors = np.array([[[200, 100, 50], [10, 20, 30]]], np.uint8)
    save(tmp_path / "a.tif", colors, "YCbCr")
    np.testing.assert_allclose(files.read(tmp_path / "a.tif").pixels, colors, atol=2)


def test_phone_picture_is_read_as_its_first(tmp_path):
    first, second = random_pixels(8, 8, 3), random_pixels(4, 4, 3)
    path = tmp_path / "a.jpg"
    Image.fromarray(first).save(
        path, "MPO", save_all=True, append_images=[Image.fromarray(second)]
    )
    with Image.open(path) as image:
        assert image.format == "MPO" and image.n_frames == 2
        expected = np.asarray(image)
    np.testing.assert_array_equal(files.read(path).pixels, expected)


# What is refused.


@pytest.mark.parametrize(
    ("shape", "dtype", "word"),
    [
        ((4, 5), np.uint32, "32-bit"),
        ((4, 5, 3), np.uint32, "32-bit"),
        ((4, 5), np.int16, "signed"),
        ((4, 5, 3), np.float16, "floating-point"),
        ((4, 5), np.int8, "signed"),
        ((4, 5), np.float32, "floating-point"),
    ],
)
def test_too_deep_and_signed_tiff_is_refused(tmp_path, shape, dtype, word):
    photometric = "rgb" if len(shape) == 3 else "minisblack"
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.zeros(shape, dtype), photometric=photometric)
    assert word in refusal(path)


@pytest.mark.parametrize("suffix", [".gif", ".png", ".webp", ".tif"])
def test_several_frames_are_refused(tmp_path, suffix):
    frames = [Image.new("RGB", (4, 4), color) for color in ("red", "green", "blue")]
    path = tmp_path / f"a{suffix}"
    frames[0].save(path, save_all=True, append_images=frames[1:])
    assert "several frames" in refusal(path)


def test_not_an_image(tmp_path):
    text = tmp_path / "grüße 雪.png"
    text.write_text("Dear diary")
    assert "not an intact PNG" in refusal(text)
    empty = tmp_path / "empty.png"
    empty.touch()
    assert "empty" in refusal(empty)
    assert "folder" in refusal(tmp_path)
    assert "no such file" in refusal(tmp_path / "missing.png")
    loop = tmp_path / "loop.png"
    loop.symlink_to("loop.png")
    assert "symbolic links" in refusal(loop)
    assert "directory" in refusal(text / "below.png")
    os.mkfifo(tmp_path / "pipe.png")
    assert "regular file" in refusal(tmp_path / "pipe.png")
    with pytest.raises(ImageFileError, match="Cannot read "):
        files.read("a\0.png")


def test_too_many_pixels(tmp_path, monkeypatch):
    path = tmp_path / "bomb.png"
    path.write_bytes(png(40_000, 40_000, 1, 0, [b"\0"]))
    assert "1,000,000,000" in refusal(path)
    save(path, random_pixels(8, 8))
    monkeypatch.setenv("XUNIT_KERAS_MAX_PIXELS", "63")
    message = refusal(path)
    assert "8 x 8" in message and "XUNIT_KERAS_MAX_PIXELS" in message
    assert files.read(path, max_pixels=64).pixels.shape == (8, 8)
    monkeypatch.setenv("XUNIT_KERAS_MAX_PIXELS", "64")
    assert files.read(path).pixels.shape == (8, 8)
    monkeypatch.setenv("XUNIT_KERAS_MAX_PIXELS", "many")
    with pytest.raises(ValueError, match="'many'"):
        files.read(path)


def claims(name, width, height):
    """A file that is no longer than its header, but claims any size."""
    if name == "png":
        return png(width, height, 8, 2, [b"\0"])
    if name == "gif":
        screen = struct.pack("<HHBBB", width, height, 0x80, 0, 0)
        frame = struct.pack("<HHHHB", 0, 0, width, height, 0)
        return b"GIF89a" + screen + bytes(6) + b"," + frame + b"\2\2\4\1\0;"
    if name == "bmp":
        return b"BM" + struct.pack(
            "<IIIIiiHHIIiiII", 54, 0, 54, 40, width, height, 1, 24, *(0,) * 6
        )
    entries = [(256, width), (257, height), (258, 16), (262, 1), (273, 8), (277, 1)]
    entries += [(278, height), (279, 8)]
    directory = b"".join(struct.pack("<HHII", tag, 4, 1, v) for tag, v in entries)
    header = b"II*\0" + struct.pack("<I8xH", 16, len(entries))
    return header + directory + bytes(4)


@pytest.mark.parametrize("name", ["png", "gif", "bmp", "tif"])
def test_a_size_that_the_file_cannot_hold(tmp_path, name):
    path = tmp_path / f"a.{name}"
    path.write_bytes(claims(name, 31_000, 31_000))
    started = time.perf_counter()
    assert "claims 31000 x 31000" in refusal(path)
    assert time.perf_counter() - started < 1


def test_a_jpeg_of_a_few_bytes_that_claims_a_gigapixel(tmp_path):
    path = save(tmp_path / "a.jpg", np.zeros((8, 8, 3), np.uint8))
    content = bytearray(path.read_bytes())
    place = content.index(b"\xff\xc0") + 5
    content[place : place + 4] = struct.pack(">HH", 31_000, 31_000)
    path.write_bytes(content)
    assert "claims 31000 x 31000" in refusal(path)


@pytest.mark.slow
def test_images_of_one_color_are_no_bombs(tmp_path):
    side = 10_000
    image = Image.new("L", (side, side), 200)
    for suffix in (".png", ".gif", ".jpg", ".avif"):
        options = {"speed": 10} if suffix == ".avif" else {}
        image.save(tmp_path / f"a{suffix}", **options)
        pixels = files.read(tmp_path / f"a{suffix}").pixels
        assert pixels.shape[:2] == (side, side)
        assert abs(pixels[:: side // 10].astype(int) - 200).max() <= 1


def test_pages_are_not_counted(tmp_path):
    """Sixty thousand directories, each of one pixel, take no longer than two."""
    path = tmp_path / "a.tif"
    tags = [(256, 1), (257, 1), (258, 8), (262, 1), (273, 8), (278, 1), (279, 1)]
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    size = 2 + len(entries) + 4
    content = [b"II*\0" + struct.pack("<I", 8)]
    for page in range(60_000):
        following = struct.pack("<I", 8 + (page + 1) * size if page < 59_999 else 0)
        content.append(struct.pack("<H", len(tags)) + entries + following)
    path.write_bytes(b"".join(content))
    started = time.perf_counter()
    assert "several frames or pages" in refusal(path)
    assert time.perf_counter() - started < 1


def test_raw_files_of_cameras(tmp_path):
    """Their first picture is a thumbnail."""
    path = tmp_path / "a.dng"
    version = (50706, 1, 4, b"\1\4\0\0", True)
    for options in ({"subfiletype": 1}, {"extratags": [version]}):
        tifffile.imwrite(path, random_pixels(4, 5, 3), photometric="rgb", **options)
        assert "raw file" in refusal(path)


def test_pillow_limit_is_neither_obeyed_nor_changed(tmp_path, monkeypatch):
    path = save(tmp_path / "a.png", random_pixels(8, 8))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert files.read(path).pixels.shape == (8, 8)
        refusal(tmp_path)
    assert Image.MAX_IMAGE_PIXELS == 10


@pytest.mark.parametrize("suffix", [*files.SUFFIXES, ".gif", ".deep.png", ".deep.tif"])
def test_damaged_files_raise_one_error(tmp_path, suffix, recwarn):
    path = tmp_path / f"a{suffix}"
    deep = ".deep" in suffix
    pixels = random_pixels(20, 30, 3, dtype=np.uint16 if deep else np.uint8)
    if deep:
        files.write(path, Photograph(pixels, exif=exif_block()))
    else:
        options = {"format": "JPEG"} if suffix == ".jfif" else {}
        save(path, pixels, exif=exif_block(6), **options)
    whole = path.read_bytes()
    refused = 0
    for cut in np.linspace(0, len(whole) - 1, 24, dtype=int):
        flipped = bytearray(whole)
        flipped[cut] ^= 0xFF
        for content in (whole[:cut], bytes(flipped)):
            path.write_bytes(content)
            try:
                files.read(path)
            except ImageFileError as error:
                assert str(path) in str(error)
                refused += 1
    assert refused >= 12
    assert not recwarn.list  # Pillow's warnings are not for the user.


def test_truncated_jpeg(tmp_path):
    path = save(tmp_path / "a.jpg", random_pixels(64, 64, 3))
    path.write_bytes(path.read_bytes()[:-500])
    assert "damaged or cut short" in refusal(path)


@pytest.mark.parametrize(
    ("pixels", "alpha"),
    [
        (np.zeros((2, 2, 1), np.uint8), None),
        (np.zeros((2, 2, 4), np.uint8), None),
        (np.zeros((0, 2), np.uint8), None),
        (np.zeros((2, 2, 3), np.uint32), None),
        (np.zeros((2, 2), np.float32), None),
        (np.zeros((2, 2), np.uint8), np.zeros((2, 3), np.uint8)),
        (np.zeros((2, 2), np.uint8), np.zeros((2, 2), np.float32)),
        (np.zeros((2, 2), np.uint16), np.zeros((2, 2), np.uint8)),
        (np.zeros((2, 2, 3), np.uint8), np.zeros((2, 2), np.uint16)),
    ],
)
def test_photograph_refuses_other_arrays(pixels, alpha):
    with pytest.raises(ValueError, match="Received: "):
        Photograph(pixels, alpha)
