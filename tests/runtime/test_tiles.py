"""Windows cover an image once, overlap enough, and are of one shape."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xunit_keras.imaging.resize import REACH
from xunit_keras.runtime.tiles import (
    AUTO_WINDOW,
    ReceptiveField,
    check_tile,
    cover,
)

fields = st.builds(
    ReceptiveField,
    scale=st.integers(1, 4),
    radius=st.integers(0, 20),
    stride=st.sampled_from([1, 2, 4]),
)


@settings(derandomize=True, deadline=None, max_examples=300)
@given(fields, st.integers(1, 150), st.integers(1, 150), st.integers(0, 60))
def test_windows_cover_the_image_once_and_see_enough(field, height, width, tile):
    height, width = height * field.stride, width * field.stride
    counts = np.zeros((height, width), int)
    shapes = set()
    halo = max(field.radius, REACH if field.scale > 1 else 0)
    for axes in cover(field, height, width, tile):
        rows, columns = axes
        counts[rows.kept, columns.kept] += 1
        shapes.add(tuple(a.window.stop - a.window.start for a in axes))
        for axis, length in zip(axes, (height, width), strict=True):
            window, kept = axis
            assert 0 <= window.start < window.stop <= length
            assert window.start % field.stride == 0
            assert (window.stop - window.start - length) % field.stride == 0
            # What a pixel sees lies in the window, or beyond the image.
            if tile:
                assert window.start == 0 or kept.start - window.start >= halo
                assert window.stop == length or window.stop - kept.stop >= halo
            within, target = axis.within(field.scale), axis.target(field.scale)
            assert within.stop - within.start == target.stop - target.start
    assert (counts == 1).all()
    assert len(shapes) == 1


def test_zero_is_the_whole():
    ((rows, columns),) = cover(ReceptiveField(2, 5), 30, 40, 0)
    assert rows == (slice(0, 30), slice(0, 30))
    assert columns == (slice(0, 40), slice(0, 40))


def pixels(windows, axes):
    """Of one window, and of all."""
    one = np.prod([a.window.stop - a.window.start for a in axes])
    return one, one * len(windows)


@settings(derandomize=True, deadline=None, max_examples=100)
@given(fields, st.integers(1, 900), st.integers(1, 900), st.integers(400, 800))
def test_automatic_windows_are_bounded_and_the_least_work(field, height, width, side):
    height, width = height * field.stride, width * field.stride
    windows = cover(field, height, width, "auto", side)
    one, work = pixels(windows, windows[0])
    # A window may grow by a stride along each axis.
    assert one * field.scale**2 <= (side + field.stride * field.scale) ** 2
    # Square ones of that size are never less work.
    tile = side // field.scale - 2 * max(field.radius, REACH)
    if tile > 0 and field.stride == 1:
        squares = cover(field, height, width, tile)
        assert work <= pixels(squares, squares[0])[1]


@pytest.mark.parametrize("height, width", [(3464, 3464), (3000, 4000), (4032, 3024)])
def test_the_halo_of_a_photograph_of_12_megapixels(height, width):
    windows = cover(ReceptiveField(1, 41), height, width, "auto")
    one, work = pixels(windows, windows[0])
    assert one <= AUTO_WINDOW**2
    assert work / (height * width) <= 1.16


def test_networks_that_look_very_far():
    field = ReceptiveField(1, 2000)
    for axes in cover(field, 20000, 15000, "auto"):
        for axis in axes:
            kept, window = axis.kept, axis.window
            assert kept.stop - kept.start >= (window.stop - window.start) / 4


@pytest.mark.parametrize("tile", [0, 7, np.int64(7), np.uint8(0), "auto"])
def test_tiles(tile):
    checked = check_tile(tile)
    assert checked == tile and type(checked) in (int, str)


@pytest.mark.parametrize(
    "tile", [-1, np.int64(-1), 2.5, True, np.bool_(True), "large", None, [1]]
)
def test_tiles_refused(tile):
    with pytest.raises(ValueError, match="`tile` must be"):
        check_tile(tile)
