"""Scores models on test sets, in the protocol of the literature.

    python pipelines/evaluate.py --model xsrcnn-f-x3 --data set5 set14

Every score carries its protocol, and the degraded input's own score beside it. Images
that cannot be read are named and left out, and the exit code is then 1.
"""

import sys
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from pipelines import program

# isort: split
import keras
import numpy as np
import tyro
from rich.console import Console
from rich.markup import escape
from rich.progress import track
from rich.table import Table

from pipelines.configuration import TaskName
from pipelines.data import datasets
from pipelines.data.datasets import Lazy, Unreadable
from pipelines.data.examples import examples
from pipelines.tables import write_csv
from xunit_keras import bulk, clusters, load_checkpoint, tasks, zoo
from xunit_keras.atomic import write_json
from xunit_keras.imaging import files
from xunit_keras.imaging.pixels import from_float
from xunit_keras.restoration import open_network, restore
from xunit_keras.runtime.models import find_card
from xunit_keras.runtime.network import Network
from xunit_keras.tasks import Example, Task

# Columns of the table on the terminal, and how many decimals each shows.
_DECIMALS = {"psnr": 3, "ssim": 4}


@dataclass(frozen=True)
class Settings:
    """With what a task is tried; what is None here is the model's own."""

    sigma: float | None = None
    """Noise level in 0..255. Default: the card's if it has one level, or 25."""

    quality: int | None = None
    """Quality of JPEG, 1 to 100. Default: the card's if it has one, or 10."""

    scale: int | None = None
    """Factor of the super resolution. Default: the model's own."""


@dataclass(frozen=True)
class Config:
    """What to score, on what, and where the results go."""

    model: str
    """A released model, a model folder, a .keras file, or a published .pkl."""

    data: tuple[str, ...]
    """Published sets, folders, TensorFlow Datasets names, or sample."""

    task: TaskName | None = None
    """Default: what the model's card says, or its shapes."""

    settings: tyro.conf.OmitArgPrefixes[Settings] = Settings()
    """With what it is tried."""

    seed: int = 0
    """Seed of the noise."""

    limit: int | None = None
    """Score only the first images of each set."""

    ray: str | None = None
    """Score on all machines of a Ray cluster: the HOST:PORT of its head node, auto, or
    local for processes of this machine. Needs: pip install 'xunit-keras[ray]'"""

    data_root: Path | None = None
    """Folder of the published sets. Default: $XUNIT_KERAS_DATA, or data."""

    save_images: Path | None = None
    """Write degraded, restored and clean side by side into this folder."""

    csv: Path | None = None
    """Write one line an image to this file."""

    json: Path | None = None
    """Write protocol, means and every image's scores to this file."""


class Scored(NamedTuple):
    """What became of an image.

    Attributes:
        image: Its name.
        scores: By column; None if it could not be scored.
        reason: Why not.
    """

    image: str
    scores: dict[str, float] | None
    reason: str = ""


@dataclass(frozen=True)
class Evaluation:
    """The scores on a data set, as far as they got.

    Attributes:
        data: Name of the data set.
        images: Names of the images.
        scores: Of each of them, by column: `psnr`, `input_ssim`...
        left_out: The images that could not be scored.
    """

    data: str
    images: list[str] = field(default_factory=list)
    scores: list[dict[str, float]] = field(default_factory=list)
    left_out: list[Unreadable] = field(default_factory=list)

    def add(self, scored: "Scored") -> None:
        """Takes what became of the next image."""
        if scored.scores is None:
            self.left_out.append(Unreadable(scored.image, scored.reason))
        else:
            self.images.append(scored.image)
            self.scores.append(scored.scores)

    @property
    def means(self) -> dict[str, float]:
        """The mean of every column of scores; none before the first image."""
        columns = list(self.scores[0]) if self.scores else []
        return {
            name: float(np.mean([row[name] for row in self.scores])) for name in columns
        }

    @property
    def rows(self) -> list[dict[str, str | float]]:
        """The scores with the names of the images, as files hold them."""
        return [
            {"image": name, **row}
            for name, row in zip(self.images, self.scores, strict=True)
        ]


def load_model(name: str) -> keras.Model:
    """A model by name, folder, `.keras` file or published PyTorch checkpoint."""
    if Path(name).suffix in (".pkl", ".pt", ".pth"):
        return load_checkpoint(name)
    return zoo.load(name)


def find_task(
    name: str,
    model: keras.Model,
    task: str | None = None,
    settings: Settings = Settings(),
    seed: int = 0,
) -> Task:
    """What a model does, as it is scored: what is asked for, its card, its shapes.

    Args:
        name: Of the model, or where it is, to find its card.
        model: The model.
        task: The word for the task, where it is known.
        settings: With what the task is tried.
        seed: Of what is random in the test images.

    Raises:
        ValueError: The task or its settings cannot be told, or are not those of the
            model.
    """
    network = open_network(model)
    channels, scale = network.channels, network.field.scale
    card = find_card(name)
    given = {key: value for key, value in vars(settings).items() if value is not None}
    task = task or (card.task if card else None) or _told_by(given)
    if task is None and scale > 1:
        task = tasks.guess(channels, scale).name
    if task is None:
        *others, last = tasks.TASKS
        raise ValueError(
            f"What does {name!r} do? Say so with --task {', '.join(others)} or {last}."
        )
    known: dict[str, Any] = {"channels": channels}
    if scale > 1:
        known["scale"] = scale
    if card is not None and card.task == task:
        known |= vars(tasks.from_card(card))
    possible = tasks.get(task).settings()
    if "scale" in possible and "scale" not in known | given:
        raise ValueError(
            f"{name!r} works on enlarged images: say by what factor with --scale."
        )
    known = {key: value for key, value in known.items() if key in possible}
    found = tasks.create(task, **{**known, **given, "seed": seed})
    if scale not in (1, found.scale):
        raise ValueError(
            f"{name!r} enlarges by {scale}. Received: {found.purpose!r} as its task"
        )
    return found.scored()


def _told_by(given) -> str | None:
    """The only task that has the settings of the command line, if there is one."""
    names = [n for n, task in tasks.TASKS.items() if {*given} <= {*task.settings()}]
    return names[0] if len(names) == 1 else None


def evaluate(
    model: keras.Model | Network,
    data: str,
    task: Task,
    data_root: Path | None = None,
    limit: int | None = None,
    save_images: Path | None = None,
    into: Evaluation | None = None,
) -> Evaluation:
    """Scores every image of a data set.

    Args:
        model: The model to score, or one that is ready to run.
        data: Name of the data set, see `datasets.read`.
        task: How images are degraded and scored.
        data_root: Folder of the published sets.
        limit: Score only the first images.
        save_images: Folder for the images side by side.
        into: What takes the scores, one by one: it has those so far, should this be
            interrupted.

    Returns:
        `into`, or a new one. The columns are `psnr`, `ssim`, `input_psnr` and
        `input_ssim`; where the task has several spaces, also those with a suffix.

    Raises:
        ValueError: There is no such data set.
    """
    evaluation = Evaluation(data) if into is None else into
    network = model if isinstance(model, Network) else open_network(model)
    found = islice(examples(data, task, data_root), limit)
    for example in track(found, description=escape(data), transient=True):
        evaluation.add(score(example, network, data, task, save_images))
    return evaluation


def score(
    example: Example | Unreadable,
    network: Network,
    data: str,
    task: Task,
    save_images: Path | None = None,
) -> Scored:
    """Scores a test image; see `evaluate` for the arguments."""
    if isinstance(example, Unreadable):
        return Scored(example.name, None, example.reason)
    restored = restore(example.given_to(network.field.scale), network)
    scores = task.score(restored, example)
    if save_images is not None:
        _save(example, restored, save_images, data)
    return Scored(example.name, scores)


def evaluate_on_ray(
    config: Config, task: Task, evaluations: list[Evaluation], address: str
) -> None:
    """Scores the images of all data sets in the processes of a cluster.

    The order of the images, and what is made of their scores, is that of `evaluate`.

    Args:
        config: What to score, on what, and where.
        task: How images are degraded and scored.
        evaluations: One for each data set, which takes the scores.
        address: Of the cluster.

    Raises:
        ValueError: There is no such data set.
        ClusterError: The cluster cannot do it.
    """
    model, seen = bulk.named_everywhere(config.model)
    root = bulk.absolute(datasets.data_root(config.data_root))
    save_images = config.save_images and bulk.absolute(config.save_images)
    names = [
        name
        if name in datasets.MADE or name in datasets.PUBLISHED
        else str(bulk.absolute(Path(name)))
        for name in config.data
    ]
    items = [
        (place, number)
        for place, name in enumerate(names)
        for number in range(len(_numbered(name, task, root)))[: config.limit]
    ]
    make = partial(_Scorer, model, names, task, root, save_images)
    done: dict[int, Scored] = {}
    try:
        with clusters.connect(
            address, {"KERAS_BACKEND": keras.backend.backend()}
        ) as cluster:
            needs = clusters.Needs(gpus=int(cluster.has_gpus()))
            cluster.check(needs, save_images, seen)
            answers = cluster.map(make, items, needs)
            for answer in track(answers, "images", len(items), transient=True):
                place, number = items[answer.number]
                image = f"image {number + 1} of {config.data[place]}"
                done[answer.number] = (
                    Scored(image, None, f"{image}: {answer.error}")
                    if answer.error
                    else Scored(*answer.value)
                )
    finally:
        for number in sorted(done):
            evaluations[items[number][0]].add(done[number])


class _Scorer:
    """Scores one image after the other, with a model that is loaded once."""

    def __init__(self, model: str, data: list[str], task: Task, root, save_images):
        self.network = open_network(load_model(model))
        self.data, self.task, self.save_images = data, task, save_images
        self.examples = [_numbered(name, task, root) for name in data]

    def __call__(self, item: tuple[int, int]) -> Scored:
        place, number = item
        example, data = self.examples[place][number], self.data[place]
        return score(example, self.network, data, self.task, self.save_images)


def _numbered(name: str, task: Task, root: Path) -> Lazy[Example | Unreadable]:
    found = examples(name, task, root)
    if isinstance(found, Lazy):
        return found
    raise ValueError(
        "--ray takes folders and published sets, which can be divided. "
        f"Received: {name!r}"
    )


def _save(example: Example, restored, folder, data) -> None:
    sheet = np.concatenate([example.baseline, restored, example.clean], axis=1)
    name = f"{Path(data).name}-{Path(example.name).stem}.png"
    pixels = from_float(sheet, np.uint8).squeeze()
    files.write(folder / name, files.Photograph(pixels))


def print_table(evaluation: Evaluation, task: Task) -> None:
    """Prints the scores on a data set, the means last, and what was left out."""
    output = console()
    table = Table()
    table.add_column("image")
    means = evaluation.means
    for name in means:
        table.add_column(name.replace("_", " "), justify="right")
    for image, row in zip(evaluation.images, evaluation.scores, strict=True):
        table.add_row(escape(image), *_cells(row))
    if means:
        table.add_section()
        table.add_row(f"mean of {len(evaluation.scores)}", *_cells(means))
        output.print(f"{evaluation.data}: {task}", soft_wrap=True, markup=False)
        output.print(table)
    for image in evaluation.left_out:
        output.print(f"Left out: {image.reason}", soft_wrap=True, markup=False)


def _cells(row) -> list[str]:
    return [
        f"{value:.{_DECIMALS['ssim' if 'ssim' in name else 'psnr']}f}"
        for name, value in row.items()
    ]


def console() -> Console:
    """Where tables are printed. A file has no width, and must not cut them."""
    terminal = sys.stdout.isatty()
    return Console(emoji=False, highlight=False, width=None if terminal else 120)


def report(model: str, task: Task, evaluations: list[Evaluation]) -> dict:
    """What `--json` writes: protocol, means and every image's scores.

    Args:
        model: What was scored.
        task: How.
        evaluations: The scores.
    """
    return {
        "model": model,
        "protocol": {**task.as_card(), "seed": task.seed},
        "protocol_text": str(task),
        "results": [
            {
                "data": one.data,
                "mean": one.means,
                "images": one.rows,
                "left_out": [image.name for image in one.left_out],
            }
            for one in evaluations
        ],
    }


def check(config: Config) -> None:
    """Looks whether what a configuration asks for can be done at all.

    Raises:
        ValueError: It cannot.
    """
    if config.limit is not None and config.limit < 1:
        raise ValueError(f"`limit` must be positive. Received: limit={config.limit}")
    for path in (config.csv, config.json):
        if path is None:
            continue
        if path.is_dir():
            raise ValueError(f"The results need a file. Received: {str(path)!r}")
        program.check_writable(path.parent)
    if config.save_images is not None:
        program.check_writable(config.save_images)


def run(config: Config) -> list[Evaluation]:
    """Scores and reports. What was scored is written, however this ends.

    Returns:
        The scores on each data set.

    Raises:
        ValueError: There is no such model or data set, or an argument is out of range.
    """
    check(config)
    model = load_model(config.model)
    task = find_task(config.model, model, config.task, config.settings, config.seed)
    evaluations = [Evaluation(data) for data in config.data]
    try:
        if config.ray:
            evaluate_on_ray(config, task, evaluations, config.ray)
        for evaluation in evaluations:
            if not config.ray:
                evaluate(
                    model,
                    evaluation.data,
                    task,
                    config.data_root,
                    config.limit,
                    config.save_images,
                    evaluation,
                )
            print_table(evaluation, task)
    except program.Stopped as stop:
        count = sum(len(one.scores) for one in evaluations)
        if config.csv or config.json:
            stop.add_note(f"The scores of {count} images are written.")
        raise
    finally:
        scored = [one for one in evaluations if one.scores]
        if scored and config.csv:
            rows = [{"data": one.data, **row} for one in scored for row in one.rows]
            write_csv(config.csv, rows)
        if scored and config.json:
            write_json(config.json, report(config.model, task, scored))
    return evaluations


def main() -> None:
    """Reads the command line, scores and reports."""
    config = tyro.cli(Config, description=__doc__)
    try:
        evaluations = run(config)
    except clusters.ClusterError as error:
        raise program.ProgramError(str(error)) from error
    left_out = sum(len(one.left_out) for one in evaluations)
    if left_out:
        count = left_out + sum(len(one.scores) for one in evaluations)
        raise program.ProgramError(f"{left_out} of {count} images were left out.")


if __name__ == "__main__":
    program.run(main, "evaluate.py")
