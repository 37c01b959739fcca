"""Taking rain off a photograph."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from xunit_keras.imaging.pixels import from_float, to_float
from xunit_keras.imaging.rain import draw_streaks
from xunit_keras.tasks.base import Column, Results, Task, Training, quoted

_STRENGTH = (0.5, 1.2)
"""Bounds of the factors that training draws for the brightness of streaks."""

_COLUMNS: dict[Column, str] = {
    ("rain12", 0): "Rain12 RGB",
    ("rain12-y", 0): "Rain12 Y",
}


@dataclass(frozen=True, kw_only=True)
class Derain(Task):
    """Rain streaks laid over RGB images: `min(1, image + streaks)`."""

    channels: int = 3

    name = "derain"
    degraded_title = "rainy"
    takes_pairs = True
    training = Training(
        model="xderain",
        data=("bsds500-train-rainless", "bsds500-test-rainless"),
        validation="rain12",
        patch_size=64,
    )
    results = Results(
        "Deraining",
        _COLUMNS,
        (
            quoted("DerainNet", 753_664, _COLUMNS, (28.94, None)),
            quoted("xDnCNN", 305_920, _COLUMNS, (31.17, None)),
        ),
        "Rainy and clean pairs; mean of the images' PSNR. The publications do not say "
        "whether theirs is of RGB or of Y; it stands under RGB.",
        "xderain",
    )

    def __post_init__(self):
        super().__post_init__()
        if self.channels != 3:
            raise ValueError(
                "Rain is taken off RGB images: `channels` must be 3. "
                f"Received: channels={self.channels}"
            )

    @property
    def purpose(self) -> str:
        return self.name

    @property
    def label(self) -> str:
        return "rain"

    @property
    def degradation(self) -> str:
        return "rain"

    def __str__(self) -> str:
        return "rainy/clean pairs; RGB and BT.601 Y; mean of the images' PSNR"

    @property
    def test_sets(self) -> tuple[str, ...]:
        return ("rain12",)

    def degrade(self, clean: np.ndarray, random: np.random.Generator) -> np.ndarray:
        height, width, _ = clean.shape
        streaks = draw_streaks(height, width, random)
        rainy = _rainy(to_float(clean), streaks, np)
        # Rainy photographs are files, of 8 bits.
        return to_float(from_float(rainy, np.uint8))

    def spaces(self) -> dict[str, bool]:
        return {"": False, "_y": True}

    def columns(self, data: str) -> dict[Column, str]:
        return {(data, 0): "", (f"{data}-y", 0): "_y"}

    @property
    def needs_overlays(self) -> bool:
        return True

    def degrade_batch(self, clean, seed, overlays: Any = None):
        import tensorflow as tf

        strength = tf.random.stateless_uniform(
            tf.stack([tf.shape(clean)[0], 1, 1, 1]), seed, *_STRENGTH
        )
        return _rainy(clean, strength * overlays, tf)


def _rainy(clean, streaks, library):
    """`library` is NumPy or TensorFlow, as the images are."""
    return library.minimum(clean + streaks, 1.0)
