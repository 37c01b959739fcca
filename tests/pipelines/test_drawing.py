"""What the figures look like, seen in what matplotlib was given."""

import numpy as np
import pytest

from pipelines import drawing
from xunit_keras.graphs.inspection import ActivationMaps


def test_mosaic_keeps_channels_in_order():
    maps = np.arange(2 * 3 * 10, dtype="float32").reshape(2, 3, 10)
    found = drawing.mosaic(maps)
    assert found.shape == (2 * 2 + 2, 8 * 3 + 7 * 2)
    np.testing.assert_array_equal(found[:2, :3], maps[..., 0])
    np.testing.assert_array_equal(found[:2, 5:8], maps[..., 1])
    np.testing.assert_array_equal(found[4:, :3], maps[..., 8])
    assert np.isnan(found[2:4]).all() and np.isnan(found[4:, 10:]).all()


def test_the_most_active_channels_are_drawn_first():
    weights = np.zeros((4, 4, 80), "float32")
    weights[..., 70] = 1.0
    maps = ActivationMaps(
        layer="unit",
        crop=(slice(0, 4), slice(0, 4)),
        features=weights,
        weights=weights,
        mean_weight=weights.mean((0, 1)),
        near_one=weights.mean((0, 1)),
        activity=np.arange(80.0)[::-1],
    )
    panel = drawing.Panel(np.zeros((4, 4, 1)), "")
    figure = drawing.maps([drawing.Column("one", panel, panel, maps)])
    mosaics = [axes.images[0].get_array() for axes in figure.axes[2:]]
    assert all(mosaic.shape == (8 * 4 + 7 * 2,) * 2 for mosaic in mosaics)
    assert mosaics[1].max() == 0.0  # The 71st channel is not among the first 64.


def test_detail_is_found_where_it_is_but_not_at_the_border():
    image = np.zeros((80, 90, 1))
    image[40:50, 30:40] = np.random.default_rng(0).random((10, 10, 1))
    image[:10, :10] = 2 * np.random.default_rng(1).random((10, 10, 1))
    rows, columns = drawing.detailed(image, 12)
    assert rows.start <= 40 and rows.stop >= 50 and rows.stop - rows.start == 12
    assert columns.start <= 30 and columns.stop >= 40
    # Where nothing but border is left, it is in the middle; and never larger.
    assert drawing.detailed(image, 78) == (slice(1, 79), slice(6, 84))
    assert drawing.detailed(image, 100) == (slice(0, 80), slice(0, 90))


def shown(axes):
    return [np.asarray(image.get_array()) for image in axes.images]


def test_a_sheet_has_titles_captions_and_a_note():
    gray = np.linspace(-1, 2, 16).reshape(4, 4, 1)
    color = np.random.default_rng(0).random((4, 4, 3))
    rows = [
        [drawing.Panel(gray, "20 dB"), drawing.Panel(color, "30 dB")],
        [drawing.Panel(color, "21 dB"), drawing.Panel(gray, "31 dB")],
    ]
    figure = drawing.sheet(["before", "after"], rows, "a note")
    grid = np.array(figure.axes).reshape(2, 2)
    assert [axes.get_title() for axes in grid[0]] == ["before", "after"]
    assert [axes.get_xlabel() for axes in grid.ravel()] == [
        *("20 dB", "30 dB", "21 dB", "31 dB")
    ]
    np.testing.assert_array_equal(shown(grid[0, 0])[0], gray[..., 0].clip(0, 1))
    np.testing.assert_array_equal(shown(grid[1, 0])[0], color)
    # Black is 0 and white is 1, whatever the picture has.
    assert grid[0, 0].images[0].get_clim() == (0.0, 1.0)
    assert figure._supxlabel.get_text() == "a note"
    assert drawing.pixels(figure).dtype == np.uint8
    width, height = (int(size * figure.dpi) for size in figure.get_size_inches())
    assert drawing.pixels(figure).shape == (height, width, 3)


def test_convergence_names_the_last_score_and_leaves_out_the_first_ones():
    steps = list(range(10, 210, 10))
    rising = [5.0, *np.linspace(20, 30, 19)]
    figure = drawing.convergence(
        [drawing.Curve("one", steps, rising), drawing.Curve("two", steps, steps)],
        "set12",
    )
    (axes,) = figure.axes
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert labels == ["one: 30.00 dB", "two: 200.00 dB"]
    assert axes.get_ylim()[0] == pytest.approx(np.quantile(rising, 0.15))
    assert axes.get_ylabel() == "PSNR on set12 (dB)"
    np.testing.assert_array_equal(axes.lines[0].get_ydata(), rising)


def test_curves_of_a_log():
    rows = [
        {"step": "10", "loss": "0.5", "val_psnr": "20", "val_input_psnr": "19"},
        {"step": "20", "loss": "0.1", "val_psnr": "25", "val_input_psnr": "19"},
    ]
    loss, validation = drawing.curves(rows).axes
    np.testing.assert_array_equal(loss.lines[0].get_xydata(), [[10, 0.5], [20, 0.1]])
    assert loss.get_yscale() == "log"
    drawn = {line.get_label(): list(line.get_ydata()) for line in validation.lines}
    assert drawn == {"model": [20.0, 25.0], "degraded input": [19.0, 19.0]}
