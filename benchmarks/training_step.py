"""Times a training step of xDnCNN and of its ReLU twin, DnCNN-S, side by side.

    python benchmarks/training_step.py
    KERAS_BACKEND=jax python benchmarks/training_step.py --patch-size 40

The steps of both networks alternate, so that a busy machine slows both. A step is
all of it: forward, backward, Adam and the moving average of the weights.
"""

import platform
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from pipelines import program

# isort: split
import keras
import numpy as np
import tyro

from pipelines import building
from pipelines.configuration import Config, Precision, resolve
from pipelines.data import datasets
from pipelines.keeping import machine
from xunit_keras.tasks.denoise import Denoise


@dataclass(frozen=True)
class Benchmark:
    """What to time."""

    models: tuple[str, str] = ("xdncnn", "dncnn")
    """The network, and the one to compare it with."""

    batch_size: int = 64
    """Patches in a batch."""

    patch_size: int = 40
    """Side of a patch."""

    rounds: int = 8
    """Steps of each network; the median is printed."""

    precision: Precision = "float32"
    """Keras dtype policy."""


def main() -> None:
    """Prints the steps of both networks and their ratio."""
    benchmark = tyro.cli(Benchmark, description=__doc__)
    rng = np.random.default_rng(0)
    shape = (benchmark.batch_size, benchmark.patch_size, benchmark.patch_size, 1)
    clean = rng.random(shape, dtype="float32")
    noisy = clean + rng.normal(scale=0.1, size=shape).astype("float32")
    networks = {}
    for name in benchmark.models:
        config = resolve(
            Config(
                task=Denoise.name,
                model=name,
                data=(datasets.SAMPLE,),
                batch_size=benchmark.batch_size,
                patch_size=benchmark.patch_size,
                precision=benchmark.precision,
            )
        )
        networks[name] = building.compiled(config, building.blueprint(config))
    times = {name: [] for name in networks}
    for round_ in range(-2, benchmark.rounds):  # The first two compile.
        for name, network in networks.items():
            started = time.perf_counter()
            network.train_on_batch(noisy, clean)
            if round_ >= 0:
                times[name].append(time.perf_counter() - started)
    print(
        f"{benchmark.batch_size} patches of {benchmark.patch_size}x"
        f"{benchmark.patch_size}, {benchmark.precision}; {machine()}, "
        f"{keras.config.backend()} backend, Python {platform.python_version()}"
    )
    for name, seconds in times.items():
        print(
            f"{name:>8}: {median(seconds):.3f} s a step "
            f"({min(seconds):.3f} to {max(seconds):.3f})"
        )
    first, second = (median(times[name]) for name in benchmark.models)
    print(f"   ratio: {first / second:.2f}")


if __name__ == "__main__":
    program.run(main, "training_step.py")
