import numpy as np
import tensorflow as tf

from pipelines import degradations


def test_noise_has_the_level_asked_for_and_comes_from_the_seed():
    clean = np.full((4, 100, 100, 1), 0.5, "float32")
    noisy = degradations.add_noise(clean, (25.0,), (1, 2)).numpy()
    assert abs((noisy - clean).std() * 255 - 25) < 0.3
    assert abs((noisy - clean).mean() * 255) < 0.5
    np.testing.assert_array_equal(noisy, degradations.add_noise(clean, (25.0,), (1, 2)))
    assert np.abs(noisy - degradations.add_noise(clean, (25.0,), (1, 3))).max() > 0.1


def test_noise_is_not_clipped():
    noisy = degradations.add_noise(np.ones((1, 50, 50, 1), "float32"), (50.0,), (0, 0))
    assert noisy.numpy().max() > 1.1


def test_blind_noise_draws_a_level_for_each_image():
    clean = np.zeros((64, 40, 40, 1), "float32")
    noisy = degradations.add_noise(clean, (0.0, 55.0), (0, 0)).numpy()
    levels = noisy.std(axis=(1, 2, 3)) * 255
    assert levels.min() < 10 and levels.max() > 45
    assert levels.max() < 57


def test_rain_brightens_and_stays_in_range():
    rng = np.random.default_rng(0)
    clean = rng.uniform(size=(3, 20, 20, 3)).astype("float32")
    streaks = (rng.uniform(size=(3, 20, 20, 1)) > 0.8).astype("float32")
    rainy = degradations.add_rain(clean, streaks, (0, 1)).numpy()
    assert (rainy >= clean).all() and rainy.max() <= 1.0
    dry = np.broadcast_to(streaks == 0, clean.shape)
    np.testing.assert_array_equal(rainy[dry], clean[dry])


def test_crop_to_multiple():
    image = np.arange(7 * 8).reshape(7, 8, 1).astype("uint8")
    np.testing.assert_array_equal(
        degradations.crop_to_multiple(image, 3), image[:6, :6]
    )


def test_downsample_equals_tensorflow_inside():
    # tf.image.resize antialiases as MATLAB does, but not at the borders.
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (60, 90, 3), dtype=np.uint8)
    ours = degradations.downsample(image, 3)
    theirs = tf.image.resize(image, (20, 30), "bicubic", antialias=True).numpy()
    theirs = np.clip(np.rint(theirs), 0, 255)
    assert ours.dtype == np.uint8 and ours.shape == (20, 30, 3)
    assert np.abs(ours - theirs)[3:-3, 3:-3].max() <= 1  # halves may round apart
