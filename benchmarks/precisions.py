"""What the precisions of a LiteRT export lose in quality, and gain in time and size.

    python benchmarks/precisions.py --models xdncnn-gray-sigma25 xsrcnn-f-x3

The PSNR lost is that of `xunit-keras export`. Times are processor time on one thread,
which other programs disturb little, divided by that of float32.
"""

import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # As the package, before Keras.

import numpy as np
import tyro
from rich.table import Table

import xunit_keras
from pipelines.evaluate import console
from xunit_keras.exporting.formats import FORMATS
from xunit_keras.runtime import engines as installed


@dataclass(frozen=True)
class Config:
    """What to measure."""

    models: tuple[str, ...] = ("xdncnn-gray-sigma25", "xsrcnn-f-x3")
    """Released models, model folders or .keras files."""

    size: int = 192
    """Side of the image that is timed, in pixels of the input."""

    rounds: int = 7
    """Runs of each precision, in turn; the median is printed."""


def processor_time(engine: Callable, image: np.ndarray) -> float:
    """Processor time of a run, in seconds."""
    started = time.process_time()
    engine(image)
    return time.process_time() - started


def main(config: Config) -> None:
    """Exports in every precision and prints the table."""
    precisions = FORMATS["litert"].precisions
    table = Table("model", "precision", "dB lost", "time", "MB")
    for name in config.models:
        channels = xunit_keras.load(name).input_shape[-1]
        shape = (1, config.size, config.size, channels)
        image = np.random.default_rng(0).random(shape, dtype="float32")
        engines, lost, sizes = {}, {}, {}
        with tempfile.TemporaryDirectory() as folder:
            for precision in precisions:
                path = Path(folder) / f"{precision}.tflite"
                try:
                    verified = xunit_keras.export(name, path, "litert", precision)
                except ValueError as error:
                    print(f"{name}: {error}")
                    continue
                lost[precision] = verified.psnr_lost
                sizes[precision] = path.stat().st_size / 1e6
                engines[precision] = installed.open_file(path, threads=1)
                engines[precision](image)  # The first run sets up.
        times = {precision: [] for precision in engines}
        for _ in range(config.rounds):
            for precision, engine in engines.items():
                times[precision].append(processor_time(engine, image))
        unit = np.median(times["float32"])
        for precision in engines:
            ratio = np.median(times[precision]) / unit
            table.add_row(
                name,
                precision,
                f"{lost[precision]:.3f}",
                f"{ratio:.2f}",
                f"{sizes[precision]:.2f}",
            )
    console().print(table)


if __name__ == "__main__":
    try:
        main(tyro.cli(Config, description=__doc__))
    except ValueError as error:
        sys.exit(f"precisions.py: {error}")
