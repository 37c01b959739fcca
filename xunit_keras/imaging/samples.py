"""The photographs that come with scikit-image: a small data set on every machine."""

import numpy as np

# All in the public domain: astronaut is NASA's, the others are CC0.
NAMES = ("astronaut", "camera", "chelsea", "coffee", "rocket")


def sample_photographs() -> dict[str, np.ndarray]:
    """The bundled photographs by name.

    Returns:
        uint8 arrays, `(height, width, 3)` RGB, or `(height, width, 1)` for the gray
        `camera`; between 300 and 640 pixels a side.
    """
    from skimage import data

    photographs = {name: getattr(data, name)() for name in NAMES}
    return {
        name: image if image.ndim == 3 else image[..., None]
        for name, image in photographs.items()
    }
