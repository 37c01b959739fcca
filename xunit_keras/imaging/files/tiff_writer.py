"""TIFF, a few rows at a time, uncompressed.

Source: TIFF Revision 6.0, Adobe, 1992; BigTIFF where a file is larger than 4 GB.
"""

from typing import BinaryIO

import numpy as np
from PIL import ExifTags, Image
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from xunit_keras.imaging.files.photograph import Photograph

_CLASSIC = b"II*\0" + bytes(4)
_BIG = b"II+\0\x08" + bytes(11)
_LARGEST_CLASSIC = 2**32 - 2**28  # Bytes of samples; the rest is for metadata.
_STRIP = 2**20  # Bytes.
_LONG, _LONG8 = 4, 16
_BLACK_IS_ZERO, _RGB = 1, 2
_STRAIGHT = 2


class TiffWriter:
    """Writes the rows of one TIFF file.

    Args:
        file: where to write.
        like: the metadata, the kind of samples and whether there is alpha.
        height: in pixels.
        width: in pixels.
    """

    def __init__(self, file: BinaryIO, like: Photograph, height: int, width: int):
        self._file = file
        channels = (1 if like.is_gray else 3) + (like.alpha is not None)
        row = width * channels * like.pixels.itemsize
        is_big = height * row > _LARGEST_CLASSIC
        tags = ImageFileDirectory_v2(_BIG if is_big else _CLASSIC)
        names = ExifTags.Base
        if like.exif:
            _add_exif(tags, like.exif)
        if like.icc_profile:
            tags[names.InterColorProfile] = like.icc_profile
        if like.dpi:
            tags[names.XResolution], tags[names.YResolution] = like.dpi
            tags[names.ResolutionUnit] = 2  # Inches.

        tags[names.ImageWidth], tags[names.ImageLength] = width, height
        tags[names.BitsPerSample] = (8 * like.pixels.itemsize,) * channels
        tags[names.SamplesPerPixel] = channels
        tags[names.Compression] = tags[names.PlanarConfiguration] = 1
        tags[names.PhotometricInterpretation] = _BLACK_IS_ZERO if like.is_gray else _RGB
        if like.alpha is not None:
            tags[names.ExtraSamples] = _STRAIGHT
        rows = max(1, _STRIP // row)
        starts = range(0, height, rows)
        tags[names.RowsPerStrip] = rows
        for tag, values in (
            # From the end of the directory on, which Pillow adds.
            (names.StripOffsets, tuple(start * row for start in starts)),
            (names.StripByteCounts, tuple(min(rows, height - s) * row for s in starts)),
        ):
            tags.tagtype[tag] = _LONG8 if is_big else _LONG
            tags[tag] = values
        tags.save(file)

    def write(self, rows: np.ndarray) -> None:
        """Adds rows `(n, W)` or `(n, W, channels)`."""
        rows = rows.astype(rows.dtype.newbyteorder("<"), copy=False)
        self._file.write(np.ascontiguousarray(rows).data)

    def finish(self) -> None:
        """Ends the file."""


def _add_exif(tags: ImageFileDirectory_v2, block: bytes) -> None:
    exif = Image.Exif()
    exif.load(block)
    for tag, value in exif.items():
        if tag in (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo):
            value = dict(exif.get_ifd(tag))
            if ExifTags.IFD.Interop in value:
                value[ExifTags.IFD.Interop] = exif.get_ifd(ExifTags.IFD.Interop)
        tags[tag] = value
