"""TIFF files: what they hold, told before Pillow opens them, and 16-bit samples."""

from typing import Any, BinaryIO

import numpy as np
from PIL import ExifTags, Image
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from xunit_keras.imaging.files.photograph import ImageFileError
from xunit_keras.imaging.files.samples import straight

_BIG = b"II+\0"
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB = 0, 1, 2
_PREMULTIPLIED, _STRAIGHT = 1, 2  # Extra samples; 0 may be anything.
_MOST_SAMPLES = 8


def first_directory(file: BinaryIO) -> ImageFileDirectory_v2:
    """The tags of the first picture of a TIFF or BigTIFF file."""
    file.seek(0)
    head = file.read(16)
    directory = ImageFileDirectory_v2(head if head[:4] == _BIG else head[:8])
    file.seek(directory.next)
    directory.load(file)
    return directory


def check(directory: ImageFileDirectory_v2) -> None:
    """Refuses what is not one picture whose samples can be kept.

    Raises:
        ImageFileError: with the reason alone.
    """
    is_preview = directory.get(ExifTags.Base.NewSubfileType, 0) & 1
    if is_preview or ExifTags.Base.DNGVersion in directory:
        raise ImageFileError("it is a camera's raw file; develop it first")
    if directory.next:
        raise ImageFileError(
            "it has several frames or pages; save each as a file of its own"
        )
    bits = max(directory.get(ExifTags.Base.BitsPerSample, (1,)))
    if set(directory.get(ExifTags.Base.SampleFormat, (1,))) != {1}:
        kind = "signed or floating-point"
    elif bits > 8 and not is_deep(directory):
        kind = f"{bits}-bit"
    else:
        return
    raise ImageFileError(
        f"its {kind} samples would be cut; convert it to 8 or 16 bits per sample, gray "
        "or RGB"
    )


def is_deep(directory: ImageFileDirectory_v2) -> bool:
    """Whether a picture is gray or RGB of 16 bits."""
    bits = directory.get(ExifTags.Base.BitsPerSample, ())
    photometric = directory.get(ExifTags.Base.PhotometricInterpretation)
    return set(bits) == {16} and photometric in (_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB)


def read(file: BinaryIO, directory: ImageFileDirectory_v2) -> np.ndarray:
    """The samples of a 16-bit picture, `(H, W, 1 to 4)`; alpha is the last."""
    import tifffile

    file.seek(0)
    with tifffile.TiffFile(file) as tiff:
        page = tiff.pages.first
        planes, depth, height, width, side_by_side = page.shaped
        samples = directory.get(ExifTags.Base.SamplesPerPixel, 1)
        if (depth, planes * side_by_side) != (1, samples) or samples > _MOST_SAMPLES:
            raise ImageFileError("it is not a plain picture of gray or RGB pixels")
        array = page.asarray().reshape(planes, height, width, side_by_side)
    array = np.moveaxis(array, 0, -1).reshape(height, width, samples)
    array = array.astype(np.uint16, copy=False)  # In the byte order of this machine.

    photometric = directory[ExifTags.Base.PhotometricInterpretation]
    colors = 3 if photometric == _RGB else 1
    extra = directory.get(ExifTags.Base.ExtraSamples, ())
    extra = extra if isinstance(extra, tuple) else (extra,)
    alphas = [i for i, kind in enumerate(extra) if kind in (_PREMULTIPLIED, _STRAIGHT)]
    kept = [*range(colors), *(colors + place for place in alphas[:1])]
    if array.shape[-1] > len(kept):
        array = array[..., kept]
    if alphas and extra[alphas[0]] == _PREMULTIPLIED:
        array = straight(array)
    if photometric == _WHITE_IS_ZERO:
        array = array.copy()
        array[..., 0] = 65535 - array[..., 0]
    return array


def metadata(
    file: BinaryIO, directory: ImageFileDirectory_v2
) -> tuple[dict[str, Any], Image.Exif]:
    """What Pillow would have in `info`, and the EXIF block."""
    tags = ExifTags.Base
    info = {"icc_profile": directory.get(tags.InterColorProfile)}
    x, y = directory.get(tags.XResolution), directory.get(tags.YResolution)
    per_inch = {2: 1.0, 3: 2.54}.get(directory.get(tags.ResolutionUnit, 2))
    if x and y and per_inch:
        info["dpi"] = (float(x) * per_inch, float(y) * per_inch)
    exif = Image.Exif()
    exif.endian = "<" if directory.prefix == b"II" else ">"
    file.seek(0)
    exif.bigtiff = file.read(4) == _BIG
    exif.load_from_fp(file, directory.offset)
    return info, exif
