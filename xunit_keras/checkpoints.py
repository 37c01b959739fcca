"""The checkpoints that the paper's authors published for PyTorch, as Keras models.

Neither PyTorch nor `pickle` is involved. No library reads tensors out of both of
PyTorch's formats without running the pickle inside: safetensors has a format of
its own, fickling and picklescan analyse, ptloader knows the newer format only.
Restricting the globals of `pickle.Unpickler` is not enough: nine bytes make it
allocate gigabytes (a memo index), a hundred make it hash for years (a nested tuple
as a key), and BUILD sets attributes on whatever it is given. So the thirty-odd
instructions that a state dict needs are interpreted here, and what they build is
plain tuples, lists, dictionaries, strings and numbers.
"""

import io
import math
import pickletools
import re
import struct
import zipfile
from collections.abc import Callable
from functools import partial, reduce
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np

from xunit_keras.models import xdncnn, xsrcnn_c, xsrcnn_f

# The largest published checkpoint has 1.2 MB, and its pickle 13 KB.
LARGEST_FILE = 64 * 2**20
LARGEST_PICKLE = 128 * 2**10
MOST_ZIP_MEMBERS = 10_000

_MAGIC = 0x1950A86A20F9469CFC6C
_PROTOCOL = 1001
_FUNCTIONS = (
    "collections OrderedDict",
    "torch._utils _rebuild_tensor",
    "torch._utils _rebuild_tensor_v2",
    "torch._utils _rebuild_parameter",
)
_DTYPES = {
    f"{module} {name}": dtype
    for module in ("torch", "torch.cuda")
    for name, dtype in (
        ("DoubleStorage", "<f8"),
        ("FloatStorage", "<f4"),
        ("HalfStorage", "<f2"),
        ("LongStorage", "<i8"),
    )
}


class CheckpointError(ValueError):
    """A file cannot be read, or is not a checkpoint of one of the networks."""


def load_checkpoint(path: str | Path, scale: int | None = None) -> keras.Model:
    """Reads a PyTorch checkpoint of the paper's authors, as a Keras model.

    The network is recognised by the names and the shapes of its tensors: `xdncnn`
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

    Reference:
        https://github.com/kligvasser/xUnit, where the checkpoints are.
    """
    try:
        tensors = _read_tensors(Path(path))
        network = _recognise({name: array.shape for name, array in tensors.items()})
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
    elif network.build.func in (xsrcnn_f, xsrcnn_c):
        model = network.build(scale=scale)
    else:
        raise ValueError(
            f"`scale` is for super resolution, and {str(path)!r} holds "
            f"{network.build.func.__name__}. Received: scale={scale!r}"
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
    destination.parent.mkdir(parents=True, exist_ok=True)
    partial_file = destination.with_name("partial." + destination.name)
    try:
        model.save(partial_file)
        partial_file.replace(destination)
    finally:
        partial_file.unlink(missing_ok=True)
    return model


# ----------------------------------------------------- from PyTorch names to Keras


class _Row(NamedTuple):
    """The tensors `source.*` of the file are the weights of a Keras layer."""

    source: str
    layer: str  # a dot leads to a layer inside the layer
    shapes: dict[str, tuple[int, ...]]


class _Network(NamedTuple):
    build: Callable[[], keras.Model]
    rows: list[_Row]

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


def _recognise(shapes: dict[str, tuple[int, ...]]) -> _Network:
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
            partial(xdncnn, depth, r, filters, channels),
            _rows(xdncnn_convs, channels, r, norms=True),
        ),
        _Network(
            partial(xsrcnn_f, kernel_size=r),
            _rows([(64, 9), (32, 3), (1, 5)], 1, r, norms=False),
        ),
        _Network(
            partial(xsrcnn_c, kernel_size=r),
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
            f"{network.build.func.__name__}, the nearest network: {some}."
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


# ------------------------------------------------------------- PyTorch's two formats


class _Storage(NamedTuple):
    key: str
    dtype: str
    size: int  # in numbers

    @property
    def nbytes(self) -> int:
        return self.size * np.dtype(self.dtype).itemsize


class _Tensor(NamedTuple):
    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]


def _read_tensors(path: Path) -> dict[str, np.ndarray]:
    """The tensors of a checkpoint by name, as views of what was read."""
    if not path.is_file():
        raise CheckpointError("there is no such file.")
    if path.stat().st_size > LARGEST_FILE:
        raise CheckpointError(
            f"it has {path.stat().st_size:,} bytes; checkpoints of these networks "
            f"have at most {LARGEST_FILE:,}."
        )
    data = path.read_bytes()
    if data.startswith(b"PK\x03\x04"):
        contents, arrays = _read_zip(data)
    elif data.startswith(b"\x80\x02"):
        contents, arrays = _read_legacy(data)
    else:
        raise CheckpointError(
            f"it begins with {data[:8]!r}; what PyTorch writes begins with "
            "b'PK\\x03\\x04' or b'\\x80\\x02'."
        )

    if type(contents) is dict and type(contents.get("state_dict")) is dict:
        contents = contents["state_dict"]
    if type(contents) is not dict:
        raise CheckpointError(f"it holds {_describe(contents)} and not a state dict.")
    # DataParallel prefixes all names; batch counters are of no use here.
    parallel = all(str(name).startswith("module.") for name in contents)
    tensors = {
        str(name)[len("module.") if parallel else 0 :]: tensor
        for name, tensor in contents.items()
        if not str(name).endswith(".num_batches_tracked")
    }
    for name, tensor in tensors.items():
        if not isinstance(tensor, _Tensor):
            raise CheckpointError(
                f"its entry {name[:80]!r} is {_describe(tensor)} and not a tensor."
            )
    views = {n: _view(arrays[t.storage.key], t) for n, t in tensors.items()}
    # Tensors may share a storage, but then the model could outgrow the file.
    _require_fit(sum(view.nbytes for view in views.values()), data)
    return views


def _view(numbers: np.ndarray, tensor: _Tensor) -> np.ndarray:
    """The tensor in its storage, whose bounds `_require_inside` has checked."""
    return np.lib.stride_tricks.as_strided(
        numbers[tensor.offset :],
        tensor.shape,
        [step * numbers.itemsize for step in tensor.stride],
    )


def _read_zip(data: bytes) -> tuple[Any, dict[str, np.ndarray]]:
    """PyTorch 1.6 and later: a zip of `data.pkl` and one file for each storage."""
    if data.count(b"PK\x01\x02") > MOST_ZIP_MEMBERS:
        raise CheckpointError(f"it is a zip of more than {MOST_ZIP_MEMBERS:,} members.")
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        pickles = [n for n in archive.namelist() if n.endswith("/data.pkl")]
        if len(pickles) != 1:
            raise CheckpointError(f"it is a zip with {len(pickles)} members data.pkl.")
        root = pickles[0].removesuffix("data.pkl")

        def read(name: str, largest: int) -> bytes:
            member = archive.getinfo(root + name)
            # PyTorch does not compress, and what is stored cannot be a zip bomb.
            if member.compress_type != zipfile.ZIP_STORED or member.file_size > largest:
                raise CheckpointError(
                    f"its member {member.filename[:80]!r} has {member.file_size:,} "
                    f"bytes, {member.compress_size:,} in the file; PyTorch stores "
                    f"at most {largest:,} there, uncompressed."
                )
            return archive.read(member)

        if root + "byteorder" in archive.namelist():
            _require_little_endian(read("byteorder", 6) == b"little")
        contents, storages = _interpret(io.BytesIO(read("data.pkl", LARGEST_PICKLE)))
        _require_fit(sum(storage.nbytes for storage in storages.values()), data)
        return contents, {
            key: np.frombuffer(read(f"data/{key}", s.nbytes), s.dtype, s.size)
            for key, s in storages.items()
        }


def _read_legacy(data: bytes) -> tuple[Any, dict[str, np.ndarray]]:
    """Before PyTorch 1.6: pickles one after the other, then the storages."""
    stream = io.BytesIO(data)
    if _interpret(stream)[0] != _MAGIC or _interpret(stream)[0] != _PROTOCOL:
        raise CheckpointError("it is a pickle that PyTorch did not write.")
    system, _ = _interpret(stream)
    _require_little_endian(type(system) is dict and system.get("little_endian") is True)
    contents, storages = _interpret(stream)
    _require_fit(sum(storage.nbytes for storage in storages.values()), data)
    keys, _ = _interpret(stream)
    if type(keys) is not list or not all(type(key) is str for key in keys):
        raise CheckpointError("it does not list its storages.")
    arrays = {}
    for key in keys:
        storage = storages[key]
        (size,) = struct.unpack("<q", stream.read(8))
        if size != storage.size:
            raise CheckpointError(
                f"its storage {key[:80]!r} has {size:,} numbers and was declared "
                f"with {storage.size:,}."
            )
        arrays[key] = np.frombuffer(
            stream.read(storage.nbytes), storage.dtype, storage.size
        )
    return contents, arrays


def _require_fit(size: int, data: bytes) -> None:
    if size > len(data):
        raise CheckpointError(
            f"it declares {size:,} bytes of tensors and has {len(data):,} bytes in all."
        )


def _require_little_endian(is_little: bool) -> None:
    if not is_little:
        raise CheckpointError(
            "it holds big-endian numbers; save it again on a little-endian machine."
        )


# ------------------------------------------------------------------------ the pickle


def _interpret(stream: io.BytesIO) -> tuple[Any, dict[str, _Storage]]:
    """Reads one pickle off a stream: what it describes, and the storages it names.

    Only the instructions of a state dict in PyTorch's default protocol are known.
    Values are never compared, hashed or printed unless they are strings or
    numbers: a tuple of itself, nested a hundred times, would take forever.
    """
    start = stream.tell()
    window = io.BytesIO(stream.read(LARGEST_PICKLE))
    stack: list[Any] = []
    marks: list[int] = []
    memo: dict[int, Any] = {}
    storages: dict[str, _Storage] = {}

    def since_mark() -> list[Any]:
        mark = marks.pop()
        items = stack[mark:]
        del stack[mark:]
        return items

    def top(kind: type) -> Any:
        if type(stack[-1]) is not kind:
            raise CheckpointError(
                f"it fills {_describe(stack[-1])} where a {kind.__name__} belongs."
            )
        return stack[-1]

    for opcode, value, _ in pickletools.genops(window):
        match opcode.name:
            case "PROTO" | "STOP":
                pass
            case "BINUNICODE" | "BININT" | "BININT1" | "BININT2" | "LONG1" | "BINFLOAT":
                stack.append(value)
            case "NONE":
                stack.append(None)
            case "NEWTRUE" | "NEWFALSE":
                stack.append(opcode.name == "NEWTRUE")
            case "MARK":
                marks.append(len(stack))
            case "EMPTY_TUPLE":
                stack.append(())
            case "TUPLE":
                stack.append(tuple(since_mark()))
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                size = int(opcode.name[-1])
                stack[-size:] = [tuple(stack[-size:])]
            case "EMPTY_LIST":
                stack.append([])
            case "APPEND":
                item = stack.pop()
                top(list).append(item)
            case "APPENDS":
                items = since_mark()
                top(list).extend(items)
            case "EMPTY_DICT":
                stack.append({})
            case "SETITEM" | "SETITEMS":
                if opcode.name == "SETITEM":
                    marks.append(len(stack) - 2)
                items = since_mark()
                for key, item in zip(items[::2], items[1::2], strict=True):
                    if type(key) not in (str, int):
                        raise CheckpointError(f"it has {_describe(key)} as a key.")
                    top(dict)[key] = item
            case "BINPUT" | "LONG_BINPUT":
                memo[value] = stack[-1]
            case "BINGET" | "LONG_BINGET":
                stack.append(memo[value])
            case "GLOBAL" if value in _FUNCTIONS or value in _DTYPES:
                stack.append(value)
            case "GLOBAL":
                raise CheckpointError(
                    f"it refers to {'.'.join(value.split(' '))[:80]!r}, which is no "
                    "part of a state dict of float tensors; nothing was executed."
                )
            case "REDUCE":
                arguments = stack.pop()
                stack.append(_call(stack.pop(), arguments))
            case "BUILD":  # the state dict's _metadata: versions of modules
                stack.pop()
                top(dict)
            case "BINPERSID":
                storage = _storage(stack.pop())
                if storages.setdefault(storage.key, storage) != storage:
                    raise CheckpointError(
                        f"it declares the storage {storage.key[:80]!r} twice, "
                        "differently."
                    )
                stack.append(storage)
            case _:
                raise CheckpointError(
                    f"it holds the pickle instruction {opcode.name}, which is no part "
                    "of a state dict in PyTorch's default protocol; nothing was "
                    "executed."
                )
    stream.seek(start + window.tell())
    return stack.pop(), storages


def _call(function: Any, arguments: Any) -> Any:
    match function, arguments:
        case "collections OrderedDict", ():
            return {}
        case (
            "torch._utils _rebuild_tensor" | "torch._utils _rebuild_tensor_v2",
            (_Storage() as storage, offset, tuple() as shape, tuple() as stride, *_),
        ):
            tensor = _Tensor(storage, offset, shape, stride)
            _require_inside(tensor)
            return tensor
        case "torch._utils _rebuild_parameter", (_Tensor() as tensor, *_):
            return tensor
    raise CheckpointError(
        f"it calls {_describe(function)} with {_describe(arguments)}, as no state "
        "dict does; nothing was executed."
    )


def _storage(identity: Any) -> _Storage:
    match identity:
        case ("storage", str(kind), str(key), _, int(size), *view) if (
            kind in _DTYPES and size > 0 and view in ([], [None])
        ):
            return _Storage(key, _DTYPES[kind], size)
    raise CheckpointError(
        f"it refers to {_describe(identity)} outside the pickle, where a storage of "
        "float or integer numbers belongs."
    )


def _require_inside(tensor: _Tensor) -> None:
    """Refuses tensors that reach outside their storage or are larger than it."""
    storage, offset, shape, stride = tensor
    numbers = (offset, *shape, *stride)
    if len(shape) == len(stride) <= 4 and all(
        type(n) is int and n >= 0 for n in numbers
    ):
        last = offset + sum((n - 1) * s for n, s in zip(shape, stride, strict=True))
        if 0 < math.prod(shape) <= storage.size and last < storage.size:
            return
    raise CheckpointError(
        f"one of its tensors does not lie inside its storage {storage.key[:80]!r} of "
        f"{storage.size:,} numbers."
    )


def _describe(value: Any) -> str:
    """A value for a message: a string cut short, of anything else the type."""
    if isinstance(value, str):
        return repr(value[:80])
    return f"a value of type {type(value).__name__}"
