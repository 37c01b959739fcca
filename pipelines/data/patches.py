"""Batches of degraded and clean patches, a pure function of (seed, step).

All images of a training set are decoded once and kept in memory as one vector of
bytes. A batch is one gather from it: crops, flips and rotations are arithmetic on
coordinates. As the batch of a step depends on nothing but the seed and the step's
number, it is the same on one thread or many, and training resumes exactly.
"""

import hashlib
import operator
from collections.abc import Iterable
from itertools import compress

import numpy as np
import tensorflow as tf

from xunit_keras.imaging.color import with_channels
from xunit_keras.tasks import Task

# Folded into the seed of the orientation, so that nothing else is drawn differently.
_SHUFFLE, _CUT = 1, 2


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
        task: What degrades them.
        patch_size: Side of the clean patch in pixels, a multiple of the task's scale.
        batch_size: Patches in a batch.
        seed: Integer.
        degraded: The photographs as nature degraded them, in the same order (pairs),
            with None for those that the task is to degrade; None: for all.
        overlays: Masks `(height, width, 1 or 3)` uint8 to lay over patches, for a task
            that needs them.
        shuffle_channels: Exchange red, green and blue at random, in each patch anew,
            so that all colors are learned alike.

    Attributes:
        skipped: Places among the photographs of those that are smaller than a patch.

    Raises:
        ValueError: No photograph is large enough, or the arguments do not fit together.
    """

    def __init__(
        self,
        photographs: Iterable[np.ndarray],
        task: Task,
        patch_size: int,
        batch_size: int,
        seed: int = 0,
        degraded: Iterable[np.ndarray | None] | None = None,
        overlays: Iterable[np.ndarray] = (),
        shuffle_channels: bool = False,
    ):
        self.task = task
        self.patch_size = size = _positive("patch_size", patch_size)
        self.batch_size = _positive("batch_size", batch_size)
        self.seed = operator.index(seed)
        self.shuffle_channels = shuffle_channels
        if size % task.scale:
            raise ValueError(
                "`patch_size` must be a multiple of the scale. "
                f"Received: patch_size={size}, scale={task.scale}"
            )
        if shuffle_channels and task.photograph_channels != 3:
            raise ValueError(
                "`shuffle_channels` must be False for gray photographs. "
                f"Received: shuffle_channels={shuffle_channels}"
            )
        photographs = list(photographs)
        needed = size + task.context
        usable = [min(image.shape[:2]) >= needed for image in photographs]
        self.skipped = tuple(place for place, fits in enumerate(usable) if not fits)
        if not any(usable):
            raise ValueError(
                f"None of the {len(photographs)} training images has the "
                f"{needed}x{needed} pixels of a patch. Give larger images or a smaller "
                "--patch-size."
            )
        clean = [task.clean(image) for image in compress(photographs, usable)]
        if degraded is None:
            twins = task.prepare(clean) or [None] * len(clean)
        else:
            twins = list(compress(degraded, usable))
        self.given = tf.constant([twin is not None for twin in twins])
        self.clean = Pool(clean)
        self.degraded = self.overlays = None
        if any(twin is not None for twin in twins):
            pairs = zip(twins, clean, strict=True)
            # What the task is to degrade holds its place as it is.
            self.degraded = Pool(
                [
                    image if twin is None else _fitting(twin, image, task)
                    for twin, image in pairs
                ]
            )
        self.on_the_fly = any(twin is None for twin in twins)
        if self.on_the_fly and task.needs_overlays:
            self.overlays = Pool(_usable_overlays(overlays, size))

    def batches(self, start: int = 0, stop: int | None = None) -> tf.data.Dataset:
        """The batches of steps `start` to `stop`, or without end.

        Returns:
            A data set of `(degraded, clean)`, float32 in [0, 1] (noise goes beyond).
        """
        steps = tf.data.Dataset.range(start, stop if stop is not None else 2**40)
        return steps.map(
            self.batch, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True
        ).prefetch(tf.data.AUTOTUNE)

    def digest(self) -> bytes:
        """What differs between sources that draw from other images."""
        digest = hashlib.sha256()
        for pool in (self.clean, self.degraded, self.overlays):
            if pool is not None:
                for part in (pool.heights, pool.widths, pool.pixels):
                    digest.update(part.numpy().data)
        return digest.digest()

    def batch(self, step: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The batch of one step: degraded and clean patches."""
        seed = tf.stack([tf.constant(self.seed, tf.int64), tf.cast(step, tf.int64)])
        place_seed, turn_seed, overlay_seed, degrade_seed = tf.unstack(
            tf.random.split(seed, 4)
        )
        orientation = self._orientation(turn_seed)
        order = self._order(turn_seed)
        pool = self.clean if self.degraded is None else self.degraded
        scale = self.task.scale
        size = self.patch_size // scale + self.task.context
        index, top, left = pool.draw(self.batch_size, size, place_seed)

        def patches(pool, factor):
            place = (index, top * factor, left * factor, orientation)
            pixels = pool.gather(*place, size * factor)
            if order is not None:
                pixels = tf.gather(pixels, order, axis=3, batch_dims=1)
            return self.task.to_patches(pixels)

        clean = patches(self.clean, scale)
        if self.degraded is None:
            degraded = self._degrade(clean, overlay_seed, degrade_seed)
            return self._without_context(degraded, clean, degrade_seed)
        degraded = patches(self.degraded, 1)
        if self.on_the_fly:
            given = tf.gather(self.given, index)[:, None, None, None]
            made = self._degrade(clean, overlay_seed, degrade_seed)
            degraded = tf.where(given, degraded, made)
        return self._without_context(degraded, clean, degrade_seed)

    def _without_context(self, degraded, clean, seed):
        """Patches cut at a place that the step draws out of larger ones."""
        context, size = self.task.context, self.patch_size
        if not context:
            return degraded, clean
        seed = tf.random.fold_in(seed, _CUT)
        top, left = tf.unstack(
            tf.random.stateless_uniform(
                [2],
                seed,  # pyright: ignore[reportArgumentType]: taken for an integer
                0,
                context,
                dtype=tf.int32,
            )
        )
        rows, columns = slice(top, top + size), slice(left, left + size)
        return degraded[:, rows, columns], clean[:, rows, columns]

    def _orientation(self, seed):
        return tf.random.stateless_uniform(
            [self.batch_size], seed, 0, 8, dtype=tf.int32
        )

    def _order(self, seed):
        """The order of the channels in each patch; None to leave them."""
        if not self.shuffle_channels:
            return None
        seed = tf.random.fold_in(seed, _SHUFFLE)
        draws = tf.random.stateless_uniform(
            [self.batch_size, 3],
            seed,  # pyright: ignore[reportArgumentType]: taken for an integer
        )
        return tf.argsort(draws)

    def _degrade(self, clean, overlay_seed, degrade_seed):
        if self.overlays is None:
            return self.task.degrade_batch(clean, degrade_seed)
        size = self.patch_size
        place_seed, turn_seed, degrade_seed = tf.unstack(
            tf.random.split(overlay_seed, 3)
        )
        index, top, left = self.overlays.draw(self.batch_size, size, place_seed)
        # Rain falls: streaks are mirrored left to right, not turned over.
        orientation = self._orientation(turn_seed) // 4 * 2
        masks = self.overlays.gather(index, top, left, orientation, size)
        masks = tf.cast(masks, tf.float32) / 255.0
        return self.task.degrade_batch(clean, degrade_seed, masks)


def _positive(name: str, value: int) -> int:
    try:
        number = operator.index(value)
    except TypeError:
        number = 0
    if number < 1:
        raise ValueError(f"`{name}` must be a positive integer. Received: {value!r}")
    return number


def _fitting(degraded: np.ndarray, clean: np.ndarray, task: Task) -> np.ndarray:
    """A degraded photograph with the channels of the clean one.

    Raises:
        ValueError: Their sizes differ by another factor than the task's scale.
    """
    if tuple(side * task.scale for side in degraded.shape[:2]) != clean.shape[:2]:
        raise ValueError(
            "A degraded image must have the size of the clean one, divided by "
            f"{task.scale}. "
            f"Received: {degraded.shape[:2]} beside {clean.shape[:2]}"
        )
    return with_channels(degraded, task.photograph_channels)


def _usable_overlays(overlays: Iterable[np.ndarray], size: int) -> list[np.ndarray]:
    """Masks at several sizes: rain near and far.

    Raises:
        ValueError: None is as large as a patch.
    """
    masks = []
    for mask in overlays:
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
