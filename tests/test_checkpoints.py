"""Reading PyTorch checkpoints: parity, formats, damage and malice.

The files are written here byte by byte, so the tests need neither PyTorch nor the
authors' checkpoints; where these are present, they are tested as well.
"""

import os
import pickle
import struct
import tracemalloc
import zipfile

import numpy as np
import pytest

import xunit_keras
from xunit_keras.checkpoints import CheckpointError, convert, load_checkpoint

PUBLISHED = (
    "xdncnn_res_f64k3k9_s25.pkl",
    "xdncnn_res_f64k3k9_s50.pkl",
    "xsrcnnf_s3_k9k3k5.pkl",
    "xsrcnnf_s4_k9k3k5.pkl",
    "xsrcnnc_s3_c42c32.pkl",
    "xsrcnnc_s4_c42c32.pkl",
)


# ------------------------------------------------------------ writing checkpoints


class Opcodes(bytes):
    """Written into a pickle as they are."""


class Storage:
    """A storage shared by tensors; `size` may lie."""

    def __init__(self, numbers, key, size=None, kind="FloatStorage"):
        self.numbers = np.ascontiguousarray(numbers)
        self.key = key
        self.size = self.numbers.size if size is None else size
        self.kind = kind


class Tensor:
    """A view of a storage, given in full; it may lie too."""

    def __init__(self, storage, offset, shape, stride):
        self.storage = storage
        self.arguments = (offset, shape, stride)


def refer(module, name):
    return Opcodes(f"c{module}\n{name}\n".encode())


def call(function, *arguments):
    return Opcodes(body(function) + body(arguments) + b"R")


def body(value, legacy=False):
    """The opcodes of a value in pickle protocol 2."""
    match value:
        case Opcodes():
            return bytes(value)
        case None | True | False:
            return {None: b"N", True: b"\x88", False: b"\x89"}[value]
        case str():
            text = value.encode()
            return b"X" + struct.pack("<I", len(text)) + text
        case int() if -(2**31) <= value < 2**31:
            return b"J" + struct.pack("<i", value)
        case int():
            number = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
            return b"\x8a" + bytes([len(number)]) + number
        case float():
            return b"G" + struct.pack(">d", value)
        case tuple():
            return b"(" + b"".join(body(v, legacy) for v in value) + b"t"
        case list():
            return b"](" + b"".join(body(v, legacy) for v in value) + b"e"
        case dict():
            items = b"".join(body(k) + body(v, legacy) for k, v in value.items())
            return body(refer("collections", "OrderedDict")) + b")R(" + items + b"u"
        case Storage():
            view = (None,) if legacy else ()
            kind = refer("torch", value.kind)
            return body(("storage", kind, value.key, "cpu", value.size, *view)) + b"Q"
        case Tensor():
            version = "_rebuild_tensor" if legacy else "_rebuild_tensor_v2"
            more = () if legacy else (False, {})
            storage = Opcodes(body(value.storage, legacy))
            return call(
                refer("torch._utils", version), storage, *value.arguments, *more
            )
    raise TypeError(value)


def pickled(value, legacy=False):
    return b"\x80\x02" + body(value, legacy) + b"."


def storages_in(value):
    if isinstance(value, dict):
        found = [s for v in value.values() for s in storages_in(v)]
    else:
        found = [value.storage] if isinstance(value, Tensor) else []
    return list({storage.key: storage for storage in found}.values())


def legacy_bytes(contents, little_endian=True):
    storages = storages_in(contents)
    head = [0x1950A86A20F9469CFC6C, 1001, {"little_endian": little_endian}]
    return (
        b"".join(pickled(value) for value in head)
        + pickled(contents, legacy=True)
        + pickled([storage.key for storage in storages])
        + b"".join(struct.pack("<q", s.size) + s.numbers.tobytes() for s in storages)
    )


def zip_file(path, contents, byteorder="little", compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("archive/data.pkl", pickled(contents))
        archive.writestr("archive/byteorder", byteorder)
        for storage in storages_in(contents):
            archive.writestr(f"archive/data/{storage.key}", storage.numbers.tobytes())


def tensors_of(arrays):
    return {
        name: Tensor(
            Storage(array, str(i)),
            0,
            array.shape,
            tuple(step // array.itemsize for step in array.strides),
        )
        for i, (name, array) in enumerate(arrays.items())
    }


def write_legacy(path, contents):
    path.write_bytes(legacy_bytes(contents))


WRITERS = {"legacy": write_legacy, "zip": zip_file}


def random_state(convs, channels=1, r=9, norms=False):
    """A state dict as the authors' networks have it, of random numbers.

    Args:
        convs: Filters and kernel size of each convolution.
        channels: Channels of the image.
        r: Kernel size of the activations.
        norms: Whether batch normalization follows the activations, as in xDnCNN.
    """
    rng = np.random.default_rng(0)
    state = {}

    def add(name, *shape):
        scale = 0.5 / np.sqrt(np.prod(shape[1:]))
        state[name] = rng.normal(scale=scale, size=shape).astype("float32")

    def add_norm(name, n):
        for tensor in ("weight", "bias", "running_mean"):
            add(f"{name}.{tensor}", n)
        state[f"{name}.running_var"] = rng.uniform(0.5, 2, n).astype("float32")

    for i, (n, k) in enumerate(convs[:-1], start=1):
        cell = f"md{i}.0"
        if norms and i > 1:
            add_norm(cell, channels)
            cell = f"md{i}.1"
        add(f"{cell}.features.0.weight", n, channels, k, k)
        add(f"{cell}.features.0.bias", n)
        add_norm(f"{cell}.module.0", n)
        add(f"{cell}.module.2.weight", n, 1, r, r)
        add(f"{cell}.module.2.bias", n)
        add_norm(f"{cell}.module.3", n)
        channels = n
    n, k = convs[-1]
    add("joints.weight", n, channels, k, k)
    add("joints.bias", n)
    return state


XDNCNN = {"convs": [(6, 3), (6, 3), (1, 3)], "r": 5, "norms": True}
COLOUR = {"convs": [(6, 3), (6, 3), (6, 3), (3, 3)], "channels": 3, "norms": True}
SHALLOW = {"convs": [(4, 3), (1, 3)], "r": 3, "norms": True}
XSRCNN_F = {"convs": [(64, 9), (32, 3), (1, 5)]}
XSRCNN_C = {"convs": [(42, 9), (32, 5), (1, 5)]}


@pytest.fixture
def small():
    return tensors_of(random_state(**SHALLOW))


# -------------------------------------------------- the networks, in NumPy and torch


def numpy_forward(state, image):
    """What the authors' networks compute, `(C, H, W)` to `(C, H, W)`, in float64."""
    state = {name: np.asarray(value, "float64") for name, value in state.items()}

    def windows(x, k):
        x = np.pad(x, ((0, 0), (k // 2, k // 2), (k // 2, k // 2)))
        return np.lib.stride_tricks.sliding_window_view(x, (k, k), axis=(1, 2))

    def conv(x, name):
        weight = state[name + ".weight"]
        x = np.einsum("ihwyx,oiyx->ohw", windows(x, weight.shape[-1]), weight)
        return x + state[name + ".bias"][:, None, None]

    def depthwise(x, name):
        weight = state[name + ".weight"][:, 0]
        x = np.einsum("chwyx,cyx->chw", windows(x, weight.shape[-1]), weight)
        return x + state[name + ".bias"][:, None, None]

    def norm(x, name):
        gamma, beta, mean, variance = (
            state[f"{name}.{tensor}"][:, None, None]
            for tensor in ("weight", "bias", "running_mean", "running_var")
        )
        return (x - mean) / np.sqrt(variance + 1e-5) * gamma + beta

    x, i, is_denoiser = image, 1, "md2.0.features.0.weight" not in state
    while f"md{i}.0.module.2.weight" in state or f"md{i}.1.module.2.weight" in state:
        cell = f"md{i}.0"
        if f"{cell}.weight" in state:
            x, cell = norm(x, cell), f"md{i}.1"
        x = conv(x, f"{cell}.features.0")
        d = np.maximum(norm(x, f"{cell}.module.0"), 0)
        d = norm(depthwise(d, f"{cell}.module.2"), f"{cell}.module.3")
        x = x * np.exp(-(d**2))
        i += 1
    x = conv(x, "joints")
    return image - x if is_denoiser else x


def torch_forward(torch, state, image):
    """The same in PyTorch, by its own convolutions and normalizations."""
    functional = torch.nn.functional

    def conv(x, name, groups=1):
        weight = state[f"{name}.weight"]
        return functional.conv2d(
            x,
            weight,
            state[f"{name}.bias"],
            padding=weight.shape[-1] // 2,
            groups=groups,
        )

    def norm(x, name):
        names = ("running_mean", "running_var", "weight", "bias")
        return functional.batch_norm(x, *(state[f"{name}.{n}"] for n in names))

    x = start = torch.from_numpy(image)[None]
    cells = sorted(n.removesuffix(".features.0.weight") for n in state if "res.0.w" in n)
    for cell in cells:
        if cell.endswith(".1"):
            x = norm(x, cell[:-1] + "0")
        x = conv(x, f"{cell}.features.0")
        d = norm(x, f"{cell}.module.0").relu()
        d = norm(conv(d, f"{cell}.module.2", groups=x.shape[1]), f"{cell}.module.3")
        x = x * torch.exp(-(d**2))
    x = conv(x, "joints")
    return (start - x if "md2.0.weight" in state else x)[0].numpy()


def run(model, image):
    """The Keras model on a `(C, H, W)` image, whatever the configured data format."""
    outputs = model(np.moveaxis(image, 0, -1)[None].astype("float32"))
    return np.moveaxis(np.asarray(outputs)[0], -1, 0)


def random_image(channels=1):
    return np.random.default_rng(1).random((channels, 24, 20))


# ----------------------------------------------------------------- right checkpoints


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
@pytest.mark.parametrize(
    ("name", "network"),
    [
        ("xdncnn", XDNCNN),
        ("xdncnn", COLOUR),
        ("xdncnn", SHALLOW),
        ("xsrcnn_f", XSRCNN_F),
        ("xsrcnn_c", XSRCNN_C),
    ],
    ids=["xdncnn", "colour", "shallow", "xsrcnn_f", "xsrcnn_c"],
)
def test_parity_with_numpy(tmp_path, write, name, network):
    state = random_state(**network)
    write(tmp_path / "file.pkl", tensors_of(state))
    model = load_checkpoint(tmp_path / "file.pkl")
    assert model.name == name
    if len(network["convs"]) == 2:
        state["md2.0.weight"] = None  # nothing tells NumPy that it is a denoiser
        del state["md2.0.weight"]
    image = random_image(network.get("channels", 1))
    np.testing.assert_allclose(
        run(model, image), numpy_forward(state, image), rtol=0, atol=1e-5
    )


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_checkpoints_match_numpy(real_data, name):
    path = real_data / "official_xunit" / name
    model = load_checkpoint(path)
    assert model.name == {"xd": "xdncnn", "nf": "xsrcnn_f", "nc": "xsrcnn_c"}[
        name[:2] if name.startswith("xd") else name[5:7]
    ]
    image = random_image()
    reference = numpy_forward(read_authors_file(path), image)
    assert np.abs(run(model, image) - reference).max() <= 1e-5


def read_authors_file(path):
    """The tensors of a published checkpoint, taken from where they must lie.

    A reader of its own: the names, shapes and storage keys come from the text of
    the pickle, and the storages follow in the order of the list of keys.
    """
    import pickletools

    with path.open("rb") as file:
        pickles = [[a for _, a, _ in pickletools.genops(file)] for _ in range(5)]
        text = [a for a in pickles[4] if isinstance(a, str)]
        raw = {}
        for key in text:
            (size,) = struct.unpack("<q", file.read(8))
            raw[key] = np.frombuffer(file.read(4 * size), "<f4")
        assert not file.read()
    names = [a for a in pickles[3] if isinstance(a, str) and "." in a and " " not in a]
    keys = [a for a in pickles[3] if isinstance(a, str) and a in raw]
    shapes = authors_shapes(names)
    return {
        name: raw[key].reshape(shapes(name, raw[key].size))
        for name, key in zip(names, keys, strict=True)
    }


def authors_shapes(names):
    channels = {}

    def shape(name, size):
        if not name.endswith(".weight") or not (
            "features" in name or "module.2" in name or name.startswith("joints")
        ):
            channels["last"] = size
            return (size,)
        return name, size

    return shape
