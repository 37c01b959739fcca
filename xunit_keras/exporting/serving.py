"""A Keras model as a network that is ready to restore images, on any engine."""

import functools
import hashlib
from typing import Literal

import keras
import numpy as np

from xunit_keras.exporting.engines import open_model
from xunit_keras.graphs.image_model import (
    DIVISIBLE,
    image_channel_axis,
    image_model,
    scale_on,
)
from xunit_keras.graphs.receptive_field import receptive_field
from xunit_keras.runtime.engines.base import Runner
from xunit_keras.runtime.engines.keras import check_process
from xunit_keras.runtime.network import Network
from xunit_keras.runtime.tiles import ReceptiveField


def network_of(
    model: keras.Model,
    engine: str,
    threads: int | None = None,
    tile_overlap: int | None = None,
    image: np.ndarray | None = None,
    tile: int | Literal["auto"] = "auto",
) -> Network:
    """Makes a Keras model ready to restore; see `xunit_keras.restoration.open_network`.

    Raises:
        ValueError: The model does not work on images, on tiles or on the engine.
        ImportError: The package of the engine is missing.
    """
    check_process()
    model = image_model(model)
    axis = image_channel_axis(model)
    height, width = (DIVISIBLE, DIVISIBLE) if image is None else image.shape[:2]
    scale = scale_on(model, height, width)
    if tile == 0:
        field = ReceptiveField(scale, radius=0)
    else:
        field = receptive_field(model, tile_overlap)
    run = _runner(model, engine, threads, _fingerprint(model))
    if axis == 1:
        run = _channels_last(run)
    return Network(model.name, run, model.input_shape[axis], field)


def _channels_last(run: Runner) -> Runner:
    """A runner on `(batch, channels, height, width)` as one on channels last."""

    def turned(batch):
        result = run(np.ascontiguousarray(batch.transpose(0, 3, 1, 2)))
        return result.transpose(0, 2, 3, 1)

    return turned


@functools.lru_cache(maxsize=4)
def _runner(
    model: keras.Model, engine: str, threads: int | None, weights: bytes
) -> Runner:
    """The engine for a model, kept for as long as the weights are the same."""
    return open_model(model, engine, threads)


def _fingerprint(model: keras.Model) -> bytes:
    digest = hashlib.blake2b()
    for weight in model.get_weights():
        digest.update(weight.tobytes())
    return digest.digest()
