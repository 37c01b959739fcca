"""JPEG: a real encoder, the same for patches and for images."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from skimage import color

from pipelines.data.examples import examples
from pipelines.data.patches import PatchSource
from xunit_keras import tasks
from xunit_keras.imaging.pixels import to_float
from xunit_keras.imaging.samples import sample_photographs


def compressed(pixels, quality):
    """By Pillow, with its own defaults, which halve the chroma."""
    file = io.BytesIO()
    Image.fromarray(pixels.squeeze()).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file)).reshape(pixels.shape)


@pytest.fixture(scope="module")
def photograph():
    return sample_photographs()["chelsea"][:120, :136]


@pytest.mark.parametrize("quality", [1, 10, 75, 100])
def test_images(photograph, quality):
    task = tasks.create("jpeg", quality=quality, channels=3)
    example = task.example("a", photograph)
    expected = to_float(compressed(photograph, quality))
    np.testing.assert_array_equal(example.degraded, expected)
    np.testing.assert_array_equal(example.clean, to_float(photograph))


def test_gray_is_the_luminance_of_the_literature_rounded(photograph):
    task = tasks.create("jpeg", quality=10)
    clean = task.clean(photograph)
    expected = color.rgb2ycbcr(photograph)[..., 0]
    assert np.abs(clean[..., 0] - expected).max() <= 0.5 + 1e-6
    degraded = task.degrade(clean, np.random.default_rng(0))
    np.testing.assert_array_equal(degraded, to_float(compressed(clean, 10)))
    gray = photograph[..., :1]
    np.testing.assert_array_equal(task.clean(gray), gray)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("quality", [5, 40, 95])
def test_patches_are_compressed_as_images_are(photograph, channels, quality):
    task = tasks.create("jpeg", quality=quality, channels=channels)
    clean = task.clean(photograph)
    batch = tf.constant(to_float(clean)[None].repeat(2, 0))
    degraded = task.degrade_batch(batch, tf.constant([0, 1], tf.int64)).numpy()
    expected = task.degrade(clean, np.random.default_rng(0))
    for one in degraded:
        np.testing.assert_array_equal(one, expected)


def test_each_patch_draws_its_quality(photograph):
    task = tasks.create("jpeg", quality=(5, 95))
    clean = to_float(task.clean(photograph))
    batch = tf.constant(clean[None].repeat(16, 0))
    seed = tf.constant([0, 1], tf.int64)
    degraded = task.degrade_batch(batch, seed).numpy()
    errors = np.square(degraded - clean).mean(axis=(1, 2, 3))
    assert len(np.unique(errors)) > 12
    assert errors.max() > 20 * errors.min()
    np.testing.assert_array_equal(task.degrade_batch(batch, seed).numpy(), degraded)


def test_blocks_are_not_aligned_to_the_patches(photograph):
    """Over many steps, the steps between blocks lie at every place of a patch."""
    task = tasks.create("jpeg", quality=5)
    source = PatchSource([photograph], task, 32, 4)
    places = set()
    for degraded, clean in source.batches(0, 24):
        assert degraded.shape == clean.shape == (4, 32, 32, 1)
        steps = np.abs(np.diff(degraded.numpy(), axis=2)).mean(axis=(0, 1, 3))
        places.add(int(np.argmax([steps[i::8].mean() for i in range(8)])))
    assert len(places) >= 6


def test_images_must_be_larger_than_a_patch_with_its_surroundings(photograph):
    task = tasks.create("jpeg")
    with pytest.raises(ValueError, match="48x48 pixels of a patch"):
        PatchSource([photograph[:40, :40]], task, 32, 1)


def test_what_it_is_tried_with():
    for quality, level in (((5, 95), 10), ((40,), 40), ((20, 90), 20)):
        task = tasks.create("jpeg", quality=quality)
        assert task.level == level
        assert task.scored().quality == (level,)
        assert f"quality {level}" in str(task)
    assert tasks.create("jpeg").columns("live1") == {("live1", 10): ""}
    color = tasks.create("jpeg", quality=20, channels=3)
    assert color.columns("live1") == {("live1 RGB", 20): ""}
    assert tasks.create("jpeg").test_sets == ("live1", "classic5")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("data", "published"),
    [
        ("live1", {10: 27.77, 20: 30.07, 30: 31.41, 40: 32.35}),
        ("classic5", {10: 27.82, 20: 30.12, 30: 31.48, 40: 32.43}),
    ],
)
def test_the_scores_of_the_inputs_are_the_published_ones(real_data, data, published):
    for quality, expected in published.items():
        task = tasks.create("jpeg", quality=quality)
        rows = [task.score(e.degraded, e) for e in examples(data, task, real_data)]
        mean = np.mean([row["input_psnr"] for row in rows])
        assert mean == pytest.approx(expected, abs=0.01)
