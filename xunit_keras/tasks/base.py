"""What every task answers: how images are degraded, scored, trained on and shown."""

import dataclasses
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np

from xunit_keras.imaging.color import with_channels
from xunit_keras.imaging.metrics import psnr, ssim
from xunit_keras.imaging.pixels import to_float

if TYPE_CHECKING:
    import tensorflow as tf

SIGMA = 25.0
"""The noise level, in 0..255, at which the literature compares denoisers."""

Column = tuple[str, float]
"""A test set, and the noise level or the scale (0 where there is neither)."""


class Example(NamedTuple):
    """A test image.

    Attributes:
        name: Name of the file.
        degraded: The degraded image, `(height, width, channels)` float32.
        enlarged: The same in the size of `clean`: bicubic for super resolution.
        clean: The ground truth, float32 in [0, 1].
    """

    name: str
    degraded: np.ndarray
    enlarged: np.ndarray
    clean: np.ndarray

    @property
    def baseline(self) -> np.ndarray:
        """The degraded image as it is scored and shown beside the restored one."""
        return np.clip(self.enlarged, 0.0, 1.0)

    def center(self, side: int) -> "Example":
        """The square in the middle, of about `side` pixels of `clean`."""
        scale = self.clean.shape[0] // self.degraded.shape[0]
        size = max(1, side // scale)
        starts = [max(0, (n - size) // 2) for n in self.degraded.shape[:2]]
        small = tuple(slice(start, start + size) for start in starts)
        large = tuple(slice(s.start * scale, s.stop * scale) for s in small)
        return Example(
            self.name, self.degraded[small], self.enlarged[large], self.clean[large]
        )

    def given_to(self, scale: int) -> np.ndarray:
        """The degraded image as a network takes it that enlarges by `scale`."""
        return self.degraded if scale > 1 else self.enlarged


@dataclass(frozen=True)
class Training:
    """What is trained when nothing else is said: a recipe for processors.

    Attributes:
        model: Builder of the network.
        data: Training sets.
        validation: Test set to score on along the way.
        patch_size: Side of a clean patch in pixels.
        steps: Batches in all.
        batch_size: Patches in a batch.
        shrink: Factors of the copies that patches come from.
        loss: What is made small: "mse" or "mae".
    """

    model: str
    data: tuple[str, ...]
    validation: str
    patch_size: int
    steps: int = 3_000
    batch_size: int = 8
    shrink: tuple[float, ...] = (1.0,)
    loss: str = "mse"


@dataclass(frozen=True)
class Row:
    """A method in a table of results.

    Attributes:
        method: What it is called.
        parameters: As the paper counts them; None for methods without.
        source: Where the scores come from.
        scores: PSNR in dB by column.
    """

    method: str
    parameters: int | None
    source: str
    scores: dict[Column, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Results:
    """The table of a task on the page of results.

    Attributes:
        title: Its heading.
        columns: What its columns are called.
        quoted: Rows from the literature.
        protocol: How scores are measured.
        compared: The models in its picture, as `pipelines/figures.py compare` takes
            them.
    """

    title: str
    columns: dict[Column, str]
    quoted: tuple[Row, ...]
    protocol: str
    compared: str


def quoted(
    method: str,
    parameters: int | None,
    columns: Iterable[Column],
    scores: Sequence[float | None],
) -> Row:
    """A row from the literature; None where nothing is published."""
    pairs = zip(columns, scores, strict=True)
    return Row(
        method, parameters, "published", {c: s for c, s in pairs if s is not None}
    )


@dataclass(frozen=True, kw_only=True)
class Task(ABC):
    """A task with its settings, one object from the command line to the card.

    Attributes:
        channels: Of the images that a network is given and gives: 1 or 3.
        seed: Of what is random in the degradation of test images; each image has its
            own, from this and its name.
    """

    channels: int = 1
    seed: int = 0

    name: ClassVar[str]
    """The word for it on the command line and in cards."""
    degraded_title: ClassVar[str]
    """What degraded images are called over a column of pictures."""
    baseline: ClassVar[str] = "degraded input"
    """What the row of the degraded images is called in a table."""
    takes_pairs: ClassVar[bool] = False
    """Whether its test sets are pairs of images, degraded and clean."""
    training: ClassVar[Training]
    """Defaults of a training."""
    results: ClassVar[Results]
    """Its table on the page of results."""

    def __post_init__(self):
        if self.channels not in (1, 3) or isinstance(self.channels, bool):
            raise ValueError(
                "`channels` must be 1 (gray) or 3 (RGB). "
                f"Received: channels={self.channels!r}"
            )
        object.__setattr__(self, "channels", int(self.channels))

    # ------------------------------------------------------------------ settings

    @classmethod
    def settings(cls) -> tuple[str, ...]:
        """The names of its settings."""
        return tuple(setting.name for setting in dataclasses.fields(cls))

    def as_card(self) -> dict[str, Any]:
        """Its settings as a card records them."""
        card = dataclasses.asdict(self)
        del card["seed"]
        return {"task": self.name, "scale": self.scale, **card}

    @property
    def scale(self) -> int:
        """The factor by which a restored image is larger than the degraded one."""
        return 1

    @property
    def level(self) -> float:
        """What tells its scores apart in a table: noise level, scale; or 0."""
        return 0.0

    @property
    @abstractmethod
    def purpose(self) -> str:
        """What a model is for, in a list of models: `"sr x3"`."""

    @property
    def label(self) -> str:
        """What tells it from others of its kind in the name of a folder: `"x3"`."""
        return self.name

    @property
    @abstractmethod
    def degradation(self) -> str:
        """What happened to an image, for the note under a figure."""

    @abstractmethod
    def __str__(self) -> str:
        """Its protocol: how images are degraded and scored, in a line."""

    def in_color(self) -> "Task":
        """The same on photographs as people have them, for a network that takes gray.

        Only where a network for gray images restores color as well: super resolution.
        """
        return self

    def scored(self) -> "Task":
        """The same with the settings with which it is scored."""
        return self

    @property
    @abstractmethod
    def test_sets(self) -> tuple[str, ...]:
        """The published sets on which models are scored."""

    # ------------------------------------------------------------- single images

    @property
    def photograph_channels(self) -> int:
        """Channels of the photographs that are degraded."""
        return self.channels

    def clean(self, pixels: np.ndarray) -> np.ndarray:
        """A uint8 photograph `(height, width, 1 or 3)` as the protocol takes it."""
        return with_channels(pixels, self.photograph_channels)

    @abstractmethod
    def degrade(self, clean: np.ndarray, random: np.random.Generator) -> np.ndarray:
        """Degrades a photograph.

        Args:
            clean: What `clean` gives, uint8.
            random: Where what is random comes from.

        Returns:
            float32, as a network is given it.
        """

    def truth(self, clean: np.ndarray) -> np.ndarray:
        """The ground truth of a photograph that `clean` gave, float32 in [0, 1]."""
        return to_float(clean)

    def enlarge(self, degraded: np.ndarray) -> np.ndarray:
        """A degraded image in the size of the restored one."""
        return degraded

    def example(self, name: str, pixels: np.ndarray) -> Example:
        """Degrades a photograph, whose name decides what is random in it."""
        clean = self.clean(pixels)
        degraded = self.degrade(clean, self._random(name))
        return self._example(name, degraded, clean)

    def example_of_pair(
        self, name: str, before: np.ndarray, after: np.ndarray
    ) -> Example:
        """A photograph as it was degraded by nature, and the clean one."""
        degraded = self.truth(self.clean(before))
        return self._example(name, degraded, self.clean(after))

    def _example(self, name, degraded, clean) -> Example:
        return Example(name, degraded, self.enlarge(degraded), self.truth(clean))

    def _random(self, name) -> np.random.Generator:
        # The noise of an image does not depend on which others are scored.
        return np.random.default_rng((self.seed, zlib.crc32(Path(name).stem.encode())))

    # ------------------------------------------------------------------- scores

    @property
    def shave(self) -> int:
        """Pixels that scores leave out at each border."""
        return 0

    def spaces(self) -> dict[str, bool]:
        """Suffixes of columns, and whether these are scored on luminance alone."""
        return {"": False}

    def score(self, image: np.ndarray, example: Example) -> dict[str, float]:
        """PSNR and SSIM of an image and of the degraded one, by column name."""
        row = {}
        for suffix, on_luminance in self.spaces().items():
            for prefix, candidate in (("", image), ("input_", example.baseline)):
                for metric in (psnr, ssim):
                    row[f"{prefix}{metric.__name__}{suffix}"] = metric(
                        candidate, example.clean, self.shave, on_luminance
                    )
        return row

    def columns(self, data: str) -> dict[Column, str]:
        """The columns of the results that the scores on a set fill.

        Returns:
            The suffix of the score for each column.
        """
        return {(data, self.level): ""}

    # ----------------------------------------------------------------- training

    def prepare(self, photographs: list[np.ndarray]) -> list[np.ndarray] | None:
        """Degrades whole photographs once, before patches are cut.

        Args:
            photographs: What `clean` gives, uint8.

        Returns:
            The degraded photographs, uint8; None where patches are degraded instead.
        """
        return None

    @property
    def needs_overlays(self) -> bool:
        """Whether `degrade_batch` lays masks (rain streaks) over the patches."""
        return False

    @property
    def context(self) -> int:
        """Pixels by which patches are larger while `degrade_batch` works on them.

        So that what it does in blocks is not aligned to the patches.
        """
        return 0

    def to_patches(self, pixels: "tf.Tensor") -> "tf.Tensor":
        """uint8 patches of photographs as a network is given them, float32."""
        import tensorflow as tf

        return tf.cast(pixels, tf.float32) / 255.0

    def degrade_batch(
        self, clean: "tf.Tensor", seed: "tf.Tensor", overlays: "tf.Tensor | None" = None
    ) -> "tf.Tensor":
        """Degrades a batch of patches, in TensorFlow, as `degrade` does an image.

        Args:
            clean: `(batch, height, width, channels)` float32 in [0, 1].
            seed: Two integers.
            overlays: `(batch, height, width, 1)` masks in [0, 1], where
                `needs_overlays` says so.
        """
        raise ValueError(f"The photographs of {self.name!r} are degraded as a whole.")
