"""Networks that start from the weights of others."""

from pathlib import Path

import keras
import numpy as np

from xunit_keras import zoo


def start_from(model: keras.Model, source: str) -> None:
    """Gives a network the weights that another one has learned.

    Two things may differ where the source says what network it is (a released model,
    the `model/` of a run): kernels of another side are cut or padded with zeros around
    their center, and a last convolution with other outputs, as networks with a pixel
    shuffle have for another factor, starts anew. What does is printed.

    Args:
        model: A network.
        source: See `xunit_keras.zoo.load_weights`.

    Raises:
        ValueError: There is no such source, it is damaged, or it does not fit.
    """
    if Path(source).name.endswith(".weights.h5"):
        zoo.load_weights(model, source)
        return
    learned = {weights.path: weights for weights in zoo.load(source).weights}
    kernels = [weights for weights in model.weights if len(weights.shape) == 4]
    last = _layer(kernels[-1])
    fitted, values = [], []
    for weights in model.weights:
        theirs = learned.get(weights.path)
        if theirs is None:
            raise _unfit(model, source, f"it has no {weights.path}")
        value = keras.ops.convert_to_numpy(theirs)
        if theirs.shape != weights.shape:
            if len(weights.shape) == 4 and weights.shape[2:] == theirs.shape[2:]:
                value = _centered(value, weights.shape)
            elif _layer(weights) == last and weights.shape[:-1] == theirs.shape[:-1]:
                value = None
            else:
                raise _unfit(
                    model,
                    source,
                    f"{weights.path} has shape {tuple(theirs.shape)} there and "
                    f"{tuple(weights.shape)} here",
                )
            fitted.append(weights.path)
        values.append(value)
    for weights, value in zip(model.weights, values, strict=True):
        if value is not None:
            weights.assign(value)
    if fitted:
        print(f"Of other shapes in {source}, cut, padded or new: {', '.join(fitted)}.")


def _layer(weights: keras.Variable) -> str:
    return weights.path.rpartition("/")[0]


def _centered(kernel: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """A kernel with another side: of what is outside, zeros."""
    sides = zip(kernel.shape[:2], shape[:2], strict=True)
    margins = [(wanted - given) // 2 for given, wanted in sides]
    padded = np.pad(kernel, [(max(m, 0),) * 2 for m in margins] + [(0, 0)] * 2)
    rows, columns = (
        slice(max(-m, 0), size - max(-m, 0))
        for m, size in zip(margins, padded.shape[:2], strict=True)
    )
    return padded[rows, columns]


def _unfit(model: keras.Model, source: str, reason: str) -> ValueError:
    return ValueError(
        f"The weights of {source!r} do not fit the model {model.name!r}: {reason}."
    )
