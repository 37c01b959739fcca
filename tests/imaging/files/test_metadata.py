import struct
import zlib

import numpy as np
import pytest
import tifffile
from imaging.files.made import SRGB, exif_block, parsed, png, random_pixels, save
from PIL import ExifTags, Image

from xunit_keras.imaging import files
from xunit_keras.imaging.files import ImageFileError, Photograph
from xunit_keras.imaging.files.exif import STORAGE_TAGS

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
    plain = files.read(path)
    with Image.open(path) as image:
        stored = np.asarray(image)
    save(path, stored, exif=exif_block(orientation), quality=95)
    if kind == "rgb.jpg":  # Lossy: the same file without EXIF is the reference.
        plain = files.read(save(tmp_path / "plain.jpg", stored, quality=95))

    turn = ORIENTED[orientation]
    turned = files.read(path)
    np.testing.assert_array_equal(turned.pixels, turn(plain.pixels))
    if plain.alpha is not None:
        np.testing.assert_array_equal(turned.alpha, turn(plain.alpha))
    assert ExifTags.Base.Orientation not in parsed(turned.exif)

    files.write(tmp_path / "again.png", turned)
    again = files.read(tmp_path / "again.png")
    np.testing.assert_array_equal(again.pixels, turned.pixels)


@pytest.mark.parametrize("orientation", ORIENTED)
@pytest.mark.parametrize("kind", ["png", "tif"])
def test_orientation_of_deep_color(tmp_path, orientation, kind):
    samples = random_pixels(4, 7, 4, dtype=np.uint16)
    path = tmp_path / f"a.{kind}"
    if kind == "png":
        block = exif_block(orientation).removeprefix(b"Exif\0\0")
        rows = [row.astype(">u2").tobytes() for row in samples]
        path.write_bytes(png(7, 4, 16, 6, rows, (b"eXIf", block)))
    else:
        tifffile.imwrite(
            path,
            samples,
            photometric="rgb",
            extrasamples=["unassalpha"],
            extratags=[(274, 3, 1, orientation, True), (271, 2, 7, "Camera", True)],
        )
    read = files.read(path)
    turned = ORIENTED[orientation](samples)
    np.testing.assert_array_equal(read.pixels, turned[..., :3])
    np.testing.assert_array_equal(read.alpha, turned[..., 3])
    assert parsed(read.exif)[ExifTags.Base.Make] == "Camera"
    assert ExifTags.Base.Orientation not in parsed(read.exif)


@pytest.mark.parametrize("orientation", ORIENTED)
@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg"])
def test_resolution_is_turned_with_the_pixels(tmp_path, orientation, suffix):
    block = Image.Exif()
    block[ExifTags.Base.Orientation] = orientation
    block[ExifTags.Base.XResolution], block[ExifTags.Base.YResolution] = 300.0, 150.0
    path = save(
        tmp_path / f"a{suffix}", random_pixels(4, 7, 3), exif=block, dpi=(300, 150)
    )
    read = files.read(path)
    expected = (150, 300) if orientation >= 5 else (300, 150)
    assert read.dpi == pytest.approx(expected, abs=0.02)
    exif = parsed(read.exif)
    x, y = exif[ExifTags.Base.XResolution], exif[ExifTags.Base.YResolution]
    assert (float(x), float(y)) == expected


@pytest.mark.parametrize("source", [".png", ".tif", ".jpg", ".webp", ".avif"])
@pytest.mark.parametrize("target", [".png", ".tif", ".jpg", ".webp", ".avif"])
def test_metadata_survives_any_change_of_format(tmp_path, source, target):
    save(
        tmp_path / f"a{source}",
        random_pixels(4, 7, 3),
        exif=exif_block(6),
        icc_profile=SRGB,
        dpi=(300, 300),
    )
    first = files.read(tmp_path / f"a{source}")
    files.write(tmp_path / f"b{target}", first)
    read = files.read(tmp_path / f"b{target}")
    assert read.pixels.shape == (7, 4, 3)
    assert read.icc_profile == SRGB
    if not {".webp", ".avif"}.intersection((source, target)):
        assert read.dpi == pytest.approx((300, 300), abs=0.01)

    exif = parsed(read.exif)
    assert exif[ExifTags.Base.Make] == "Camera"
    assert not STORAGE_TAGS.intersection(exif)
    details = exif.get_ifd(ExifTags.IFD.Exif)
    assert float(details[ExifTags.Base.ExposureTime]) == pytest.approx(1 / 30)
    assert details[ExifTags.Base.MakerNote] == b"note\0\1"
    assert ExifTags.Base.ExifImageWidth not in details
    assert exif.get_ifd(ExifTags.IFD.GPSInfo) == {ExifTags.GPS.GPSLatitudeRef: "N"}
    # By this, cameras say that the colors are those of Adobe RGB.
    if source != ".tif":  # Pillow, which wrote it, keeps the place in the old file.
        assert exif.get_ifd(ExifTags.IFD.Interop) == {1: "R03"}


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp"])
def test_damaged_exif_is_left_out(tmp_path, suffix, capfd):
    pixels = random_pixels(4, 5, 3)
    path = save(tmp_path / f"a{suffix}", pixels, exif=b"Exif\0\0garbage!!!!")
    read = files.read(path)
    assert read.pixels.shape == (4, 5, 3) and read.exif is None
    assert capfd.readouterr() == ("", "")


def test_implausible_resolution_is_left_out(tmp_path):
    path = tmp_path / "a.png"
    resolution = (b"pHYs", struct.pack(">IIB", 2**32 - 1, 1, 1))
    path.write_bytes(png(1, 1, 8, 0, [b"\7"], resolution))
    assert files.read(path).dpi is None


# What says the colors, where no profile does.

LINEAR = struct.pack(">I", 100_000)
BT2020 = struct.pack(">8I", 31270, 32900, 70800, 29200, 17000, 79700, 13100, 4600)
PQ = bytes([9, 16, 0, 1])
CHUNKS = {
    "cICP": PQ,
    "gAMA": LINEAR,
    "cHRM": BT2020,
    "mDCV": bytes(range(24)),
    "cLLI": bytes(range(8)),
}


def png_with(path, chunks, gray=False, icc=None):
    """A PNG of one pixel with the chunks given, as another program writes it."""
    pairs = [(name.encode(), data) for name, data in chunks.items()]
    if icc is not None:
        pairs.append((b"iCCP", b"x\0\0" + zlib.compress(icc)))
    pixel = b"\7" if gray else b"\7\x08\x09"
    path.write_bytes(png(1, 1, 8, 0 if gray else 2, [pixel], *pairs))
    return path


@pytest.mark.parametrize("gray", [False, True])
@pytest.mark.parametrize("name", [*CHUNKS, "sRGB", "all"])
def test_color_chunks_of_png_are_kept(tmp_path, name, gray):
    chunks = CHUNKS if name == "all" else {name: CHUNKS.get(name, b"\1")}
    first = files.read(png_with(tmp_path / "a.png", chunks, gray))
    assert first.color_chunks == chunks
    files.write(tmp_path / "b.png", first)
    content = (tmp_path / "b.png").read_bytes()
    for kind, data in chunks.items():
        assert content.index(kind.encode() + data) < content.index(b"IDAT")
    assert files.read(tmp_path / "b.png").color_chunks == chunks


@pytest.mark.parametrize(
    ("chunks", "options", "lost"),
    [
        ({"gAMA": LINEAR}, {}, ["gAMA"]),
        ({"gAMA": LINEAR}, {"gray": True}, ["gAMA"]),
        ({"cHRM": BT2020}, {}, ["cHRM"]),
        ({"cICP": PQ, "sRGB": b"\0"}, {}, ["cICP"]),
        ({"cICP": PQ}, {"icc": SRGB}, ["cICP"]),
        ({"gAMA": LINEAR, "cHRM": BT2020}, {}, ["gAMA and cHRM"]),
        # Nothing is lost: sRGB in other words, what a profile goes before, or the
        # primaries of gray.
        ({"gAMA": struct.pack(">I", 45_000)}, {}, []),
        ({"sRGB": b"\0", "gAMA": LINEAR, "cHRM": BT2020}, {}, []),
        ({"cICP": bytes([1, 13, 0, 1]), "gAMA": LINEAR}, {}, []),
        ({"gAMA": LINEAR, "cHRM": BT2020}, {"icc": SRGB}, []),
        ({"cHRM": BT2020}, {"gray": True}, []),
        ({"mDCV": bytes(24), "cLLI": bytes(8)}, {}, []),
    ],
)
def test_color_chunks_in_other_formats(tmp_path, chunks, options, lost):
    photograph = files.read(png_with(tmp_path / "a.png", chunks, **options))
    for suffix in (".jpg", ".tif", ".webp", ".avif"):
        if not lost:
            files.write(tmp_path / f"b{suffix}", photograph)
            continue
        with pytest.raises(ImageFileError, match=r"color space.*use \.png") as caught:
            files.write(tmp_path / f"b{suffix}", photograph)
        assert all(word in str(caught.value) for word in lost)


def test_color_chunks_of_a_wrong_size_are_left_out(tmp_path):
    path = png_with(tmp_path / "a.png", {"cICP": b"\1", "gAMA": LINEAR})
    assert files.read(path).color_chunks == {"gAMA": LINEAR}


def test_profile_and_srgb_are_not_written_both(tmp_path):
    pixels = random_pixels(2, 2, 3)
    photograph = Photograph(pixels, icc_profile=SRGB, color_chunks={"sRGB": b"\0"})
    files.write(tmp_path / "a.png", photograph)
    content = (tmp_path / "a.png").read_bytes()
    assert b"iCCP" in content and b"sRGB" not in content.replace(SRGB, b"")


@pytest.mark.parametrize(
    ("primaries", "transfer", "expected"),
    [
        (1, 13, {}),
        (1, 1, {}),
        (2, 2, {}),
        (9, 16, {"cICP": bytes([9, 16, 0, 1])}),
        (12, 13, {"cICP": bytes([12, 13, 0, 1])}),
    ],
)
def test_colors_of_avif(tmp_path, primaries, transfer, expected):
    """BT.2020 with PQ, and P3, are kept; sRGB and its likes are not worth a word."""
    path = save(tmp_path / "a.avif", random_pixels(8, 8, 3))
    content = bytearray(path.read_bytes())
    place = content.index(b"colrnclx") + 8
    content[place : place + 4] = struct.pack(">HH", primaries, transfer)
    path.write_bytes(content)
    read = files.read(path)
    assert read.color_chunks == expected
    files.write(tmp_path / "b.png", read)
    assert files.read(tmp_path / "b.png").color_chunks == expected


def test_profile_of_gray(tmp_path):
    """It fits no format that makes RGB of gray."""
    profile = bytearray(SRGB)
    profile[16:20] = b"GRAY"
    photograph = Photograph(random_pixels(3, 4), icc_profile=bytes(profile))
    for suffix in (".png", ".tif", ".jpg"):
        files.write(tmp_path / f"a{suffix}", photograph)
        read = files.read(tmp_path / f"a{suffix}")
        assert read.is_gray and read.icc_profile == bytes(profile)
    for suffix in (".webp", ".avif", ".bmp"):
        with pytest.raises(ImageFileError, match="a gray color profile"):
            files.write(tmp_path / f"a{suffix}", photograph)
