"""Tensors out of files that `torch.save` wrote, without executing what is in them.

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
import struct
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

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


def read_tensors(path: Path) -> dict[str, np.ndarray]:
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
    memo: dict[Any, Any] = {}
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

    value: Any
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
