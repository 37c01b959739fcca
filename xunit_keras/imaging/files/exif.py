"""What of an EXIF block is carried over to a restored photograph."""

from PIL import ExifTags, Image

# Tags of a TIFF directory that say how the pixels were stored (and not what they
# show), those superseded by `Photograph` (orientation, ICC profile), and the XMP,
# IPTC and Photoshop blocks, which repeat both.
STORAGE_TAGS = frozenset(
    {
        *range(254, 267),  # Subfile type, size, bits, compression, photometric.
        *(273, 274, *range(277, 282), 284),  # Strips, orientation, planes.
        *(*range(288, 294), 301, *range(317, 348)),  # Curves, tiles, extra samples.
        *range(512, 533),  # JPEG in TIFF, YCbCr.
        *(700, 33723, 34377, 34675, 37724),  # XMP, IPTC, Photoshop, ICC, layers.
    }
)
# In the EXIF directory: the size as stored.
_STORAGE_DETAILS = frozenset(
    {ExifTags.Base.ExifImageWidth, ExifTags.Base.ExifImageHeight}
)


def orientation(exif: Image.Exif) -> int:
    """How the pixels are to be turned: 1 to 8, and 1 where nothing usable is said."""
    value = exif.get(ExifTags.Base.Orientation)
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def carried(exif: Image.Exif, swapped: bool) -> bytes | None:
    """The EXIF block to keep, or None where nothing is left or it is damaged.

    Args:
        exif: the block as it was read.
        swapped: whether the orientation swaps rows and columns.
    """
    try:
        for tag in STORAGE_TAGS.intersection(exif):
            del exif[tag]
        details = exif.get_ifd(ExifTags.IFD.Exif)
        for tag in _STORAGE_DETAILS.intersection(details):
            del details[tag]
        x, y = ExifTags.Base.XResolution, ExifTags.Base.YResolution
        if swapped and x in exif and y in exif:
            exif[x], exif[y] = exif[y], exif[x]
        exif.bigtiff = False  # Whatever the file was.
        return exif.tobytes() if exif else None
    except Exception:  # Damaged EXIF data makes Pillow raise anything.
        return None
