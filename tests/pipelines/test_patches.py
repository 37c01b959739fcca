import itertools

import numpy as np
import pytest
import tensorflow as tf

from pipelines import patches
from pipelines.patches import PatchSource, Pool, Recipe
from xunit_keras.resize import imresize


@pytest.fixture(scope="module")
def photographs():
    rng = np.random.default_rng(0)
    smooth = imresize(rng.integers(0, 256, (8, 10, 3), dtype=np.uint8), 8)
    return [smooth, rng.integers(0, 256, (30, 45, 3), dtype=np.uint8)]


def take(source, start, count):
    return [(x.numpy(), y.numpy()) for x, y in source.batches(start).take(count)]


def test_a_batch_is_a_function_of_seed_and_step(photographs):
    recipe = Recipe("denoise", 12, 8, seed=3)
    first = take(PatchSource(photographs, recipe), 0, 4)
    again = PatchSource(photographs, recipe)
    options = tf.data.Options()
    options.threading.private_threadpool_size = 1
    one_thread = again.batches(0, 4).with_options(options)
    for (x, y), (x1, y1) in zip(first, one_thread.as_numpy_iterator(), strict=True):
        np.testing.assert_array_equal(x, x1)
        np.testing.assert_array_equal(y, y1)
    # Training that resumes at step 2 sees what it would have seen.
    for (x, y), (x2, y2) in zip(first[2:], take(again, 2, 2), strict=True):
        np.testing.assert_array_equal(x, x2)
        np.testing.assert_array_equal(y, y2)
    assert np.abs(first[0][0] - first[1][0]).max() > 0
    other = take(PatchSource(photographs, Recipe("denoise", 12, 8, seed=4)), 0, 1)
    assert np.abs(first[0][1] - other[0][1]).max() > 0


def test_gather_crops_flips_and_transposes(photographs):
    pool = Pool(photographs)
    size = 9
    for number, (flip_rows, flip_columns, transpose) in enumerate(
        itertools.product((0, 1), repeat=3)
    ):
        orientation = flip_rows + 2 * flip_columns + 4 * transpose
        patch = pool.gather(
            tf.constant([number % 2]),
            tf.constant([5], tf.int64),
            tf.constant([7], tf.int64),
            tf.constant([orientation]),
            size,
        ).numpy()[0]
        expected = photographs[number % 2][5 : 5 + size, 7 : 7 + size]
        expected = expected[::-1] if flip_rows else expected
        expected = expected[:, ::-1] if flip_columns else expected
        expected = expected.transpose(1, 0, 2) if transpose else expected
        np.testing.assert_array_equal(patch, expected)


def test_draws_reach_every_corner_and_stay_inside():
    # One pixel of room: both positions must come up, nothing else.
    pool = Pool([np.zeros((10, 10, 1), np.uint8), np.zeros((9, 12, 1), np.uint8)])
    index, top, left = (t.numpy() for t in pool.draw(400, 9, (0, 0)))
    assert set(index) == {0, 1}
    assert set(top[index == 0]) == {0, 1} and set(left[index == 0]) == {0, 1}
    assert set(top[index == 1]) == {0} and set(left[index == 1]) == {0, 1, 2, 3}


def test_sr_pairs_fit_together(photographs):
    recipe = Recipe("sr", 24, 16, scale=3)
    (small, large), *_ = take(PatchSource(photographs[:1], recipe), 0, 1)
    assert small.shape == (16, 8, 8, 1) and large.shape == (16, 24, 24, 1)
    enlarged = np.stack([imresize(image, 3) for image in small])
    # A shift by one pixel would cost far more than the interpolation does.
    inside = (slice(None), slice(6, -6), slice(6, -6))
    error = np.abs(enlarged - large)[inside].mean()
    shifted = np.abs(np.roll(enlarged, 1, axis=1) - large)[inside].mean()
    assert error < 0.01 and error < 0.3 * shifted


def test_rain_pairs_are_cropped_alike(photographs):
    rainy = [255 - image for image in photographs]
    source = PatchSource(photographs, Recipe("derain", 10, 8, channels=3), rainy)
    ((before, after),) = take(source, 0, 1)
    np.testing.assert_allclose(before, 1 - after, atol=1e-6)


def test_rain_on_the_fly(photographs):
    streaks = np.zeros((40, 40, 1), np.uint8)
    streaks[:, 20] = 200
    source = PatchSource(
        photographs, Recipe("derain", 24, 8, channels=3), streaks=[streaks]
    )
    ((rainy, clean),) = take(source, 0, 1)
    assert (rainy >= clean - 1e-6).all() and (rainy - clean).max() > 0.2
    added = rainy - clean
    # The streaks of the mask fall from top to bottom, however it is turned.
    columns = (added > 0.05).mean(axis=1)
    assert columns.max() > 0.8


def test_images_too_small_are_left_out_and_said(photographs):
    tiny = np.zeros((5, 50, 3), np.uint8)
    assert PatchSource([tiny, *photographs], Recipe("denoise", 12, 2)).skipped == 1
    with pytest.raises(ValueError, match="None of the 1 training images has the 12x12"):
        PatchSource([tiny], Recipe("denoise", 12, 2))


def test_bad_recipes(photographs):
    with pytest.raises(ValueError, match=r"multiple of the scale.*patch_size=25"):
        PatchSource(photographs, Recipe("sr", 25, 2, scale=3))
    with pytest.raises(ValueError, match="streak masks of at least 12x12"):
        PatchSource(photographs, Recipe("derain", 12, 2, channels=3), streaks=[])


def test_to_y_is_matlabs(photographs):
    from xunit_keras.colour import luminance

    expected = luminance(photographs[0] / 255.0)
    np.testing.assert_allclose(
        patches.to_y(photographs[0][None])[0], expected, atol=1e-6
    )


def test_grey_is_rounded_luma():
    image = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255], [9, 9, 9]]], np.uint8)
    grey = patches.with_channels(image, 1)
    np.testing.assert_array_equal(grey[0, :, 0], [76, 150, 29, 9])
