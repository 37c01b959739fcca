"""Repeats the paper's two experiments on where parameters should go.

    python tuning/study.py figure4

figure3: PSNR against all parameters, for ConvNet and for xNet with several kernels,
each at several depths. figure4: PSNR against the share of the parameters that lies
in the activations, at a fixed total. The quick form has small networks and short
trainings; --full is the paper's size and wants a GPU.

Every finished training is a line of `results.jsonl` in the folder of the study, and
the figure is drawn again after each. The same command goes on where an interrupted
study stood.
"""

import dataclasses
import json
import statistics
import sys
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, Literal

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from pipelines import program

# isort: split
import tyro

from pipelines import configuration
from pipelines.configuration import Config, Precision, Resolved
from pipelines.tables import write_csv
from tuning.budget import filters_for_budget
from tuning.files import claimed, write_json
from tuning.hypermodel import TOLERANCE, Architecture
from tuning.training import TrainingFailedError, train_apart
from xunit_keras.atomic import replacing, write_text
from xunit_keras.packages import require


@dataclass(frozen=True)
class Study:
    """A study; saved as `study.json` in its folder."""

    figure: tyro.conf.Positional[Literal["figure3", "figure4"]]
    """Which experiment of the paper."""

    full: bool = False
    """The paper's size, for a GPU; otherwise about half an hour on two cores."""

    data: tuple[str, ...] = ()
    """Training photographs, see pipelines/train.py."""

    data_root: Path | None = None
    """Folder of the published sets. Default: $XUNIT_KERAS_DATA, or data."""

    validation: str | None = None
    """Test set to score on. Default: set12, or sample without it."""

    precision: Precision = "float32"
    """Keras dtype policy."""

    out: Path | None = None
    """Folder of the study. Default: runs/<figure>-<quick or full>."""


@dataclass(frozen=True)
class Plan:
    """What a study trains.

    Attributes:
        networks: The networks.
        seeds: Trainings of each.
        config: How each of them is trained, resolved.
    """

    networks: tuple[Architecture, ...]
    seeds: int
    config: Resolved


def plan(study: Study) -> Plan:
    """The networks of a study and their training.

    Raises:
        ValueError: An argument is out of range.
    """
    if study.figure == "figure3":
        depths, filters = ((3, 4, 5, 6, 7), 64) if study.full else ((2, 3, 4), 24)
        networks = tuple(
            Architecture((3,) * depth, (filters,) * (depth - 1), kernel)
            for kernel in (None, 1, 3, 5, 7, 9)
            for depth in depths
        )
    else:
        budget = 100_000 if study.full else 30_000
        kernels = (3,) * 4
        networks = tuple(
            Architecture(
                kernels,
                filters_for_budget(budget, kernels, 1, kernel, TOLERANCE),
                kernel,
            )
            for kernel in (None, 1, 3, 5, 7, 9, 11, 15)
        )
    recipe: dict[str, Any]
    if study.full:
        seeds = 3
        recipe = {"steps": 20_000, "batch_size": 64, "patch_size": 40}
    else:
        seeds = 3 if study.figure == "figure4" else 2
        recipe = {"steps": 800, "every": 800, "batch_size": 6, "patch_size": 40}
    label = f"{study.figure}-{'full' if study.full else 'quick'}"
    config = configuration.resolve(
        Config(
            task="denoise",
            model="xnet",
            data=study.data,
            data_root=study.data_root,
            validation=study.validation,
            precision=study.precision,
            optimizer="adam",  # as the paper's networks were trained
            out=study.out or Path("runs") / label,
            **recipe,
        )
    )
    return Plan(networks, seeds, config)


def run(study: Study, steps: Plan) -> int:
    """Trains what a study still lacks, and draws its figure after every training.

    Returns:
        The number of trainings that failed.

    Raises:
        ValueError: The folder holds another study.
    """
    settings = {"study": study, "config": steps.config}
    with claimed(steps.config.out / "study.json", settings):
        try:
            return _run(study, steps)
        except program.Stopped as stop:
            stop.add_note("The same command goes on where it stood.")
            raise


def _run(study: Study, steps: Plan) -> int:
    out = steps.config.out
    results = out / "results.jsonl"
    rows = []
    if results.exists():
        rows = [json.loads(line) for line in results.read_text().splitlines()]
        write_figure(study.figure, rows, steps.config)
    done = {row["run"] for row in rows}
    failed = 0
    # All networks with one seed, before any with the next: a figure comes early.
    todo = [
        (network, seed) for seed in range(steps.seeds) for network in steps.networks
    ]
    for number, (network, seed) in enumerate(todo, start=1):
        name = network.activation.lower().replace(" ", "-")
        run_name = f"{name}-depth{len(network.kernels)}-seed{seed}"
        if run_name in done:
            continue
        print(f"{number} of {len(todo)}: {network}, seed {seed}.", flush=True)
        config = dataclasses.replace(
            steps.config, seed=seed, out=out / "runs" / run_name
        )
        try:
            outcome = train_apart(config, network)
        except TrainingFailedError as error:
            print(f"{run_name} failed: {error}", flush=True)
            failed += 1
            continue
        rows.append(
            {
                "run": run_name,
                "activation": network.activation,
                "depth": len(network.kernels),
                "filters": network.filters,
                "seed": seed,
                **outcome,
            }
        )
        write_text(results, "".join(json.dumps(row) + "\n" for row in rows))
        print(f"{outcome['val_psnr']:.3f} dB", flush=True)
        write_figure(study.figure, rows, steps.config)
    return failed


def points(rows: list[dict]) -> list[dict]:
    """The networks of a study, with mean and standard deviation over the seeds."""

    def network(row):
        return row["activation"] != "ReLU", row["activation_share"], row["depth"]

    found = []
    for _, group in groupby(sorted(rows, key=network), key=network):
        same = list(group)
        scores = [row["val_psnr"] for row in same]
        found.append(
            {
                "activation": same[0]["activation"],
                "depth": same[0]["depth"],
                "parameters": same[0]["parameters"],
                "activation_share": same[0]["activation_share"],
                "psnr": statistics.fmean(scores),
                "psnr_std": statistics.stdev(scores) if len(scores) > 1 else None,
                "seeds": len(scores),
            }
        )
    return found


def write_figure(figure: str, rows: list[dict], config: Resolved) -> None:
    """Writes what is known so far as a CSV, a JSON and a PNG file."""
    from matplotlib.figure import Figure

    found = points(rows)
    path = config.out / f"{figure}.csv"
    write_csv(path, found)
    task = config.target.scored()
    write_json(
        path.with_suffix(".json"),
        {
            "validation": config.validation,
            "protocol": str(task),
            "input_psnr": rows[0]["val_input_psnr"],
            "data": config.data,
            "steps": config.steps,
            "batch_size": config.batch_size,
            "patch_size": config.patch_size,
            "points": found,
        },
    )
    canvas = Figure(figsize=(7.5, 4.8), layout="constrained")
    axes = canvas.subplots()
    (_figure3 if figure == "figure3" else _figure4)(axes, found)
    axes.set_ylabel(f"PSNR on {config.validation} (dB)")
    axes.grid(alpha=0.3)
    counts = sorted({point["seeds"] for point in found})
    seeds = " or ".join(map(str, counts))
    canvas.supxlabel(
        f"{task.degradation.capitalize()}. {config.steps:,} steps of "
        f"{config.batch_size} patches of {config.patch_size}x{config.patch_size}. "
        + ("One seed." if counts == [1] else f"Mean and deviation of {seeds} seeds."),
        fontsize="small",
    )
    with replacing(path.with_suffix(".png")) as partial:
        canvas.savefig(partial, dpi=120)


def _figure3(axes, found):
    for activation in dict.fromkeys(point["activation"] for point in found):
        curve = [point for point in found if point["activation"] == activation]
        curve.sort(key=lambda point: point["parameters"])
        axes.errorbar(
            [point["parameters"] / 1000 for point in curve],
            [point["psnr"] for point in curve],
            [point["psnr_std"] or 0.0 for point in curve],
            fmt="s--" if activation == "ReLU" else "o-",
            color="black" if activation == "ReLU" else None,
            capsize=3,
            label="ConvNet" if activation == "ReLU" else f"xNet {activation[6:]}",
        )
    depths = sorted({point["depth"] for point in found})
    axes.set(
        title=f"PSNR of networks of {', '.join(map(str, depths))} convolutions",
        xlabel="parameters (thousands)",
    )
    axes.legend(loc="lower right")


def _figure4(axes, found):
    axes.errorbar(
        [100 * point["activation_share"] for point in found],
        [point["psnr"] for point in found],
        [point["psnr_std"] or 0.0 for point in found],
        fmt="o-",
        capsize=3,
    )
    # Above the plot, where the names of the small kernels keep off the curve.
    names = axes.secondary_xaxis("top")
    names.set_xticks(
        [100 * point["activation_share"] for point in found],
        [point["activation"].removeprefix("XUnit ") for point in found],
        rotation=60,
        fontsize="small",
    )
    total = round(statistics.fmean(point["parameters"] for point in found), -3)
    axes.set(
        title=f"PSNR of networks of {total:,.0f} parameters, by XUnit's kernel",
        xlabel="share of the parameters in the activations (%)",
    )
    axes.margins(x=0.06, y=0.1)


def main() -> None:
    """Reads the command line and studies."""
    study = tyro.cli(Study, description=__doc__, config=(tyro.conf.FlagCreatePairsOff,))
    require("matplotlib", "train")
    failed = run(study, plan(study))
    if failed:
        raise program.ProgramError(
            f"{failed} trainings failed; the same command repeats them."
        )


if __name__ == "__main__":
    program.run(main, "study.py")
