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
from xunit_keras.checkpoints.authors import CheckpointError, convert, load_checkpoint
from xunit_keras.imaging.resize import imresize

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


def cells_of(state):
    """The names of the convolutions with their activations, in order."""
    end = ".features.0.weight"
    return sorted(name.removesuffix(end) for name in state if name.endswith(end))


def numpy_forward(state, image, denoiser):
    """What the authors' networks compute, `(C, H, W)` to `(C, H, W)`, in float64."""
    state = {name: np.asarray(value, "float64") for name, value in state.items()}

    def windows(x, k):
        x = np.pad(x, ((0, 0), (k // 2, k // 2), (k // 2, k // 2)))
        return np.lib.stride_tricks.sliding_window_view(x, (k, k), axis=(1, 2))

    def conv(x, name):
        weight = state[name + ".weight"]
        x = np.einsum(
            "ihwyx,oiyx->ohw", windows(x, weight.shape[-1]), weight, optimize=True
        )
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

    x = image
    for cell in cells_of(state):
        if cell.endswith(".1"):
            x = norm(x, cell[:-1] + "0")
        x = conv(x, f"{cell}.features.0")
        d = np.maximum(norm(x, f"{cell}.module.0"), 0)
        d = norm(depthwise(d, f"{cell}.module.2"), f"{cell}.module.3")
        x = x * np.exp(-(d**2))
    x = conv(x, "joints")
    return image - x if denoiser else x


def torch_forward(torch, state, image, denoiser):
    """The same in PyTorch, by its own convolutions and normalizations."""

    def conv(x, name, groups=1):
        weight, bias = state[f"{name}.weight"], state[f"{name}.bias"]
        padding = weight.shape[-1] // 2
        return torch.nn.functional.conv2d(
            x, weight, bias, padding=padding, groups=groups
        )

    def norm(x, name):
        names = ("running_mean", "running_var", "weight", "bias")
        values = (state[f"{name}.{tensor}"] for tensor in names)
        return torch.nn.functional.batch_norm(x, *values)

    x = image = torch.from_numpy(image.astype("float32"))[None]
    for cell in cells_of(state):
        if cell.endswith(".1"):
            x = norm(x, cell[:-1] + "0")
        x = conv(x, f"{cell}.features.0")
        d = norm(x, f"{cell}.module.0").relu()
        d = norm(conv(d, f"{cell}.module.2", groups=x.shape[1]), f"{cell}.module.3")
        x = x * torch.exp(-(d**2))
    x = conv(x, "joints")
    return (image - x if denoiser else x)[0].numpy()


def run(model, image):
    """The Keras model on a `(C, H, W)` image, whatever the configured data format."""
    outputs = model(np.moveaxis(image, 0, -1)[None].astype("float32"))
    return np.moveaxis(np.asarray(outputs)[0], -1, 0)


def random_image(channels=1):
    return np.random.default_rng(1).random((channels, 24, 20))


# ----------------------------------------------------------------- right checkpoints


NETWORKS = {
    "xdncnn": XDNCNN,
    "xdncnn-color": COLOUR,
    "xdncnn-shallow": SHALLOW,
    "xsrcnn_f": XSRCNN_F,
    "xsrcnn_c": XSRCNN_C,
}


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
@pytest.mark.parametrize("name", NETWORKS)
def test_parity_with_numpy(tmp_path, write, name):
    network = NETWORKS[name]
    state = random_state(**network)
    write(tmp_path / "file.pkl", tensors_of(state))
    model = load_checkpoint(tmp_path / "file.pkl")
    assert model.name == name.split("-")[0]
    image = random_image(network.get("channels", 1))
    reference = numpy_forward(state, image, denoiser="norms" in network)
    assert np.abs(run(model, image) - reference).max() <= 1e-5


class TrustingUnpickler(pickle.Unpickler):
    """Reads the older format by running the pickle: for the authors' files alone."""

    def persistent_load(self, identity):
        return identity[2]

    def find_class(self, module, name):
        return {
            "OrderedDict": dict,
            "FloatStorage": "FloatStorage",
            "_rebuild_tensor": lambda key, offset, shape, stride: (key, shape),
        }[name]


def read_trusting(path):
    with path.open("rb") as file:
        *_, contents, keys = (TrustingUnpickler(file).load() for _ in range(5))
        storages = {}
        for key in keys:
            (size,) = struct.unpack("<q", file.read(8))
            storages[key] = np.frombuffer(file.read(4 * size), "<f4")
        assert not file.read()
    return {n: storages[key].reshape(shape) for n, (key, shape) in contents.items()}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_checkpoints_match_numpy(real_data, name):
    path = real_data / "official_xunit" / name
    image = random_image()
    is_denoiser = name.startswith("xdncnn")
    reference = numpy_forward(read_trusting(path), image, is_denoiser)
    model = load_checkpoint(path)
    assert np.abs(run(model, image) - reference).max() <= 1e-5
    assert model.name.replace("_", "") == name.split("_")[0]


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_checkpoints_match_torch(real_data, name):
    torch = pytest.importorskip("torch")
    path = real_data / "official_xunit" / name
    image = random_image()
    state = torch.load(path, weights_only=True)
    reference = torch_forward(torch, state, image, name.startswith("xdncnn"))
    assert np.abs(run(load_checkpoint(path), image) - reference).max() <= 1e-5


@pytest.mark.parametrize("new_format", [True, False])
def test_files_that_torch_writes_today(tmp_path, new_format):
    torch = pytest.importorskip("torch")
    state = {n: torch.tensor(v) for n, v in random_state(**XDNCNN).items()}

    class Norm(torch.nn.BatchNorm2d):
        """Gives its metadata and its batch counter to the state dict."""

    holder = torch.nn.Module()
    holder.module = torch.nn.Module()
    holder.module.md2 = torch.nn.Sequential(Norm(6))
    contents = holder.state_dict()  # an OrderedDict with the attribute _metadata
    for name, value in state.items():
        contents[f"module.{name}"] = torch.nn.Parameter(value)
    assert contents["module.md2.0.num_batches_tracked"].dtype == torch.int64
    optimizer = {"state": {0: {"step": torch.zeros(1)}}, "param_groups": [{"lr": 0.1}]}
    torch.save(
        {"state_dict": contents, "optimizer": optimizer, "epoch": 3, "loss": 0.5},
        tmp_path / "file.pt",
        _use_new_zipfile_serialization=new_format,
    )
    model = load_checkpoint(tmp_path / "file.pt")
    image = random_image()
    reference = torch_forward(torch, state, image, denoiser=True)
    assert np.abs(run(model, image) - reference).max() <= 1e-5


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
def test_wrapped_prefixed_and_counted(tmp_path, write):
    state = random_state(**SHALLOW)
    names = {f"module.{name}": value for name, value in state.items()}
    names["module.md1.0.module.0.num_batches_tracked"] = np.array([7])
    contents = tensors_of(names)
    contents["module.md1.0.module.0.num_batches_tracked"].storage.kind = "LongStorage"
    write(tmp_path / "file.pt", {"epoch": 3, "state_dict": contents, "best": 31.5})
    model = load_checkpoint(tmp_path / "file.pt")
    kernel = model.get_layer("xunit_1").depthwise.kernel
    expected = state["md1.0.module.2.weight"].transpose(2, 3, 0, 1)
    np.testing.assert_array_equal(np.asarray(kernel), expected)


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
def test_offsets_and_strides(tmp_path, write):
    """Two tensors in one storage, one of them transposed."""
    state = random_state(**SHALLOW)
    contents = tensors_of(state)
    first, last = "md1.0.features.0.weight", "joints.weight"
    numbers = np.concatenate(
        [state[first].transpose(3, 2, 1, 0).ravel(), state[last].ravel()]
    )
    storage = Storage(numbers, "shared")
    contents[first] = Tensor(storage, 0, (4, 1, 3, 3), (1, 4, 4, 12))
    contents[last] = Tensor(storage, 36, (1, 4, 3, 3), (36, 9, 3, 1))
    write(tmp_path / "file.pt", contents)
    model = load_checkpoint(tmp_path / "file.pt")
    for name, layer in ((first, "conv_1"), (last, "conv_2")):
        kernel = np.asarray(model.get_layer(layer).kernel)
        np.testing.assert_array_equal(kernel, state[name].transpose(2, 3, 1, 0))


def test_double_and_half_precision(tmp_path):
    state = random_state(**SHALLOW)
    for dtype, kind in (("float64", "DoubleStorage"), ("float16", "HalfStorage")):
        contents = tensors_of({n: v.astype(dtype) for n, v in state.items()})
        for tensor in contents.values():
            tensor.storage.kind = kind
        zip_file(tmp_path / "file.pt", contents)
        bias = np.asarray(
            load_checkpoint(tmp_path / "file.pt").get_layer("conv_2").bias
        )
        np.testing.assert_allclose(bias, state["joints.bias"], rtol=1e-3)


def test_super_resolution_with_its_interpolation(tmp_path):
    zip_file(tmp_path / "file.pt", tensors_of(random_state(**XSRCNN_F)))
    image = random_image()
    enlarged = imresize(np.moveaxis(image, 0, -1), 3)
    expected = run(load_checkpoint(tmp_path / "file.pt"), np.moveaxis(enlarged, -1, 0))
    model = load_checkpoint(tmp_path / "file.pt", scale=3)
    np.testing.assert_allclose(run(model, image), expected, atol=1e-5)


def test_a_denoiser_has_no_scale(tmp_path, small):
    zip_file(tmp_path / "file.pt", small)
    with pytest.raises(ValueError, match=r"holds xdncnn\. Received: scale=3"):
        load_checkpoint(tmp_path / "file.pt", scale=3)


def test_convert(tmp_path, small):
    zip_file(tmp_path / "file.pt", small)
    destination = tmp_path / "new" / "model.keras"
    model = convert(tmp_path / "file.pt", destination)
    image = random_image()
    loaded = xunit_keras.load(destination)
    np.testing.assert_array_equal(run(loaded, image), run(model, image))
    assert [path.name for path in destination.parent.iterdir()] == ["model.keras"]


def test_convert_refuses_another_suffix(tmp_path, small):
    zip_file(tmp_path / "file.pt", small)
    with pytest.raises(ValueError, match=r"must end in \.keras. Received: .*model\.h5"):
        convert(tmp_path / "file.pt", tmp_path / "model.h5")
    assert [path.name for path in tmp_path.iterdir()] == ["file.pt"]


def test_convert_leaves_nothing_half_written(tmp_path, small, monkeypatch):
    zip_file(tmp_path / "file.pt", small)
    destination = tmp_path / "model.keras"
    destination.write_text("the model before")

    def fail(self, path):
        path.write_text("half")
        raise OSError("disk full")

    monkeypatch.setattr("keras.Model.save", fail)
    with pytest.raises(OSError, match="disk full"):
        convert(tmp_path / "file.pt", destination)
    assert destination.read_text() == "the model before"
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "file.pt",
        "model.keras",
    ]


# ----------------------------------------------------------------- wrong checkpoints


def refused(path, match):
    """Asserts a clear refusal that names the file and allocates little."""
    tracemalloc.start()
    try:
        with pytest.raises(CheckpointError, match=match) as caught:
            load_checkpoint(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    message = str(caught.value)
    assert str(path) in message
    assert len(message) < 1000
    assert peak < 40e6


class Evil:
    """Creates a file when unpickled."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.system, (f"touch {self.mark}",)


@pytest.mark.parametrize("protocol", range(6))
def test_a_plain_pickle_is_not_executed(tmp_path, protocol):
    mark, path = tmp_path / "executed", tmp_path / "file.pkl"
    evil = pickle.dumps({"md1": Evil(mark)}, protocol=protocol)
    path.write_bytes(evil)
    refused(path, r"refers to '\w+\.system'" if protocol == 2 else "it begins with b'")
    assert not mark.exists()
    pickle.loads(evil)
    assert mark.exists(), "the attack would not have worked at all"


def system_call(mark):
    return call(refer("os", "system"), (f"touch {mark}",))


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
def test_code_inside_a_state_dict_is_not_executed(tmp_path, write, small):
    mark, path = tmp_path / "executed", tmp_path / "file.pt"
    write(path, {**small, "joints.bias": system_call(mark)})
    refused(path, match=r"refers to 'os\.system'.*nothing was executed")
    assert not mark.exists()


@pytest.mark.parametrize(
    "name",
    [
        "builtins eval",
        "torch load",
        "torch.jit load",
        "torch._utils _rebuild_tensor_v3",
        "torch.storage _load_from_bytes",
        "torch BFloat16Storage",
        "collections OrderedDict.fromkeys",
        "numpy.core.multiarray _reconstruct",
        "__main__ " + "x" * 100_000,
    ],
)
def test_other_globals_are_named(tmp_path, name, small):
    zip_file(tmp_path / "file.pt", {**small, "x": refer(*name.split(" "))})
    refused(tmp_path / "file.pt", match=name[:60].replace(" ", r"\."))


FUNCTION = body(refer("torch._utils", "_rebuild_tensor_v2"))
STORAGE = body(("storage", refer("torch", "FloatStorage"), "0", "cpu", 4)) + b"Q"
ORDERED_DICT = body(refer("collections", "OrderedDict"))
NESTED = b"".join(b"q" + bytes([i]) + b"h" + bytes([i]) + b"\x86" for i in range(200))


@pytest.mark.parametrize(
    ("opcodes", "match"),
    {
        "instance": (b"(ios\nsystem\n", "instruction INST"),
        "new object": (ORDERED_DICT + b")\x81", "instruction NEWOBJ"),
        "extension": (b"\x82\x01", "instruction EXT1"),
        "bytes claim": (b"\x8e" + struct.pack("<Q", 2**62) + b"x", "damaged"),
        "text claim": (b"X" + struct.pack("<I", 2**32 - 1) + b"x", "damaged"),
        "number claim": (b"\x8b" + struct.pack("<i", 2**31 - 1), "damaged"),
        "bad text": (b"X\x01\x00\x00\x00\xff", "UnicodeDecodeError"),
        "many digits": (b"L" + b"9" * 100_000 + b"L\n", "damaged"),
        "memo index": (b"Nr\xff\xff\xff\xff}N.", "no state dict|not a state dict|key"),
        "empty memo": (b"h\x07", "KeyError"),
        "empty stack": (b"0" * 9, "instruction POP"),
        "no mark": (b"t", "IndexError"),
        "function state": (FUNCTION + b"N}X\x01\x00\x00\x00aNs\x86b", "fills 'torch"),
        "dict arguments": (ORDERED_DICT + body(([("a", 1)],)) + b"R", "it calls"),
        "call a text": (
            body("os.system") + body(("true",)) + b"R",
            "calls 'os.system'",
        ),
        "call a tuple": (b")N" + NESTED + b")R", "calls a value of type tuple"),
        "tensor of text": (FUNCTION + body(("a", 0, (), ())) + b"R", "it calls"),
        "list as key": (b"}](K\x01eNs", "value of type list as a key"),
        "nested key": (b"}N" + NESTED + b"Ns", "value of type tuple as a key"),
        "nested storage": (
            body(("storage",))[:-1] + b"N" + NESTED + b"tQ",
            "refers to",
        ),
        "text storage": (body("storage") + b"Q", "refers to 'storage'"),
        "module": (body(("module", "x", "y", "z")) + b"Q", "outside the pickle"),
        "list in list": (body({}) + b"Na", "fills a value of type dict"),
        "twice": (STORAGE + STORAGE.replace(b"\x04", b"\x03"), "twice"),
        "negative storage": (
            body(("storage", refer("torch", "FloatStorage"), "0", "cpu", -4)) + b"Q",
            "outside the pickle",
        ),
    }.values(),
)
def test_hostile_instructions(tmp_path, opcodes, match):
    path = tmp_path / "file.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a/data.pkl", b"\x80\x02" + opcodes + b".")
    refused(path, match)


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
@pytest.mark.parametrize(
    ("offset", "shape", "stride"),
    [
        (1, (4,), (1,)),
        (0, (4,), (2,)),
        (0, (4,), (2**62,)),
        (2**64, (4,), (1,)),
        (-1, (4,), (1,)),
        (3, (4,), (-1,)),
        (0, (5,), (0,)),
        (0, (10**6, 10**6), (0, 0)),
        (0, (0,), (1,)),
        (0, (4,), (1, 1)),
        (0, (4.0,), (1,)),
        (0, (1,) * 5, (1,) * 5),
        (None, (4,), (1,)),
    ],
)
def test_tensors_outside_their_storage(tmp_path, write, small, offset, shape, stride):
    storage = small["md1.0.features.0.bias"].storage
    small["md1.0.features.0.bias"] = Tensor(storage, offset, shape, stride)
    write(tmp_path / "file.pt", small)
    refused(tmp_path / "file.pt", match="does not lie inside its storage")


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
def test_two_gigabytes_are_only_claimed(tmp_path, write, small):
    small["joints.bias"].storage.size = 2**29
    write(tmp_path / "file.pt", small)
    refused(tmp_path / "file.pt", match=r"declares 2,147,48\d,\d+ bytes")


def test_two_gigabytes_are_only_claimed_at_the_storage(tmp_path, small):
    storage = small["joints.bias"].storage
    right = struct.pack("<q", 1) + storage.numbers.tobytes()
    wrong = struct.pack("<q", 2**29) + storage.numbers.tobytes()
    (tmp_path / "file.pt").write_bytes(legacy_bytes(small).replace(right, wrong))
    refused(
        tmp_path / "file.pt", match="has 536,870,912 numbers and was declared with 1"
    )


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
def test_a_model_cannot_outgrow_its_file(tmp_path, write):
    """Every tensor of a large network is the same storage."""
    state = random_state([(2, 3)] * 40 + [(1, 3)], r=1, norms=True)
    shapes = {n: tuple(64 if d == 2 else d for d in v.shape) for n, v in state.items()}
    storage = Storage(np.zeros(64 * 64 * 9, "float32"), "0")
    contents = {
        name: Tensor(storage, 0, shape, tuple(np.cumprod((1, *shape[:0:-1])))[::-1])
        for name, shape in shapes.items()
    }
    contents = {
        n: Tensor(t.storage, 0, t.arguments[1], tuple(map(int, t.arguments[2])))
        for n, t in contents.items()
    }
    write(tmp_path / "file.pt", contents)
    refused(tmp_path / "file.pt", match="bytes of tensors and has")


@pytest.mark.parametrize("bomb", ["archive/data.pkl", "archive/data/0"])
def test_zip_bombs(tmp_path, small, bomb):
    zip_file(tmp_path / "right.pt", small)
    with (
        zipfile.ZipFile(tmp_path / "right.pt") as right,
        zipfile.ZipFile(tmp_path / "file.pt", "w", zipfile.ZIP_DEFLATED) as archive,
    ):
        for name in right.namelist():
            if name == bomb:
                with archive.open(name, "w") as member:
                    for _ in range(60):
                        member.write(bytes(2**20))
            else:
                archive.writestr(name, right.read(name), zipfile.ZIP_STORED)
    assert (tmp_path / "file.pt").stat().st_size < 100_000
    refused(tmp_path / "file.pt", match=f"'{bomb}' has 62,914,560 bytes")


def test_zip_of_very_many_members(tmp_path, small):
    with zipfile.ZipFile(tmp_path / "file.pt", "w") as archive:
        for i in range(10_001):
            archive.writestr(f"{i}", b"")
    refused(tmp_path / "file.pt", match="more than 10,000 members")


def test_zip_without_a_pickle(tmp_path):
    with zipfile.ZipFile(tmp_path / "file.pt", "w") as archive:
        archive.writestr("word/document.xml", b"<xml/>")
    refused(tmp_path / "file.pt", match=r"zip with 0 members data\.pkl")


@pytest.mark.parametrize("opcode", [b"}", b"("])
def test_a_long_pickle_is_cut_off(tmp_path, opcode):
    (tmp_path / "file.pkl").write_bytes(b"\x80\x02" + opcode * 1_000_000 + b".")
    refused(tmp_path / "file.pkl", match="damaged or not a PyTorch checkpoint")


def test_deep_nesting(tmp_path):
    deep = b"\x80\x02" + b"N" + b"\x85" * 50_000 + b"."
    with zipfile.ZipFile(tmp_path / "file.pt", "w") as archive:
        archive.writestr("a/data.pkl", deep)
    refused(tmp_path / "file.pt", match="holds a value of type tuple")


def test_a_large_file_is_not_even_read(tmp_path):
    with (tmp_path / "file.pkl").open("wb") as file:
        file.truncate(2**31)
    refused(tmp_path / "file.pkl", match="has 2,147,483,648 bytes")


def test_big_endian(tmp_path, small):
    zip_file(tmp_path / "zip.pt", small, byteorder="big")
    refused(tmp_path / "zip.pt", match="big-endian")
    (tmp_path / "legacy.pt").write_bytes(legacy_bytes(small, little_endian=False))
    refused(tmp_path / "legacy.pt", match="big-endian")


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
def test_truncated(tmp_path, write, small):
    write(tmp_path / "whole.pt", small)
    whole = (tmp_path / "whole.pt").read_bytes()
    path = tmp_path / "file.pt"
    for length in [1, 2, 14, 15, 40, *range(100, len(whole), 97), len(whole) - 1]:
        path.write_bytes(whole[:length])
        refused(path, match="Cannot load")


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
def test_random_damage_is_refused_or_harmless(tmp_path, write, small):
    write(tmp_path / "whole.pt", small)
    whole = (tmp_path / "whole.pt").read_bytes()
    rng = np.random.default_rng(0)
    path = tmp_path / "file.pt"
    for _ in range(100):
        damaged = np.frombuffer(whole, "uint8").copy()
        spots = rng.integers(0, 2000, size=3)
        damaged[spots] = rng.integers(0, 256, size=3)
        path.write_bytes(damaged.tobytes())
        try:
            load_checkpoint(path)
        except CheckpointError as error:
            assert str(path) in str(error)


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"", "it begins with b''"),
        (b"This is a text file.\n", "it begins with b'This is '"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "it begins with b'.x89PNG"),
        (b"PK\x03\x04" + bytes(100), "damaged.*BadZipFile"),
        (pickled(7), "a pickle that PyTorch did not write"),
    ],
    ids=["empty", "text", "image", "zip", "pickle"],
)
def test_other_files(tmp_path, content, match):
    (tmp_path / "file.pkl").write_bytes(content)
    refused(tmp_path / "file.pkl", match)


def test_missing_file_and_folder(tmp_path):
    refused(tmp_path / "nothing.pkl", match="there is no such file")
    refused(tmp_path, match="there is no such file")


@pytest.mark.parametrize(
    ("contents", "match"),
    [
        (["md1"], "holds a value of type list and not a state dict"),
        ({}, "it holds nothing"),
        ({"epoch": 3, "model": {}}, "its entry 'epoch' is a value of type int"),
        ({"state_dict": 5}, "its entry 'state_dict' is a value of type int"),
    ],
)
def test_no_state_dict(tmp_path, contents, match):
    zip_file(tmp_path / "file.pt", contents)
    refused(tmp_path / "file.pt", match)


def change(state, **changes):
    """Other shapes under names with _ for dots; None takes a tensor out."""
    for name, shape in changes.items():
        name = name.replace("__", ".")
        if shape is None:
            del state[name]
        else:
            state[name] = np.zeros(shape, "float32")
    return state


@pytest.mark.parametrize(
    ("state", "match"),
    [
        (
            {"conv1.weight": np.zeros((8, 3, 7, 7), "float32")},
            r"not an xDnCNN.* it holds conv1\.weight \(8, 3, 7, 7\)",
        ),
        (
            change(random_state(**XDNCNN), md2__0__bias=None),
            r"1 of its tensors.* xdncnn, .*md2\.0\.bias is absent and should be \(6,\)",
        ),
        (
            change(random_state(**XDNCNN), extra__weight=(3,)),
            r"extra\.weight is \(3,\) and should be absent",
        ),
        (
            change(random_state(**XDNCNN), joints__weight=(1, 6, 5, 5)),
            r"joints\.weight is \(1, 6, 5, 5\) and should be \(1, 6, 3, 3\)",
        ),
        (
            random_state(**{**XSRCNN_F, "convs": [(64, 9), (32, 5), (1, 5)]}),
            r"xsrcnn_f, .*md2\.0\.features\.0\.weight is \(32, 64, 5, 5\)",
        ),
        (
            random_state(**{**SHALLOW, "r": 4}),
            r"module\.2\.weight is \(4, 1, 4, 4\) and should be \(4, 1, 5, 5\)",
        ),
    ],
    ids=["resnet", "missing", "extra", "shape", "other xSRCNN", "even kernel"],
)
def test_other_networks(tmp_path, state, match):
    zip_file(tmp_path / "file.pt", tensors_of(state))
    refused(tmp_path / "file.pt", match)
