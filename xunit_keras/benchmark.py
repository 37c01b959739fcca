"""Speed, memory and size of models on engines, side by side in one run."""

import concurrent.futures
import contextlib
import multiprocessing
import os
import platform
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from importlib import metadata
from pathlib import Path

import keras
import numpy as np
from keras import ops
from rich import box
from rich.table import Table

from xunit_keras import models, zoo
from xunit_keras.atomic import write_json as write_json_whole
from xunit_keras.exporting import formats
from xunit_keras.exporting.engines import open_model
from xunit_keras.exporting.exporting import write
from xunit_keras.graphs.counting import multiply_adds
from xunit_keras.graphs.image_model import DIVISIBLE, scale_on
from xunit_keras.quiet import silence
from xunit_keras.runtime import engines
from xunit_keras.runtime.engines.base import Runner
from xunit_keras.runtime.engines.keras import set_keras_threads

DEFAULT_MODELS = ("xdncnn", "xsrcnn_f", "xsrcnn_c")
DEFAULT_ENGINES = (
    "keras",
    "onnxruntime",
    "openvino",
    "litert",
)

_PRODUCT_SIZE = 2048
_KERAS_SUFFIX = ".keras"
# Seconds before each run: the threads of the engine before may still wait for work,
# awake.
_PAUSE = 0.1


@dataclass(frozen=True)
class Measurement:
    """A model on an engine.

    Attributes:
        model: Its name.
        engine: The engine; for Keras the backend.
        ms_per_megapixel: Median over the rounds, of output pixels.
        spread: Half the distance of the quartiles over the median.
        gigamacs_per_megapixel: Multiplications with weights, of output pixels.
        peak_share: Share of what the machine reaches in a matrix product.
        memory_mb: What loading the engine and one run add to a process at most; None
            on Windows, which does not tell.
        file_mb: Size of the model file.
        ratio_to_twin: Time over that of the ReLU twin on this engine; None for a
            model without one.
    """

    model: str
    engine: str
    ms_per_megapixel: float
    spread: float
    gigamacs_per_megapixel: float
    peak_share: float
    memory_mb: float | None
    file_mb: float
    ratio_to_twin: float | None


@dataclass(frozen=True)
class _Candidate:
    name: str
    twin: str | None
    engine: str
    file: Path
    batch: np.ndarray
    megapixels: float  # of the output
    macs: int

    def load(self, threads) -> Runner:
        if self.file.suffix == _KERAS_SUFFIX:
            if threads is not None:  # TensorFlow takes them before it makes the model.
                set_keras_threads(threads)
            return open_model(zoo.load(self.file), self.engine, threads)
        return engines.open_file(self.file, self.engine, threads)


def benchmark(
    names: Sequence[str] = DEFAULT_MODELS,
    on: Sequence[str] = DEFAULT_ENGINES,
    size: int = 256,
    threads: int | None = None,
    rounds: int = 10,
    progress: Callable[[str], None] | None = None,
) -> list[Measurement]:
    """Measures models on engines.

    Each model is deployed for each engine and runs once to warm up. Then, round by
    round, each runs once, after a short pause, so that a machine that changes its pace
    changes it for all.
    The twins with ReLU of the models run too.

    Args:
        names: Released models, or networks of `xunit_keras.models`, which run as fast
            untrained.
        on: Engines, see `xunit_keras.runtime.engines`; `"keras"` is measured on the
            backend in use.
        size: Side of the square input image in pixels.
        threads: Of the engines; None leaves them to each.
        rounds: How often each runs.
        progress: Called with what is being done.

    Returns:
        A `Measurement` for each model and engine, the twins included.

    Raises:
        ValueError: There is no such model or engine, or a number is out of range.
        ImportError: An engine's package is missing.
    """
    for name, value in (("size", size), ("rounds", rounds)):
        if not isinstance(value, int) or value < 1:
            raise ValueError(f"`{name}` must be at least 1. Received: {name}={value!r}")
    for engine in on:
        engines.get(engine)
    if threads is not None and "keras" in on:
        set_keras_threads(threads)
    report = progress or (lambda text: None)
    with tempfile.TemporaryDirectory() as folder:
        candidates = []
        for number, (name, network, twin) in enumerate(_networks(names)):
            for engine in on:
                report(f"writing {name} for {engine}")
                file = _write(network, engine, Path(folder) / f"{number}")
                shape = (1, size, size, network.input_shape[-1])
                candidates.append(
                    _Candidate(
                        name,
                        twin,
                        engine,
                        file,
                        np.random.default_rng(0).random(shape, dtype=np.float32),
                        (size * scale_on(network, size, size)) ** 2 / 1e6,
                        multiply_adds(network, size, size),
                    )
                )
        report("loading")
        runs = [candidate.load(threads) for candidate in candidates]
        for run, candidate in zip(runs, candidates, strict=True):
            run(candidate.batch)
        times = [[] for _ in candidates]
        products = []
        for number in range(rounds):
            report(f"round {number + 1} of {rounds}")
            products.append(_product_seconds())
            for run, candidate, seconds in zip(runs, candidates, times, strict=True):
                time.sleep(_PAUSE)
                start = time.perf_counter()
                run(candidate.batch)
                seconds.append(time.perf_counter() - start)
        del runs
        memory = []
        for candidate in candidates:
            report(f"memory of {candidate.name} on {candidate.engine}")
            memory.append(_in_child(_added_memory, candidate, threads))
        peak = _PRODUCT_SIZE**3 / min(products)
        return _measurements(candidates, times, memory, peak)


def table(measurements: Iterable[Measurement]) -> Table:
    """The measurements for people."""
    result = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for column in ("model", "engine"):
        result.add_column(column, overflow="fold")
    for column in (
        "ms\n/MP",
        "\nspread",
        "GMAC\n/MP",
        "of\npeak",
        "memory\nMB",
        "file\nMB",
        "to\ntwin",
    ):
        result.add_column(column, justify="right")
    for m in measurements:
        result.add_row(
            m.model,
            m.engine,
            f"{m.ms_per_megapixel:,.0f}",
            f"{m.spread:.0%}",
            f"{m.gigamacs_per_megapixel:,.0f}",
            f"{m.peak_share:.0%}",
            "" if m.memory_mb is None else f"{m.memory_mb:,.0f}",
            f"{m.file_mb:.2f}",
            "" if m.ratio_to_twin is None else f"{m.ratio_to_twin:.2f}",
        )
    return result


def environment(threads: int | None = None) -> dict[str, str]:
    """What a result depends on: processor, threads, versions."""
    versions = {}
    for package in ("tensorflow", "jax", "onnxruntime", "openvino", "ai-edge-litert"):
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[package] = metadata.version(package)
    return {
        "machine": f"{_processor()}, {os.cpu_count()} processors, {platform.system()}",
        "threads": str(threads or "as each engine chooses"),
        "python": platform.python_version(),
        "keras": f"{keras.__version__} on {keras.config.backend()}",
        **versions,
    }


def write_json(
    path: Path, measurements: Iterable[Measurement], environment: dict[str, str]
) -> None:
    """Writes a result with what it depends on; it appears complete or not at all."""
    result = {
        "environment": environment,
        "measurements": [asdict(measurement) for measurement in measurements],
    }
    write_json_whole(path, result)


def _networks(names) -> list[tuple[str, keras.Model, str | None]]:
    """Name, network and name of the twin, of the models asked for and their twins."""
    wanted = {
        name: models.find(name).build() if name in models.NETWORKS else zoo.load(name)
        for name in names
    }
    found = []
    for name, network in wanted.items():
        twin = _twin_of(network)
        if twin is not None:
            twin_name, build = twin
            if twin_name not in (*wanted, *(known for known, *_ in found)):
                found.append((twin_name, build(), None))
        found.append((name, network, twin and twin[0]))
    return found


def _twin_of(network) -> tuple[str, Callable[[], keras.Model]] | None:
    """Name and builder of the ReLU network for the same images."""
    known = models.NETWORKS.get(network.name)
    if known is None or known.twin is None:
        return None
    twin = models.find(known.twin)
    channels, scale = network.input_shape[-1], scale_on(network, DIVISIBLE, DIVISIBLE)
    options = {"channels": channels}
    if scale > 1:
        options["scale"] = scale
    options = {k: v for k, v in options.items() if k in twin.arguments}
    suffix = f"-x{scale}" if scale > 1 else "-rgb" if channels == 3 else ""
    return twin.name + suffix, partial(twin.build, **options)


def _write(network, engine, stem) -> Path:
    """The file that an engine opens."""
    format = engines.get(engine).format
    if engine == "keras":
        file = stem.with_suffix(_KERAS_SUFFIX)
        network.save(file)
        return file
    file = stem.with_suffix(formats.get(format).suffix)
    if not file.exists():  # Two engines may take the same.
        write(network, file, format)
    return file


def _size(file: Path) -> int:
    """Bytes of a model file, with the one that OpenVINO lays beside."""
    weights = file.with_suffix(".bin")
    both = file.suffix == ".xml"
    return file.stat().st_size + (weights.stat().st_size if both else 0)


def _product_seconds() -> float:
    """Time of the product of two square matrices, the machine's best exercise."""
    matrix = ops.ones((_PRODUCT_SIZE, _PRODUCT_SIZE))
    start = time.perf_counter()
    ops.convert_to_numpy(ops.matmul(matrix, matrix))
    return time.perf_counter() - start


def _in_child(function, *arguments):
    """The result of a function in a process of its own."""
    context = multiprocessing.get_context("spawn")
    with (
        silence(),
        concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as pool,
    ):
        return pool.submit(function, *arguments).result()


def _added_memory(candidate, threads) -> float | None:
    """Megabytes that an engine and one run of it add to this process."""
    with contextlib.suppress(OSError):  # Forgets the peak so far; Linux only.
        Path("/proc/self/clear_refs").write_text("5")
    before = _peak_memory()
    if before is None:
        return None
    candidate.load(threads)(candidate.batch)
    after = _peak_memory()
    return None if after is None else max(after - before, 0.0)


def _peak_memory() -> float | None:
    status = Path("/proc/self/status")
    if status.is_file():  # What `resource` tells there begins with the parent's peak.
        (peak,) = re.findall(r"VmHWM:\s+(\d+) kB", status.read_text())
        return int(peak) * 1024 / 1e6
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1e6 if sys.platform == "darwin" else 1e6 / 1024)


def _measurements(candidates, times, memory, peak) -> list[Measurement]:
    medians = {
        (candidate.name, candidate.engine): statistics.median(seconds)
        for candidate, seconds in zip(candidates, times, strict=True)
    }
    measurements = []
    for candidate, seconds, added in zip(candidates, times, memory, strict=True):
        median = statistics.median(seconds)
        low, high = np.quantile(seconds, (0.25, 0.75))
        twin = medians.get((candidate.twin, candidate.engine))
        engine = candidate.engine
        if engine == "keras":
            engine = keras.config.backend()
        measurements.append(
            Measurement(
                model=candidate.name,
                engine=engine,
                ms_per_megapixel=1e3 * median / candidate.megapixels,
                spread=float(high - low) / 2 / median,
                gigamacs_per_megapixel=candidate.macs / 1e9 / candidate.megapixels,
                peak_share=candidate.macs / median / peak,
                memory_mb=added,
                file_mb=_size(candidate.file) / 1e6,
                ratio_to_twin=median / twin if twin else None,
            )
        )
    return measurements


def _processor() -> str:
    """The name of the processor, which `platform` does not tell on Linux."""
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
