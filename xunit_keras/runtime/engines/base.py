"""What an engine is: one file here each, found by what it declares."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, Literal, TypeVar

import numpy as np

T = TypeVar("T")

Runner = Callable[[np.ndarray], np.ndarray]
"""`(batch, height, width, channels)` float32 to the restored float32 array.

The result is not clipped and is the caller's own. Several threads may call it at once.
In a forked process it works, or raises a `ForkedError`.
"""


@dataclass(frozen=True)
class Form:
    """What an engine runs fastest; see `xunit_keras.graphs.folding.deploy`.

    Attributes:
        depthwise: How large depthwise kernels are evaluated, see
            `LargeKernelDepthwiseConv2D`; `"auto"` is for the backend of Keras.
        affine: How a scale and a shift by channel before a ReLU are computed: by
            adding shift over scale, the scale going into the next kernel, or by a
            1x1 depthwise convolution, which some engines fuse with the ReLU.
        quantizes: The inputs of convolutions become 8-bit integers of one scale for
            all channels, so the normalizations that make the channels alike stay.
        integers: Everything becomes an 8-bit integer: a normalization is one operation,
            the channels before a unit get one range, the Gaussian gate is a product and
            its argument clipped, and blocks are layers.
    """

    depthwise: Literal["auto", "native", "shifts", "blocks"] = "native"
    affine: Literal["add", "depthwise"] = "add"
    quantizes: bool = False
    integers: bool = False


@dataclass(frozen=True)
class Engine:
    """An engine that runs networks.

    Attributes:
        name: What it is called in Python and on the command line.
        package: What it imports when it opens a model.
        extra: The extra of this package that brings it; empty where it always comes
            along.
        suffix: Of the files that it opens; empty for a SavedModel folder.
        format: The format of `xunit_keras.export` that writes them.
        open: Makes a `Runner` of a file, or for `"keras"` of a model as well, with so
            many threads; None leaves them to the engine. What else an engine can be
            told has a name.
        form: What it runs fastest.
        metadata: What a file tells of its network, by name.
    """

    name: str
    package: str
    extra: str
    suffix: str
    format: str
    open: Callable[..., Runner]
    form: Form = field(default_factory=Form)
    metadata: Callable[[Path], Mapping[str, str]] = lambda path: {}


class ForkedError(RuntimeError):
    """The engine's threads are those of the process that this one was forked from."""


class SettingError(ValueError):
    """An engine cannot be opened as it was asked to be; the message says why."""


class Pool(Generic[T]):
    """Things of which each serves one thread at a time; made as they are needed."""

    def __init__(self, make: Callable[[], T]):
        self._make = make
        self._idle: list[T] = []

    @contextlib.contextmanager
    def borrowed(self) -> Iterator[T]:
        """One of them; it comes back unless the block raises."""
        thing = None
        with contextlib.suppress(IndexError):  # Another thread may have been faster.
            thing = self._idle.pop()
        thing = self._make() if thing is None else thing
        yield thing
        self._idle.append(thing)


PREPARED_SHAPES = 2
"""Shapes for which an engine stays prepared: those of a window and of it turned.

What is prepared holds the memory of a run.
"""


def check_threads(threads: int | None) -> int | None:
    """A number of threads as engines take it.

    Raises:
        ValueError: It is neither None nor an integer of at least 1.
    """
    if threads is None:
        return None
    valid = isinstance(threads, int | np.integer) and not isinstance(threads, bool)
    if not (valid and threads >= 1):
        raise ValueError(f"`threads` must be at least 1. Received: threads={threads!r}")
    return int(threads)
