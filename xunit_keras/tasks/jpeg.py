"""Removing the blocks and rings of JPEG compression."""

import contextlib
import io
import operator
from dataclasses import dataclass

import numpy as np
from PIL import Image

from xunit_keras.imaging.color import luminance, with_channels
from xunit_keras.imaging.metrics import psnr_b
from xunit_keras.imaging.pixels import from_float, to_float
from xunit_keras.tasks.base import (
    Column,
    Example,
    Results,
    Task,
    Training,
    quoted,
)

QUALITY = 10
"""The quality at which the literature compares most."""

_BLOCK = 16
"""Side, in pixels, of what JPEG compresses at once where chroma is halved."""

_GRAY: dict[Column, str] = {
    (data, quality): f"{label} q{quality}"
    for data, label in (("live1", "LIVE1"), ("classic5", "classic5"))
    for quality in (10, 20, 30, 40)
}
# Beside them, those of color, which the literature scores in other ways.
_COLUMNS = {
    **_GRAY,
    **{("live1 RGB", quality): f"LIVE1 RGB q{quality}" for quality in (10, 20, 40)},
}


@dataclass(frozen=True, kw_only=True)
class Jpeg(Task):
    """Compression by a real encoder (libjpeg), chroma at half the resolution (4:2:0).

    Gray networks work on the BT.601 Y channel, rounded to 8 bits, as the literature
    does; RGB networks on the image as it is decoded.

    Attributes:
        quality: Of the encoder, 1..100: one value, or the two ends of a range from
            which each patch draws its own.
    """

    quality: tuple[int, ...] = (QUALITY,)

    name = "jpeg"
    degraded_title = "JPEG"
    baseline = "JPEG"
    training = Training(
        model="xdncnn",
        data=("bsds500-train", "bsds500-test"),
        validation="classic5",
        patch_size=64,
    )
    results = Results(
        "JPEG artifacts",
        _COLUMNS,
        (
            quoted(
                "ARCNN",
                106_448,
                _GRAY,
                (28.96, 31.29, 32.67, 33.63, 29.03, 31.15, 32.51, 33.34),
            ),
            quoted(
                "DnCNN-3",
                666_048,
                _GRAY,
                (29.19, 31.59, 32.98, 33.96, 29.40, 31.63, 32.91, 33.77),
            ),
        ),
        "JPEG of the BT.601 Y channel, rounded to 8 bits, by libjpeg as Pillow calls "
        "it (RGB: of the image, chroma halved); output clipped; mean of the images' "
        "PSNR.",
        "xdncnn-color-jpeg --quality 10",
    )

    def __post_init__(self):
        super().__post_init__()
        given = self.quality
        several = tuple(given) if isinstance(given, tuple | list) else (given,)
        quality: tuple[int, ...] = ()
        with contextlib.suppress(TypeError):
            if not any(isinstance(q, bool) for q in several):
                quality = tuple(map(operator.index, several))
        valid = len(quality) in (1, 2) and all(1 <= q <= 100 for q in quality)
        if not valid or list(quality) != sorted(quality):
            raise ValueError(
                "`quality` must be one quality of JPEG, 1 to 100, or the two ends of a "
                f"range, the lower first. Received: quality={given!r}"
            )
        object.__setattr__(self, "quality", quality)

    @property
    def level(self) -> float:
        """The quality that a network is tried with.

        The one that it was trained for; of a range `QUALITY`, or the lowest where that
        lies outside.
        """
        low, high = self.quality[0], self.quality[-1]
        return QUALITY if low <= QUALITY <= high else low

    @property
    def _range(self) -> str:
        return "-".join(map(str, self.quality))

    @property
    def purpose(self) -> str:
        return f"{self.name} quality {self._range}"

    @property
    def label(self) -> str:
        return f"q{self._range}"

    @property
    def degradation(self) -> str:
        return f"JPEG of quality {self._range}"

    def __str__(self) -> str:
        color = "RGB with chroma halved" if self.channels == 3 else "BT.601 Y, rounded"
        return (
            f"{color}, JPEG of quality {self.level:g} by libjpeg; output clipped; mean "
            "of the images' PSNR"
        )

    def scored(self) -> "Jpeg":
        return Jpeg(channels=self.channels, seed=self.seed, quality=(int(self.level),))

    @property
    def test_sets(self) -> tuple[str, ...]:
        return ("live1",) if self.channels == 3 else ("live1", "classic5")

    @property
    def photograph_channels(self) -> int:
        return 3

    def clean(self, pixels: np.ndarray) -> np.ndarray:
        if self.channels == 3 or pixels.shape[2] == 1:
            return with_channels(pixels, self.channels)
        return from_float(luminance(to_float(pixels)), np.uint8)

    def degrade(self, clean: np.ndarray, random: np.random.Generator) -> np.ndarray:
        file = io.BytesIO()
        image = Image.fromarray(clean[..., 0] if self.channels == 1 else clean)
        image.save(file, "JPEG", quality=int(self.level), subsampling="4:2:0")
        decoded = np.asarray(Image.open(file))
        return to_float(decoded.reshape(clean.shape))

    def score(self, image: np.ndarray, example: Example) -> dict[str, float]:
        row = super().score(image, example)
        for prefix, candidate in (("", image), ("input_", example.baseline)):
            row[f"{prefix}psnr_b"] = psnr_b(candidate, example.clean)
        return row

    def columns(self, data: str) -> dict[Column, str]:
        return {(data if self.channels == 1 else f"{data} RGB", self.level): ""}

    @property
    def context(self) -> int:
        return _BLOCK

    def degrade_batch(self, clean, seed, overlays=None):
        import tensorflow as tf

        low, high = self.quality[0], self.quality[-1]
        qualities = tf.random.stateless_uniform(
            tf.shape(clean)[:1], seed, low, high + 1, dtype=tf.int32
        )

        def compressed(image_and_quality):
            image, quality = image_and_quality
            file = tf.raw_ops.EncodeJpegVariableQuality(images=image, quality=quality)
            # As libjpeg decodes unless it is asked to be quick.
            decoded = tf.io.decode_jpeg(
                file, channels=self.channels, dct_method="INTEGER_ACCURATE"
            )
            return tf.ensure_shape(decoded, image.shape)

        pixels = tf.cast(tf.round(clean * 255.0), tf.uint8)
        degraded = tf.map_fn(
            compressed, (pixels, qualities), fn_output_signature=tf.uint8
        )
        return tf.cast(degraded, tf.float32) / 255.0
