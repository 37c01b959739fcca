"""What a photograph costs: seconds and memory, from the shell to the written file.

    python benchmarks/photograph.py
    python benchmarks/photograph.py --megapixels 12 --model xdncnn-color-blind

Runs, in turns, `xunit-keras restore`, eight lines of Python that run the same network
file with ONNX Runtime, and `python -c "import tensorflow"`, each as a process of its
own. Of large photographs it also prints what the engine takes for as many pixels in
images that are one window each.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro
from rich.console import Console
from rich.table import Table

from xunit_keras.imaging import files
from xunit_keras.imaging.samples import sample_photographs
from xunit_keras.runtime import models, restoring
from xunit_keras.runtime.tiles import AUTO_WINDOW

_SCRIPT = """
import sys
import numpy as np, onnxruntime
from PIL import Image
pixels = np.asarray(Image.open(sys.argv[1]).convert("RGB"))
session = onnxruntime.InferenceSession(sys.argv[3], providers=["CPUExecutionProvider"])
(restored,) = session.run(None, {"image": pixels[None].astype("float32") / 255})
result = (restored[0].clip(0, 1) * 255).round().astype("uint8")
Image.fromarray(result).save(sys.argv[2])
"""


@dataclass(frozen=True)
class Config:
    """What to measure."""

    model: str = "xdncnn-color-blind"
    """A released model for RGB images."""

    megapixels: float = 512 * 512 / 1e6
    """Size of the photograph."""

    rounds: int = 5
    """Runs of each program, in turn; the median is printed."""

    suffix: str = ".png"
    """Of the files that are read and written."""


def main(config: Config) -> None:
    """Prints the table."""
    folder = models.model_folder(config.model)
    with tempfile.TemporaryDirectory() as place:
        source, target = (
            Path(place) / f"{name}{config.suffix}"
            for name in ("photograph", "restored")
        )
        side = round((config.megapixels * 1e6) ** 0.5)
        pixels = photograph(side)
        files.write(source, files.Photograph(pixels))
        ready = folder / models.READY_FILE
        programs = {
            "xunit-keras restore": [
                *(sys.executable, "-m", "xunit_keras", "restore"),
                *("-i", source, "-o", target, "-m", config.model),
            ],
            "8 lines with ONNX Runtime": [
                *(sys.executable, "-c", _SCRIPT, source, target, ready)
            ],
            "import tensorflow": [sys.executable, "-c", "import tensorflow"],
        }
        if side > AUTO_WINDOW:  # The script takes the whole image at once.
            del programs["8 lines with ONNX Runtime"]
        measured = {name: [] for name in programs}
        for _ in range(config.rounds):
            for name, command in programs.items():
                measured[name].append(run(command))
        table = Table("program", "seconds", "processor seconds", "MB")
        for name, runs in measured.items():
            seconds, processor, memory = (
                statistics.median(values) for values in zip(*runs, strict=True)
            )
            table.add_row(name, f"{seconds:.2f}", f"{processor:.2f}", f"{memory:.0f}")
        Console(width=100).print(table)
        if side > AUTO_WINDOW:
            whole, windows = processor_seconds(config.model, pixels)
            print(
                f"in one process: {whole:.1f} processor seconds in tiles, "
                f"{windows:.1f} for as many pixels in one-window images: "
                f"{whole / windows:.2f} times"
            )


def photograph(side: int) -> np.ndarray:
    """A square photograph of some pixels: a bundled one, repeated in mirror images."""
    pixels = sample_photographs()["astronaut"]
    missing = [(0, max(side - length, 0)) for length in pixels.shape[:2]]
    return np.pad(pixels, (*missing, (0, 0)), mode="symmetric")[:side, :side]


def run(command: list) -> tuple[float, float, float]:
    """Wall and processor seconds and peak memory, in MB, of a process."""
    started = time.perf_counter()
    process = subprocess.Popen(list(map(str, command)), stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise ValueError(f"{command[:4]} ended with {process.returncode}.")
    seconds = time.perf_counter() - started
    kilobyte = 1 if sys.platform == "darwin" else 1024
    memory = usage.ru_maxrss * kilobyte / 1e6
    return seconds, usage.ru_utime + usage.ru_stime, memory


def processor_seconds(model: str, pixels: np.ndarray) -> tuple[float, float]:
    """Of a photograph in tiles, and of as many pixels in images of one window each."""
    network = models.open_ready(model)
    window = AUTO_WINDOW // network.field.scale
    part = restoring.as_float(pixels[:window, :window])[None]
    network.run(part)
    started = time.process_time()
    network.run(part)
    count = pixels.shape[0] * pixels.shape[1] / window**2
    windows = count * (time.process_time() - started)
    started = time.process_time()
    restoring.restore(pixels, network)
    return time.process_time() - started, windows


if __name__ == "__main__":
    try:
        main(tyro.cli(Config, description=__doc__))
    except ValueError as error:
        sys.exit(f"photograph.py: {error}")
