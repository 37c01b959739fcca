"""What the browser takes to restore a picture, beside ONNX Runtime itself.

    make web
    python benchmarks/browser.py
    python benchmarks/browser.py --model xsrcnn-f-x2 --size 256 256 --rounds 5

Each model restores one color picture in Chromium, through the page's `restore.js`, and
in this process, through ONNX Runtime, on the same windows and the same number of
threads, in turns; of several rounds the fastest is printed. Needs the extra `dev` and
Chromium.
"""

import base64
import shutil
import sys
import threading
import time
from dataclasses import dataclass

import numpy as np
import onnxruntime
import tyro

from xunit_keras import web
from xunit_keras.imaging.samples import sample_photographs
from xunit_keras.packages import require
from xunit_keras.runtime import models, restoring
from xunit_keras.runtime.tiles import AUTO_WINDOW

_RESTORE = """
async ({ name, threads, pixels, width, height, window }) => {
  const { openModel, restore } = await import("./restore.js");
  const data = Uint8ClampedArray.from(atob(pixels), (c) => c.charCodeAt(0));
  const model = await openModel(name, { threads });
  const started = performance.now();
  await restore({ data, width, height }, model, { window });
  const seconds = (performance.now() - started) / 1000;
  await model.close();
  return seconds;
}
"""


@dataclass(frozen=True)
class Config:
    """What to measure."""

    model: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """A released model; may be given several times. Without it, each one."""

    size: tuple[int, int] = (1024, 768)
    """Width and height of the picture."""

    threads: tuple[int, ...] = (1, 2)
    """Numbers of threads."""

    rounds: int = 2
    """Runs of each, in turns."""


def main(config: Config) -> None:
    """Prints the table."""
    api = require("playwright.sync_api", "dev")
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        raise ValueError("Chromium is missing: install it, or Google Chrome.")
    server = web.server(web.find_page(), 0)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    image = photograph(*config.size)
    names = config.model or models.list_models()
    cases = [(name, threads) for name in names for threads in config.threads]
    print(f"{'model':24}{'threads':>8}{'browser, s':>12}{'native, s':>12}{'times':>8}")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium, chromium_sandbox=False
        )
        for name, threads in cases:
            there, here = [], []
            for _ in range(config.rounds):
                port = server.server_port
                there.append(in_browser(browser, port, name, threads, image))
                here.append(natively(name, threads, image))
            figures = (
                f"{min(there):12.2f}{min(here):12.2f}{min(there) / min(here):8.2f}"
            )
            print(f"{name:24}{threads:8}{figures}", flush=True)
        print(
            f"{config.size[0]}x{config.size[1]}, the fastest of {config.rounds}; "
            f"Chromium {browser.version}, ONNX Runtime {onnxruntime.__version__}"
        )
        browser.close()
    server.shutdown()


def photograph(width: int, height: int) -> np.ndarray:
    """A color picture of some pixels: a bundled one, repeated in mirror images."""
    pixels = sample_photographs()["astronaut"]
    missing = [
        max(n - m, 0) for n, m in zip((height, width), pixels.shape, strict=False)
    ]
    padding = [(0, n) for n in missing]
    return np.pad(pixels, (*padding, (0, 0)), mode="symmetric")[:height, :width]


def in_browser(browser, port: int, name: str, threads: int, image: np.ndarray) -> float:
    """Seconds in a page of its own, which has another number of threads."""
    height, width = image.shape[:2]
    opaque = np.full((height, width, 1), 255, np.uint8)
    pixels = base64.b64encode(np.concatenate([image, opaque], axis=2).tobytes())
    order = {"name": name, "threads": threads, "width": width, "height": height}
    order |= {"window": AUTO_WINDOW}
    with browser.new_context() as context:
        page = context.new_page()
        # Any file of the folder but the page, which would fill its cache meanwhile.
        page.goto(f"http://{web.HOST}:{port}/licenses.txt")
        return page.evaluate(_RESTORE, {**order, "pixels": pixels.decode()})


def natively(name: str, threads: int, image: np.ndarray) -> float:
    """Seconds in this process."""
    network = models.open_ready(name, threads)
    started = time.perf_counter()
    restoring.restore(image, network)
    return time.perf_counter() - started


if __name__ == "__main__":
    try:
        main(tyro.cli(Config, description=__doc__))
    except (ImportError, OSError, ValueError) as error:
        sys.exit(f"browser.py: {error}")
