"""A U-Net that takes noise off photographs, once with XUnit and once with ReLU.

    python examples/unet_denoiser.py

Both have the same number of parameters, within 4 %, and train for the same time on
four of the photographs that come with scikit-image; the fifth is for the score. See
docs/your-own-network.md.
"""

import argparse
import math
import time
from collections.abc import Callable

import keras
import numpy as np
from keras import layers

import xunit_keras
from xunit_keras.imaging.color import luminance
from xunit_keras.imaging.metrics import psnr
from xunit_keras.imaging.pixels import to_float
from xunit_keras.imaging.samples import sample_photographs

SIGMA = 25 / 255
BATCH, PATCH = 8, 64
LEARNING_RATE = 2e-3
TEST = "camera"


def xunit(x):
    """The learnable spatial activation."""
    return xunit_keras.XUnit()(x)


def relu(x):
    """What stands there otherwise."""
    return layers.ReLU()(layers.BatchNormalization(momentum=0.9)(x))


def unet(filters: int, activation: Callable) -> keras.Model:
    """A U-Net over three sizes, `(batch, height, width, 1)`; sides divide by 4."""

    def block(x, width):
        for _ in range(2):
            x = activation(layers.Conv2D(width, 3, padding="same")(x))
        return x

    image = keras.Input((None, None, 1))
    wide = block(image, filters)
    middle = block(layers.MaxPooling2D()(wide), 2 * filters)
    x = block(layers.MaxPooling2D()(middle), 4 * filters)
    for skipped, width in ((middle, 2 * filters), (wide, filters)):
        x = layers.Conv2DTranspose(width, 2, strides=2)(x)
        x = block(layers.Concatenate()([x, skipped]), width)
    noise = layers.Conv2D(1, 3, padding="same", kernel_initializer="zeros")(x)
    return keras.Model(image, layers.Subtract()([image, noise]))


NETWORKS = {"XUnit": lambda: unet(16, xunit), "ReLU": lambda: unet(18, relu)}


def patches(photographs: list[np.ndarray], random: np.random.Generator) -> np.ndarray:
    """A batch of random parts of photographs, randomly turned and mirrored."""
    batch = []
    for _ in range(BATCH):
        photograph = photographs[random.integers(len(photographs))]
        top, left = (random.integers(n - PATCH + 1) for n in photograph.shape[:2])
        patch = photograph[top : top + PATCH, left : left + PATCH]
        batch.append(np.rot90(patch, random.integers(4))[:: random.choice((1, -1))])
    return np.stack(batch).astype("float32")


def noisy(clean: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Gaussian noise added, not clipped."""
    return (clean + random.normal(scale=SIGMA, size=clean.shape)).astype("float32")


def train(models: list[keras.Model], photographs: list, seconds: float) -> list[int]:
    """Trains each model for some time, along a cosine.

    They take turns, step by step, so that a machine that changes its pace changes it
    for all.

    Returns:
        The number of steps that each has made.
    """
    randoms = [np.random.default_rng(0) for _ in models]
    steps, spent = [0] * len(models), [0.0] * len(models)
    for model in models:
        model.compile(keras.optimizers.Adam(LEARNING_RATE), "mse", jit_compile=False)
    while min(spent) < seconds:
        for i, (model, random) in enumerate(zip(models, randoms, strict=True)):
            if spent[i] >= seconds:
                continue
            cosine = math.cos(math.pi * spent[i] / seconds)
            model.optimizer.learning_rate = LEARNING_RATE * (1 + cosine) / 2
            clean = patches(photographs, random)
            degraded = noisy(clean, random)
            start = time.perf_counter()
            model.train_on_batch(degraded, clean)
            if steps[i]:  # The first one compiles.
                spent[i] += time.perf_counter() - start
            steps[i] += 1
    return steps


def main(arguments: list[str] | None = None) -> None:
    """Trains both networks and prints their scores."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=120, help="for each network")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    photographs = {
        name: luminance(to_float(image)) for name, image in sample_photographs().items()
    }
    test = photographs.pop(TEST)
    degraded = noisy(test, np.random.default_rng(0))
    print(f"{TEST}, noise of sigma 25: {psnr(degraded.clip(0, 1), test):.2f} dB")
    models = {}
    for name, build in NETWORKS.items():
        keras.utils.set_random_seed(options.seed)
        models[name] = build()
    steps = train([*models.values()], [*photographs.values()], options.seconds)
    for (name, model), count in zip(models.items(), steps, strict=True):
        score = psnr(xunit_keras.restore(degraded, model), test)
        parameters = xunit_keras.count_parameters(model).total
        print(f"{name}: {parameters:,} parameters, {count} steps, {score:.2f} dB")


if __name__ == "__main__":
    main()
