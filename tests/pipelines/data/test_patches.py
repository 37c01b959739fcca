import hashlib
import itertools

import numpy as np
import pytest
import tensorflow as tf

from pipelines.data.patches import PatchSource, Pool
from xunit_keras import tasks
from xunit_keras.imaging.color import luminance, with_channels
from xunit_keras.imaging.resize import imresize


@pytest.fixture(scope="module")
def photographs():
    rng = np.random.default_rng(0)
    smooth = imresize(rng.integers(0, 256, (8, 10, 3), dtype=np.uint8), 8)
    return [smooth, rng.integers(0, 256, (30, 45, 3), dtype=np.uint8)]


def take(source, start, count):
    return [(x.numpy(), y.numpy()) for x, y in source.batches(start).take(count)]


def test_a_batch_is_a_function_of_seed_and_step(photographs):
    task = tasks.create("denoise")
    first = take(PatchSource(photographs, task, 12, 8, seed=3), 0, 4)
    again = PatchSource(photographs, task, 12, 8, seed=3)
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
    other = take(PatchSource(photographs, task, 12, 8, seed=4), 0, 1)
    assert np.abs(first[0][1] - other[0][1]).max() > 0


def test_sources_of_other_images_have_another_digest(photographs):
    task = tasks.create("denoise")
    digests = [
        PatchSource(images, task, 12, batch, seed).digest()
        for images, batch, seed in (
            (photographs, 8, 0),
            (photographs, 4, 1),
            (photographs[::-1], 8, 0),
            ([photographs[0], 255 - photographs[1]], 8, 0),
        )
    ]
    assert digests[0] == digests[1]
    assert len(set(digests)) == 3


RECORDED = {
    "gray": "f73d87d01c065342",
    "blind": "b35b5d64a56581e4",
    "left-out": "643a420439118614",
    "x3": "c5c78e88c4786799",
    "x4": "862b8bf0a759289e",
    "pairs": "7f808294dd68d02b",
    "streaks": "17e938a358913334",
}
"""Digests of the batches of steps 0 and 1000, as the first released models saw them."""


@pytest.mark.parametrize("case", RECORDED)
def test_released_trainings_can_be_repeated(case):
    rng = np.random.default_rng(0)

    def noise(height, width, channels, white=256):
        return rng.integers(0, white, (height, width, channels), dtype=np.uint8)

    photographs = [imresize(noise(8, 10, 3), 8), noise(30, 45, 3), noise(40, 31, 1)]
    small = [noise(9, 60, 3)]
    rainy = [255 - photograph for photograph in photographs]
    streaks = [noise(40, 44, 1, 200), noise(33, 33, 3, 90)]
    task, size, batch, seed, images, *rest = {
        "gray": (tasks.create("denoise"), 12, 8, 3, photographs),
        "blind": (
            tasks.create("denoise", sigma=(0, 55), channels=3),
            *(16, 5, 0, photographs),
        ),
        "left-out": (
            tasks.create("denoise", sigma=(50,)),
            *(24, 4, 1, small + photographs),
        ),
        "x3": (tasks.create("sr", scale=3), 24, 6, 2, photographs),
        "x4": (tasks.create("sr", scale=4), 28, 6, 2, small + photographs),
        "pairs": (tasks.create("derain"), 10, 8, 0, photographs, rainy),
        "streaks": (tasks.create("derain"), 24, 8, 4, photographs, None, streaks),
    }[case]
    source = PatchSource(images, task, size, batch, seed, *rest)
    digest = hashlib.sha256()
    for step in (0, 1000):
        for array in take(source, step, 1)[0]:
            # In levels, as the last bits of a float may depend on the processor.
            digest.update(np.rint(255 * array).astype("<i2").tobytes())
    assert digest.hexdigest()[:16] == RECORDED[case]


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
    task = tasks.create("sr", scale=3)
    (small, large), *_ = take(PatchSource(photographs[:1], task, 24, 16), 0, 1)
    assert small.shape == (16, 8, 8, 1) and large.shape == (16, 24, 24, 1)
    enlarged = np.stack([imresize(image, 3) for image in small])
    # A shift by one pixel would cost far more than the interpolation does.
    inside = (slice(None), slice(6, -6), slice(6, -6))
    error = np.abs(enlarged - large)[inside].mean()
    shifted = np.abs(np.roll(enlarged, 1, axis=1) - large)[inside].mean()
    assert error < 0.01 and error < 0.3 * shifted


def test_rain_pairs_are_cropped_alike(photographs):
    rainy = [255 - image for image in photographs]
    source = PatchSource(photographs, tasks.create("derain"), 10, 8, degraded=rainy)
    ((before, after),) = take(source, 0, 1)
    np.testing.assert_allclose(before, 1 - after, atol=1e-6)


@pytest.fixture
def one_streak():
    streaks = np.zeros((40, 40, 1), np.uint8)
    streaks[:, 20] = 200
    return [streaks]


def test_rain_on_the_fly(photographs, one_streak):
    source = PatchSource(
        photographs, tasks.create("derain"), 24, 8, overlays=one_streak
    )
    ((rainy, clean),) = take(source, 0, 1)
    assert (rainy >= clean - 1e-6).all() and (rainy - clean).max() > 0.2
    added = rainy - clean
    # The streaks of the mask fall from top to bottom, however it is turned.
    columns = (added > 0.05).mean(axis=1)
    assert columns.max() > 0.8


def test_pairs_among_photographs_that_are_degraded_on_the_fly(one_streak):
    # So dark that rain shows, and that nothing but the pair is bright when degraded.
    clean = [np.full((40, 40, 3), level, np.uint8) for level in (10, 20, 30)]
    rainy = [None, np.full((40, 40, 3), 250, np.uint8), None]
    task = tasks.create("derain")
    source = PatchSource(clean, task, 24, 64, degraded=rainy, overlays=one_streak)
    ((before, after),) = take(source, 0, 1)
    level = np.rint(255 * after[:, 0, 0, 0])
    assert set(level) == {10, 20, 30}
    np.testing.assert_allclose(before[level == 20], 250 / 255, atol=1e-6)
    # The others are as without any pair.
    alone = PatchSource(clean, task, 24, 64, overlays=one_streak)
    ((expected, same),) = take(alone, 0, 1)
    np.testing.assert_array_equal(after, same)
    np.testing.assert_array_equal(before[level != 20], expected[level != 20])
    assert (before[level != 20] < 250 / 255).any()


def test_degraded_photographs_must_fit(photographs):
    turned = [image.transpose(1, 0, 2) for image in photographs]
    with pytest.raises(ValueError, match=r"by 1\. .*\(80, 64\) beside \(64, 80\)"):
        PatchSource(photographs, tasks.create("derain"), 12, 2, degraded=turned)


def test_images_too_small_are_left_out_and_named(photographs):
    tiny = np.zeros((5, 50, 3), np.uint8)
    task = tasks.create("denoise")
    images = [photographs[0], tiny, photographs[1], tiny]
    assert PatchSource(images, task, 12, 2).skipped == (1, 3)
    # The degraded ones of a pair go with the clean ones.
    rainy = [255 - image for image in images]
    rain = tasks.create("derain")
    ((before, after),) = take(PatchSource(images, rain, 12, 8, degraded=rainy), 0, 1)
    np.testing.assert_allclose(before, 1 - after, atol=1e-6)
    with pytest.raises(ValueError, match="None of the 1 training images has the 12x12"):
        PatchSource([tiny], task, 12, 2)


def test_gray_and_color_photographs_together(photographs):
    gray = with_channels(photographs[1], 1)
    for channels in (1, 3):
        task = tasks.create("denoise", channels=channels, sigma=(0,))
        mixed = PatchSource([photographs[0], gray], task, 12, 32)
        ((noisy, clean),) = take(mixed, 0, 1)
        assert clean.shape == (32, 12, 12, channels)
        np.testing.assert_array_equal(noisy, clean)
    colorful = np.ptp(clean, axis=3).max(axis=(1, 2)) > 0
    assert 0 < colorful.sum() < 32


@pytest.mark.parametrize("task", [("denoise", (0,)), ("sr", None), ("derain", None)])
def test_shuffled_channels(photographs, task):
    """Each patch has an order of its own, which both of its sides have."""
    name, sigma = task
    task = tasks.create(name, channels=3, sigma=sigma)
    rainy = [255 - image for image in photographs] if name == "derain" else None
    settings = (photographs, task, 12, 64, 1, rainy)
    ((plain_x, plain_y),) = take(PatchSource(*settings), 5, 1)
    shuffled = PatchSource(*settings, shuffle_channels=True)
    ((x, y),) = take(shuffled, 5, 1)
    np.testing.assert_array_equal(y, take(shuffled, 5, 1)[0][1])
    orders = []
    for patch, (before, after) in enumerate(zip(plain_y, y, strict=True)):
        (order,) = (
            order
            for order in itertools.permutations(range(3))
            if np.array_equal(before[..., order], after)
        )
        np.testing.assert_array_equal(plain_x[patch][..., order], x[patch])
        orders.append(order)
    assert set(orders) == set(itertools.permutations(range(3)))


def test_shuffled_channels_are_those_of_the_photographs(photographs):
    """Y is that of the exchanged colors."""
    color = np.array([10, 100, 200], np.uint8)
    flat = np.broadcast_to(color, (30, 30, 3))
    source = PatchSource(
        [flat], tasks.create("sr", scale=2), 12, 64, shuffle_channels=True
    )
    ((small, large),) = take(source, 0, 1)
    expected = luminance(np.array([*itertools.permutations(color)]) / 255)
    for patches in (small, large):
        np.testing.assert_allclose(np.ptp(patches, axis=(1, 2)), 0, atol=1e-6)
        found = np.unique(patches[:, 0, 0, 0].round(5))
        np.testing.assert_allclose(found, np.sort(expected.ravel()), atol=1e-5)
    with pytest.raises(ValueError, match="`shuffle_channels` must be False for gray"):
        PatchSource(photographs, tasks.create("denoise"), 12, 8, shuffle_channels=True)


def test_arguments(photographs):
    denoise, derain = tasks.create("denoise"), tasks.create("derain")
    with pytest.raises(ValueError, match=r"multiple of the scale.*patch_size=25"):
        PatchSource(photographs, tasks.create("sr", scale=3), 25, 2)
    with pytest.raises(ValueError, match="streak masks of at least 12x12"):
        PatchSource(photographs, derain, 12, 2)
    with pytest.raises(ValueError, match=r"`patch_size` must be a positive.*: 0"):
        PatchSource(photographs, denoise, 0, 2)
    with pytest.raises(ValueError, match=r"`batch_size` must be a positive.*: 2\.5"):
        PatchSource(photographs, denoise, 12, 2.5)
    expected = take(PatchSource(photographs, denoise, 12, 2, 3), 0, 1)
    numbers = [np.int32(12), np.int64(2), np.uint8(3)]
    given = take(PatchSource(photographs, denoise, *numbers), np.int64(0), 1)
    np.testing.assert_array_equal(given, expected)
