"""How long networks take on an engine, measured before they are trained."""

import json
import time
from pathlib import Path

import numpy as np

from tuning.files import write_json
from tuning.hypermodel import Architecture
from xunit_keras.exporting import open_model

_SIDE = 512  # of the result, in pixels
_RUNS = 7


class Latencies:
    """Times of networks on an engine, each measured once.

    The least of some runs counts, which other programs disturb least.

    Args:
        engine: See `xunit_keras.exporting.open_model`.
        path: A JSON file that keeps what was measured.
        limit: Milliseconds for a megapixel of the result.
        threads: Of the engine; None leaves them to it.
    """

    def __init__(
        self, engine: str, path: Path, limit: float, threads: int | None = None
    ):
        self.limit = limit
        self._engine, self._path, self._threads = engine, path, threads

    def accepts(self, architecture: Architecture) -> bool:
        """Whether a network is within the limit."""
        return self.milliseconds(architecture) <= self.limit

    def milliseconds(self, architecture: Architecture) -> float:
        """Of a network, for a megapixel of its result."""
        known = {}
        if self._path.exists():
            known = json.loads(self._path.read_text(encoding="utf-8"))
        name = str(architecture)
        if name not in known:
            known[name] = self._measure(architecture)
            write_json(self._path, known)
            beyond = ", beyond the limit" if known[name] > self.limit else ""
            print(f"{known[name]:.1f} ms a megapixel{beyond}: {name}.", flush=True)
        return known[name]

    def _measure(self, architecture: Architecture) -> float:
        run = open_model(architecture.build(), self._engine, self._threads)
        side = -(-_SIDE // architecture.scale)
        shape = (1, side, side, architecture.channels)
        image = np.random.default_rng(0).random(shape, dtype=np.float32)
        run(image)
        times = []
        for _ in range(_RUNS):
            started = time.perf_counter()
            run(image)
            times.append(time.perf_counter() - started)
        megapixels = (side * architecture.scale) ** 2 / 1e6
        return 1000.0 * min(times) / megapixels
