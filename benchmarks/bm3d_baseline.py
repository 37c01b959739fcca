"""BM3D on the very images that the models are scored on, with its processor time.

    pip install bm3d
    python benchmarks/bm3d_baseline.py --sigma 25 --json docs/evaluations/bm3d-25.json

The `bm3d` package is the authors' own, free for non-commercial use; nothing here
depends on it. The file is read by `pipelines/results.py`.
"""

import os
import sys
import time
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # As the package, before Keras.

import numpy as np
import tyro
from rich.progress import track

from pipelines import evaluate, scoring


@dataclass(frozen=True)
class Config:
    """What to denoise."""

    data: str = "bsd68"
    """Published set, folder, TensorFlow Datasets name, or sample."""

    sigma: float = 25.0
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
        from bm3d import bm3d
    except ImportError:
        sys.exit("bm3d_baseline.py: This needs the package bm3d: pip install bm3d")
    protocol = scoring.Protocol("denoise", 1, config.sigma)
    rows, seconds = [], []
    try:
        examples = scoring.examples(config.data, protocol, config.data_root)
        for example in track(islice(examples, config.limit), transient=True):
            started = time.process_time()
            restored = bm3d(example.degraded[..., 0], config.sigma / 255)
            seconds.append(time.process_time() - started)
            image = np.clip(restored, 0, 1).astype(np.float32)[..., None]
            score = scoring.score(image, example, protocol)
            rows.append({"image": example.name, **score})
    except ValueError as error:
        sys.exit(f"bm3d_baseline.py: {error}")
    evaluate.print_table(config.data, protocol, rows)
    mean_seconds = sum(seconds) / len(seconds)
    print(f"{mean_seconds:.2f} s of processor time an image")
    if config.json:
        report = evaluate.report("BM3D", protocol, {config.data: rows})
        report["processor_seconds_per_image"] = mean_seconds
        evaluate.write_json(config.json, report)


if __name__ == "__main__":
    main()
