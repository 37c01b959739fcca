"""Writes docs/results.md: the paper's tables, and the released models beside them.

    python pipelines/results.py

Scores measured here come from the cards in the zoo and from the files that
`evaluate.py --json` and `benchmarks/bm3d_baseline.py` wrote into docs/evaluations;
the others are quoted from the literature, and every row says which it is.
"""

import json
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # As the package, before Keras.

import tyro

from xunit_keras import zoo

ROOT = Path(__file__).resolve().parent.parent

Column = tuple[str, float]
"""A test set, and the noise level or the scale (0 where there is neither)."""


@dataclass(frozen=True)
class Config:
    """Where evaluations are read and the page is written."""

    evaluations: Path = ROOT / "docs" / "evaluations"
    """Folder of JSON files of `evaluate.py` and of `bm3d_baseline.py`."""

    out: Path = ROOT / "docs" / "results.md"
    """The page."""


@dataclass(frozen=True)
class Row:
    """A method in a table.

    Attributes:
        method: What it is called.
        parameters: As the paper counts them; None for methods without.
        source: Where the scores come from.
        scores: PSNR in dB by column.
    """

    method: str
    parameters: int | None
    source: str
    scores: dict[Column, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Table:
    """A table of the page, and a picture.

    Attributes:
        title: Its heading.
        task: Of the models in it.
        key: What the numbers of its columns are.
        columns: What they are called.
        quoted: Rows from the literature.
        protocol: How scores are measured.
        compared: The models in the picture, as `pipelines/figures.py compare` takes
            them.
    """

    title: str
    task: str
    key: str
    columns: dict[Column, str]
    quoted: tuple[Row, ...]
    protocol: str
    compared: str


def _quoted(method, parameters, source, columns, scores) -> Row:
    pairs = zip(columns, scores, strict=True)
    return Row(method, parameters, source, {c: s for c, s in pairs if s is not None})


_DENOISE: dict[Column, str] = {
    ("bsd68", 15): "BSD68 σ=15",
    ("bsd68", 25): "BSD68 σ=25",
    ("bsd68", 50): "BSD68 σ=50",
    ("cbsd68", 25): "CBSD68 σ=25",
}
_DERAIN: dict[Column, str] = {("rain12", 0): "Rain12 RGB", ("rain12-y", 0): "Rain12 Y"}
_SR: dict[Column, str] = {
    (data, scale): f"{label} x{scale}"
    for data, label in (("set5", "Set5"), ("set14", "Set14"), ("bsd100", "BSD100"))
    for scale in (2, 3, 4)
}

_PUBLISHED = "published"
TABLES = (
    Table(
        "Denoising (Table 1 of the paper)",
        "denoise",
        "sigma",
        _DENOISE,
        tuple(
            _quoted(method, parameters, _PUBLISHED, _DENOISE, (None, *scores, None))
            for method, parameters, *scores in (
                ("BM3D", None, 28.56, 25.62),
                ("WNNM", None, 28.82, 25.87),
                ("EPLL", None, 28.68, 25.67),
                ("MLP", None, 28.95, 26.01),
                ("DnCNN-S", 556_032, 29.23, 26.23),
            )
        ),
        "Gaussian noise added in float, neither clipped nor rounded; output clipped; "
        "mean of the images' PSNR.",
        "xdncnn-gray-sigma25 xdncnn_res_f64k3k9_s25.pkl --sigma 25",
    ),
    Table(
        "Deraining",
        "derain",
        "scale",
        _DERAIN,
        (
            _quoted("DerainNet", 753_664, _PUBLISHED, _DERAIN, (28.94, None)),
            _quoted("xDnCNN", 305_920, _PUBLISHED, _DERAIN, (31.17, None)),
        ),
        "Rainy and clean pairs; mean of the images' PSNR. The publications do not say "
        "whether theirs is of RGB or of Y; it stands under RGB.",
        "xderain",
    ),
    Table(
        "Super resolution (Table 2 of the paper)",
        "sr",
        "scale",
        _SR,
        (
            _quoted(
                *("SRCNN", 57_184, _PUBLISHED, _SR),
                (None, 32.75, 30.49, None, 29.29, 27.49, None, 28.41, 26.90),
            ),
        ),
        "MATLAB bicubic down-sampling of uint8 RGB, rounded; BT.601 Y; as many border "
        "pixels as the scale left out; mean of the images' PSNR.",
        "xsrcnn-f-x3 xsrcnnf_s3_k9k3k5.pkl --scale 3",
    ),
)

# The authors' files, by stem: what they hold, and its parameters.
_CHECKPOINTS = {
    "xdncnn": ("xDnCNN", 303_616),
    "xsrcnnf": ("xSRCNNf", 32_576),
    "xsrcnnc": ("xSRCNNc", 44_092),
}


def released(table: Table) -> Iterator[Row]:
    """The rows of a table that the cards of the zoo give; the input's own first."""
    inputs: dict[Column, float] = {}
    rows = []
    for name in zoo.list_models():
        card = zoo.card(name)
        if card["task"] != table.task:
            continue
        scores = {}
        for score in card["scores"]:
            number = 0 if table.task == "derain" else score.get("sigma", card["scale"])
            pairs = {score["data"]: ""}
            if table.task == "derain":
                pairs[f"{score['data']}-y"] = "_y"
            for data, suffix in pairs.items():
                if (data, number) in table.columns:
                    scores[data, number] = score[f"psnr{suffix}"]
                    inputs[data, number] = score[f"input_psnr{suffix}"]
        rows.append(Row(f"**`{name}`**", card["parameters"], "measured", scores))
    if inputs:
        method = "bicubic" if table.task == "sr" else "degraded input"
        yield Row(method, None, "measured", inputs)
    yield from rows


def evaluated(table: Table, folder: Path) -> Iterator[Row]:
    """The rows that evaluation files give: the authors' checkpoints, and BM3D.

    Files of the same method, at several levels or scales, make one row.
    """
    rows: dict[str, Row] = {}
    for path in sorted(folder.glob("*.json")):
        report = json.loads(path.read_text(encoding="utf-8"))
        protocol = report["protocol"]
        if protocol["task"] != table.task:
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
            column = (result["data"], protocol[table.key])
            if column in table.columns:
                row.scores[column] = result["mean"]["psnr"]
    yield from rows.values()


def markdown(table: Table, rows: list[Row]) -> Iterator[str]:
    """A table with the columns that any row has a score in."""
    columns = [c for c in table.columns if any(c in row.scores for row in rows)]
    yield f"## {table.title}"
    yield ""
    yield f"PSNR in dB. {table.protocol}"
    yield ""
    heads = ["method", "parameters", *(table.columns[c] for c in columns), "scores"]
    yield f"| {' | '.join(heads)} |"
    yield f"|{'---|' * len(heads)}"
    for row in rows:
        cells = [f"{row.scores[c]:.2f}" if c in row.scores else "" for c in columns]
        count = f"{row.parameters:,}" if row.parameters else ""
        yield f"| {' | '.join([row.method, count, *cells, row.source])} |"
    yield ""
    picture = f"compare-{table.task}.png"
    yield f"![crops of photographs, degraded, restored and as they were]({picture})"
    yield ""
    yield "*The bundled photographs, where they have most detail; PSNR of the whole:*"
    yield ""
    yield "```sh"
    yield (
        f"python pipelines/figures.py compare --models {table.compared} --limit 3 "
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
    for table in TABLES:
        rows = [
            *table.quoted,
            *evaluated(table, config.evaluations),
            *released(table),
        ]
        lines += markdown(table, rows)
    lines += ["## How the released models were trained", ""]
    for name in zoo.list_models():
        stages = zoo.card(name)["stages"]
        hours = sum(stage["seconds"] for stage in stages) / 3600
        steps = sum(stage["steps"] for stage in stages)
        machines = ", ".join(dict.fromkeys(stage["machine"] for stage in stages))
        lines += [f"`{name}`: {steps:,} steps, {hours:.1f} h, {machines}.", "", "```sh"]
        lines += [*(stage["command"] for stage in stages), "```", ""]
    return "\n".join(lines).rstrip() + "\n"


def main() -> None:
    """Reads the command line and writes the page."""
    config = tyro.cli(Config, description=__doc__)
    try:
        text = page(config)
    except (ValueError, KeyError) as error:
        sys.exit(f"results.py: {error}")
    config.out.parent.mkdir(parents=True, exist_ok=True)
    config.out.write_text(text, encoding="utf-8")
    print(f"Written: {config.out}")


if __name__ == "__main__":
    main()
