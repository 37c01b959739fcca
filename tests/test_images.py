import os
import struct
import warnings
import zlib

import numpy as np
import pytest
import tifffile
from PIL import ExifTags, Image, ImageCms, JpegImagePlugin
from PIL.TiffImagePlugin import IFDRational

from xunit_keras import images
from xunit_keras.images import ImageFileError, Photograph

EXACT = (".png", ".tif", ".webp", ".bmp")
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def random_pixels(*shape, dtype=np.uint8):
    high = np.iinfo(dtype).max + 1
    return np.random.default_rng(7).integers(0, high, shape, dtype)


def save(path, array, mode=None, **options):
    """Writes an array with Pillow alone; returns the path."""
    image = Image.fromarray(array)
    if mode is not None:
        image = image.convert(mode)
    image.save(path, **options)
    return path


def png(width, height, depth, colour, rows, *chunks):
    """A PNG made by hand: `rows` are packed samples, `chunks` (name, data) pairs."""

    def chunk(name, data):
        return (
            struct.pack(">I", len(data))
            + name
            + data
            + struct.pack(">I", zlib.crc32(name + data))
        )

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + b"".join(chunk(*pair) for pair in chunks)
        + chunk(b"IDAT", zlib.compress(b"".join(b"\0" + row for row in rows)))
        + chunk(b"IEND", b"")
    )


def cmyk_profile(cyan_lab):
    """An ICC profile by hand: a 2^4 table, all white but full cyan and all blacks."""
    labs = []
    for index in range(16):  # The bits are C, M, Y, K.
        lab = (100, 0, 0)
        if index & 1:
            lab = (0, 0, 0)
        elif index == 8:
            lab = cyan_lab
        labs.append((round(lab[0] * 2.55), lab[1] + 128, lab[2] + 128))
    fixed = lambda *values: struct.pack(  # noqa: E731
        f">{len(values)}i", *(round(value * 65536) for value in values)
    )
    ramp = bytes(range(256))
    table = (
        b"mft1\0\0\0\0\x04\x03\x02\0"
        + fixed(1, 0, 0, 0, 1, 0, 0, 0, 1)
        + ramp * 4
        + bytes(np.ravel(labs).tolist())
        + ramp * 3
    )
    tags = struct.pack(">I4sII", 1, b"A2B0", 144, len(table))
    header = (
        struct.pack(">I4xI", 144 + len(table), 0x02400000)
        + b"prtrCMYKLab "
        + bytes(12)
        + b"acsp"
        + bytes(28)
        + fixed(0.9642, 1, 0.8249)
    )
    return header.ljust(128, b"\0") + tags + table


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


def exif_block(orientation=None):
    exif = Image.Exif()
    exif[ExifTags.Base.Make] = "Camera"
    if orientation is not None:
        exif[ExifTags.Base.Orientation] = orientation
    details = exif.get_ifd(ExifTags.IFD.Exif)
    details[ExifTags.Base.ExposureTime] = IFDRational(1, 30)
    details[ExifTags.Base.ExifImageWidth] = 99
    details[ExifTags.Base.MakerNote] = b"note\0\1"
    exif.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSLatitudeRef] = "N"
    return exif.tobytes()


def parsed(exif_bytes):
    exif = Image.Exif()
    exif.load(exif_bytes)
    return exif


def refusal(path):
    with pytest.raises(ImageFileError) as caught:
        images.read(path)
    message = str(caught.value)
    assert str(path) in message and message.startswith("Cannot read ")
    return message


# Reading: what the pixels are.


@pytest.mark.parametrize("suffix", EXACT)
@pytest.mark.parametrize("shape", [(1, 1), (1, 1, 3), (3, 2000, 3), (2000, 3), (5, 7)])
def test_round_trip_is_exact(tmp_path, suffix, shape):
    pixels = random_pixels(*shape)
    images.write(tmp_path / f"a{suffix}", Photograph(pixels))
    read = images.read(tmp_path / f"a{suffix}")
    if suffix == ".webp" and len(shape) == 2:  # WebP has no grey.
        pixels = np.repeat(pixels[..., None], 3, axis=-1)
    np.testing.assert_array_equal(read.pixels, pixels)
    assert read.pixels.dtype == np.uint8
    assert read.alpha is None and read.icc_profile is None and read.exif is None


def test_jpeg_keeps_full_colour_resolution(tmp_path):
    ramp = np.linspace(0, 255, 40).astype(np.uint8)
    pixels = np.stack(np.broadcast_arrays(ramp, ramp[:, None], 255 - ramp), axis=-1)
    images.write(tmp_path / "a.JPG", Photograph(pixels))
    with Image.open(tmp_path / "a.JPG") as image:
        assert image.format == "JPEG"
        assert JpegImagePlugin.get_sampling(image) == 0  # 4:4:4.
    difference = images.read(tmp_path / "a.JPG").pixels.astype(int) - pixels
    assert abs(difference).max() <= 6


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_sixteen_bit_grey_round_trip(tmp_path, suffix):
    pixels = random_pixels(9, 13, dtype=np.uint16)
    images.write(tmp_path / f"a{suffix}", Photograph(pixels, icc_profile=SRGB))
    read = images.read(tmp_path / f"a{suffix}")
    assert read.pixels.dtype == np.uint16 and read.icc_profile == SRGB
    np.testing.assert_array_equal(read.pixels, pixels)
    with Image.open(tmp_path / f"a{suffix}") as image:
        assert image.mode == "I;16"


@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("photometric", ["minisblack", "miniswhite"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_grey_tiff_of_another_program(tmp_path, byteorder, photometric, dtype):
    pixels = random_pixels(5, 6, dtype=dtype)
    stored = pixels
    if photometric == "miniswhite":
        stored = np.iinfo(dtype).max - pixels
    tifffile.imwrite(
        tmp_path / "a.tif", stored, photometric=photometric, byteorder=byteorder
    )
    if byteorder == ">" and photometric == "miniswhite" and dtype == np.uint16:
        assert "not an intact" in refusal(tmp_path / "a.tif")  # Unknown to Pillow.
        return
    read = images.read(tmp_path / "a.tif")
    np.testing.assert_array_equal(read.pixels, pixels)
    assert read.pixels.dtype == np.dtype(dtype)


def test_sixteen_bit_png_of_another_program(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(png(2, 1, 16, 0, [struct.pack(">HH", 258, 65535)]))
    assert images.read(path).pixels.tolist() == [[258, 65535]]


def test_one_bit_becomes_grey(tmp_path):
    bits = random_pixels(9, 11) > 127
    read = images.read(save(tmp_path / "a.png", bits))
    np.testing.assert_array_equal(read.pixels, np.where(bits, 255, 0))
    assert read.pixels.dtype == np.uint8 and read.alpha is None


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_grey_with_alpha(tmp_path, suffix):
    samples = random_pixels(6, 5, 2)
    path = save(tmp_path / f"a{suffix}", samples)
    read = images.read(path)
    np.testing.assert_array_equal(read.pixels, samples[..., 0])
    np.testing.assert_array_equal(read.alpha, samples[..., 1])


@pytest.mark.parametrize("suffix", [".png", ".tif", ".webp"])
def test_alpha_round_trip_keeps_hidden_colours(tmp_path, suffix):
    original = Photograph(random_pixels(6, 5, 3), random_pixels(6, 5) // 128 * 255)
    assert (original.alpha == 0).any()
    images.write(tmp_path / f"a{suffix}", original)
    read = images.read(tmp_path / f"a{suffix}")
    np.testing.assert_array_equal(read.pixels, original.pixels)
    np.testing.assert_array_equal(read.alpha, original.alpha)


@pytest.mark.parametrize("channels", [2, 4])
def test_premultiplied_tiff(tmp_path, channels):
    alpha = np.array([[255, 128, 0]], np.uint8)
    colour = np.array([[200, 50, 0]], np.uint8)
    samples = np.stack([colour] * (channels - 1) + [alpha], axis=-1)
    tifffile.imwrite(
        tmp_path / "a.tif",
        samples,
        photometric="rgb" if channels == 4 else "minisblack",
        planarconfig="contig",
        extrasamples=["assocalpha"],
    )
    read = images.read(tmp_path / "a.tif")
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
        read = images.read(tmp_path / name)
        np.testing.assert_array_equal(read.pixels, palette[indices])
        assert read.alpha is None


def test_palette_with_transparency(tmp_path):
    palette, opacities = random_pixels(4, 3), bytes([0, 128, 255])
    rows = [bytes([0, 1, 2, 3])]
    path = tmp_path / "a.png"
    chunks = (b"PLTE", palette.tobytes()), (b"tRNS", opacities)
    path.write_bytes(png(4, 1, 8, 3, rows, *chunks))
    read = images.read(path)
    np.testing.assert_array_equal(read.pixels, palette[None])
    assert read.alpha.tolist() == [[0, 128, 255, 255]]


def test_gif_with_transparency(tmp_path):
    image = Image.fromarray(np.array([[0, 1, 2]], np.uint8))
    image.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90])
    image.save(tmp_path / "a.gif", transparency=1)
    read = images.read(tmp_path / "a.gif")
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
def test_grey_with_a_transparent_shade(tmp_path, depth, row, values, transparent):
    path = tmp_path / "a.png"
    shade = (b"tRNS", struct.pack(">H", transparent))
    path.write_bytes(png(3, 1, depth, 0, [bytes(row)], shade))
    read = images.read(path)
    assert read.pixels.tolist() == [values]
    shade = transparent * 255 // (2**depth - 1)
    assert read.alpha.tolist() == [[0 if v == shade else 255 for v in values]]


def test_rgb_with_a_transparent_colour(tmp_path):
    path = tmp_path / "a.png"
    colour = (b"tRNS", struct.pack(">HHH", 4, 5, 6))
    path.write_bytes(png(2, 1, 8, 2, [bytes([4, 5, 6, 4, 5, 7])], colour))
    read = images.read(path)
    assert read.pixels.tolist() == [[[4, 5, 6], [4, 5, 7]]]
    assert read.alpha.tolist() == [[0, 255]]


@pytest.mark.parametrize(
    "profile", [None, b"not a profile", SRGB], ids=["none", "damaged", "of RGB"]
)
def test_cmyk_without_a_usable_profile(tmp_path, profile):
    inks = random_pixels(8, 8, 4)
    path = tmp_path / "a.tif"
    Image.fromarray(inks, "CMYK").save(path, icc_profile=profile)
    light = 255 - inks.astype(float)
    expected = light[..., :3] * light[..., 3:] / 255
    read = images.read(path)
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
    read = images.read(path)
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
    read = images.read(tmp_path / "a.tif")
    expected = [[lab_to_srgb(*lab) for lab in labs]]
    np.testing.assert_allclose(read.pixels, expected, atol=2)


def test_ycbcr(tmp_path):
    colours = np.array([[[200, 100, 50], [10, 20, 30]]], np.uint8)
    save(tmp_path / "a.tif", colours, "YCbCr")
    np.testing.assert_allclose(images.read(tmp_path / "a.tif").pixels, colours, atol=2)


ORIENTED = {
    1: lambda x: x,
    2: np.fliplr,
    3: lambda x: np.rot90(x, 2),
    4: np.flipud,
    5: lambda x: np.swapaxes(x, 0, 1),
    6: lambda x: np.rot90(x, -1),
    7: lambda x: np.rot90(np.swapaxes(x, 0, 1), 2),
    8: np.rot90,
}


@pytest.mark.parametrize("orientation", ORIENTED)
@pytest.mark.parametrize(
    "kind", ["rgb.png", "alpha.png", "deep.png", "rgb.tif", "deep.tif", "rgb.jpg"]
)
def test_orientation_is_applied_once(tmp_path, orientation, kind):
    shape = {"rgb": (4, 7, 3), "alpha": (4, 7, 4), "deep": (4, 7)}[kind[:-4]]
    dtype = np.uint16 if kind.startswith("deep") else np.uint8
    path = save(tmp_path / kind, random_pixels(*shape, dtype=dtype))
    plain = images.read(path)
    with Image.open(path) as image:
        stored = np.asarray(image)
    save(path, stored, exif=exif_block(orientation), quality=95)
    if kind == "rgb.jpg":  # Lossy: the same file without EXIF is the reference.
        plain = images.read(save(tmp_path / "plain.jpg", stored, quality=95))

    turn = ORIENTED[orientation]
    turned = images.read(path)
    np.testing.assert_array_equal(turned.pixels, turn(plain.pixels))
    if plain.alpha is not None:
        np.testing.assert_array_equal(turned.alpha, turn(plain.alpha))
    assert ExifTags.Base.Orientation not in parsed(turned.exif)

    images.write(tmp_path / "again.png", turned)
    again = images.read(tmp_path / "again.png")
    np.testing.assert_array_equal(again.pixels, turned.pixels)


# Metadata.


@pytest.mark.parametrize("source", [".png", ".tif", ".jpg", ".webp"])
@pytest.mark.parametrize("target", [".png", ".tif", ".jpg", ".webp"])
def test_metadata_survives_any_change_of_format(tmp_path, source, target):
    save(
        tmp_path / f"a{source}",
        random_pixels(4, 7, 3),
        exif=exif_block(6),
        icc_profile=SRGB,
        dpi=(300, 300),
    )
    first = images.read(tmp_path / f"a{source}")
    images.write(tmp_path / f"b{target}", first)
    read = images.read(tmp_path / f"b{target}")
    assert read.pixels.shape == (7, 4, 3)
    assert read.icc_profile == SRGB
    if ".webp" not in (source, target):
        assert read.dpi == pytest.approx((300, 300), abs=0.01)

    exif = parsed(read.exif)
    assert exif[ExifTags.Base.Make] == "Camera"
    assert not images._STORAGE_TAGS.intersection(exif)
    details = exif.get_ifd(ExifTags.IFD.Exif)
    assert float(details[ExifTags.Base.ExposureTime]) == pytest.approx(1 / 30)
    assert details[ExifTags.Base.MakerNote] == b"note\0\1"
    assert ExifTags.Base.ExifImageWidth not in details
    assert exif.get_ifd(ExifTags.IFD.GPSInfo) == {ExifTags.GPS.GPSLatitudeRef: "N"}


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp"])
def test_damaged_exif_is_left_out(tmp_path, suffix, capfd):
    pixels = random_pixels(4, 5, 3)
    path = save(tmp_path / f"a{suffix}", pixels, exif=b"Exif\0\0garbage!!!!")
    read = images.read(path)
    assert read.pixels.shape == (4, 5, 3) and read.exif is None
    assert capfd.readouterr() == ("", "")


def test_implausible_resolution_is_left_out(tmp_path):
    path = tmp_path / "a.png"
    resolution = (b"pHYs", struct.pack(">IIB", 2**32 - 1, 1, 1))
    path.write_bytes(png(1, 1, 8, 0, [b"\7"], resolution))
    assert images.read(path).dpi is None


def test_phone_picture_is_read_as_its_first(tmp_path):
    first, second = random_pixels(8, 8, 3), random_pixels(4, 4, 3)
    path = tmp_path / "a.jpg"
    Image.fromarray(first).save(
        path, "MPO", save_all=True, append_images=[Image.fromarray(second)]
    )
    with Image.open(path) as image:
        assert image.format == "MPO" and image.n_frames == 2
        expected = np.asarray(image)
    np.testing.assert_array_equal(images.read(path).pixels, expected)


# Reading: what is refused.


@pytest.mark.parametrize(("colour", "channels"), [(2, 3), (4, 2), (6, 4)])
def test_sixteen_bit_colour_png_is_refused(tmp_path, colour, channels):
    path = tmp_path / "a.png"
    path.write_bytes(png(1, 1, 16, colour, [bytes(2 * channels)]))
    assert "16-bit" in refusal(path)


def test_sixteen_bit_grey_with_transparency_is_refused(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(png(1, 1, 16, 0, [b"\1\1"], (b"tRNS", b"\1\1")))
    assert "16-bit" in refusal(path)


@pytest.mark.parametrize(
    ("shape", "dtype", "word"),
    [
        ((4, 5, 3), np.uint16, "16-bit"),
        ((4, 5, 4), np.uint16, "16-bit"),
        ((4, 5), np.uint32, "32-bit"),
        ((4, 5), np.int16, "signed"),
        ((4, 5), np.int8, "signed"),
        ((4, 5), np.float32, "floating-point"),
    ],
)
def test_deep_and_signed_tiff_is_refused(tmp_path, shape, dtype, word):
    photometric = "rgb" if len(shape) == 3 else "minisblack"
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.zeros(shape, dtype), photometric=photometric)
    assert word in refusal(path)


@pytest.mark.parametrize("suffix", [".gif", ".png", ".webp", ".tif"])
def test_several_frames_are_refused(tmp_path, suffix):
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "green", "blue")]
    path = tmp_path / f"a{suffix}"
    frames[0].save(path, save_all=True, append_images=frames[1:])
    assert "3 frames" in refusal(path)


def test_not_an_image(tmp_path):
    text = tmp_path / "grüße 雪.png"
    text.write_text("Dear diary")
    assert "not an intact PNG" in refusal(text)
    empty = tmp_path / "empty.png"
    empty.touch()
    assert "empty" in refusal(empty)
    assert "folder" in refusal(tmp_path)
    assert "no such file" in refusal(tmp_path / "missing.png")


def test_too_many_pixels(tmp_path):
    path = tmp_path / "bomb.png"
    path.write_bytes(png(40_000, 40_000, 1, 0, [b"\0"]))
    assert "1,000,000,000" in refusal(path)


def test_pillow_limit_is_neither_obeyed_nor_changed(tmp_path, monkeypatch):
    path = save(tmp_path / "a.png", random_pixels(8, 8))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert images.read(path).pixels.shape == (8, 8)
        refusal(tmp_path)
    assert Image.MAX_IMAGE_PIXELS == 10


@pytest.mark.parametrize("suffix", [*images.SUFFIXES, ".gif"])
def test_damaged_files_raise_one_error(tmp_path, suffix, recwarn):
    path = tmp_path / f"a{suffix}"
    options = {"format": "JPEG"} if suffix == ".jfif" else {}
    save(path, random_pixels(20, 30, 3), exif=exif_block(6), **options)
    whole = path.read_bytes()
    refused = 0
    for cut in np.linspace(0, len(whole) - 1, 24, dtype=int):
        flipped = bytearray(whole)
        flipped[cut] ^= 0xFF
        for content in (whole[:cut], bytes(flipped)):
            path.write_bytes(content)
            try:
                images.read(path)
            except ImageFileError as error:
                assert str(path) in str(error)
                refused += 1
    assert refused >= 12
    assert not recwarn.list  # Pillow's warnings are not for the user.


def test_truncated_jpeg(tmp_path):
    path = save(tmp_path / "a.jpg", random_pixels(64, 64, 3))
    path.write_bytes(path.read_bytes()[:-500])
    assert "damaged or cut short" in refusal(path)


# Writing.


def contents(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.mark.parametrize(
    ("name", "photograph", "words"),
    [
        ("a.xyz", {}, [".xyz", ".png", ".jpg"]),
        ("a", {}, ["''", ".png"]),
        ("a.gif", {}, [".gif"]),
        ("a.jpg", {"alpha": 0}, ["transparency", ".webp"]),
        ("a.bmp", {"alpha": 0}, ["transparency"]),
        ("a.jpg", {"dtype": np.uint16}, ["16 bits", ".tif"]),
        ("a.webp", {"dtype": np.uint16}, ["16 bits", ".png"]),
        ("a.bmp", {"icc_profile": SRGB}, ["profile", ".jpg"]),
        ("a.jpg", {"exif": bytes(70_000)}, ["EXIF"]),
        ("a.webp", {"width": 16_384}, ["16384 x 1", "16,383"]),
        ("a.jpg", {"width": 65_501}, ["65,500"]),
        ("file.txt/a.png", {}, ["file.txt"]),
        ("folder.png", {}, ["folder"]),
        ("x" * 300 + ".png", {}, ["long"]),
    ],
)
def test_refused_before_any_work(tmp_path, name, photograph, words):
    (tmp_path / "file.txt").write_text("a file")
    (tmp_path / "folder.png").mkdir()
    before = contents(tmp_path)
    width, dtype = photograph.pop("width", 1), photograph.pop("dtype", np.uint8)
    if "alpha" in photograph:
        photograph["alpha"] = np.zeros((1, width), np.uint8)
    photograph = Photograph(np.zeros((1, width), dtype), **photograph)
    for refuse in (images.check_writable, images.write):
        with pytest.raises(ImageFileError, match="Cannot write ") as caught:
            refuse(tmp_path / name, photograph)
        assert all(word in str(caught.value) for word in words), caught.value
    assert contents(tmp_path) == before


def test_check_writable_knows_the_scale(tmp_path):
    small = Photograph(np.zeros((1, 6000), np.uint8))
    images.check_writable(tmp_path / "a.webp", small, scale=2)
    with pytest.raises(ImageFileError, match="18000 x 3"):
        images.check_writable(tmp_path / "a.webp", small, scale=3)
    large = Photograph(np.broadcast_to(np.uint8(0), (20_000, 20_000)))
    with pytest.raises(ImageFileError, match="1,000,000,000"):
        images.check_writable(tmp_path / "a.png", large, scale=2)


def test_folder_without_permission(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda *_: False)  # Root may write anywhere.
    with pytest.raises(ImageFileError, match="cannot be written to"):
        images.check_writable(tmp_path / "a.png", Photograph(np.zeros((1, 1), "u1")))


def test_write_makes_folders_and_respects_umask(tmp_path):
    path = tmp_path / "новая" / "папка 雪" / "é.PNG"
    pixels = random_pixels(3, 4, 3)
    photograph = Photograph(pixels)
    images.check_writable(path, photograph)
    assert not path.parent.parent.exists()
    images.write(path, photograph)
    (tmp_path / "plain").touch()
    assert path.stat().st_mode == (tmp_path / "plain").stat().st_mode
    assert list(path.parent.iterdir()) == [path]
    np.testing.assert_array_equal(images.read(path).pixels, pixels)


def test_opaque_alpha_needs_no_place(tmp_path):
    pixels, alpha = random_pixels(3, 4, 3), np.full((3, 4), 255, np.uint8)
    for suffix in (".bmp", ".jpg"):
        images.write(tmp_path / f"a{suffix}", Photograph(pixels, alpha))
        assert images.read(tmp_path / f"a{suffix}").alpha is None
    images.write(tmp_path / "a.png", Photograph(pixels, alpha))
    np.testing.assert_array_equal(images.read(tmp_path / "a.png").alpha, alpha)


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (OSError(28, "No space left on device"), ImageFileError),
        (KeyboardInterrupt(), KeyboardInterrupt),
    ],
)
def test_failing_write_leaves_the_old_file_alone(tmp_path, monkeypatch, error, raised):
    path = tmp_path / "a.png"
    images.write(path, Photograph(random_pixels(3, 4)))
    before = contents(tmp_path)
    half_written = []

    def fail(image, target, **options):
        target.write_bytes(b"half")
        half_written.append(target)
        raise error

    monkeypatch.setattr(Image.Image, "save", fail)
    with pytest.raises(raised) as caught:
        images.write(path, Photograph(random_pixels(5, 6)))
    if raised is ImageFileError:
        assert str(path) in str(caught.value) and "No space left" in str(caught.value)
    assert half_written[0].parent == tmp_path and half_written[0] != path
    assert contents(tmp_path) == before


def test_quality(tmp_path):
    photograph = Photograph(random_pixels(32, 32, 3))
    for quality in (50, 95):
        images.write(tmp_path / f"{quality}.jpg", photograph, quality=quality)
    sizes = [(tmp_path / f"{quality}.jpg").stat().st_size for quality in (50, 95)]
    assert sizes[0] < sizes[1]
    with pytest.raises(ValueError, match="quality=101"):
        images.write(tmp_path / "a.jpg", photograph, quality=101)


# Everything else.


def test_find(tmp_path, monkeypatch):
    wanted = ["a.PNG", "b/c.jpg", "b/d/é.Tiff", "b/雪.webp"]
    others = [".hidden.png", ".cache/a.png", "notes.txt", "png", "b/e.gif"]
    for name in wanted + others:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / "folder.png").mkdir()
    # What a killed process would leave behind.
    monkeypatch.setattr(Image.Image, "save", lambda _, path, **__: path.touch())
    monkeypatch.setattr(type(tmp_path), "replace", lambda *_: None)
    monkeypatch.setattr(type(tmp_path), "unlink", lambda *_, **__: None)
    images.write(tmp_path / "b" / "z.png", Photograph(np.zeros((1, 1), np.uint8)))
    assert len(list((tmp_path / "b").iterdir())) == 5

    assert images.find(tmp_path) == [tmp_path / name for name in wanted]
    assert images.find(tmp_path / "folder.png") == []
    with pytest.raises(ImageFileError, match="missing"):
        images.find(tmp_path / "missing")


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_every_sample_survives_the_conversion(dtype):
    white = np.iinfo(dtype).max
    samples = np.arange(white + 1, dtype=dtype)
    floats = images.to_float(samples)
    assert floats.dtype == np.float32
    np.testing.assert_allclose(floats, np.arange(white + 1.0) / white, rtol=1e-7)
    back = images.from_float(floats, dtype)
    assert back.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(back, samples)


def test_from_float_clips_and_rounds():
    values = np.array([[-0.1, 0.499 / 255, 0.501 / 255, 1.0, 1.2, np.inf, -np.inf]])
    kept = values.copy()
    expected = [[0, 0, 1, 255, 255, 255, 0]]
    assert images.from_float(values, "uint8").tolist() == expected
    np.testing.assert_array_equal(values, kept)
    # Halves that float32 holds exactly are rounded up, not to even.
    assert images.from_float(np.float32([0.5]), np.uint8).tolist() == [128]
    assert images.from_float(np.float32([0.5]), np.uint16).tolist() == [32768]
    assert images.from_float(np.zeros((0, 3)), np.uint8).shape == (0, 3)
    with pytest.raises(ValueError, match="NaN"):
        images.from_float(np.array([0.1, np.nan]), np.uint8)
    with pytest.raises(ValueError, match="int32"):
        images.from_float(values, np.int32)
    with pytest.raises(ValueError, match="float32"):
        images.to_float(np.zeros(3, np.float32))


@pytest.mark.parametrize(
    ("pixels", "alpha"),
    [
        (np.zeros((2, 2, 1), np.uint8), None),
        (np.zeros((2, 2, 4), np.uint8), None),
        (np.zeros((0, 2), np.uint8), None),
        (np.zeros((2, 2, 3), np.uint16), None),
        (np.zeros((2, 2), np.float32), None),
        (np.zeros((2, 2), np.uint8), np.zeros((2, 3), np.uint8)),
        (np.zeros((2, 2), np.uint8), np.zeros((2, 2), np.float32)),
        (np.zeros((2, 2), np.uint16), np.zeros((2, 2), np.uint16)),
    ],
)
def test_photograph_refuses_other_arrays(pixels, alpha):
    with pytest.raises(ValueError, match="Received: "):
        Photograph(pixels, alpha)
