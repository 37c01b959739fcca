"""What the figures look like: arrays in, matplotlib figures out."""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from xunit_keras.graphs.inspection import NEAR_ONE, ActivationMaps

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_DPI = 100
_COLUMNS = 8  # channels side by side in a mosaic
_GAP = 2  # pixels between them
_BORDER = 16  # pixels


class Panel(NamedTuple):
    """A picture, `(height, width, 1 or 3)` float in [0, 1], and the line below it."""

    image: np.ndarray
    caption: str


class Column(NamedTuple):
    """What one network does to a picture.

    Attributes:
        title: The network.
        before: Its input.
        after: Its output.
        maps: One of its activations.
    """

    title: str
    before: Panel
    after: Panel
    maps: ActivationMaps


class Curve(NamedTuple):
    """The validation PSNR of a training, in dB, by step."""

    label: str
    steps: list[int]
    psnr: list[float]


class Price(NamedTuple):
    """What a network reaches, in dB, and what it costs by axis."""

    label: str
    psnr: float
    costs: dict[str, float]
    ours: bool


def sheet(
    titles: list[str], rows: list[list[Panel]], note: str = "", side: float = 2.2
) -> "Figure":
    """Pictures in rows and columns, a title over every column.

    Args:
        titles: As many as there are pictures in a row.
        rows: The pictures.
        note: A line at the foot.
        side: Width of a picture in inches.
    """
    height, width = rows[0][0].image.shape[:2]
    cell = side * height / width + 0.3
    figure = _figure(side * len(titles), cell * len(rows) + 0.4)
    grid = figure.subplots(len(rows), len(titles), squeeze=False)
    for axes, title in zip(grid[0], titles, strict=True):
        axes.set_title(title, fontsize="medium")
    for line, row in zip(grid, rows, strict=True):
        for axes, panel in zip(line, row, strict=True):
            _show(axes, panel)
    if note:
        figure.supxlabel(note, fontsize="small")
    return figure


def maps(columns: list[Column], note: str = "") -> "Figure":
    """Networks side by side: picture, feature maps, weight maps and their product.

    The channels are sorted by activity, the most active first. Feature maps and
    products of a network share one scale, so that a channel that does little is pale.
    """
    shown = [column.maps.by_activity[: _COLUMNS**2] for column in columns]
    lines = [-(-len(channels) // _COLUMNS) for channels in shown]
    mosaic_height = 3.8 * max(lines) / _COLUMNS
    figure = _figure(4.1 * len(columns), 2.8 + 3 * (mosaic_height + 0.25))
    parts = figure.subfigures(1, len(columns), squeeze=False)[0]
    for part, column, channels in zip(parts, columns, shown, strict=True):
        found = column.maps
        part.suptitle(
            f"{column.title}\n"
            f"{found.layer}: {found.effective_channels:.1f} of "
            f"{len(found.activity)} channels in use,\n"
            f"{100 * found.near_one.mean():.0f} % of the weights above {NEAR_ONE:g}",
            fontsize="medium",
        )
        top, bottom = part.subfigures(
            2, 1, height_ratios=(2.2, 3 * (mosaic_height + 0.25))
        )
        for axes, panel in zip(
            top.subplots(1, 2), (column.before, column.after), strict=True
        ):
            _show(axes, panel)
        scale = np.quantile(np.abs(found.features), 0.995) or 1.0
        signed = {"cmap": _few("RdBu_r", 33), "vmin": -scale, "vmax": scale}
        weights = {"cmap": _few("gray", 17), "vmin": 0.0, "vmax": 1.0}
        drawn = (
            (found.features, "feature maps z: blue negative, red positive", signed),
            (found.weights, "weight maps g: black 0, white 1", weights),
            (found.product, "products g z, in the colors of z", signed),
        )
        for axes, (values, caption, colors) in zip(
            bottom.subplots(3, 1), drawn, strict=True
        ):
            picture = mosaic(values[..., channels])
            axes.imshow(picture, interpolation_stage="data", **colors)
            axes.set_xlabel(caption, fontsize="small")
            _plain(axes)
    if note:
        figure.supxlabel(note, fontsize="small")
    return figure


def mosaic(maps: np.ndarray) -> np.ndarray:
    """Channels `(height, width, channels)` in rows of eight, NaN between them."""
    count = maps.shape[2]
    padding = ((0, _GAP), (0, _GAP), (0, -count % _COLUMNS))
    tiles = np.pad(maps, padding, constant_values=np.nan).transpose(2, 0, 1)
    lines = [np.hstack(list(line)) for line in np.split(tiles, len(tiles) // _COLUMNS)]
    return np.vstack(lines)[:-_GAP, :-_GAP]


def convergence(curves: list[Curve], data: str, note: str = "") -> "Figure":
    """Validation PSNR of several trainings against their steps.

    Args:
        curves: The trainings.
        data: Name of the validation images.
        note: A line at the foot.
    """
    figure = _figure(7.0, 4.4)
    axes = figure.subplots()
    for curve in curves:
        axes.plot(
            curve.steps,
            curve.psnr,
            marker=".",
            label=f"{curve.label}: {curve.psnr[-1]:.2f} dB",
        )
    # The first rounds would leave no room to tell the later ones apart.
    settled = [np.quantile(curve.psnr, 0.15) for curve in curves]
    axes.set_ylim(bottom=min(settled))
    axes.set(xlabel="training step", ylabel=f"PSNR on {data} (dB)")
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right")
    if note:
        figure.supxlabel(note, fontsize="small")
    return figure


def prices(networks: list[Price], data: str, note: str = "") -> "Figure":
    """PSNR of networks against each of their costs, which grow by factors.

    Args:
        networks: All with the same costs.
        data: What the PSNR is of.
        note: A line at the foot.
    """
    costs = list(networks[0].costs)
    figure = _figure(5.0 * len(costs), 4.4)
    panels = figure.subplots(1, len(costs), sharey=True, squeeze=False)[0]
    for axes, cost in zip(panels, costs, strict=True):
        for network in networks:
            place = network.costs[cost], network.psnr
            axes.scatter(*place, color="C0" if network.ours else "C1", zorder=2)
            axes.annotate(
                network.label,
                place,
                # Apart, where a network of ours reaches what another has.
                xytext=(5, 4 if network.ours else -11),
                textcoords="offset points",
                fontsize="small",
            )
        axes.set(xscale="log", xlabel=cost)
        axes.margins(x=0.25, y=0.1)
        axes.grid(alpha=0.3, which="both")
    panels[0].set_ylabel(f"PSNR on {data} (dB)")
    if note:
        figure.supxlabel(note, fontsize="small")
    return figure


def curves(rows: list[dict[str, str]]) -> "Figure":
    """Training loss and validation PSNR by step.

    Args:
        rows: The lines of a log.
    """
    figure = _figure(9.0, 3.5)
    steps = [int(row["step"]) for row in rows]
    left, right = figure.subplots(1, 2)
    left.semilogy(steps, [float(row["loss"]) for row in rows], marker=".")
    left.set(xlabel="step", ylabel="loss", title="Training loss")
    for column, style, label in (
        ("val_psnr", ".-", "model"),
        ("val_input_psnr", "--", "degraded input"),
    ):
        right.plot(steps, [float(row[column]) for row in rows], style, label=label)
    right.set(xlabel="step", ylabel="PSNR (dB)", title="Validation")
    right.legend()
    for axes in (left, right):
        axes.grid(alpha=0.3)
    return figure


def pixels(figure: "Figure") -> np.ndarray:
    """A figure as `(height, width, 3)` uint8."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3]


def detailed(image: np.ndarray, side: int) -> tuple[slice, slice]:
    """Rows and columns of the square of an image that has most detail.

    It keeps away from the border where it can: networks see zeros beyond it.

    Args:
        image: `(height, width, channels)`.
        side: Of the square in pixels; less where the image is smaller.
    """
    slopes = np.hypot(*np.gradient(image.mean(axis=2)))
    height, width = (min(side, length) for length in slopes.shape)
    sums = np.pad(slopes, ((1, 0), (1, 0))).cumsum(0).cumsum(1)
    inside = (
        sums[height:, width:]
        - sums[:-height, width:]
        - sums[height:, :-width]
        + sums[:-height, :-width]
    )
    top, left = (min(_BORDER, (count - 1) // 2) for count in inside.shape)
    inside = inside[top : len(inside) - top, left : inside.shape[1] - left]
    row, column = np.unravel_index(np.argmax(inside), inside.shape)
    top, left = int(top + row), int(left + column)
    return slice(top, top + height), slice(left, left + width)


def _figure(width, height) -> "Figure":
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=_DPI, layout="constrained")


def _few(name, count):
    """A color map with few colors: noise in many makes large files."""
    from matplotlib import colormaps

    return colormaps[name].resampled(count)


def _show(axes, panel):
    axes.imshow(
        np.clip(panel.image, 0.0, 1.0).squeeze(),
        cmap="gray",
        vmin=0.0,
        vmax=1.0,
        interpolation="nearest",
    )
    axes.set_xlabel(panel.caption, fontsize="small")
    _plain(axes)


def _plain(axes):
    axes.set(xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set_visible(False)
