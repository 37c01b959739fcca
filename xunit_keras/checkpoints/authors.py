"""The checkpoints that the paper's authors published for PyTorch, as Keras models."""

import re
from functools import reduce
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np

from xunit_keras.atomic import replacing
from xunit_keras.checkpoints.torch_file import CheckpointError, read_tensors
from xunit_keras.models.registry import find


def load_checkpoint(path: str | Path, scale: int | None = None) -> keras.Model:
    """Reads a PyTorch checkpoint of the paper's authors, as a Keras model.

    The network is recognized by the names and the shapes of its tensors: `xdncnn`
    of any depth, number of filters and of image channels, `xsrcnn_f` and
    `xsrcnn_c` (which take a Y image already enlarged by bicubic interpolation,
    unless `scale` makes that their first layer).
    Both of PyTorch's file formats are read, little-endian and up to 64 MiB, a state
    dict or a dictionary that holds one as `"state_dict"`. PyTorch is not needed,
    and nothing in the file is executed.

    Args:
        path: File written by `torch.save`.
        scale: 2, 3 or 4, for a network of super resolution: put the interpolation
            into the model, which then takes the small image. The file does not
            say by what factor it was trained; its name does.

    Returns:
        The model, not compiled.

    Raises:
        CheckpointError: The file is missing, damaged, holds something else than
            tensors, or belongs to another network.
        ValueError: `scale` is not as above.

    Example:
        >>> xunit_keras.load_checkpoint("missing.pkl")
        Traceback (most recent call last):
        xunit_keras.checkpoints.torch_file.CheckpointError: ...

    Reference:
        https://github.com/kligvasser/xUnit, where the checkpoints are.
    """
    try:
        tensors = read_tensors(Path(path))
        network = _recognize({name: array.shape for name, array in tensors.items()})
    except CheckpointError as error:
        raise CheckpointError(f"Cannot load {str(path)!r}: {error}") from None
    # Damage makes zipfile, pickletools and NumPy fail in a dozen ways.
    except Exception as error:
        raise CheckpointError(
            f"Cannot load {str(path)!r}: it is damaged or not a PyTorch checkpoint "
            f"({type(error).__name__}: {error!s:.200})."
        ) from error
    if scale is None:
        model = network.build()
    elif "scale" in find(network.name).arguments:
        model = network.build(scale=scale)
    else:
        raise ValueError(
            f"`scale` is for super resolution, and {str(path)!r} holds "
            f"{network.name}. Received: scale={scale!r}"
        )
    _set_weights(model, network.rows, tensors)
    return model


def convert(
    source: str | Path, destination: str | Path, scale: int | None = None
) -> keras.Model:
    """Converts a PyTorch checkpoint into a `.keras` file.

    Args:
        source: See `load_checkpoint`.
        destination: The file to write, `NAME.keras`; it appears complete or not at
            all, and its folder is made if need be.
        scale: See `load_checkpoint`.

    Returns:
        The model.

    Raises:
        ValueError: `destination` has another suffix, or `scale` does not fit.
        CheckpointError: See `load_checkpoint`.
    """
    destination = Path(destination)
    if destination.suffix != ".keras":
        raise ValueError(
            "`destination` must end in .keras. "
            f"Received: destination={str(destination)!r}"
        )
    model = load_checkpoint(source, scale)
    with replacing(destination) as partial:
        model.save(partial)
    return model


# ----------------------------------------------------- from PyTorch names to Keras


class _Row(NamedTuple):
    """The tensors `source.*` of the file are the weights of a Keras layer."""

    source: str
    layer: str  # a dot leads to a layer inside the layer
    shapes: dict[str, tuple[int, ...]]


class _Network(NamedTuple):
    name: str
    arguments: dict[str, int]
    rows: list[_Row]

    def build(self, **further) -> keras.Model:
        return find(self.name).build(**self.arguments, **further)

    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {
            f"{row.source}.{name}": shape
            for row in self.rows
            for name, shape in row.shapes.items()
        }


def _convolution(*shape: int) -> dict[str, tuple[int, ...]]:
    return {"weight": shape, "bias": shape[:1]}


def _norm(channels: int) -> dict[str, tuple[int, ...]]:
    names = ("weight", "bias", "running_mean", "running_var")
    return dict.fromkeys(names, (channels,))


def _rows(
    convs: list[tuple[int, int]], channels: int, r: int, norms: bool
) -> list[_Row]:
    """The whole mapping of one network.

    Args:
        convs: Filters and kernel size of each convolution.
        channels: Channels of the image.
        r: Kernel size of the activations.
        norms: Whether batch normalization follows each activation but the last.
    """
    rows = []
    for i, (n, k) in enumerate(convs[:-1], start=1):
        cell = f"md{i}.0"
        if norms and i > 1:
            rows.append(_Row(cell, f"norm_{i}", _norm(channels)))
            cell = f"md{i}.1"
        rows += [
            _Row(f"{cell}.features.0", f"conv_{i}", _convolution(n, channels, k, k)),
            _Row(f"{cell}.module.0", f"xunit_{i}.input_norm", _norm(n)),
            _Row(f"{cell}.module.2", f"xunit_{i}.depthwise", _convolution(n, 1, r, r)),
            _Row(f"{cell}.module.3", f"xunit_{i}.gate_norm", _norm(n)),
        ]
        channels = n
    n, k = convs[-1]
    rows.append(_Row("joints", f"conv_{len(convs)}", _convolution(n, channels, k, k)))
    return rows


def _recognize(shapes: dict[str, tuple[int, ...]]) -> _Network:
    """The network whose tensors have exactly these names and shapes.

    All shapes are checked here, so that no more is allocated for the model than
    the file holds.
    """
    first = shapes.get("md1.0.features.0.weight", ())
    depthwise = shapes.get("md1.0.module.2.weight", ())
    if len(first) != 4 or len(depthwise) != 4:
        some = ", ".join(f"{n:.80} {s}" for n, s in list(shapes.items())[:4])
        raise CheckpointError(
            "it is not an xDnCNN, xSRCNNf or xSRCNNc, whose tensors begin with "
            f"md1.0.features.0.weight; it holds {some or 'nothing'}."
        )
    filters, channels = first[:2]
    r = depthwise[-1] | 1  # XUnit's kernels are odd: an even one differs below
    depth = 1 + len({name.split(".")[0] for name in shapes if re.match(r"md\d", name)})
    xdncnn_convs = [(filters, 3)] * (depth - 1) + [(channels, 3)]
    networks = [
        _Network(
            "xdncnn",
            {
                "depth": depth,
                "filters": filters,
                "kernel_size": r,
                "channels": channels,
            },
            _rows(xdncnn_convs, channels, r, norms=True),
        ),
        _Network(
            "xsrcnn_f",
            {"kernel_size": r},
            _rows([(64, 9), (32, 3), (1, 5)], 1, r, norms=False),
        ),
        _Network(
            "xsrcnn_c",
            {"kernel_size": r},
            _rows([(42, 9), (32, 5), (1, 5)], 1, r, norms=False),
        ),
    ]
    network = min(networks, key=lambda n: len(n.shapes().items() ^ shapes.items()))
    expected = network.shapes()
    wrong = sorted({name for name, _ in expected.items() ^ shapes.items()})
    if wrong:
        some = ", ".join(
            f"{name:.80} is {shapes.get(name, 'absent')} and should be "
            f"{expected.get(name, 'absent')}"
            for name in wrong[:4]
        )
        raise CheckpointError(
            f"{len(wrong)} of its tensors differ from those of "
            f"{network.name}, the nearest network: {some}."
        )
    return network


def _set_weights(
    model: keras.Model, rows: list[_Row], tensors: dict[str, np.ndarray]
) -> None:
    for source, path, shapes in rows:
        name, *inner = path.split(".")
        layer = reduce(getattr, inner, model.get_layer(name))
        weights = [tensors[f"{source}.{tensor}"] for tensor in shapes]
        if path.endswith(".depthwise"):
            # (C, 1, h, w) -> (h, w, C, 1); ours has no bias, see below.
            weights = [weights[0].transpose(2, 3, 0, 1)]
        elif path.startswith("conv"):
            # (out, in, h, w) -> (h, w, in, out)
            weights[0] = weights[0].transpose(2, 3, 1, 0)
        elif path.endswith(".gate_norm"):
            # BN(x + bias) is BN(x) whose mean is lower by the bias.
            weights[2] = weights[2] - tensors[source.removesuffix("3") + "2.bias"]
        layer.set_weights(weights)
