"""BM3D on the very images that the models are scored on, with its processor time.

    pip install bm3d
    python benchmarks/bm3d_baseline.py --sigma 25 --json docs/evaluations/bm3d-25.json

The `bm3d` package is the authors' own, free for non-commercial use; nothing here
depends on it. The file is read by `pipelines/results.py`.
"""

import importlib
import sys
import time
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from pipelines import program

# isort: split
import numpy as np
import tyro
from rich.progress import track

from pipelines import evaluate
from pipelines.data.datasets import all_readable
from pipelines.data.examples import examples
from xunit_keras.atomic import write_json
from xunit_keras.tasks import SIGMA
from xunit_keras.tasks.denoise import Denoise


@dataclass(frozen=True)
class Config:
    """What to denoise."""

    data: str = "bsd68"
    """Published set, folder, TensorFlow Datasets name, or sample."""

    sigma: float = SIGMA
    """Noise level in 0..255."""

    limit: int | None = None
    """Only the first images."""

    data_root: Path | None = None
    """Folder of the published sets. Default: $XUNIT_KERAS_DATA, or data."""

    json: Path | None = None
    """Write protocol, means, time and every image's scores to this file."""


def main() -> None:
    """Denoises, and prints scores and time."""
    config = tyro.cli(Config, description=__doc__)
    try:
        bm3d = importlib.import_module("bm3d").bm3d
    except ImportError as error:
        raise ImportError("This needs the package bm3d: pip install bm3d") from error
    task = Denoise(sigma=(config.sigma,))
    evaluation, seconds = evaluate.Evaluation(config.data), []
    found = all_readable(examples(config.data, task, config.data_root))
    for example in track(islice(found, config.limit), transient=True):
        started = time.process_time()
        restored = bm3d(example.degraded[..., 0], config.sigma / 255)
        seconds.append(time.process_time() - started)
        image = np.clip(restored, 0, 1).astype(np.float32)[..., None]
        evaluation.images.append(example.name)
        evaluation.scores.append(task.score(image, example))
    evaluate.print_table(evaluation, task)
    mean_seconds = sum(seconds) / len(seconds)
    print(f"{mean_seconds:.2f} s of processor time an image")
    if config.json:
        report = evaluate.report("BM3D", task, [evaluation])
        write_json(config.json, {**report, "processor_seconds_per_image": mean_seconds})


if __name__ == "__main__":
    program.run(main, "bm3d_baseline.py")
