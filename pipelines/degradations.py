"""Noise, rain and down-sampling: what a photograph suffers, as pure functions.

Training and scoring call the same functions. Randomness comes from the seed alone:
the same arguments give the same result.
"""

from fractions import Fraction

import numpy as np
import tensorflow as tf

from xunit_keras.resize import imresize


def add_noise(images: tf.Tensor, sigma: tuple[float, ...], seed) -> tf.Tensor:
    """Adds white Gaussian noise; the result is neither clipped nor rounded.

    Args:
        images: `(batch, height, width, channels)` float32 in [0, 1].
        sigma: Standard deviation in levels of 0..255: one value, or the two ends
            of a range from which each image draws its own (blind denoising).
        seed: Two integers.
    """
    level_seed, noise_seed = tf.unstack(tf.random.split(seed))
    level = tf.random.stateless_uniform(
        [tf.shape(images)[0], 1, 1, 1], level_seed, sigma[0], sigma[-1]
    )
    noise = tf.random.stateless_normal(tf.shape(images), noise_seed)
    return images + noise * (level / 255.0)


def add_rain(images: tf.Tensor, streaks: tf.Tensor, seed) -> tf.Tensor:
    """Lays rain streaks over images: `min(1, image + strength * streaks)`.

    Args:
        images: `(batch, height, width, 3)` float32 in [0, 1].
        streaks: `(batch, height, width, 1)` float32 in [0, 1], brightness added.
        seed: Two integers. Each image draws a strength between 0.5 and 1.2.
    """
    strength = tf.random.stateless_uniform(
        [tf.shape(images)[0], 1, 1, 1], seed, 0.5, 1.2
    )
    return tf.minimum(images + strength * streaks, 1.0)


def crop_to_multiple(image: np.ndarray, scale: int) -> np.ndarray:
    """Cuts right and bottom so that height and width are multiples of `scale`."""
    height, width = (size - size % scale for size in image.shape[:2])
    return image[:height, :width]


def downsample(image: np.ndarray, scale: int) -> np.ndarray:
    """Shrinks a uint8 image as MATLAB's `imresize(image, 1 / scale)` does.

    Args:
        image: `(height, width, channels)` uint8, sizes multiples of `scale`.
        scale: Integer factor.

    Returns:
        `(height / scale, width / scale, channels)` uint8.
    """
    return imresize(image, Fraction(1, scale))
