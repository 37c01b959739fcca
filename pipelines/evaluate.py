"""Scores models on test sets, in the protocol of the literature.

    python pipelines/evaluate.py --model xsrcnn-f-x3 --data set5 set14

Every score carries its protocol, and the degraded input's own score beside it.
"""

import csv
import json
import os
import sys
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # As the package, before Keras.

import keras
import numpy as np
import tyro
from rich.console import Console
from rich.progress import track
from rich.table import Table

from pipelines import scoring
from pipelines.patches import Task
from xunit_keras import checkpoints, images, zoo
from xunit_keras.models.building import channel_axis
from xunit_keras.receptive_field import receptive_field
from xunit_keras.restoration import restore

# Columns of the table on the terminal, and how many decimals each shows.
_DECIMALS = {"psnr": 3, "ssim": 4}


@dataclass(frozen=True)
class Config:
    """What to score, on what, and where the results go."""

    model: str
    """A released model, a model folder, a .keras file, or a published .pkl."""

    data: tuple[str, ...]
    """Published sets, folders, TensorFlow Datasets names, or sample."""

    task: Task | None = None
    """Default: what the model's card says, or its shapes."""

    sigma: float | None = None
    """Noise level in 0..255. Default: the card's if it has one level, or 25."""

    scale: int | None = None
    """Factor of the super resolution. Default: the model's own."""

    seed: int = 0
    """Seed of the noise."""

    limit: int | None = None
    """Score only the first images of each set."""

    data_root: Path | None = None
    """Folder of the published sets. Default: $XUNIT_KERAS_DATA, or data."""

    save_images: Path | None = None
    """Write degraded, restored and clean side by side into this folder."""

    csv: Path | None = None
    """Write one line an image to this file."""

    json: Path | None = None
    """Write protocol, means and every image's scores to this file."""


def load_model(name: str) -> keras.Model:
    """A model by name, folder, `.keras` file or published PyTorch checkpoint."""
    if Path(name).suffix in (".pkl", ".pt", ".pth"):
        return checkpoints.load_checkpoint(name)
    return zoo.load(name)


def find_protocol(config: Config, model: keras.Model) -> scoring.Protocol:
    """What the command line leaves open, from the model's card and shapes.

    Raises:
        ValueError: The task or the scale cannot be told.
    """
    card = zoo.find_card(config.model)
    own_scale = receptive_field(model).scale
    task = config.task or card.get("task") or ("sr" if own_scale > 1 else None)
    if task is None and config.scale is not None:
        task = "sr"
    if task is None and config.sigma is not None:
        task = "denoise"
    if task is None:
        raise ValueError(
            f"What does {config.model!r} do? Say so with --task denoise, derain or sr."
        )
    if task == "sr":
        scale = config.scale or max(own_scale, card.get("scale", 1))
        if scale == 1:
            raise ValueError(
                f"{config.model!r} works on enlarged images: say by what factor with "
                "--scale."
            )
        if own_scale not in (1, scale):
            raise ValueError(
                f"{config.model!r} enlarges by {own_scale}. Received: --scale {scale}"
            )
        return scoring.Protocol("sr", scale=scale)
    sigma = zoo.noise_level(card) if config.sigma is None else config.sigma
    channels = 3 if task == "derain" else model.input_shape[channel_axis()]
    return scoring.Protocol(task, channels, sigma, seed=config.seed)


def evaluate(
    model: keras.Model,
    data: str,
    protocol: scoring.Protocol,
    data_root: Path | None = None,
    limit: int | None = None,
    save_images: Path | None = None,
) -> list[dict]:
    """Scores every image of a data set.

    Args:
        model: The model to score.
        data: Name of the data set, see `datasets.load`.
        protocol: How images are degraded and scored.
        data_root: Folder of the published sets.
        limit: Score only the first images.
        save_images: Folder for the images side by side.

    Returns:
        One row an image: `image`, `psnr`, `ssim`, `input_psnr`, `input_ssim`; for
        rain also with `_y` behind.
    """
    rows = []
    examples = islice(scoring.examples(data, protocol, data_root), limit)
    for example in track(examples, description=data, transient=True):
        restored = restore(example.given_to(model), model)
        rows.append(
            {"image": example.name, **scoring.score(restored, example, protocol)}
        )
        if save_images is not None:
            sheet = np.concatenate([example.baseline, restored, example.clean], axis=1)
            name = f"{Path(data).name}-{Path(example.name).stem}.png"
            pixels = images.from_float(sheet, np.uint8)
            images.write(save_images / name, images.Photograph(pixels.squeeze()))
    return rows


def means(rows: list[dict]) -> dict[str, float]:
    """The mean of every column of scores."""
    columns = [name for name in rows[0] if name != "image"]
    return {name: float(np.mean([row[name] for row in rows])) for name in columns}


def print_table(data: str, protocol: scoring.Protocol, rows: list[dict]) -> None:
    """Prints the scores of a data set, the means last."""
    table = Table()
    table.add_column("image")
    columns = list(means(rows))
    for name in columns:
        table.add_column(name.replace("_", " "), justify="right")
    mean_row = {"image": f"mean of {len(rows)}", **means(rows)}
    for row in (*rows, mean_row):
        if row is mean_row:
            table.add_section()
        cells = [
            f"{row[name]:.{_DECIMALS['ssim' if 'ssim' in name else 'psnr']}f}"
            for name in columns
        ]
        table.add_row(row["image"], *cells)
    output = console()
    output.print(f"{data}: {protocol}", soft_wrap=True, markup=False)
    output.print(table)


def console() -> Console:
    """Where tables are printed. A file has no width, and must not cut them."""
    return Console() if sys.stdout.isatty() else Console(width=120)


def main() -> None:
    """Reads the command line, scores and reports."""
    config = tyro.cli(Config, description=__doc__)
    results = {}
    try:
        model = load_model(config.model)
        protocol = find_protocol(config, model)
        for data in config.data:
            results[data] = evaluate(
                model,
                data,
                protocol,
                config.data_root,
                config.limit,
                config.save_images,
            )
            print_table(data, protocol, results[data])
    except ValueError as error:
        sys.exit(f"evaluate.py: {error}")
    if config.csv:
        write_csv(config.csv, results)
    if config.json:
        write_json(config.json, report(config.model, protocol, results))


def report(model: str, protocol: scoring.Protocol, results: dict[str, list]) -> dict:
    """What `--json` writes: protocol, means and every image's scores.

    Args:
        model: What was scored.
        protocol: How.
        results: The rows of `evaluate` by data set.
    """
    return {
        "model": model,
        "protocol": asdict(protocol),
        "protocol_text": str(protocol),
        "results": [
            {"data": data, "mean": means(rows), "images": rows}
            for data, rows in results.items()
        ],
    }


def write_json(path: Path, report: dict) -> None:
    """Writes a report."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


def write_csv(path: Path, results: dict[str, list]) -> None:
    """Writes one line an image, with the data set's name first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    first = next(iter(results.values()))[0]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ["data", *first])
        writer.writeheader()
        for data, rows in results.items():
            for row in rows:
                writer.writerow({"data": data, **row})


if __name__ == "__main__":
    main()
