"""What Pillow does not say of AVIF files, and HEIC files, which it does not read.

Source: ISO/IEC 14496-12 (boxes), 23008-12 (HEIF) and 23000-22, AV1 in ISOBMFF.
"""

import struct
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

import numpy as np

from xunit_keras.imaging.files import color_space, samples
from xunit_keras.packages import require


def read_heic(
    file: BinaryIO, check: Callable[[int, int], None]
) -> tuple[np.ndarray, dict[str, Any]]:
    """Reads the main picture of a HEIC file.

    Args:
        file: the file.
        check: called with width and height before anything is decoded.

    Returns:
        The samples `(H, W)` or `(H, W, 3 or 4)`, uint8 or uint16, the right way up;
        and the metadata, as Pillow names them.
    """
    pillow_heif = require("pillow_heif", "heic")
    file.seek(0)
    heif = pillow_heif.open_heif(file, convert_hdr_to_8bit=False, hdr_to_16bit=False)
    image = heif[heif.primary_index]
    check(*image.size)
    array = np.asarray(image)
    if image.info["bit_depth"] > 8:
        array = samples.widened(array, image.info["bit_depth"])
    if image.premultiplied_alpha:
        array = samples.straight(array)
    return array, image.info


def read_deep_avif(file: BinaryIO, bits: int) -> np.ndarray:
    """The samples of an AVIF file of 10 or 12 bits, as uint16, not turned."""
    import imagecodecs

    file.seek(0)
    return samples.widened(imagecodecs.avif_decode(file.read()), bits)


def bits_of_avif(file: BinaryIO) -> int:
    """Bits per sample: 8, 10 or 12."""
    for kind, content in _properties(file):
        if kind == b"av1C" and content[2] & 0x40:
            return 12 if content[2] & 0x20 else 10
    return 8


def color_chunks(file: BinaryIO) -> dict[str, bytes]:
    """What says the colors where no ICC profile does, as `Photograph` has it."""
    for kind, content in _properties(file):
        if kind == b"colr" and content[:4] == b"nclx":
            return color_space.of_h273(*struct.unpack_from(">HH", content, 4))
    return {}


def _properties(file: BinaryIO) -> Iterator[tuple[bytes, bytes]]:
    """Name and content of the boxes that describe the pictures of a file."""
    file.seek(0)
    found = [(b"", file.read())]
    for name, skipped in ((b"meta", 0), (b"iprp", 4), (b"ipco", 0), (None, 0)):
        # Version and flags of four bytes come first in "meta".
        found = [
            (kind, content)
            for _, container in found
            for kind, content in _boxes(container[skipped:])
            if name in (None, kind)
        ]
    yield from found


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Name and content of boxes that lie one behind the other."""
    place = 0
    while place + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, place)
        start = 8
        if size == 1:
            (size,) = struct.unpack_from(">Q", data, place + 8)
            start = 16
        elif size == 0:  # To the end.
            size = len(data) - place
        if size < start:
            return
        yield kind, data[place + start : place + size]
        place += size
