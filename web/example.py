"""Makes `example.png`, the picture that the page shows: a photograph with noise.

python web/example.py
"""

from pathlib import Path

import numpy as np
from PIL import Image

from xunit_keras.imaging.pixels import from_float, to_float
from xunit_keras.imaging.samples import sample_photographs

SIGMA = 25.0
TOP, LEFT, SIDE = 0, 96, 256


def main() -> None:
    """Writes the picture."""
    clean = to_float(sample_photographs()["astronaut"])
    part = clean[TOP : TOP + SIDE, LEFT : LEFT + SIDE]
    noise = np.random.default_rng(0).normal(0.0, SIGMA / 255.0, part.shape)
    noisy = from_float((part + noise).astype(np.float32), np.uint8)
    path = Path(__file__).with_name("example.png")
    Image.fromarray(noisy).save(path, optimize=True)


if __name__ == "__main__":
    main()
