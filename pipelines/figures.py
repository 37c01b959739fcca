"""Draws what networks do: their activations, their learning, their results.

    python pipelines/figures.py maps --model runs/xnet/model --twin runs/convnet/model
    python pipelines/figures.py convergence --runs runs/convnet runs/xnet
    python pipelines/figures.py compare --models runs/convnet/model runs/xnet/model
    python pipelines/figures.py gallery --out docs
    python pipelines/figures.py prices --scale 3 --out docs/fast-family.png

Figures 5, 6 and 10 of the XUnit paper (Kligvasser, Rott Shaham, Michaeli, CVPR 2018),
for networks of one's own; a photograph for each task, for the documentation; and what
networks of super resolution reach against what they cost.
"""

import importlib
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from pipelines import program

# isort: split
import keras
import numpy as np
import tyro
from PIL import Image
from rich.table import Table

from pipelines import drawing, evaluate, history, runs
from pipelines.data import datasets
from pipelines.data.examples import first_examples
from pipelines.evaluate import Settings
from xunit_keras import count_parameters, demo, tasks
from xunit_keras.atomic import replacing
from xunit_keras.benchmark import benchmark
from xunit_keras.graphs.inspection import NEAR_ONE, ActivationMaps, activation_maps
from xunit_keras.graphs.receptive_field import receptive_field
from xunit_keras.imaging import files
from xunit_keras.imaging.metrics import psnr
from xunit_keras.imaging.samples import sample_photographs
from xunit_keras.models.building import require_positive
from xunit_keras.packages import require
from xunit_keras.restoration import enlarge, open_network, restore
from xunit_keras.runtime.engines import EngineName
from xunit_keras.runtime.models import card, list_models
from xunit_keras.tasks import Example, Task
from xunit_keras.tasks.denoise import Denoise

# What trainings may differ in and still be compared: what is drawn, not how.
_NETWORK = ("model", "depth", "filters", "kernel_size", "skips", "out", "data_root")
# Photographs of the sample on which tasks are shown.
_SHOWN = {"denoise": "chelsea", "derain": "rocket", "sr": "astronaut", "jpeg": "coffee"}


@dataclass(frozen=True)
class Maps:
    """The activations of a network, and of its twin, on one degraded photograph."""

    model: str
    """A released model, a model folder, a .keras file, or a published .pkl."""

    twin: str | None = None
    """A second network, drawn beside it."""

    image: str = "camera"
    """An image file, or the name of a photograph of the sample."""

    activation: int | None = None
    """Which activation, counted from 1. Default: the last."""

    crop: int = 96
    """Side of what is drawn of the photograph, in its pixels: where it has most
    detail."""

    settings: tyro.conf.OmitArgPrefixes[Settings] = field(default_factory=Settings)
    """With what the networks are tried."""

    out: Path = Path("maps.png")
    """The figure."""


@dataclass(frozen=True)
class Convergence:
    """The validation PSNR of several trainings, by step, from their logs."""

    runs: tuple[Path, ...]
    """Folders of trainings that differ in the network alone."""

    out: Path = Path("convergence.png")
    """The figure."""


@dataclass(frozen=True)
class Compare:
    """Crops of the degraded image, of what several models make of it, of the truth."""

    models: tuple[str, ...]
    """Released models, model folders, .keras files, or published .pkl."""

    data: str = datasets.SAMPLE
    """A published set, a folder, a TensorFlow Datasets name, or sample."""

    limit: int = 4
    """How many of its images."""

    crop: int = 96
    """Side of what is shown of an image, in its pixels: where it has most detail."""

    settings: tyro.conf.OmitArgPrefixes[Settings] = field(default_factory=Settings)
    """With what the models are tried."""

    data_root: Path | None = None
    """Folder of the published sets. Default: $XUNIT_KERAS_DATA, or data."""

    out: Path = Path("compare.png")
    """The figure."""


@dataclass(frozen=True)
class Gallery:
    """A photograph for each task: degraded, by another method, by a model, the truth.

    With decibels, and milliseconds of processor time on one thread.
    """

    crop: int = 112
    """Side of what is shown of a photograph, in its pixels: where it has most
    detail."""

    rounds: int = 3
    """How often a photograph is restored; the fastest time is shown."""

    out: Path = Path("gallery")
    """Folder of the pictures."""


@dataclass(frozen=True)
class Prices:
    """PSNR of the released networks of super resolution against what they cost.

    Those that they replace stand beside them, with their published PSNR.
    """

    scale: int = 3
    """Factor of the super resolution."""

    data: str = "set5"
    """Set whose PSNR is shown; one that is on the cards."""

    engine: EngineName = "onnxruntime"
    """What the time is measured on."""

    size: int = 256
    """Side of the image that is enlarged, in pixels."""

    threads: int | None = None
    """Threads of the engine."""

    rounds: int = 10
    """How often every network runs, in turns; the median is shown."""

    out: Path = Path("prices.png")
    """The figure."""


def draw_maps(config: Maps) -> None:
    """Draws a photograph's way through an activation, and prints all statistics.

    Raises:
        ValueError: There is no such model, image or activation, or the two networks
            restore different things.
    """
    require_positive(crop=config.crop)
    names = [config.model] if config.twin is None else [config.model, config.twin]
    models, task = _models(names, config.settings)
    example = task.example(config.image, _pixels(config.image))
    truth = drawing.detailed(example.clean, config.crop)
    columns = []
    for name, model in models:
        given = _given_to(model, example)
        scale = example.clean.shape[0] // given.shape[0]
        rows, cols = (slice(p.start // scale, -(-p.stop // scale)) for p in truth)
        found = activation_maps(model, given, crop=(rows, cols))
        print_statistics(name, found)
        restored = restore(given, model)
        columns.append(
            drawing.Column(
                f"{name} ({_parameters(model)})",
                _panel(example.baseline, example, task, truth, "input "),
                _panel(restored, example, task, truth, "restored "),
                _activation(found, config.activation),
            )
        )
    note = f"{config.image}: {task.degradation}; PSNR of the whole image"
    _write(drawing.maps(columns, note), config.out, palette=True)


def draw_convergence(config: Convergence) -> None:
    """Draws the validation PSNR of trainings against their steps.

    Raises:
        ValueError: A folder holds no training, or they differ in more than the network.
    """
    recipes = [runs.recipe(run) for run in config.runs]
    first = recipes[0]
    for run, recipe in zip(config.runs, recipes, strict=True):
        unequal = [
            name
            for name in sorted({*first, *recipe} - {*_NETWORK})
            if first.get(name) != recipe.get(name)
        ]
        if unequal:
            raise ValueError(
                f"{config.runs[0]} and {run} differ in more than the network: "
                + ", ".join(f"{n} {first.get(n)}, {recipe.get(n)}" for n in unequal)
                + "."
            )
    curves = []
    for run in config.runs:
        model = evaluate.load_model(str(run / "model"))
        rows = history.read(run / "log.csv")
        curves.append(
            drawing.Curve(
                f"{model.name}, {_depth(model)} layers, {_parameters(model)}",
                [int(row["step"]) for row in rows],
                [float(row["val_psnr"]) for row in rows],
            )
        )
    note = (
        f"{tasks.from_card(first).degradation}; trained on "
        f"{', '.join(first['data'])}, {first['batch_size']} patches of "
        f"{first['patch_size']}x{first['patch_size']} a step, seed {first['seed']}"
    )
    data = f"the first {first['validation_images']} images of {first['validation']}"
    _write(drawing.convergence(curves, data, note), config.out)


def draw_comparison(config: Compare) -> None:
    """Draws crops of a data set's images, degraded, restored and as they are.

    Raises:
        ValueError: There is no such model or data set, or the models restore different
            things.
    """
    require_positive(crop=config.crop, limit=config.limit)
    models, task = _models(config.models, config.settings)
    rows = []
    for example in first_examples(config.data, task, config.data_root, config.limit):
        crop = drawing.detailed(example.clean, config.crop)
        results = [restore(_given_to(model, example), model) for _, model in models]
        panels = [
            _panel(image, example, task, crop) for image in (example.baseline, *results)
        ]
        original = drawing.Panel(example.clean[crop], Path(example.name).stem)
        rows.append([*panels, original])
    titles = [
        task.degraded_title,
        *(f"{name}\n{_parameters(model)}" for name, model in models),
        "original",
    ]
    note = f"{task.degradation}; PSNR of the whole image"
    _write(drawing.sheet(titles, rows, note), config.out)


def draw_gallery(config: Gallery) -> None:
    """Draws a picture for each task, of the released model that is shown for it.

    Raises:
        ValueError: An argument is not positive.
    """
    require_positive(crop=config.crop, rounds=config.rounds)
    for name in demo.one_a_task():
        task = tasks.from_card(card(name)).in_color().scored()
        photograph = _SHOWN.get(task.name, demo.NAMES[0])
        example = task.example(photograph, sample_photographs()[photograph])
        crop = drawing.detailed(example.clean, config.crop)
        network = open_network(name, threads=1)
        methods: dict[str, Callable[[], np.ndarray]] = {
            **_other_method(task, example),
            name: lambda e=example, n=network: restore(e.degraded, n),
        }
        panels = {task.degraded_title: _panel(example.baseline, example, task, crop)}
        if task.scale > 1:
            pixels = example.degraded.repeat(task.scale, 0).repeat(task.scale, 1)
            panels = {
                "input": drawing.Panel(pixels[crop], f"1/{task.scale} of the size")
            }
        for title, method in methods.items():
            image, milliseconds = _timed(method, config.rounds)
            panel = _panel(np.clip(image, 0, 1), example, task, crop)
            caption = f"{panel.caption}, {milliseconds:,.0f} ms"
            panels[title] = panel._replace(caption=caption)
        panels["original"] = drawing.Panel(example.clean[crop], photograph)
        height, width = example.clean.shape[:2]
        note = (
            f"{task.degradation}; PSNR and processor time of the whole, "
            f"{width}x{height} pixels"
        )
        figure = drawing.sheet(list(panels), [list(panels.values())], note, side=2.6)
        _write(figure, config.out / f"gallery-{task.name}.png")


def draw_prices(config: Prices) -> None:
    """Draws what networks of super resolution reach and cost, and prints it.

    Raises:
        ValueError: There is no released model for the scale, or none has a score.
    """
    require_positive(size=config.size, rounds=config.rounds)
    task = tasks.create("sr", scale=config.scale)
    reached = {
        name: score["psnr"]
        for name in list_models()
        if (known := card(name)).task == "sr" and known.scale == config.scale
        for score in known.scores
        if score["data"] == config.data
    }
    if not reached:
        raise ValueError(
            "No released model has a score. Received: "
            f"scale={config.scale}, data={config.data!r}"
        )
    (column,) = task.columns(config.data)
    quoted = {
        f"{row.method.lower()}-x{config.scale}": row.scores[column]
        for row in task.results.quoted
        if column in row.scores
    }
    networks = []
    for found in benchmark(
        list(reached), (config.engine,), config.size, config.threads, config.rounds
    ):
        ours = found.model in reached
        score = reached.get(found.model) or quoted.get(found.model)
        if score is None:
            continue
        label = found.model if ours else f"{found.model}, published"
        costs = {
            "multiplications for an output pixel": 1e3 * found.gigamacs_per_megapixel,
            f"ms for a megapixel, {config.engine}": found.ms_per_megapixel,
        }
        networks.append(drawing.Price(label, score, costs, ours))
        macs, milliseconds = costs.values()
        print(f"{label}: {score:.2f} dB, {macs:,.0f} MAC/pixel, {milliseconds:.1f} ms")
    _write(drawing.prices(networks, f"{config.data}, x{config.scale}"), config.out)


def _other_method(task: Task, example: Example) -> dict[str, Callable]:
    """What else restores an image, where there is something well known."""
    if task.scale > 1:
        return {"bicubic": lambda: enlarge(example.degraded, task.scale)}
    if isinstance(task, Denoise):
        try:
            bm3d = importlib.import_module("bm3d").bm3d_rgb
        except ImportError:
            print("BM3D is left out: pip install bm3d")
            return {}
        return {"BM3D": lambda: bm3d(example.degraded, task.level / 255)}
    return {}


def _timed(method: Callable[[], np.ndarray], rounds: int) -> tuple[np.ndarray, float]:
    """What a method gives, and its least processor time in milliseconds."""
    times = []
    for _ in range(rounds):
        start = time.process_time()
        image = method()
        times.append(1000 * (time.process_time() - start))
    return image, min(times)


def print_statistics(name: str, found: dict[str, ActivationMaps]) -> None:
    """Prints what the activations of a network do, one line each."""
    table = Table(title=name, title_justify="left")
    for title in (
        "activation",
        "channels",
        "in use",
        "mean weight",
        f"above {NEAR_ONE:g}",
    ):
        table.add_column(title, justify="left" if title == "activation" else "right")
    for maps in found.values():
        table.add_row(
            maps.layer,
            str(len(maps.activity)),
            f"{maps.effective_channels:.1f}",
            f"{maps.mean_weight.mean():.3f}",
            f"{100 * maps.near_one.mean():.1f} %",
        )
    evaluate.console().print(table)


def _models(names, settings) -> tuple[list[tuple[str, keras.Model]], Task]:
    """Short names and models, and what all of them do."""
    models, found = [], {}
    for name in names:
        model = evaluate.load_model(name)
        models.append((_short(name), model))
        found[name] = evaluate.find_task(name, model, settings=settings)
    if len(set(found.values())) > 1:
        raise ValueError(
            "The models restore different things: "
            + "; ".join(f"{name}: {task}" for name, task in found.items())
        )
    return models, found[names[0]]


def _short(name: str) -> str:
    """A released model's name, or that of the folder of a run."""
    path = Path(name)
    return path.parent.name if path.name == "model" else path.stem


def _pixels(name: str) -> np.ndarray:
    sample = sample_photographs()
    pixels = sample[name] if name in sample else files.read(name).pixels
    if pixels.dtype != np.uint8:
        raise ValueError(f"An 8-bit image is needed. Received: {name}, {pixels.dtype}")
    return pixels.reshape(*pixels.shape[:2], -1)


def _given_to(model: keras.Model, example: Example) -> np.ndarray:
    return example.given_to(receptive_field(model).scale)


def _panel(image, example, task, crop, label="") -> drawing.Panel:
    """A crop of an image, and the PSNR of all of it."""
    decibels = psnr(image, example.clean, task.shave, task.spaces()[""])
    return drawing.Panel(image[crop], f"{label}{decibels:.2f} dB")


def _activation(found: dict[str, ActivationMaps], number: int | None):
    maps = list(found.values())
    if number is not None and not 1 <= number <= len(maps):
        raise ValueError(
            f"`activation` must be 1 to {len(maps)}. Received: activation={number}"
        )
    return maps[-1 if number is None else number - 1]


def _parameters(model: keras.Model) -> str:
    return f"{count_parameters(model).total:,} parameters"


def _depth(model: keras.Model) -> int:
    return sum(isinstance(layer, keras.layers.Conv2D) for layer in model.layers)


def _write(figure, path: Path, palette: bool = False) -> None:
    """Writes a figure; one of few colors is half as large with a palette."""
    image = Image.fromarray(drawing.pixels(figure))
    if palette:
        image = image.quantize(256, dither=Image.Dither.NONE)
    with replacing(path) as partial:
        image.save(partial, optimize=True)
    print(f"Wrote {path}.")


def main() -> None:
    """Reads the command line and draws."""
    command = tyro.cli(
        Maps | Convergence | Compare | Gallery | Prices, description=__doc__
    )
    require("matplotlib", "train")
    draw = {
        Maps: draw_maps,
        Convergence: draw_convergence,
        Compare: draw_comparison,
        Gallery: draw_gallery,
        Prices: draw_prices,
    }[type(command)]
    draw(command)


if __name__ == "__main__":
    program.run(main, "figures.py")
