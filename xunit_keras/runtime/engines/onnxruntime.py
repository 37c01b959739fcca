"""ONNX Runtime: what released models run on, without Keras."""

import functools
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from xunit_keras.packages import require
from xunit_keras.runtime.engines.base import Engine, Form, Runner, SettingError

DEVICES = {
    "cuda": "CUDAExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
    "directml": "DmlExecutionProvider",
    "cpu": "CPUExecutionProvider",
}
"""What ONNX Runtime calls the devices; `"auto"` is the first of them that is there."""

PRECISIONS = ("float32", "float16")

_MEMORY = 2**30
"""Bytes that the activations of an automatic window fit into."""

# CUDA would round to 10 bits where the processor has tensor cores.
_SETTINGS = {"cuda": {"use_tf32": "0"}}


def open_on(
    path: Path,
    threads: int | None = None,
    device: str = "cpu",
    precision: str = "float32",
) -> Runner:
    """Opens an exported file on a device.

    Args:
        path: A `.onnx` file.
        threads: Of one run on the processor; None leaves it to ONNX Runtime.
        device: One of `DEVICES`, or `"auto"`.
        precision: One of `PRECISIONS`; `"float16"` on devices that compute in it,
            which the processor does not.

    Raises:
        SettingError: The device is not there or does not start, or does not have the
            precision.
        ImportError: float16 needs the package `onnx`, which is missing.
    """
    import onnxruntime

    device = check_device(device, precision)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or 0
    _share_memory()
    options.add_session_config_entry("session.use_env_allocators", "1")
    # A plan takes memory of its own for each size of image.
    options.enable_mem_pattern = False
    # What the gate closes comes near 0, where processors are slow.
    options.add_session_config_entry("session.set_denormal_as_zero", "1")
    providers = [(DEVICES[device], _SETTINGS.get(device, {}))]
    if device != "cpu":
        providers.append((DEVICES["cpu"], {}))  # For what the device does not have.
    source = str(path) if precision == "float32" else in_float16(path)
    # In a thread of its own: the one that makes such a session takes denormal numbers
    # for zero ever after, and this one may be the user's.
    with ThreadPoolExecutor(1) as thread:
        session = thread.submit(
            onnxruntime.InferenceSession, source, options, providers=providers
        ).result()
    if DEVICES[device] not in session.get_providers():
        raise SettingError(
            f"ONNX Runtime has {device!r} and cannot start it: its driver or libraries "
            "are missing. Use another device, or 'cpu'."
        )
    name = session.get_inputs()[0].name
    # A session may be run by several threads at once.
    return lambda batch: session.run(None, {name: batch})[0]


@functools.cache
def _share_memory() -> None:
    """Gives the sessions of this process one large piece of memory to work in.

    By itself, each grows in steps that fit the images so far: windows of a photograph
    took half as much again. What is not touched takes no memory.
    """
    import onnxruntime

    onnxruntime.create_and_register_allocator(
        onnxruntime.OrtMemoryInfo(
            "Cpu",
            onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR,
            0,
            onnxruntime.OrtMemType.DEFAULT,
        ),
        onnxruntime.OrtArenaCfg({"initial_chunk_size_bytes": _MEMORY}),
    )


def metadata(path: Path) -> dict[str, str]:
    """What an exported file tells of its network; see `xunit_keras.export`."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=[DEVICES["cpu"]])
    return session.get_modelmeta().custom_metadata_map


def check_device(device: str, precision: str = "float32") -> str:
    """The device that is meant, which is there and has the precision.

    Raises:
        SettingError: As for `open_on`.
    """
    import onnxruntime

    if device not in (*DEVICES, "auto"):
        raise SettingError(
            f"`device` must be one of auto, {', '.join(DEVICES)}. "
            f"Received: device={device!r}"
        )
    if precision not in PRECISIONS:
        raise SettingError(
            f"`precision` must be one of {', '.join(PRECISIONS)}. "
            f"Received: precision={precision!r}"
        )
    available = onnxruntime.get_available_providers()
    there = [name for name, provider in DEVICES.items() if provider in available]
    if device == "auto":
        device = there[0]
    elif device not in there:
        raise SettingError(
            f"ONNX Runtime has no {device!r} here: it has {', '.join(there)}, and "
            "another build of it may have more. "
            f"Received: device={device!r}"
        )
    if precision == "float16" and device == "cpu":
        raise SettingError(
            "The processor does not compute in float16: use float32 on it, or another "
            "device. Received: precision='float16' with device='cpu'"
        )
    return device


def in_float16(path: Path) -> bytes:
    """An exported file with weights and arithmetic in float16, images in float32."""
    onnx = require("onnx", "export")
    from onnxruntime.transformers.float16 import convert_float_to_float16

    model = convert_float_to_float16(onnx.load(path), keep_io_types=True)
    return model.SerializeToString()


ENGINES = (
    Engine(
        name="onnxruntime",
        package="onnxruntime",
        extra="",
        suffix=".onnx",
        format="onnx",
        open=open_on,
        form=Form(affine="depthwise"),
        metadata=metadata,
    ),
)
