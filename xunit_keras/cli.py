"""The command line: `xunit-keras restore | list | card | demo | convert | ...`.

Thin: arguments in, functions of the package called, words out. What needs Keras is
imported where it is used; a released model is restored with without it.
"""

import contextlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeVar

import tyro
from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from xunit_keras import clusters, quiet, reports, tasks
from xunit_keras.exporting import formats
from xunit_keras.exporting.formats import FormatName
from xunit_keras.runtime import engines, models
from xunit_keras.runtime.engines import EngineName
from xunit_keras.runtime.engines.onnxruntime import DEVICES

_out = Console(highlight=False, markup=False, emoji=False, soft_wrap=True)
_err = Console(highlight=False, markup=False, emoji=False, soft_wrap=True, stderr=True)

# Choices come from the registries, which type checkers cannot see.
if TYPE_CHECKING:
    PrecisionName = str
    TaskName = str
    DeviceName = str
else:
    PrecisionName = Literal[tuple(formats.precisions())]
    TaskName = Literal[tuple(tasks.TASKS)]
    DeviceName = Literal[("auto", *DEVICES)]

_T = TypeVar("_T")
_AUTO = "auto"
_MOST_TOGETHER = 8
# An option whose value may be left out.
_Ray = Annotated[
    str | None,
    tyro.constructors.PrimitiveConstructorSpec(
        nargs=(0, 1),
        metavar="[HOST:PORT|auto|local]",
        instance_from_str=lambda given: given[0] if given else clusters.LOCAL,
        is_instance=lambda value: isinstance(value, str | None),
        str_from_instance=lambda value: [str(value)],
    ),
]
_Model = Annotated[str, tyro.conf.arg(aliases=("-m",), metavar="MODEL")]
_EXTRAS = "; ".join(
    f"{engine.name}: pip install 'xunit-keras[{engine.extra}]'"
    for engine in engines.ENGINES.values()
    if engine.extra
)


class UsageError(Exception):
    """The command cannot start as it was given; the message is one sentence."""


@dataclass(frozen=True)
class Restore:
    """Restore a photograph, or all photographs in a folder and below it.

    The EXIF orientation is applied; transparency, color profile, EXIF data and 16-bit
    samples are kept. A file that cannot be restored is reported, and the others go on.
    Animations (GIF, WebP, PNG) and, with the extra `video`, videos are restored frame
    by frame, with their times and their sound.
    """

    input: Annotated[Path, tyro.conf.arg(aliases=("-i",), metavar="FILE|FOLDER")]
    """A photograph, an animation, a video, or a folder."""

    output: Annotated[Path, tyro.conf.arg(aliases=("-o",), metavar="FILE|FOLDER")]
    """Where the result goes: a file, or a folder. A folder of photographs gives a
    folder with the same names and subfolders."""

    model: Annotated[str, tyro.conf.arg(aliases=("-m",), metavar="MODEL|auto")] = _AUTO
    """A released model (see `xunit-keras list`), a model folder, a .keras file, an
    exported file, or an address on a hub, hf://user/name. auto: the released one that
    fits --task and the photograph."""

    task: TaskName | None = None
    """What a model is chosen for; says which and why."""

    scale: Annotated[float | None, tyro.conf.arg(metavar="FACTOR")] = None
    """Enlarge by this factor, such as 2.5: by the next larger network, or several, and
    then down to the exact size."""

    width: Annotated[int | None, tyro.conf.arg(metavar="PIXELS")] = None
    """Enlarge to this width, the height in proportion."""

    height: Annotated[int | None, tyro.conf.arg(metavar="PIXELS")] = None
    """Enlarge to this height, the width in proportion."""

    tile: Annotated[
        int | Literal["auto"], tyro.conf.arg(aliases=("-t",), metavar="PIXELS|auto")
    ] = "auto"
    """Work on tiles of at most so many pixels a side. Smaller tiles need less memory
    and more time, and give the same result. 0: the whole image at once."""

    tile_overlap: Annotated[int | None, tyro.conf.arg(metavar="PIXELS")] = None
    """How far a model looks whose layers do not tell."""

    self_ensemble: bool = False
    """Average over the eight flips and rotations: a little better, eight times as
    long."""

    strength: Annotated[float, tyro.conf.arg(metavar="0..1")] = 1.0
    """How much of the change is applied; less keeps some of the grain."""

    quality: Annotated[int | None, tyro.conf.arg(metavar="1..100")] = None
    """Quality of JPEG (95 without it) and AVIF (90)."""

    compression: Annotated[int, tyro.conf.arg(metavar="0..9")] = 3
    """Compression of PNG: 9 is the smallest file and takes the longest."""

    skip_existing: bool = False
    """Leave out the photographs whose result is there already."""

    shard: Annotated[str | None, tyro.conf.arg(metavar="K/N")] = None
    """Restore the K-th of N parts of the folder, for machines side by side. A file
    belongs to a part by its name, always to the same."""

    ray: _Ray = None
    """Restore a folder on all machines of a Ray cluster, which share it, by the address
    of its head node; without an address, in processes of this machine. Results that are
    there are left out. Needs: pip install 'xunit-keras[ray]'"""

    report: Annotated[Path | None, tyro.conf.arg(metavar="NAME.csv|NAME.parquet")] = (
        None
    )
    """Also write what became of each file: source, target, seconds, error, node."""

    engine: Annotated[
        EngineName | None,
        tyro.conf.arg(aliases=("-e",), help=f"What runs the model. {_EXTRAS}"),
    ] = None

    device: DeviceName = "cpu"
    """What ONNX Runtime computes on; auto: the first that is there."""

    precision: Literal["float32", "float16"] = "float32"
    """What ONNX Runtime computes in; float16 is for devices other than the cpu."""

    threads: Annotated[int | None, tyro.conf.arg(metavar="N")] = None
    """Threads of the engine; without it, what the engine chooses."""

    def run(self) -> int:
        """Restores; the exit code is 1 if a file failed."""
        settings = _used(self._settings)
        plan = _used(self._plan)
        for path, reason in plan.passed_over.items():
            _err.print(f"Passed over {path}: {reason}.")
        if not plan.jobs:
            with self._report():
                _out.print(
                    "Every result is there already."
                    if plan.existing
                    else f"{self.input} has nothing in the shard {self.shard}."
                )
            return 0
        failed = 0
        # A terminal shows the progress; who reads a log wants the names.
        listed = self.input.is_dir() and not _err.is_terminal
        with _progress() as progress, self._report() as write:
            bar = progress.add_task("", total=len(plan.jobs))
            begun: dict[int, float] = {}  # How much is done of each.
            finished = 0

            def show(number: int, done: int, total: int) -> None:
                begun[number] = done / max(total, 1)
                update()

            def update(**more) -> None:
                completed = finished + sum([*begun.values()])
                progress.update(bar, completed=completed, **more)

            with self._outcomes(plan, settings, show) as outcomes:
                for finished, outcome in enumerate(outcomes, start=1):
                    source, target = outcome.job.source, outcome.job.target
                    begun.pop(outcome.number, None)
                    update(
                        description=f"{source.name} ({finished} of {len(plan.jobs)})"
                    )
                    error = ""
                    if outcome.error is not None:
                        failed += 1
                        error = _one_line(outcome.error, source)
                        progress.console.print(error)
                    elif listed:
                        _out.print(f"{source} -> {target}")
                    seconds, node = outcome.seconds, outcome.node
                    write(reports.Row(str(source), str(target), seconds, error, node))
        if self.ray and plan.existing:
            _out.print(f"Left out {plan.existing} whose results are there.")
        done = len(plan.jobs) - failed
        _out.print(f"Restored {done} of {len(plan.jobs)} into {self.output}")
        return 1 if failed else 0

    def _settings(self):
        from xunit_keras.restorer import Settings
        from xunit_keras.sizes import Size

        if self.model == _AUTO and self.task is None:
            raise ValueError("Say which model to take (-m), or what for (--task).")
        if self.model != _AUTO and self.task is not None:
            raise ValueError(
                "--task chooses a model, and --model is one: leave out either."
            )
        sides = (self.width, self.height, self.scale)
        return Settings(
            tile=self.tile,
            self_ensemble=self.self_ensemble,
            strength=self.strength,
            size=None if sides == (None, None, None) else Size(*sides),
            quality=self.quality,
            compression=self.compression,
        )

    def _plan(self):
        from xunit_keras import photographs
        from xunit_keras.shards import Shard

        if self.ray and not self.input.is_dir():
            raise ValueError(
                f"--ray restores a folder of photographs. Received: {str(self.input)!r}"
            )
        shard = None if self.shard is None else Shard.parse(self.shard)
        skip_existing = self.skip_existing or self.ray is not None
        return photographs.plan(self.input, self.output, skip_existing, shard)

    @contextlib.contextmanager
    def _report(self):
        """What takes the rows of a report."""
        if self.report is None:
            yield lambda row: None
            return
        path = self.report
        with contextlib.ExitStack() as stack:
            yield _used(lambda: stack.enter_context(reports.writing(path)), path)

    @contextlib.contextmanager
    def _outcomes(self, plan, settings, show):
        """What becomes of the photographs, one by one."""
        from xunit_keras import photographs

        if self.ray:
            with self._outcomes_on_ray(plan, settings, self.ray) as outcomes:
                yield outcomes
            return
        together = 1
        with quiet.silence():
            if self.threads is None and self.device == "cpu" and self._is_light():
                together = min(len(plan.jobs), _processors())
            make = self._make_restorer(settings, self.model, self.threads)
            restorer = self._used_model(lambda: make(together=together, tell=_tell))
        results = photographs.restore_files(plan.jobs, restorer, show)
        with contextlib.closing(results):
            yield results

    @contextlib.contextmanager
    def _outcomes_on_ray(self, plan, settings, address: str):
        from xunit_keras import bulk

        model, seen = self.model, []
        if model != _AUTO:
            model, seen = self._used_model(lambda: bulk.named_everywhere(self.model))
        threads = self.threads or 1
        make = self._make_restorer(settings, model, threads)
        if self.device == "cpu" and self._is_light():
            with quiet.silence():
                self._used_model(
                    make
                )  # What is wrong with the command is told at once.
        try:
            with clusters.connect(address) as cluster:
                has_gpu = self.device == "cuda" or (
                    self.device == "auto" and cluster.has_gpus()
                )
                yield bulk.restore_files(
                    plan.jobs,
                    make,
                    cluster,
                    self.output,
                    clusters.Needs(threads, int(has_gpu)),
                    seen,
                    _tell,
                )
        except (clusters.ClusterError, ImportError) as error:
            raise UsageError(_one_line(error, "")) from error

    def _make_restorer(self, settings, model, threads):
        from xunit_keras import restoration
        from xunit_keras.restorer import Restorer

        open_network = partial(
            restoration.open_network,
            engine=self.engine,
            threads=threads,
            tile_overlap=self.tile_overlap,
            tile=self.tile,
            device=self.device,
            precision=self.precision,
        )
        chosen = None if model == _AUTO else model
        return partial(Restorer, open_network, chosen, self.task, settings)

    def _is_light(self) -> bool:
        """Whether ONNX Runtime does it, without Keras."""
        from xunit_keras import restoration

        if self.engine not in (None, models.READY_ENGINE):
            return False
        return self.model == _AUTO or self._used_model(
            lambda: restoration.runs_on_onnxruntime(self.model)
        )

    def _used_model(self, call: Callable[[], _T]) -> _T:
        return _used(call, "" if self.model == _AUTO else self.model)


@dataclass(frozen=True)
class List:
    """List the released models.

    PSNR is that of the first scores on a card: of BSD68, CBSD68, Rain12 or Set5.
    """

    def run(self) -> int:
        """Prints a table."""
        table = Table("model", "task", "images", "parameters", "PSNR in dB")
        for name in models.list_models():
            card = models.card(name)
            table.add_row(
                name,
                tasks.from_card(card).purpose,
                "RGB" if card.channels == 3 else "gray",
                f"{card.parameters:,}",
                f"{card.scores[0]['psnr']:.2f}" if card.scores else "",
            )
        _out.print(table)
        return 0


@dataclass(frozen=True)
class Card:
    """Print what is known of a model: data, recipe, scores, license, as JSON."""

    model: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="MODEL")]
    """A released model (see `xunit-keras list`), or a model folder."""

    def run(self) -> int:
        """Prints the card."""
        card = _used(lambda: models.card(self.model), self.model)
        _out.print(json.dumps(asdict(card), indent=2, ensure_ascii=False))
        return 0


@dataclass(frozen=True)
class Demo:
    """Degrade the bundled photographs, restore them with a model for each task.

    Prints the PSNR before and after, and writes a picture of both for each model.
    """

    output: Annotated[Path, tyro.conf.arg(aliases=("-o",), metavar="FOLDER")] = Path(
        "demo"
    )
    """Where the pictures go."""

    all: bool = False
    """Show every released model, which takes some minutes."""

    def run(self) -> int:
        """Runs the demonstration."""
        from xunit_keras import demo
        from xunit_keras.imaging import files

        names = models.list_models() if self.all else demo.one_a_task()
        if not names:
            raise UsageError("This package holds no released models to show.")
        for name in names:
            task = tasks.from_card(models.card(name))
            with _progress() as progress:
                comparisons = list(
                    progress.track(
                        demo.compare(name), total=demo.COUNT, description=name
                    )
                )
            rows = [(c.name, c.degraded_psnr, c.restored_psnr) for c in comparisons]
            rows.append(("mean", *demo.mean_psnr(comparisons)))
            table = Table("photograph", title=f"{name}: {task}")
            for column in ("degraded", "restored"):
                table.add_column(column, justify="right")
            for photograph, *scores in rows:
                table.add_row(photograph, *(f"{score:.2f} dB" for score in scores))
            _out.print(table)
            path = self.output / f"{name}.png"
            picture = files.Photograph(demo.sheet(comparisons))
            _used(lambda path=path, p=picture: files.write(path, p))
            _out.print(f"Before and after: {path}\n")
        return 0


@dataclass(frozen=True)
class Convert:
    """Convert a checkpoint of the paper's authors into a .keras file.

    Nothing in the checkpoint is executed, and PyTorch is not needed.
    """

    input: Annotated[Path, tyro.conf.arg(aliases=("-i",), metavar="FILE")]
    """A file written by `torch.save`."""

    output: Annotated[Path, tyro.conf.arg(aliases=("-o",), metavar="NAME.keras")]
    """The Keras model to write."""

    scale: Annotated[int | None, tyro.conf.arg(metavar="2|3|4")] = None
    """For super resolution, the factor in the name of the file: the model then takes
    the small image, as `restore` needs it. Without it, one already enlarged."""

    def run(self) -> int:
        """Converts."""

        def convert():
            with quiet.silence():
                from xunit_keras.checkpoints import authors

            return authors.convert(self.input, self.output, self.scale)

        model = _used(convert, self.output)
        _out.print(f"{self.output}: {model.name}, {model.count_params():,} weights")
        return 0


@dataclass(frozen=True)
class Export:
    """Export a model for another engine, verified against the model itself.

    The exported model runs on photographs before it appears under its name. Images have
    the shape (batch, height, width, channels), float32, with values of 0 to 1.
    """

    model: _Model
    """A released model (see `xunit-keras list`), a model folder, or a .keras file."""

    format: Annotated[FormatName, tyro.conf.arg(aliases=("-f",))]
    """What to write."""

    output: Annotated[Path, tyro.conf.arg(aliases=("-o",), metavar="PATH")]
    """A file, or a folder for a SavedModel."""

    precision: Annotated[
        PrecisionName,
        tyro.conf.arg(
            help="What the weights are stored in. "
            + "; ".join(
                f"{known.name}: {', '.join(known.precisions)}"
                for known in formats.FORMATS.values()
            )
        ),
    ] = "float32"

    size: Annotated[tuple[int, int] | None, tyro.conf.arg(metavar="HEIGHT WIDTH")] = (
        None
    )
    """Fix the model on one image of this size; without it, any size will do."""

    color: bool = False
    """Make a gray model take and give RGB images: luminance through the network and
    chroma bicubic if it enlarges, or else R, G and B one by one."""

    def run(self) -> int:
        """Exports, and prints how the result differs from the model."""

        def export():
            with quiet.silence():
                from xunit_keras.exporting.exporting import export

            return export(
                self.model,
                self.output,
                self.format,
                self.precision,
                self.size,
                self.color,
            )

        verification = _used(export, self.output)
        line = f"{self.output}: differs by at most {verification.difference:.1e}"
        if self.precision != "float32":
            line += f", loses {verification.psnr_lost:.3f} dB"
        _out.print(line)
        return 0


@dataclass(frozen=True)
class Benchmark:
    """Measure speed, memory and size of models on engines, side by side.

    Each model also runs beside the ReLU network that it replaces, its twin.
    """

    model: Annotated[
        tyro.conf.UseAppendAction[tuple[str, ...]],
        tyro.conf.arg(aliases=("-m",), metavar="MODEL"),
    ] = ()
    """A released model, a .keras file, or an untrained network of this package such as
    xdncnn; may be given several times."""

    engine: Annotated[
        tyro.conf.UseAppendAction[tuple[EngineName, ...]],
        tyro.conf.arg(aliases=("-e",)),
    ] = ()
    """Engine to measure; may be given several times. keras runs on the backend in
    use: set KERAS_BACKEND=jax for JAX."""

    size: Annotated[int, tyro.conf.arg(metavar="PIXELS")] = 256
    """Side of the square image."""

    threads: Annotated[int | None, tyro.conf.arg(metavar="N")] = None
    """Threads of the engines; without it, what each engine chooses."""

    rounds: Annotated[int, tyro.conf.arg(metavar="N")] = 10
    """How often each runs."""

    json: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Also write the figures, with machine and versions, to this file."""

    def run(self) -> int:
        """Measures, and prints a table."""
        with quiet.silence():
            from xunit_keras import benchmark

        def measure():
            with _progress() as progress:
                task = progress.add_task("", total=None)
                return benchmark.benchmark(
                    self.model or benchmark.DEFAULT_MODELS,
                    self.engine or benchmark.DEFAULT_ENGINES,
                    self.size,
                    self.threads,
                    self.rounds,
                    lambda text: progress.update(task, description=text),
                )

        measurements = _used(measure)
        environment = benchmark.environment(self.threads)
        _out.print(benchmark.table(measurements))
        for name, value in environment.items():
            _out.print(f"{name}: {value}")
        if self.json is not None:
            benchmark.write_json(self.json, measurements, environment)
        return 0


@dataclass(frozen=True)
class Web:
    """Serve the page that restores in a browser, to this machine alone.

    No photograph leaves the browser. `make web` builds the page.
    """

    port: Annotated[int, tyro.conf.arg(metavar="N")] = 8000
    """Where it is served; 0 takes any port that is free."""

    open: bool = False
    """Also open it in the browser."""

    def run(self) -> int:
        """Serves until Ctrl-C."""
        import webbrowser

        from xunit_keras import web

        server = _used(lambda: web.server(web.find_page(), self.port))
        url = f"http://{web.HOST}:{server.server_port}/"
        with server:
            _out.print(f"The page is at {url} until you press Ctrl-C.")
            if self.open:
                webbrowser.open(url)
            with contextlib.suppress(KeyboardInterrupt):
                server.serve_forever()
        return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line.

    Args:
        arguments: What stands behind `xunit-keras`; None for the process' own.

    Returns:
        The exit code: 0; 1 if a file failed; 2 if the command cannot start as given.
    """
    command = tyro.cli(
        Restore | List | Card | Demo | Convert | Export | Benchmark | Web,
        prog="xunit-keras",
        description="Restores photographs with small neural networks.",
        args=arguments,
        config=(tyro.conf.FlagCreatePairsOff,),
    )
    try:
        return command.run()
    except UsageError as error:
        _err.print(str(error))
        return 2


def _processors() -> int:
    """How many photographs are restored at once at most."""
    return min(clusters.processors(), _MOST_TOGETHER)


def _tell(name, choices) -> None:
    parts = (f"{choice.model} ({choice.reason})" for choice in choices)
    _out.print(f"{name}: {', then '.join(parts)}")


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
        console=_err,
        transient=True,
        disable=not _err.is_terminal,
    )


def _used(call: Callable[[], _T], subject: str | Path = "") -> _T:
    """The result of a call, whose errors are those of who gave the arguments."""
    try:
        return call()
    except (ValueError, ImportError, OSError) as error:
        raise UsageError(_one_line(error, subject)) from error


def _one_line(error: Exception, subject: str | Path) -> str:
    """The message of an error, which names the subject, in one line."""
    message = " ".join(str(error).split()) or type(error).__name__
    if str(subject) in message:
        return message
    return f"{str(subject)!r}: {message}"
