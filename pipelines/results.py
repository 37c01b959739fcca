"""Writes docs/results.md: the paper's tables, and the released models beside them.

    python pipelines/results.py

Scores measured here come from the cards in the zoo and from the files that
`evaluate.py --json` and `benchmarks/bm3d_baseline.py` wrote into docs/evaluations;
the others are quoted from the literature, and every row says which it is.
"""

import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from pipelines import program

# isort: split
import tyro

from xunit_keras import tasks
from xunit_keras.atomic import write_text
from xunit_keras.runtime import models
from xunit_keras.tasks import Task
from xunit_keras.tasks.base import Column, Row

ROOT = Path(__file__).resolve().parent.parent

# The authors' files, by stem: what they hold, and its parameters.
_CHECKPOINTS = {
    "xdncnn": ("xDnCNN", 303_616),
    "xsrcnnf": ("xSRCNNf", 32_576),
    "xsrcnnc": ("xSRCNNc", 44_092),
}


@dataclass(frozen=True)
class Config:
    """Where evaluations are read and the page is written."""

    evaluations: Path = ROOT / "docs" / "evaluations"
    """Folder of JSON files of `evaluate.py` and of `bm3d_baseline.py`."""

    out: Path = ROOT / "docs" / "results.md"
    """The page."""


def released(task: type[Task]) -> Iterator[Row]:
    """The rows that the cards of the zoo give; the input's own first."""
    inputs: dict[Column, float] = {}
    rows = []
    for name in models.list_models():
        card = models.card(name)
        if card.task != task.name:
            continue
        row = Row(f"**`{name}`**", card.parameters, "measured")
        for score in card.scores:
            scored = tasks.from_card({**vars(card), **score})
            row.scores.update(_cells(scored, score["data"], score))
            inputs.update(_cells(scored, score["data"], score, "input_"))
        rows.append(row)
    if inputs:
        yield Row(task.baseline, None, "measured", inputs)
    yield from rows


def evaluated(task: type[Task], folder: Path) -> Iterator[Row]:
    """The rows that evaluation files give: the authors' checkpoints, and BM3D.

    Files of the same method, at several levels or scales, make one row.
    """
    rows: dict[str, Row] = {}
    for path in sorted(folder.glob("*.json")):
        report = json.loads(path.read_text(encoding="utf-8"))
        scored = tasks.from_card(report["protocol"])
        if scored.name != task.name:
            continue
        stem = Path(report["model"]).stem
        method, parameters = _CHECKPOINTS.get(stem.split("_")[0], (stem, None))
        source = "measured"
        if parameters:
            method += ", the authors' checkpoint"
        if "processor_seconds_per_image" in report:
            seconds = report["processor_seconds_per_image"]
            source += f", {seconds:.1f} s of processor time an image"
        row = rows.setdefault(method, Row(method, parameters, source))
        for result in report["results"]:
            row.scores.update(_cells(scored, result["data"], result["mean"]))
    yield from rows.values()


def _cells(
    task: Task, data: str, scores: Mapping[str, Any], prefix: str = ""
) -> dict[Column, float]:
    """The scores on a data set that have a column in the table of the task."""
    return {
        column: scores[f"{prefix}psnr{suffix}"]
        for column, suffix in task.columns(data).items()
        if column in task.results.columns
    }


def markdown(task: type[Task], rows: list[Row]) -> Iterator[str]:
    """A table with the columns that any row has a score in."""
    results = task.results
    columns = [c for c in results.columns if any(c in row.scores for row in rows)]
    yield f"## {results.title}"
    yield ""
    yield f"PSNR in dB. {results.protocol}"
    yield ""
    heads = ["method", "parameters", *(results.columns[c] for c in columns), "scores"]
    yield f"| {' | '.join(heads)} |"
    yield f"|{'---|' * len(heads)}"
    for row in rows:
        cells = [f"{row.scores[c]:.2f}" if c in row.scores else "" for c in columns]
        count = f"{row.parameters:,}" if row.parameters else ""
        yield f"| {' | '.join([row.method, count, *cells, row.source])} |"
    yield ""


def illustration(task: type[Task]) -> Iterator[str]:
    """What models of a task make of photographs, and the command that draws it."""
    picture, compared = f"compare-{task.name}.png", task.results.compared
    yield f"![crops of photographs, degraded, restored and as they were]({picture})"
    yield ""
    yield "*The bundled photographs, where they have most detail; PSNR of the whole:*"
    yield ""
    yield "```sh"
    yield (
        f"python pipelines/figures.py compare --models {compared} --limit 3 "
        f"--out docs/{picture}"
    )
    yield "```"
    yield ""


def page(config: Config) -> str:
    """The whole page."""
    lines = [
        "# Results",
        "",
        "Written by `python pipelines/results.py`. *Measured* scores are this "
        "package's, by `pipelines/release.py` (in bold: the released models) and "
        "`pipelines/evaluate.py`; *published* ones are quoted. Parameters are counted "
        "as the paper does: kernels, and scales and shifts of normalizations.",
        "",
    ]
    for task in tasks.TASKS.values():
        ours = list(released(task))
        others = [*task.results.quoted, *evaluated(task, config.evaluations)]
        lines += markdown(task, [*others, *ours])
        if ours:
            lines += illustration(task)
    lines += ["## How the released models were trained", ""]
    for name in models.list_models():
        card = models.card(name)
        stages = card.stages
        hours = sum(stage["seconds"] for stage in stages) / 3600
        steps = sum(stage["steps"] for stage in stages)
        machines = ", ".join(dict.fromkeys(stage["machine"] for stage in stages))
        lines += [f"`{name}`: {steps:,} steps, {hours:.1f} h, {machines}.", "", "```sh"]
        trainings = filter(None, (*stages, card.integers))
        lines += [*(stage["command"] for stage in trainings), "```", ""]
    return "\n".join(lines).rstrip() + "\n"


def main() -> None:
    """Reads the command line and writes the page."""
    config = tyro.cli(Config, description=__doc__)
    try:
        text = page(config)
    except KeyError as error:
        raise ValueError(f"A card or an evaluation lacks {error}.") from error
    write_text(config.out, text)
    print(f"Written: {config.out}")


if __name__ == "__main__":
    program.run(main, "results.py")
