"""Batches of degraded and clean patches, a pure function of (seed, step).

All images of a training set are decoded once and kept in memory as one vector of
bytes. A batch is one gather from it: crops, flips and rotations are arithmetic on
coordinates. As the batch of a step depends on nothing but the seed and the step's
number, it is the same on one thread or many, and training resumes exactly.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import compress
from typing import Literal

import numpy as np
import tensorflow as tf

from pipelines import degradations

Task = Literal["denoise", "derain", "sr"]


@dataclass(frozen=True)
class Recipe:
    """What a patch looks like.

    Attributes:
        task: `"denoise"`, `"derain"` or `"sr"`.
        patch_size: Side of the clean patch in pixels; for SR a multiple of `scale`.
        batch_size: Patches in a batch.
        channels: Channels of the patches: 1 (grey, or Y for SR) or 3 (RGB).
        sigma: Noise level in 0..255, one value or the ends of a range.
        scale: Factor of the super resolution, 1 for the other tasks.
        seed: Integer.
    """

    task: Task
    patch_size: int
    batch_size: int
    channels: int = 1
    sigma: tuple[float, ...] = (25.0,)
    scale: int = 1
    seed: int = 0


class Pool:
    """Images of different sizes in one tensor of bytes, to gather patches from."""

    def __init__(self, images: Iterable[np.ndarray]):
        images = list(images)
        shapes = np.array([image.shape for image in images], dtype=np.int64)
        sizes = shapes.prod(axis=1)
        self.channels = int(shapes[0, 2])
        self.offsets = tf.constant(np.cumsum(sizes) - sizes)
        self.heights = tf.constant(shapes[:, 0])
        self.widths = tf.constant(shapes[:, 1])
        # Every pixel of the set is equally likely to be drawn.
        areas = np.cumsum(shapes[:, 0] * shapes[:, 1])
        self.chances = tf.constant(areas / areas[-1])
        self.pixels = tf.constant(np.concatenate([image.ravel() for image in images]))

    def draw(self, count: int, size: int, seed) -> tuple[tf.Tensor, ...]:
        """Image, top row and left column of `count` patches, each `(count,)`."""
        u = tf.random.stateless_uniform([3, count], seed, dtype=tf.float64)
        index = tf.searchsorted(self.chances, u[0], side="right")

        def corner(fraction, lengths):
            free = tf.cast(tf.gather(lengths, index) - size + 1, tf.float64)
            return tf.cast(tf.floor(fraction * free), tf.int64)

        return index, corner(u[1], self.heights), corner(u[2], self.widths)

    def gather(self, index, top, left, orientation, size: int) -> tf.Tensor:
        """Patches `(count, size, size, channels)` uint8.

        Args:
            index: Image of each patch.
            top: Row of the upper left corner.
            left: Column of the upper left corner.
            orientation: 0 to 7: bits for vertical and horizontal flip, transpose.
            size: Side of the patches.
        """
        steps = tf.range(size, dtype=tf.int64)
        rows, columns = tf.meshgrid(steps, steps, indexing="ij")
        bits = [tf.cast(orientation // 2**bit % 2, tf.bool) for bit in range(3)]
        flip_rows, flip_columns, transpose = (bit[:, None, None] for bit in bits)
        rows, columns = (
            tf.where(transpose, columns, rows),
            tf.where(transpose, rows, columns),
        )
        rows = tf.where(flip_rows, size - 1 - rows, rows) + top[:, None, None]
        columns = tf.where(flip_columns, size - 1 - columns, columns)
        columns += left[:, None, None]
        width = tf.gather(self.widths, index)[:, None, None]
        pixel = rows * width + columns
        offset = tf.gather(self.offsets, index)[:, None, None, None]
        channel = tf.range(self.channels, dtype=tf.int64)
        place = offset + pixel[..., None] * self.channels + channel
        return tf.gather(self.pixels, place)


class PatchSource:
    """Draws training batches from photographs.

    Args:
        photographs: `(height, width, 1 or 3)` uint8 images.
        recipe: What to make of them.
        degraded: The photographs as they are before restoration, in the same order
            (rainy/clean pairs); None to degrade on the fly.
        streaks: For `"derain"` on the fly: streak masks `(height, width, 1)` uint8.

    Raises:
        ValueError: No photograph is large enough, or the recipe does not fit.
    """

    def __init__(
        self,
        photographs: Iterable[np.ndarray],
        recipe: Recipe,
        degraded: Iterable[np.ndarray] | None = None,
        streaks: Iterable[np.ndarray] = (),
    ):
        self.recipe = recipe
        size, scale = recipe.patch_size, recipe.scale
        if size % scale:
            raise ValueError(
                "`patch_size` must be a multiple of the scale. "
                f"Received: patch_size={size}, scale={scale}"
            )
        photographs = list(photographs)
        usable = [min(image.shape[:2]) >= size for image in photographs]
        self.skipped = len(photographs) - sum(usable)
        if not any(usable):
            raise ValueError(
                f"None of the {len(photographs)} training images has the "
                f"{size}x{size} pixels of a patch. Give larger images or a smaller "
                "--patch-size."
            )
        # Super resolution works on the Y channel of colour patches.
        channels = 3 if recipe.task == "sr" else recipe.channels
        clean = [with_channels(im, channels) for im in compress(photographs, usable)]
        if recipe.task == "sr":
            clean = [degradations.crop_to_multiple(im, scale) for im in clean]
            degraded = [degradations.downsample(im, scale) for im in clean]
        elif degraded is not None:
            degraded = compress(degraded, usable)
            degraded = [with_channels(image, channels) for image in degraded]
        self.clean = Pool(clean)
        self.degraded = Pool(degraded) if degraded is not None else None
        self.streaks = None
        if recipe.task == "derain" and degraded is None:
            self.streaks = Pool(usable_streaks(streaks, size))

    def batches(self, start: int = 0, stop: int | None = None) -> tf.data.Dataset:
        """The batches of steps `start` to `stop`, or without end.

        Returns:
            A data set of `(degraded, clean)`, float32 in [0, 1] (noise goes beyond).
        """
        steps = tf.data.Dataset.range(start, stop if stop is not None else 2**40)
        return steps.map(
            self.batch, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True
        ).prefetch(tf.data.AUTOTUNE)

    def batch(self, step: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The batch of one step: degraded and clean patches."""
        recipe = self.recipe
        seed = tf.stack([tf.constant(recipe.seed, tf.int64), tf.cast(step, tf.int64)])
        place_seed, turn_seed, rain_seed, noise_seed = tf.unstack(
            tf.random.split(seed, 4)
        )
        orientation = self._orientation(turn_seed)
        pool = self.clean if self.degraded is None else self.degraded
        scale = recipe.scale
        size = recipe.patch_size // scale
        index, top, left = pool.draw(recipe.batch_size, size, place_seed)
        clean = self._finish(
            self.clean.gather(
                index, top * scale, left * scale, orientation, recipe.patch_size
            )
        )
        if self.degraded is not None:
            patches = self.degraded.gather(index, top, left, orientation, size)
            return self._finish(patches), clean
        if self.streaks is not None:
            return self._rain(clean, rain_seed), clean
        return degradations.add_noise(clean, recipe.sigma, noise_seed), clean

    def _finish(self, patches):
        return to_y(patches) if self.recipe.task == "sr" else to_float(patches)

    def _orientation(self, seed):
        return tf.random.stateless_uniform(
            [self.recipe.batch_size], seed, 0, 8, dtype=tf.int32
        )

    def _rain(self, clean, seed):
        size = self.recipe.patch_size
        place_seed, turn_seed, strength_seed = tf.unstack(tf.random.split(seed, 3))
        index, top, left = self.streaks.draw(self.recipe.batch_size, size, place_seed)
        # Rain falls: streaks are mirrored left to right, not turned over.
        orientation = self._orientation(turn_seed) // 4 * 2
        streaks = self.streaks.gather(index, top, left, orientation, size)
        return degradations.add_rain(clean, to_float(streaks), strength_seed)


def with_channels(image: np.ndarray, channels: int) -> np.ndarray:
    """A uint8 image as grey (BT.601 luma) or RGB."""
    if image.shape[2] == channels:
        return image
    if channels == 3:
        return np.repeat(image, 3, axis=2)
    luma = image @ np.array([0.299, 0.587, 0.114])
    return np.floor(luma + 0.5).astype(np.uint8)[..., None]


def to_float(patches: tf.Tensor) -> tf.Tensor:
    """uint8 to float32 in [0, 1]."""
    return tf.cast(patches, tf.float32) / 255.0


def to_y(patches: tf.Tensor) -> tf.Tensor:
    """uint8 RGB to the float32 BT.601 Y channel, 16/255 to 235/255."""
    weights = tf.constant([65.481, 128.553, 24.966]) / 255.0
    y = tf.linalg.matvec(to_float(patches), weights) + 16.0 / 255.0
    return y[..., None]


def usable_streaks(streaks: Iterable[np.ndarray], size: int) -> list[np.ndarray]:
    """Streak masks at several sizes: rain near and far.

    Raises:
        ValueError: None is as large as a patch.
    """
    masks = []
    for mask in streaks:
        mask = with_channels(mask, 1)
        for side in (1.0, 0.75):
            resized = tf.image.resize(mask, [int(n * side) for n in mask.shape[:2]])
            resized = np.clip(np.rint(resized.numpy()), 0, 255).astype(np.uint8)
            if min(resized.shape[:2]) >= size:
                masks.append(resized)
    if not masks:
        raise ValueError(
            f"Rain needs streak masks of at least {size}x{size} pixels, and there are "
            "none. Give a folder of them with --streaks."
        )
    return masks
