"""What says which colors samples mean, where no ICC profile does: PNG's chunks.

Source: Portable Network Graphics (PNG) Specification (Third Edition), W3C, 2025,
sections 4.3 and 11.3.2: cICP goes before an ICC profile, that before sRGB, and that
before gAMA and cHRM.
"""

import struct
from collections.abc import Mapping
from typing import BinaryIO

CHUNKS = {"cICP": 4, "sRGB": 1, "gAMA": 4, "cHRM": 32, "mDCV": 24, "cLLI": 8}
"""The chunks and their sizes, in the order in which they are written."""

_SRGB_CICP = bytes((1, 13, 0, 1))  # Primaries, transfer, RGB, full range.
_SRGB_GAMMA = 45_455
_SRGB_CHROMATICITIES = (
    *(31_270, 32_900),  # White,
    *(64_000, 33_000, 30_000, 60_000, 15_000, 6_000),  # red, green and blue.
)

# Of ITU-T H.273: those of BT.709 and sRGB, or none said. Cameras and converters write
# them all for samples that are to be shown as sRGB.
_SRGB_PRIMARIES = (1, 2)
_SRGB_TRANSFERS = (1, 2, 6, 13, 14, 15)


def of_png(file: BinaryIO) -> dict[str, bytes]:
    """The chunks of a PNG file by name, those of a wrong size left out."""
    file.seek(8)
    found = {}
    while len(head := file.read(8)) == 8:
        length, code = struct.unpack(">I4s", head)
        if code == b"IDAT":
            break
        name = code.decode("latin-1")
        if CHUNKS.get(name) == length:
            found[name] = file.read(length)
            length = 0
        file.seek(length + 4, 1)  # The checksum as well.
    return found


def of_h273(primaries: int, transfer: int) -> dict[str, bytes]:
    """The chunks that say what an AVIF or HEIC file says in numbers of ITU-T H.273.

    Nothing where they are those of sRGB, or not specified.
    """
    if primaries in _SRGB_PRIMARIES and transfer in _SRGB_TRANSFERS:
        return {}
    return {"cICP": bytes((primaries, transfer, 0, 1))}


def beyond_srgb(
    chunks: Mapping[str, bytes], icc_profile: bytes | None, is_gray: bool
) -> list[str]:
    """The names of the chunks without which samples would mean other colors.

    Args:
        chunks: as in `Photograph.color_chunks`.
        icc_profile: the profile that is kept beside them, or None.
        is_gray: whether the image is gray: primaries then mean nothing.
    """
    if "cICP" in chunks:
        return [] if chunks["cICP"] == _SRGB_CICP else ["cICP"]
    if icc_profile is not None or "sRGB" in chunks:
        return []
    lost = []
    if "gAMA" in chunks:
        (gamma,) = struct.unpack(">I", chunks["gAMA"])
        if abs(gamma - _SRGB_GAMMA) > 0.05 * _SRGB_GAMMA:  # As libpng: not to be seen.
            lost.append("gAMA")
    if "cHRM" in chunks and not is_gray:
        values = struct.unpack(">8I", chunks["cHRM"])
        pairs = zip(values, _SRGB_CHROMATICITIES, strict=True)
        if any(abs(value - srgb) > 1000 for value, srgb in pairs):
            lost.append("cHRM")
    return lost
