"""Enlarging."""

import operator
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np

from xunit_keras.imaging.color import luminance, y_weights
from xunit_keras.imaging.pixels import to_float
from xunit_keras.imaging.resize import crop_to_multiple, imresize
from xunit_keras.tasks.base import Column, Results, Task, Training, quoted

_COLUMNS: dict[Column, str] = {
    (data, scale): f"{label} x{scale}"
    for data, label in (("set5", "Set5"), ("set14", "Set14"), ("bsd100", "BSD100"))
    for scale in (2, 3, 4)
}


@dataclass(frozen=True, kw_only=True)
class SuperResolution(Task):
    """MATLAB's bicubic down-sampling of uint8 RGB images, undone on Y or on RGB.

    Attributes:
        channels: 1: the network works on the BT.601 Y channel; 3: on RGB.
        scale: The factor, at least 2.
    """

    scale: int = field(default=3)

    name = "sr"
    degraded_title = "bicubic"
    baseline = "bicubic"
    training = Training(
        model="xsrcnn_f",
        data=("t91", "bsds500-train"),
        validation="set5",
        patch_size=96,
        steps=5_000,
        shrink=(1.0, 0.8, 0.6, 0.5, 0.4),
        loss="mae",
    )
    results = Results(
        "Super resolution (Table 2 of the paper)",
        _COLUMNS,
        (
            quoted(
                "SRCNN",
                57_184,
                _COLUMNS,
                (None, 32.75, 30.49, None, 29.29, 27.49, None, 28.41, 26.90),
            ),
            # Dong, Loy, Tang: Accelerating the Super-Resolution Convolutional Neural
            # Network, ECCV 2016, table 4.
            quoted(
                "FSRCNN",
                12_464,
                _COLUMNS,
                (37.00, 33.16, 30.71, 32.63, 29.43, 27.59, None, None, None),
            ),
        ),
        "MATLAB bicubic down-sampling of uint8 RGB, rounded; BT.601 Y; as many border "
        "pixels as the scale left out; mean of the images' PSNR.",
        "xsrcnn-f-x3 xsrcnnf_s3_k9k3k5.pkl --scale 3",
    )

    def __post_init__(self):
        super().__post_init__()
        try:
            scale = operator.index(self.scale)
        except TypeError:
            scale = 0
        if scale < 2:
            raise ValueError(
                f"`scale` must be an integer of at least 2. Received: {self.scale!r}"
            )
        object.__setattr__(self, "scale", scale)

    @property
    def level(self) -> float:
        return self.scale

    @property
    def purpose(self) -> str:
        return f"{self.name} {self.label}"

    @property
    def label(self) -> str:
        return f"x{self.scale}"

    @property
    def degradation(self) -> str:
        return f"super resolution x{self.scale}"

    def __str__(self) -> str:
        return (
            f"x{self.scale}, MATLAB bicubic on uint8 RGB, rounded; BT.601 Y; "
            f"shave {self.scale}; mean of the images' PSNR"
        )

    def in_color(self) -> "SuperResolution":
        return SuperResolution(channels=3, scale=self.scale, seed=self.seed)

    @property
    def test_sets(self) -> tuple[str, ...]:
        return ("set5", "set14", "bsd100")

    @property
    def photograph_channels(self) -> int:
        return 3

    def clean(self, pixels: np.ndarray) -> np.ndarray:
        return crop_to_multiple(super().clean(pixels), self.scale)

    def degrade(self, clean: np.ndarray, random: np.random.Generator) -> np.ndarray:
        return self.truth(self._shrunk(clean))

    def _shrunk(self, clean: np.ndarray) -> np.ndarray:
        return imresize(clean, Fraction(1, self.scale))

    def truth(self, clean: np.ndarray) -> np.ndarray:
        image = to_float(clean)
        return luminance(image) if self.channels == 1 else image

    def enlarge(self, degraded: np.ndarray) -> np.ndarray:
        return imresize(degraded, self.scale)

    @property
    def shave(self) -> int:
        return self.scale

    def spaces(self) -> dict[str, bool]:
        return {"": self.channels == 3}

    def prepare(self, photographs: list[np.ndarray]) -> list[np.ndarray]:
        return [self._shrunk(photograph) for photograph in photographs]

    def to_patches(self, pixels):
        import tensorflow as tf

        patches = super().to_patches(pixels)
        if self.channels == 3:
            return patches
        weights, offset = y_weights()
        # Divided in float32: to the last bit as the released models were trained.
        y = tf.linalg.matvec(patches, tf.constant(255.0 * weights, tf.float32) / 255.0)
        return y[..., None] + np.float32(offset)
