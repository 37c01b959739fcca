"""The content of an image file."""

import dataclasses
from collections.abc import Mapping

import numpy as np


class ImageFileError(ValueError):
    """An image file cannot be read or written; the message names it and the reason."""


@dataclasses.dataclass(frozen=True, eq=False)
class Photograph:
    """The content of one image file.

    Attributes:
        pixels: `(H, W)` gray or `(H, W, 3)` RGB, uint8 or uint16. The full range of
            the type runs from black to white.
        alpha: `(H, W)` of the type of `pixels`, 0 for transparent and 255 or 65535 for
            opaque, or None. Colors are not multiplied by it.
        icc_profile: the color profile of `pixels`, or None (sRGB by convention).
        exif: the EXIF block, or None. It holds neither orientation nor size.
        dpi: horizontal and vertical pixels per inch, or None.
        color_chunks: what else says which colors the samples mean, as PNG says it:
            the data of its gAMA, cHRM, sRGB, cICP, mDCV and cLLI chunks by name.

    Raises:
        ValueError: if shapes or types are not as above.
    """

    pixels: np.ndarray
    alpha: np.ndarray | None = None
    icc_profile: bytes | None = dataclasses.field(default=None, repr=False)
    exif: bytes | None = dataclasses.field(default=None, repr=False)
    dpi: tuple[float, float] | None = None
    color_chunks: Mapping[str, bytes] = dataclasses.field(default_factory=dict)

    def __post_init__(self):
        shape, dtype = self.pixels.shape, self.pixels.dtype
        image = len(shape) == 2 or (len(shape) == 3 and shape[2] == 3)
        if not image or not self.pixels.size or dtype not in (np.uint8, np.uint16):
            raise ValueError(
                "`pixels` must be (H, W) or (H, W, 3) in uint8 or uint16, with at "
                f"least one pixel. Received: pixels of shape {shape} and type {dtype}"
            )
        if self.alpha is not None and not (
            dtype == self.alpha.dtype and self.alpha.shape == shape[:2]
        ):
            raise ValueError(
                f"`alpha` must be {shape[:2]} in {dtype}, as the pixels are. Received: "
                f"alpha of shape {self.alpha.shape} and type {self.alpha.dtype}"
            )

    @property
    def is_gray(self) -> bool:
        """Whether the pixels have one channel."""
        return self.pixels.ndim == 2

    @property
    def is_transparent(self) -> bool:
        """Whether a pixel is not opaque."""
        if self.alpha is None:
            return False
        return bool(self.alpha.min() < np.iinfo(self.alpha.dtype).max)
