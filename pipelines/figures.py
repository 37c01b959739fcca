"""Draws what networks do: their activations, their learning, their results.

    python pipelines/figures.py maps --model runs/xnet/model --twin runs/convnet/model
    python pipelines/figures.py convergence --runs runs/convnet runs/xnet
    python pipelines/figures.py compare --models runs/convnet/model runs/xnet/model

Figures 5, 6 and 10 of the XUnit paper (Kligvasser, Rott Shaham, Michaeli, CVPR 2018),
for networks of one's own.
"""

import json
import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # As the package, before Keras.

import keras
import numpy as np
import tyro
from PIL import Image
from rich.table import Table

from pipelines import datasets, drawing, evaluate, scoring
from pipelines.callbacks import History
from xunit_keras import count_parameters, images
from xunit_keras.inspection import NEAR_ONE, ActivationMaps, activation_maps
from xunit_keras.metrics import psnr
from xunit_keras.models.building import require_positive
from xunit_keras.photographs import sample_photographs
from xunit_keras.restoration import restore

# What trainings may differ in and still be compared: what is drawn, not how.
_NETWORK = ("model", "depth", "filters", "out", "data_root")


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

    sigma: float | None = None
    """Noise level in 0..255. Default: the card's if it has one level, or 25."""

    scale: int | None = None
    """Factor of the super resolution. Default: the model's own."""

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

    sigma: float | None = None
    """Noise level in 0..255. Default: the first card's if it has one, or 25."""

    scale: int | None = None
    """Factor of the super resolution. Default: the first model's own."""

    data_root: Path | None = None
    """Folder of the published sets. Default: $XUNIT_KERAS_DATA, or data."""

    out: Path = Path("compare.png")
    """The figure."""


def draw_maps(config: Maps) -> None:
    """Draws a photograph's way through an activation, and prints all statistics.

    Raises:
        ValueError: There is no such model, image or activation, or the two networks
            restore different things.
    """
    require_positive(crop=config.crop)
    names = [config.model] if config.twin is None else [config.model, config.twin]
    models, protocol = _models(names, config)
    example = scoring.example(_photograph(config.image), protocol)
    truth = drawing.detailed(example.clean, config.crop)
    columns = []
    for name, model in models:
        given = example.given_to(model)
        scale = example.clean.shape[0] // given.shape[0]
        crop = tuple(slice(p.start // scale, -(-p.stop // scale)) for p in truth)
        found = activation_maps(model, given, crop=crop)
        print_statistics(name, found)
        restored = restore(given, model)
        columns.append(
            drawing.Column(
                f"{name} ({_parameters(model)})",
                _panel(example.baseline, example, protocol, truth, "input "),
                _panel(restored, example, protocol, truth, "restored "),
                _activation(found, config.activation),
            )
        )
    degradation = _degradation(protocol.task, [protocol.sigma], protocol.scale)
    note = f"{config.image}: {degradation}; PSNR of the whole image"
    _write(drawing.maps(columns, note), config.out, palette=True)


def draw_convergence(config: Convergence) -> None:
    """Draws the validation PSNR of trainings against their steps.

    Raises:
        ValueError: A folder holds no training, or they differ in more than the network.
    """
    recipes = [_recipe(run) for run in config.runs]
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
        rows = History.read(run / "log.csv")
        curves.append(
            drawing.Curve(
                f"{model.name}, {_depth(model)} layers, {_parameters(model)}",
                [int(row["step"]) for row in rows],
                [float(row["val_psnr"]) for row in rows],
            )
        )
    degradation = _degradation(first["task"], first["sigma"], first["scale"])
    note = (
        f"{degradation}; trained on {', '.join(first['data'])}, {first['batch_size']} "
        f"patches of {first['patch_size']}x{first['patch_size']} a step, seed "
        f"{first['seed']}"
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
    models, protocol = _models(config.models, config)
    examples = scoring.examples(config.data, protocol, config.data_root)
    rows = []
    for example in islice(examples, config.limit):
        crop = drawing.detailed(example.clean, config.crop)
        results = [restore(example.given_to(model), model) for _, model in models]
        panels = [
            _panel(image, example, protocol, crop)
            for image in (example.baseline, *results)
        ]
        original = drawing.Panel(example.clean[crop], Path(example.name).stem)
        rows.append([*panels, original])
    titles = [
        {"denoise": "noisy", "derain": "rainy", "sr": "bicubic"}[protocol.task],
        *(f"{name}\n{_parameters(model)}" for name, model in models),
        "original",
    ]
    degradation = _degradation(protocol.task, [protocol.sigma], protocol.scale)
    note = f"{degradation}; PSNR of the whole image"
    _write(drawing.sheet(titles, rows, note), config.out)


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


def _models(names, config) -> tuple[list[tuple[str, keras.Model]], scoring.Protocol]:
    """Short names and models, and how images are degraded for all of them."""
    models, protocols = [], {}
    for name in names:
        model = evaluate.load_model(name)
        models.append((_short(name), model))
        settings = evaluate.Config(name, (), sigma=config.sigma, scale=config.scale)
        protocols[name] = evaluate.find_protocol(settings, model)
    if len(set(protocols.values())) > 1:
        raise ValueError(
            "The models restore different things: "
            + "; ".join(f"{name}: {one}" for name, one in protocols.items())
        )
    return models, protocols[names[0]]


def _short(name: str) -> str:
    """A released model's name, or that of the folder of a run."""
    path = Path(name)
    return path.parent.name if path.name == "model" else path.stem


def _photograph(name: str) -> datasets.Photograph:
    sample = sample_photographs()
    pixels = sample[name] if name in sample else images.read(name).pixels
    if pixels.dtype != np.uint8:
        raise ValueError(f"An 8-bit image is needed. Received: {name}, {pixels.dtype}")
    return datasets.Photograph(name, pixels.reshape(*pixels.shape[:2], -1))


def _panel(image, example, protocol, crop, label="") -> drawing.Panel:
    """A crop of an image, and the PSNR of all of it."""
    is_sr = protocol.task == "sr"
    decibels = psnr(image, example.clean, protocol.scale if is_sr else 0)
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


def _degradation(task: str, sigma: Iterable[float], scale: int) -> str:
    if task == "denoise":
        return f"noise of sigma {'-'.join(f'{level:g}' for level in sigma)}"
    return f"super resolution x{scale}" if task == "sr" else "rain"


def _recipe(run: Path) -> dict:
    path = run / "training.json"
    if not path.is_file():
        raise ValueError(f"{str(run)!r} is not the folder of a training.")
    return json.loads(path.read_text(encoding="utf-8"))


def _write(figure, path: Path, palette: bool = False) -> None:
    """Writes a figure; one of few colours is half as large with a palette."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(drawing.pixels(figure))
    if palette:
        image = image.quantize(256, dither=Image.Dither.NONE)
    image.save(path, optimize=True)
    print(f"Wrote {path}.")


def main() -> None:
    """Reads the command line and draws."""
    command = tyro.cli(Maps | Convergence | Compare, description=__doc__)
    draw = {
        Maps: draw_maps,
        Convergence: draw_convergence,
        Compare: draw_comparison,
    }[type(command)]
    try:
        draw(command)
    except ValueError as error:
        sys.exit(f"figures.py: {error}")


if __name__ == "__main__":
    main()
