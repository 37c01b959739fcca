"""A forked process runs an engine, or is told that it cannot; it never waits."""

import os

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")

# Runs in a process of its own. `before` is what the parent does, `child` what the child
# does; the child's last words are printed, and a child that hangs is ended.
SCRIPT = """
import os, sys, time
import numpy as np, xunit_keras
from xunit_keras.runtime import engines
x = np.random.default_rng(0).random((1, 200, 200, 1), dtype=np.float32)
{before}
pid = os.fork()
if pid == 0:
    try:
        {child}
    except Exception as error:
        print(type(error).__name__, error, flush=True)
    os._exit(0)
for _ in range(600):
    if os.waitpid(pid, os.WNOHANG)[0]:
        break
    time.sleep(0.1)
else:
    os.kill(pid, 9)
    print("hangs")
"""
FILE = """
path = sys.argv[1]
run = engines.open_file(path)
expected = run(x)
"""
OPEN_MODEL = "from xunit_keras.exporting import open_model\n"
REFUSED = (
    "ForkedError Keras cannot run in a process that was forked after a model was "
    'loaded or run: start processes with multiprocessing.get_context("spawn").'
)
EQUAL = "print('equal:', np.array_equal({run}(x), expected), flush=True)"


def last_line(run_python, before, child, *arguments, **environment):
    script = SCRIPT.format(before=before, child=child)
    output = run_python("-c", script, *arguments, **environment)
    return output.strip().splitlines()[-1]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    import xunit_keras
    from xunit_keras.exporting import write

    model = xunit_keras.xdncnn(depth=3, filters=8)
    folder = tmp_path_factory.mktemp("files")
    for name, format in (
        ("m.onnx", "onnx"),
        ("m.xml", "openvino"),
        ("m.tflite", "litert"),
        ("m", "saved_model"),
    ):
        write(model, folder / name, format)
    model.save(folder / "m.keras")
    return folder


@pytest.mark.parametrize("name", ["m.onnx", "m.xml", "m.tflite"])
@pytest.mark.parametrize("opener", ["run", "engines.open_file(path)"])
def test_engines_of_files_run_in_a_forked_process(name, opener, files, run_python):
    child = EQUAL.format(run=opener)
    assert last_line(run_python, FILE, child, files / name) == "equal: True"


def test_a_saved_model_is_refused(files, run_python):
    child = EQUAL.format(run="run")
    assert last_line(run_python, FILE, child, files / "m") == REFUSED


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["tensorflow", "jax"])
@pytest.mark.parametrize(
    ("before", "child"),
    [
        ("run = open_model(model)\nrun(x)", "run(x)"),
        ("open_model(model)(x)", "open_model(model)"),
        ("", "open_model(model)"),
        ("", "engines.open_file(sys.argv[1][:-6])"),
    ],
)
def test_keras_is_refused(backend, before, child, files, run_python):
    pytest.importorskip(backend)
    before = f"{OPEN_MODEL}model = xunit_keras.load(sys.argv[1])\n{before}"
    line = last_line(
        run_python, before, child, files / "m.keras", KERAS_BACKEND=backend
    )
    assert line == REFUSED


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["tensorflow", "jax"])
def test_keras_runs_if_the_first_model_is_the_childs(backend, files, run_python):
    pytest.importorskip(backend)
    child = "print(open_model(xunit_keras.load(sys.argv[1]))(x).shape, flush=True)"
    line = last_line(
        run_python,
        OPEN_MODEL,
        child,
        files / "m.keras",
        KERAS_BACKEND=backend,
    )
    assert line == "(1, 200, 200, 1)"
