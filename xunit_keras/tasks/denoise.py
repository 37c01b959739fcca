"""Removing Gaussian noise."""

import contextlib
from dataclasses import dataclass

import numpy as np

from xunit_keras.imaging.pixels import to_float
from xunit_keras.tasks.base import SIGMA, Column, Results, Task, Training, quoted

_COLUMNS: dict[Column, str] = {
    ("bsd68", 15): "BSD68 σ=15",
    ("bsd68", 25): "BSD68 σ=25",
    ("bsd68", 50): "BSD68 σ=50",
    ("cbsd68", 15): "CBSD68 σ=15",
    ("cbsd68", 25): "CBSD68 σ=25",
    ("cbsd68", 50): "CBSD68 σ=50",
}
# What the literature tells.
_GRAY: tuple[Column, ...] = (("bsd68", 25), ("bsd68", 50))
_COLOR: tuple[Column, ...] = (("cbsd68", 15), ("cbsd68", 25), ("cbsd68", 50))


@dataclass(frozen=True, kw_only=True)
class Denoise(Task):
    """Gaussian noise, added in float, neither clipped nor rounded.

    Attributes:
        sigma: Standard deviation in levels of 0..255: one value, or the two ends of a
            range from which each patch draws its own (blind).
    """

    sigma: tuple[float, ...] = (SIGMA,)

    name = "denoise"
    degraded_title = "noisy"
    training = Training(
        model="xdncnn",
        data=("bsds500-train", "bsds500-test"),
        validation="set12",
        patch_size=64,
    )
    results = Results(
        "Denoising (Table 1 of the paper)",
        _COLUMNS,
        tuple(
            quoted(method, parameters, columns, scores)
            for method, parameters, columns, scores in (
                ("BM3D", None, _GRAY, (28.56, 25.62)),
                ("WNNM", None, _GRAY, (28.82, 25.87)),
                ("EPLL", None, _GRAY, (28.68, 25.67)),
                ("MLP", None, _GRAY, (28.95, 26.01)),
                ("DnCNN-S", 556_032, _GRAY, (29.23, 26.23)),
                ("CBM3D", None, _COLOR, (33.52, 30.71, 27.38)),
                ("FFDNet", None, _COLOR, (33.87, 31.21, 27.96)),
            )
        ),
        "Gaussian noise added in float, neither clipped nor rounded; output clipped; "
        "mean of the images' PSNR.",
        "xdncnn-gray-sigma25 xdncnn_res_f64k3k9_s25.pkl --sigma 25",
    )

    def __post_init__(self):
        super().__post_init__()
        sigma = self.sigma
        levels: tuple[float, ...] = ()
        given = tuple(sigma) if isinstance(sigma, tuple | list) else (sigma,)
        with contextlib.suppress(TypeError, ValueError):
            levels = tuple(float(level) for level in given)
        valid = len(levels) in (1, 2) and all(0 <= level <= 255 for level in levels)
        if not valid or list(levels) != sorted(levels):
            raise ValueError(
                "`sigma` must be one noise level in 0..255, or the two ends of a "
                f"range, the lower first. Received: sigma={sigma!r}"
            )
        object.__setattr__(self, "sigma", levels)

    @property
    def level(self) -> float:
        """The noise that a network is tried with, in 0..255.

        The one that it was trained for; of a range `SIGMA`, or the middle where that
        lies outside.
        """
        low, high = self.sigma[0], self.sigma[-1]
        if low == high:
            return low
        return SIGMA if low <= SIGMA <= high else (low + high) / 2

    @property
    def _range(self) -> str:
        return "-".join(f"{level:g}" for level in self.sigma)

    @property
    def purpose(self) -> str:
        return f"{self.name} sigma {self._range}"

    @property
    def label(self) -> str:
        return f"s{self._range}"

    @property
    def degradation(self) -> str:
        return f"noise of sigma {self._range}"

    def __str__(self) -> str:
        color = "RGB" if self.channels == 3 else "gray"
        return (
            f"{color}, Gaussian noise sigma {self.level:g}/255 added in float, not "
            f"clipped, seed {self.seed}; output clipped; mean of the images' PSNR"
        )

    def scored(self) -> "Denoise":
        return Denoise(channels=self.channels, seed=self.seed, sigma=(self.level,))

    @property
    def test_sets(self) -> tuple[str, ...]:
        return ("cbsd68",) if self.channels == 3 else ("bsd68",)

    def degrade(self, clean: np.ndarray, random: np.random.Generator) -> np.ndarray:
        noise = random.standard_normal(clean.shape, np.float32)
        return _noisy(to_float(clean), noise, np.float32(self.level))

    def degrade_batch(self, clean, seed, overlays=None):
        import tensorflow as tf

        level_seed, noise_seed = tf.unstack(tf.random.split(seed))
        level = tf.random.stateless_uniform(
            tf.stack([tf.shape(clean)[0], 1, 1, 1]),
            level_seed,
            self.sigma[0],
            self.sigma[-1],
        )
        return _noisy(
            clean, tf.random.stateless_normal(tf.shape(clean), noise_seed), level
        )


def _noisy(clean, noise, level):
    """NumPy arrays or tensors: noise of standard deviation 1, the level in 0..255."""
    return clean + noise * (level / 255.0)
