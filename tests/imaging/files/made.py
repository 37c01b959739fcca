"""Image files made by hand, and what must come out of them."""

import struct
import zlib

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageCms
from PIL.TiffImagePlugin import IFDRational

from xunit_keras.imaging import files
from xunit_keras.imaging.files import ImageFileError

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


def png(width, height, depth, color, rows, *chunks):
    """A PNG made by hand: `rows` are packed samples, `chunks` (name, data) pairs."""

    def chunk(name, data):
        return (
            struct.pack(">I", len(data))
            + name
            + data
            + struct.pack(">I", zlib.crc32(name + data))
        )

    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0)
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


def exif_block(orientation=None):
    exif = Image.Exif()
    exif[ExifTags.Base.Make] = "Camera"
    if orientation is not None:
        exif[ExifTags.Base.Orientation] = orientation
    details = exif.get_ifd(ExifTags.IFD.Exif)
    details[ExifTags.Base.ExposureTime] = IFDRational(1, 30)
    details[ExifTags.Base.ExifImageWidth] = 99
    details[ExifTags.Base.MakerNote] = b"note\0\1"
    details[ExifTags.IFD.Interop] = {1: "R03"}
    exif.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSLatitudeRef] = "N"
    return exif.tobytes()


def parsed(exif_bytes):
    exif = Image.Exif()
    exif.load(exif_bytes)
    return exif


def refusal(path):
    with pytest.raises(ImageFileError) as caught:
        files.read(path)
    message = str(caught.value)
    assert str(path) in message and message.startswith("Cannot read ")
    return message


def contents(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }
