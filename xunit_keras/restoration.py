"""Restoring images with a network of any kind: released, exported, or of Keras.

What needs Keras is imported where a Keras model turns up: a released model runs
without.
"""

import functools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from xunit_keras.runtime import engines, models, restoring
from xunit_keras.runtime.engines.base import Runner, check_threads
from xunit_keras.runtime.network import Network
from xunit_keras.runtime.tiles import ReceptiveField, check_tile

if TYPE_CHECKING:
    import keras

_KERAS = "keras"
_DEFAULT = ("cpu", "float32")  # Device and precision.
_SIDE = 64  # of the image that tells what an exported network is


def restore(
    image: np.ndarray,
    model: "keras.Model | str | Path | Network",
    tile: int | Literal["auto"] = "auto",
    self_ensemble: bool = False,
    progress: Callable[[int, int], None] | None = None,
    engine: str | None = None,
    threads: int | None = None,
    strength: float = 1.0,
    tile_overlap: int | None = None,
    device: str = "cpu",
    precision: str = "float32",
) -> np.ndarray:
    """Restores an image with a model: denoises, derains or enlarges it.

    The model sees one window of the image after the other. Windows overlap by the
    model's receptive field, so that the result is that of the whole image at once,
    to float rounding; memory is bounded by the window. All windows of an image have
    the same shape.

    Where the channels of image and model differ:

    - a gray model that keeps the size restores R, G and B one by one;
    - a gray model that enlarges restores the luminance (BT.601 Y), and Cb and Cr
      are enlarged bicubically;
    - an RGB model gets a gray image three times and gives the mean of R, G and B.

    Several threads may restore at once, with one model too.

    Args:
        image: `(height, width)` or `(height, width, 1 or 3)`, uint8, uint16, or
            float in [0, 1] (noise may go beyond, as far as 8).
        model: A released model's name, a model folder, a `.keras` file, an exported
            file, a Keras model from one image to one image with values in [0, 1], or
            what `open_network` gives. To restore many images with a Keras model or a
            file, open it once.
        tile: The most pixels along a side of the image that a window contributes to
            the result; `"auto"` chooses by the model's receptive field; 0 takes the
            whole image at once.
        self_ensemble: Give the mean of the results for the eight flips and
            rotations of the image: slightly better, eight times as long.
        progress: Called with `(done, total)`, in windows, before the first and after
            each of them.
        engine: What runs the model, see `open_network`.
        threads: Number of threads of the engine; None leaves it to the engine.
        strength: How much of the change is applied: 1 for all of it, 0 for the image
            as it came (bicubically enlarged, if the model enlarges).
        tile_overlap: Input pixels to each side that an output pixel depends on, for
            models whose layers do not tell.
        device: What released models and ONNX files run on, see `open_network`.
        precision: What they compute in, see there.

    Returns:
        The restored image, with as many channels and axes as `image`: uint8 or uint16
        as given, or else float32 clipped to [0, 1].

    Raises:
        ValueError: The image or another argument is not as above, there is no such
            model, or it does not work on images, on tiles or on the engine.
        ImportError: The package of the engine is missing.

    Example:
        >>> photograph = np.full((30, 40, 3), 200, np.uint8)
        >>> xunit_keras.restore(photograph, "xsrcnn-f-x3").shape
        (90, 120, 3)
    """
    image = restoring.check_image(image)
    tile = check_tile(tile)
    if not isinstance(model, Network):
        model = open_network(
            model, engine, threads, tile_overlap, image, tile, device, precision
        )
    return restoring.restore(image, model, tile, self_ensemble, progress, strength)


def enlarge(image: np.ndarray, scale: int) -> np.ndarray:
    """Enlarges an image bicubically, as MATLAB does; see `restore` for the types."""
    return restoring.enlarge(image, scale)


def open_network(
    model: "keras.Model | str | Path",
    engine: str | None = None,
    threads: int | None = None,
    tile_overlap: int | None = None,
    image: np.ndarray | None = None,
    tile: int | Literal["auto"] = "auto",
    device: str = "cpu",
    precision: str = "float32",
) -> Network:
    """Makes a model ready to restore images.

    Args:
        model: See `restore`. Of a Keras model the weights of now are taken.
        engine: One of `xunit_keras.runtime.engines.ENGINES`. None is the engine that
            needs least: ONNX Runtime for a released model, that of an exported file,
            and `"keras"` for everything else, which runs on the backend of Keras.
        threads: Number of threads; None leaves it to the engine.
        tile_overlap: See `restore`.
        image: The first image that it is for: a model that does not take images of
            its size is refused.
        tile: With 0, the receptive field need not be known.
        device: What ONNX Runtime runs on, for released models and ONNX files: `"cpu"`,
            `"cuda"`, `"coreml"`, `"directml"`, or `"auto"` for the first that is there.
        precision: `"float32"`, or `"float16"` on a device that computes in it.

    Raises:
        ValueError: There is no such model, or it does not work on images, on tiles or
            on the engine.
        ImportError: The package of the engine is missing.
    """
    check_threads(threads)
    if engine is not None:
        engines.get(engine)
    if isinstance(model, str | Path):
        if engines.for_file(Path(model)):
            run = _open_file(Path(model), engine, threads, device, precision)
            return _network_of_file(run, Path(model), tile_overlap, tile)
        if engine in (None, models.READY_ENGINE) and models.has_ready_file(model):
            return _open_ready(str(model), threads, device, precision)
        from xunit_keras import zoo
        from xunit_keras.runtime.engines.keras import set_keras_threads

        if engine in (None, _KERAS) and threads is not None:
            set_keras_threads(threads)  # Before TensorFlow makes anything.
        model = zoo.load(model)
    _check_is_model(model)
    _check_default(device, precision, engine or _KERAS)
    from xunit_keras.exporting.serving import network_of

    return network_of(model, engine or _KERAS, threads, tile_overlap, image, tile)


def runs_on_onnxruntime(model: str | Path) -> bool:
    """Whether ONNX Runtime opens a model or a file, without Keras."""
    known = engines.for_file(Path(model))
    if known:
        return known[0].name == models.READY_ENGINE
    return models.has_ready_file(model)


@functools.lru_cache(maxsize=4)
def _open_ready(name: str, threads: int | None, device: str, precision: str) -> Network:
    return models.open_ready(name, threads, device, precision)


def _open_file(path, engine, threads, device, precision) -> Runner:
    known = engines.for_file(path)
    if engine is not None and engine not in [other.name for other in known]:
        raise ValueError(
            f"{str(path)!r} runs on {', '.join(other.name for other in known)}. "
            f"Received: engine={engine!r}"
        )
    settings = {}
    if known[0].name == models.READY_ENGINE:
        settings = {"device": device, "precision": precision}
    else:
        _check_default(device, precision, engine or known[0].name)
    return engines.open_file(path, engine, threads, **settings)


def _network_of_file(run, path, tile_overlap, tile) -> Network:
    """An exported file as a network.

    How far it looks may stand in it; its channels and scale are found by a trial.
    """
    channels, scale = _probe(run, path)
    told = engines.for_file(path)[0].metadata(path)
    if tile_overlap is None and "radius" in told:
        field = ReceptiveField(scale, int(told["radius"]), int(told.get("stride", 1)))
        return Network(path.stem, run, channels, field)
    if tile_overlap is None and tile != 0:
        raise ValueError(
            f"{str(path)!r} does not tell how far its network looks: give tile_overlap "
            "in pixels, or tile=0 for the whole image at once."
        )
    return Network(
        path.stem, run, channels, ReceptiveField(scale, int(tile_overlap or 0))
    )


def _probe(run, path) -> tuple[int, int]:
    """The channels and the scale of an exported network."""
    for channels in (1, 3):
        try:
            result = run(np.zeros((1, _SIDE, _SIDE, channels), np.float32))
        # Engines raise errors of their own for what does not fit.
        except Exception:
            continue
        if result.ndim == 4 and result.shape[3] == channels:
            return channels, result.shape[1] // _SIDE
    raise ValueError(
        f"{str(path)!r} holds no network from one image of any size, with 1 or 3 "
        "channels, to one."
    )


def _check_default(device: str, precision: str, engine: str) -> None:
    """Refuses a device for engines that are not asked for one."""
    if (device, precision) != _DEFAULT:
        raise ValueError(
            "`device` and `precision` are for what ONNX Runtime opens, released models "
            f"and .onnx files, and this runs on {engine!r}. "
            f"Received: device={device!r} and precision={precision!r}"
        )


def _check_is_model(model) -> None:
    loaded = sys.modules.get("keras")
    if loaded is None or not isinstance(model, loaded.Model):
        raise ValueError(
            "`model` must be a Keras model, the name of a released one, a folder or a "
            f"file. Received: {model!r} of type {type(model).__name__}"
        )
