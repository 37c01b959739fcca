"""Restoring with networks that are plain functions."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xunit_keras.imaging.color import rgb_to_ycbcr, ycbcr_to_rgb
from xunit_keras.imaging.pixels import LARGEST_SAMPLE, from_float, to_float
from xunit_keras.imaging.resize import imresize
from xunit_keras.runtime.network import Network
from xunit_keras.runtime.restoring import (
    check_image,
    check_strength,
    enlarge,
    restore,
)
from xunit_keras.runtime.tiles import ReceptiveField

RADIUS = 3


def blur(batch):
    """A network that sees `RADIUS` pixels to each side, and zeros beyond the border."""
    padded = np.pad(batch, ((0, 0), (RADIUS, RADIUS), (RADIUS, RADIUS), (0, 0)))
    height, width = batch.shape[1:3]
    total = np.zeros_like(batch)
    steps = range(2 * RADIUS + 1)
    for number, (dy, dx) in enumerate(itertools.product(steps, steps)):
        weight = np.float32(((number * 7) % 11 - 4) / 40)
        total += weight * padded[:, dy : dy + height, dx : dx + width]
    return total


def network(channels=1, scale=1):
    def run(batch):
        large = blur(batch)
        for axis in (1, 2):
            large = np.repeat(large, scale, axis)
        return large

    return Network("blur", run, channels, ReceptiveField(scale, RADIUS))


def random_image(*shape, seed=0):
    return np.random.default_rng(seed).random(shape, dtype=np.float32)


@settings(derandomize=True, deadline=None, max_examples=150)
@given(
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    channels=st.sampled_from([None, 1, 3]),
    own=st.sampled_from([1, 3]),
    dtype=st.sampled_from([np.uint8, np.uint16, np.float16, np.float32, np.float64]),
    scale=st.sampled_from([1, 2, 3]),
    tile=st.sampled_from([0, 1, 5, 16, "auto"]),
    strided=st.booleans(),
    seed=st.integers(0, 100),
)
def test_any_image(height, width, channels, own, dtype, scale, tile, strided, seed):
    """Shape and type stay, tiles equal the whole, and the image given is left alone."""
    step = 2 if strided else 1
    shape = (height * step, width * step, *([] if channels is None else [channels]))
    image = random_image(*shape, seed=seed)
    whole = (
        image.astype(dtype) if dtype().dtype.kind == "f" else from_float(image, dtype)
    )
    image = whole[::step, ::step]
    before = image.copy()
    restored = restore(image, network(own, scale), tile=tile)
    assert restored.shape == (height * scale, width * scale, *image.shape[2:])
    expected = np.float32 if dtype().dtype.kind == "f" else dtype
    assert restored.dtype == expected
    np.testing.assert_array_equal(image, before)
    other = restore(np.ascontiguousarray(image), network(own, scale), tile=0)
    if restored.dtype == np.float32:
        np.testing.assert_allclose(restored, other, rtol=0, atol=1e-5)
    else:
        difference = restored.astype(int) - other
        assert np.abs(difference).max() <= 1  # rounding of halves


def test_integers_are_floats_rounded():
    for dtype in (np.uint8, np.uint16):
        image = from_float(random_image(20, 30), dtype)
        restored = restore(image, network())
        expected = restore(to_float(image), network())
        np.testing.assert_array_equal(restored, from_float(expected, dtype))


@pytest.mark.parametrize("tile", [0, 5])
def test_luminance_enlarger_on_color(tile):
    image = random_image(14, 25, 3)
    ycbcr = rgb_to_ycbcr(image)
    expected = imresize(ycbcr, 3)
    expected[..., :1] = network(1, 3).run(ycbcr[None, ..., :1])[0]
    expected = np.clip(ycbcr_to_rgb(expected), 0, 1)
    restored = restore(image, network(1, 3), tile=tile)
    np.testing.assert_allclose(restored, expected, rtol=0, atol=2e-5)


@pytest.mark.parametrize("scale", [2, 3, 4, 8])
@pytest.mark.parametrize("shape", [(9, 11), (9, 11, 3), (1, 1), (500, 3)])
def test_enlarge(shape, scale):
    image = from_float(random_image(*shape), np.uint8)
    expected = imresize(image.reshape(*shape[:2], -1), scale)
    enlarged = enlarge(image, scale)
    assert enlarged.dtype == np.uint8
    difference = enlarged.reshape(expected.shape).astype(int) - expected
    assert np.abs(difference).max() <= 1  # rounding of halves
    assert np.count_nonzero(difference) <= 0.01 * difference.size


@pytest.mark.parametrize("scale", [1, 2])
def test_strength(scale):
    image = random_image(20, 17, 3)
    none, half, full = (
        restore(image, network(3, scale), strength=s, tile=7) for s in (0, 0.5, 1)
    )
    before = image if scale == 1 else np.clip(imresize(image, scale), 0, 1)
    np.testing.assert_allclose(none, before, atol=1e-5)
    inside = (full > 0) & (full < 1) & (none > 0) & (none < 1)
    np.testing.assert_allclose(half[inside], (none + full)[inside] / 2, atol=1e-5)
    assert np.abs(full - none).max() > 0.1


@pytest.mark.parametrize("strength", [-0.1, 1.1, np.nan, "1", None, True])
def test_strengths_refused(strength):
    with pytest.raises(ValueError, match="`strength` must be 0"):
        check_strength(strength)


def test_floats_beyond_the_range_reach_the_network():
    halving = Network("half", lambda batch: batch / 2, 1, ReceptiveField(1, 0))
    noisy = np.array([[-0.5, 0.5, 1.5, 3.0]])
    np.testing.assert_allclose(restore(noisy, halving), [[0, 0.25, 0.75, 1]])
    assert noisy.min() == -0.5
    assert check_image(np.full((2, 2), LARGEST_SAMPLE)).max() == LARGEST_SAMPLE


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((4, 5), np.int32),
        np.zeros((4, 5), bool),
        np.zeros((4, 5), complex),
        np.zeros((4, 5, 4), np.uint8),
        np.zeros((1, 4, 5, 3), np.uint8),
        np.zeros(7, np.uint8),
        np.zeros((0, 5), np.uint8),
        [["a"]],
        None,
    ],
)
def test_images_refused(image):
    with pytest.raises(ValueError, match="`image` must be"):
        restore(image, network())


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_none(value):
    image = random_image(4, 5)
    image[1, 1] = value
    with pytest.raises(ValueError, match="finite numbers only"):
        restore(image, network())


@pytest.mark.parametrize("high", [255.0, 1e300, 9.0, -9.0])
def test_floats_of_another_range(high):
    image = np.zeros((4, 5))
    image[0, 0] = high
    with pytest.raises(ValueError, match=r"must lie in \[0, 1\].*divide.*by 255"):
        restore(image, network())


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_a_network_that_gives_nan(dtype):
    broken = Network("broken", lambda b: b * np.float32("nan"), 1, ReceptiveField(1, 0))
    with pytest.raises(ValueError, match="'broken' gives NaN"):
        restore(np.zeros((4, 5), dtype), broken)


def test_a_network_that_does_not_keep_the_size():
    pooling = Network("pool", lambda b: b[:, ::2].repeat(2, 1), 1, ReceptiveField(1, 0))
    with pytest.raises(ValueError, match=r"'pool' makes \(6, 4, 1\).*multiples"):
        restore(random_image(5, 4), pooling)


def test_progress():
    seen = []
    restore(
        random_image(97, 200),
        network(),
        tile=20,
        progress=lambda done, total: seen.append((done, total)),
    )
    rows, columns = (-(-(side - 2 * RADIUS) // 20) for side in (97, 200))
    total = rows * columns
    assert seen == [(done, total) for done in range(total + 1)]
