"""Reports what the networks of a search cost to run, and trains the best one longer.

    python tuning/report.py runs/search-denoise-30000 --engine litert --retrain 20000

Draws PSNR against parameters, multiplications and measured time, with the Pareto
fronts: the networks that no other one beats in both. `report.json`, `report.csv` and
`report.png` lie in the folder of the search; `best/` there is the retrained model, for
`xunit_keras.load`.
"""

import dataclasses
import json
import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import tuning  # noqa: F401  (says what is missing)
from pipelines import program

# isort: split
import numpy as np
import tyro
from rich.console import Console
from rich.table import Table

from pipelines.configuration import Resolved
from pipelines.tables import write_csv
from tuning.files import write_json
from tuning.hypermodel import Architecture
from tuning.search import ranked
from tuning.training import train_apart
from xunit_keras import zoo
from xunit_keras.atomic import replacing
from xunit_keras.benchmark import environment
from xunit_keras.exporting import export, formats, open_model
from xunit_keras.exporting.formats import FormatName
from xunit_keras.graphs.counting import multiply_adds
from xunit_keras.graphs.image_model import scale_on
from xunit_keras.packages import require
from xunit_keras.runtime.engines import EngineName
from xunit_keras.runtime.models import card

COSTS = {
    "parameters": "parameters",
    "macs_per_pixel": "MACs/pixel",
    "milliseconds": "ms",
}


@dataclass(frozen=True)
class Report:
    """What to report."""

    search: tyro.conf.Positional[Path]
    """Folder of a search."""

    engine: EngineName = "keras"
    """What to measure times on."""

    size: int = 256
    """Side of the image to measure them with, in pixels of the model's input."""

    threads: int | None = None
    """Threads of the engine."""

    repeats: int = 10
    """How often every network is measured, in turns; the median counts."""

    retrain: int | None = None
    """Steps for which to train the best network, from the start."""

    formats: tuple[FormatName, ...] = ()
    """What to export the retrained network as."""


def read_search(folder: Path) -> tuple[Resolved, list[dict]]:
    """How a search trains, and its completed trials, best first.

    Raises:
        ValueError: The folder holds no search, or none of its trials was completed.
    """
    try:
        settings = json.loads((folder / "search.json").read_text(encoding="utf-8"))
        rows = json.loads((folder / "trials.json").read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ValueError(
            f"{folder} holds no search with results: {error.filename} is missing."
        ) from None
    if not ranked(rows):
        raise ValueError(f"None of the {len(rows)} trials of {folder} was completed.")
    config: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in settings["config"].items()
    }
    root = config["data_root"]
    config.update(out=folder, data_root=None if root is None else Path(root))
    return Resolved(**config), ranked(rows)


def architecture_of(row: dict) -> Architecture:
    """The network of a trial."""
    values: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in row["architecture"].items()
    }
    return Architecture(**values)


def add_costs(rows: list[dict], report: Report) -> None:
    """Adds to every row the `macs_per_pixel` of its network, and its `milliseconds`.

    Multiplications are counted per pixel of the result, normalizations folded. Times
    are medians for one image; the networks run in turns.
    """
    networks = [architecture_of(row).build() for row in rows]
    runners = [open_model(model, report.engine, report.threads) for model in networks]
    rng = np.random.default_rng(0)
    channels = networks[0].input_shape[-1]
    image = rng.random((1, report.size, report.size, channels), dtype=np.float32)
    times = [[] for _ in runners]
    for _ in range(report.repeats + 1):
        for run_network, taken in zip(runners, times, strict=True):
            started = time.perf_counter()
            run_network(image)
            taken.append(1000.0 * (time.perf_counter() - started))
    for row, model, taken in zip(rows, networks, times, strict=True):
        pixels = (report.size * scale_on(model, report.size, report.size)) ** 2
        macs = multiply_adds(model, report.size, report.size)
        row["macs_per_pixel"] = round(macs / pixels)
        # The first run prepares the engine.
        row["milliseconds"] = statistics.median(taken[1:])


def pareto(rows: list[dict], cost: str) -> list[dict]:
    """The rows that no other one beats both in `cost` and in PSNR, cheapest first."""
    front = []
    for row in sorted(rows, key=lambda row: (row[cost], -row["val_psnr"])):
        if not front or row["val_psnr"] > front[-1]["val_psnr"]:
            front.append(row)
    return front


def write_report(rows: list[dict], report: Report, config: Resolved) -> None:
    """Writes the rows and their fronts as JSON, CSV and PNG files, and prints them."""
    from matplotlib.figure import Figure

    fronts = {cost: pareto(rows, cost) for cost in COSTS}
    flat = []
    for row in rows:
        network = architecture_of(row)
        flat.append(
            {
                "trial": row["trial"],
                "psnr": row["val_psnr"],
                "psnr_std": row["val_psnr_std"],
                **{cost: row[cost] for cost in COSTS},
                "activation_share": row["activation_share"],
                "activation": network.activation,
                "kernels": "-".join(map(str, network.kernels)),
                "filters": "-".join(map(str, network.filters)),
                "front": " ".join(cost for cost in COSTS if row in fronts[cost]),
            }
        )
    path = report.search / "report.json"
    write_json(
        path,
        {
            "validation": config.validation,
            "protocol": str(config.target.scored()),
            "input_psnr": rows[0]["val_input_psnr"],
            "engine": report.engine,
            "size": report.size,
            "environment": environment(report.threads),
            "networks": flat,
        },
    )

    write_csv(path.with_suffix(".csv"), flat)
    canvas = Figure(figsize=(12, 4), layout="constrained")
    panels = canvas.subplots(1, len(COSTS), sharey=True)
    for axes, (cost, label) in zip(panels, COSTS.items(), strict=True):
        axes.scatter(
            [row[cost] for row in rows],
            [row["val_psnr"] for row in rows],
            c=[100 * row["activation_share"] for row in rows],
            vmin=0,
        )
        axes.step(
            [row[cost] for row in fronts[cost]],
            [row["val_psnr"] for row in fronts[cost]],
            "o-",
            where="post",
            color="black",
            fillstyle="none",
            markersize=11,
            linewidth=1,
            label="Pareto front",
        )
        axes.set_xlabel(label)
        axes.grid(alpha=0.3)
        axes.margins(0.1)
    panels[0].legend(loc="lower right")
    panels[0].set_ylabel(f"PSNR on {config.validation} (dB)")
    panels[-1].set_xlabel(f"ms for {report.size}x{report.size} on {report.engine}")
    canvas.colorbar(panels[-1].collections[0], label="% in activations")
    with replacing(path.with_suffix(".png")) as partial:
        canvas.savefig(partial, dpi=110)
    table = Table(
        title=f"{config.validation}, {config.target.scored()}",
        caption=f"{report.engine}, {report.size}x{report.size}; "
        f"degraded input {rows[0]['val_input_psnr']:.2f} dB; share: of the parameters "
        "in the activations",
        box=None,
        padding=(0, 2, 0, 0),
    )
    for heading in ("trial", "dB", *COSTS.values(), "share"):
        table.add_column(heading, justify="right")
    table.add_column("on the front by")
    for row in flat:
        table.add_row(
            row["trial"],
            f"{row['psnr']:.3f}",
            f"{row['parameters']:,}",
            f"{row['macs_per_pixel']:,}",
            f"{row['milliseconds']:.1f}",
            f"{row['activation_share']:.1%}",
            ", ".join(COSTS[cost] for cost in row["front"].split()),
        )
    Console().print(table)


def retrain(row: dict, report: Report, config: Resolved, steps: int) -> Path:
    """Trains the network of a trial longer, into `best/` of the search's folder.

    Args:
        row: The trial.
        report: Where its search is.
        config: How that trains.
        steps: How long to train.

    Returns:
        The folder, laid out like a released model.

    Raises:
        TrainingFailedError: The training broke.
        ValueError: The folder holds the training of another network.
    """
    network = architecture_of(row)
    rate = row["values"].get("learning_rate", config.learning_rate)
    every = min(steps, max(steps // 20, 50))
    longer = dataclasses.replace(
        config,
        steps=-(-steps // every) * every,
        every=every,
        learning_rate=rate,
        out=report.search / "runs" / f"best-{row['trial']}-{steps}",
    )
    print(f"Training for {longer.steps:,} steps: {network}.", flush=True)
    outcome = train_apart(longer, network)
    folder = report.search / "best"
    trained = longer.out / "model"
    score = {
        "data": config.validation,
        "protocol": str(config.target.scored()),
        "psnr": outcome["val_psnr"],
        "input_psnr": outcome["val_input_psnr"],
    }
    zoo.save(
        zoo.load(trained), folder, dataclasses.replace(card(trained), scores=(score,))
    )
    print(
        f"{outcome['val_psnr']:.3f} dB (input {outcome['val_input_psnr']:.3f}); the "
        f"model is in {folder}."
    )
    return folder


def run(report: Report) -> None:
    """Reports as asked.

    Raises:
        ValueError: There are no results, or an export is not possible.
        TrainingFailedError: The training of the best network broke.
    """
    for name in ("size", "repeats", "threads", "retrain"):
        value = getattr(report, name)
        if value is not None and value < 1:
            raise ValueError(f"`{name}` must be positive. Received: {name}={value}")
    config, rows = read_search(report.search)
    add_costs(rows, report)
    write_report(rows, report, config)
    if report.retrain:
        best = retrain(rows[0], report, config, report.retrain)
        for name in report.formats:
            path = best.with_name(f"best-{name}{formats.get(name).suffix}")
            verified = export(best, path, name)
            print(f"{path}: differs by {verified.difference:.1g} at most.")


def main() -> None:
    """Reads the command line and reports."""
    report = tyro.cli(
        Report, description=__doc__, config=(tyro.conf.FlagCreatePairsOff,)
    )
    require("matplotlib", "train")
    run(report)


if __name__ == "__main__":
    program.run(main, "report.py")
