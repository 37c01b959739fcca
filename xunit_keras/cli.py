"""The command line: `xunit-keras restore | list | demo | convert | export | benchmark`.

What needs Keras is imported where it is used: help, and complaints about arguments,
should not wait seconds for TensorFlow.
"""

import contextlib
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

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

_out = Console(highlight=False, markup=False, soft_wrap=True)
_err = Console(highlight=False, markup=False, soft_wrap=True, stderr=True)


_Engine = Literal["keras", "onnxruntime", "openvino", "openvino-bf16", "litert"]


class UsageError(Exception):
    """The command cannot start as it was given; the message is one sentence."""


@dataclass(frozen=True)
class Restore:
    """Restore a photograph, or all photographs in a folder and below it.

    The EXIF orientation is applied; transparency, colour profile, EXIF data and 16-bit
    grey are kept. A file that cannot be restored is reported, and the others go on.
    """

    input: Annotated[Path, tyro.conf.arg(aliases=("-i",), metavar="FILE|FOLDER")]
    """A photograph, or a folder of them."""

    output: Annotated[Path, tyro.conf.arg(aliases=("-o",), metavar="FILE|FOLDER")]
    """Where the result goes: a file, or a folder. A folder of photographs gives a
    folder with the same names and subfolders."""

    model: Annotated[str, tyro.conf.arg(aliases=("-m",), metavar="MODEL")]
    """A released model (see `xunit-keras list`), a model folder, or a .keras file."""

    tile: Annotated[
        int | Literal["auto"], tyro.conf.arg(aliases=("-t",), metavar="PIXELS|auto")
    ] = "auto"
    """Work on tiles of at most so many pixels a side. Smaller tiles need less memory
    and more time, and give the same result. 0: the whole image at once."""

    self_ensemble: bool = False
    """Average over the eight flips and rotations: a little better, eight times as
    long."""

    skip_existing: bool = False
    """Leave out the photographs whose result is there already."""

    engine: _Engine = "keras"
    """What runs the model. All but keras need: pip install 'xunit-keras[export]'."""

    threads: Annotated[int | None, tyro.conf.arg(metavar="N")] = None
    """Threads of the engine; without it, what the engine chooses."""

    def run(self) -> int:
        """Restores; the exit code is 1 if a file failed."""
        jobs = self._jobs()
        if not jobs:
            _out.print("Every result is there already.")
            return 0
        model = self._load_model()
        failed = 0
        with _progress() as progress:
            task = progress.add_task("")
            for number, (source, target) in enumerate(jobs, start=1):
                name = f"{source.name} ({number} of {len(jobs)})"
                progress.reset(task, description=name)

                def show(done, total):
                    progress.update(task, completed=done, total=total)

                try:
                    self._restore_file(source, target, model, show)
                # Whatever is wrong with one file, the others go on.
                except Exception as error:
                    failed += 1
                    progress.console.print(_one_line(error, source))
        _out.print(f"Restored {len(jobs) - failed} of {len(jobs)} into {self.output}")
        return 1 if failed else 0

    def _jobs(self) -> list[tuple[Path, Path]]:
        """Which file is to become which."""
        from xunit_keras import images

        if self.tile != "auto" and self.tile < 0:
            raise UsageError(f"--tile must not be negative. Received: {self.tile}")
        if self.input.is_dir():
            jobs = self._folder_jobs()
        elif self.input.exists():
            target = self.output
            if target.is_dir():
                target /= self.input.name
            if target.suffix.lower() not in images.SUFFIXES:
                raise UsageError(
                    f"The output's suffix must be one of {', '.join(images.SUFFIXES)}. "
                    f"Received: {str(target)!r}"
                )
            jobs = [(self.input, target)]
        else:
            raise UsageError(f"There is no file or folder {str(self.input)!r}.")
        sources = {source.resolve() for source, _ in jobs}
        for _, target in jobs:
            if target.resolve() in sources:
                raise UsageError(
                    f"The result would replace the photograph {str(target)!r}. "
                    "Give another --output."
                )
        if self.skip_existing:
            jobs = [(source, target) for source, target in jobs if not target.exists()]
        return jobs

    def _folder_jobs(self) -> list[tuple[Path, Path]]:
        from xunit_keras import images

        if self.output.exists() and not self.output.is_dir():
            raise UsageError(
                "A folder of photographs gives a folder, and the output is a file. "
                f"Received: {str(self.output)!r}"
            )
        sources = images.find(self.input)
        folder, results = self.input.resolve(), self.output.resolve()
        if results != folder and results.is_relative_to(folder):
            # Results of an earlier run are not photographs to restore.
            sources = [s for s in sources if not s.resolve().is_relative_to(results)]
        if not sources:
            raise UsageError(
                f"There are no photographs in {str(self.input)!r}. "
                f"Known suffixes: {', '.join(images.SUFFIXES)}"
            )
        return [(s, self.output / s.relative_to(self.input)) for s in sources]

    def _load_model(self):
        with _quiet():
            from xunit_keras import zoo
            from xunit_keras.engines import set_keras_threads
            from xunit_keras.receptive_field import receptive_field
        try:
            if self.engine == "keras" and self.threads is not None:
                set_keras_threads(self.threads)
            model = zoo.load(self.model)
            if self.tile != 0:
                receptive_field(model)  # Raises for models that tiles do not suit.
        except Exception as error:
            raise UsageError(_one_line(error, self.model)) from error
        return model

    def _restore_file(self, source: Path, target: Path, model, show) -> None:
        from xunit_keras import images, restoration

        photograph = images.read(source)
        scale = restoration.scale_on(model, *photograph.pixels.shape[:2])
        images.check_writable(target, photograph, scale)
        pixels = restoration.restore(
            photograph.pixels,
            model,
            self.tile,
            self.self_ensemble,
            show,
            self.engine,
            self.threads,
        )
        alpha = photograph.alpha
        if alpha is not None and scale > 1:
            alpha = restoration.enlarge(alpha, scale)
        images.write(target, replace(photograph, pixels=pixels, alpha=alpha))


@dataclass(frozen=True)
class List:
    """List the released models.

    PSNR is that of the first scores on a card: of BSD68, CBSD68, Rain12 or Set5.
    """

    def run(self) -> int:
        """Prints a table."""
        with _quiet():
            from xunit_keras import demo, zoo
        table = Table("model", "task", "images", "parameters", "PSNR in dB")
        for name in zoo.list_models():
            card = zoo.card(name)
            table.add_row(
                name,
                demo.purpose(card),
                "RGB" if card["channels"] == 3 else "grey",
                f"{card['parameters']:,}",
                f"{card['scores'][0]['psnr']:.2f}",
            )
        _out.print(table)
        return 0


@dataclass(frozen=True)
class Demo:
    """Degrade the bundled photographs, restore them with every released model.

    Prints the PSNR before and after, and writes a picture of both for each model.
    """

    output: Annotated[Path, tyro.conf.arg(aliases=("-o",), metavar="FOLDER")] = Path(
        "demo"
    )
    """Where the pictures go."""

    def run(self) -> int:
        """Runs the demonstration."""
        with _quiet():
            from xunit_keras import demo, images, zoo
        names = zoo.list_models()
        if not names:
            raise UsageError("This package holds no released models to show.")
        for name in names:
            card = zoo.card(name)
            with _progress() as progress:
                comparisons = list(
                    progress.track(
                        demo.compare(name), total=demo.COUNT, description=name
                    )
                )
            rows = [(c.name, c.degraded_psnr, c.restored_psnr) for c in comparisons]
            rows.append(("mean", *demo.mean_psnr(comparisons)))
            table = Table("photograph", title=f"{name}: {demo.protocol(card)}")
            for column in ("degraded", "restored"):
                table.add_column(column, justify="right")
            for photograph, *scores in rows:
                table.add_row(photograph, *(f"{score:.2f} dB" for score in scores))
            _out.print(table)
            path = self.output / f"{name}.png"
            images.write(path, images.Photograph(demo.sheet(comparisons)))
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
        with _quiet():
            from xunit_keras import checkpoints
        try:
            model = checkpoints.convert(self.input, self.output, self.scale)
        except (ValueError, OSError) as error:
            raise UsageError(_one_line(error, self.output)) from error
        _out.print(f"{self.output}: {model.name}, {model.count_params():,} weights")
        return 0


@dataclass(frozen=True)
class Export:
    """Export a model for another engine, verified against the model itself.

    The exported model runs on photographs before it appears under its name. Images have
    the shape (batch, height, width, channels), float32, with values of 0 to 1.
    """

    model: Annotated[str, tyro.conf.arg(aliases=("-m",), metavar="MODEL")]
    """A released model (see `xunit-keras list`), a model folder, or a .keras file."""

    format: Annotated[
        Literal["saved_model", "tflite", "onnx", "openvino"],
        tyro.conf.arg(aliases=("-f",)),
    ]
    """A TensorFlow SavedModel, or a model for LiteRT, ONNX Runtime or OpenVINO."""

    output: Annotated[Path, tyro.conf.arg(aliases=("-o",), metavar="PATH")]
    """A .tflite, .onnx or .xml (OpenVINO) file, or a folder for a SavedModel."""

    precision: Literal["float32", "float16", "int8", "int8-full"] = "float32"
    """float16: weights of 16 bits (not saved_model). int8: convolutions in 8 bits
    (tflite). int8-full: everything in 8 bits (tflite)."""

    size: Annotated[tuple[int, int] | None, tyro.conf.arg(metavar="HEIGHT WIDTH")] = (
        None
    )
    """Fix the model on one image of this size; without it, any size will do."""

    color: bool = False
    """Make a grey model take and give RGB images: luminance through the network and
    chroma bicubic if it enlarges, or else R, G and B one by one."""

    def run(self) -> int:
        """Exports, and prints how the result differs from the model."""
        with _quiet():
            from xunit_keras.exports import export
        try:
            verification = export(
                self.model,
                self.output,
                self.format,
                self.precision,
                self.size,
                self.color,
            )
        except (ValueError, ImportError, OSError) as error:
            raise UsageError(_one_line(error, self.output)) from error
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
        tyro.conf.UseAppendAction[tuple[_Engine, ...]],
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
        with _quiet():
            from xunit_keras import benchmark
        try:
            with _progress() as progress:
                task = progress.add_task("", total=None)
                measurements = benchmark.benchmark(
                    self.model or benchmark.DEFAULT_MODELS,
                    self.engine or benchmark.DEFAULT_ENGINES,
                    self.size,
                    self.threads,
                    self.rounds,
                    lambda text: progress.update(task, description=text),
                )
        except (ValueError, ImportError) as error:
            raise UsageError(_one_line(error, "benchmark")) from error
        environment = benchmark.environment(self.threads)
        _out.print(benchmark.table(measurements))
        for name, value in environment.items():
            _out.print(f"{name}: {value}")
        if self.json is not None:
            benchmark.write_json(self.json, measurements, environment)
        return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line.

    Args:
        arguments: What stands behind `xunit-keras`; None for the process' own.

    Returns:
        The exit code: 0; 1 if a file failed; 2 if the command cannot start as given;
        130 if interrupted.
    """
    command = tyro.cli(
        Restore | List | Demo | Convert | Export | Benchmark,
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
    except KeyboardInterrupt:
        _err.print("Interrupted. What was written is complete.")
        return 130


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


def _one_line(error: Exception, subject: str | Path) -> str:
    """The message of an error, which names the subject, in one line."""
    message = " ".join(str(error).split()) or type(error).__name__
    if str(subject) in message:
        return message
    return f"{str(subject)!r}: {message}"


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keeps TensorFlow's remarks on processor and drivers from the user.

    Part of them come before it has looked at TF_CPP_MIN_LOG_LEVEL.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.stderr.flush()
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(kept, 2)
        os.close(kept)
