"""ONNX Runtime: what released models run on, without Keras."""

from pathlib import Path

from xunit_keras.runtime.engines.base import Engine, Form, Runner


def _open(path: Path, threads: int | None) -> Runner:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or 0
    # What the gate closes comes near 0, where processors are slow.
    options.add_session_config_entry("session.set_denormal_as_zero", "1")
    session = onnxruntime.InferenceSession(
        str(path), options, providers=["CPUExecutionProvider"]
    )
    name = session.get_inputs()[0].name
    # A session may be run by several threads at once.
    return lambda batch: session.run(None, {name: batch})[0]


ENGINES = (
    Engine(
        name="onnxruntime",
        package="onnxruntime",
        extra="",
        suffix=".onnx",
        format="onnx",
        open=_open,
        form=Form(affine="depthwise"),
    ),
)
