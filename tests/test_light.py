"""Which rooms stand on which, and what works without Keras."""

import ast
import importlib
from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np
import pytest

import xunit_keras
from xunit_keras.losses import CenterMeanSquaredError

PACKAGE = Path(xunit_keras.__file__).parent
HEAVY = ("jax", "keras", "tensorflow", "torch")

# The rooms of the package from the ground up. Whatever a file imports, at once or when
# it is used, lies in its own room or in a lower story.
STORIES = (
    {"atomic", "discovery", "interrupts", "packages", "quiet", "shards"},
    {"clusters", "reports"},
    {"hub"},
    {"imaging"},
    {"runtime", "tasks"},
    {"exporting.formats", "model_card"},
    {"layers", "losses", "metrics", "optimizers"},
    {"graphs"},
    {"zoo"},
    {"models"},
    {"checkpoints", "exporting"},
    {"choosing", "presets", "restoration", "sizes"},
    {"restorer"},
    {"animations", "video"},
    {"benchmark", "demo", "photographs", "web"},
    {"bulk"},
    {"cli"},
    {"__main__", "__init__"},
)
# The rooms that need Keras import it at once; the others when they come to a model.
KERAS = {
    *("layers", "losses", "metrics", "optimizers", "graphs", "zoo", "models"),
    *("checkpoints", "exporting", "benchmark"),
}
# activation_maps takes the name of a released model as well.
UPWARD = {("graphs/inspection.py", "zoo")}


def room(module: str) -> str:
    """The room of a module, by its name below the package."""
    rooms = [room for rooms in STORIES for room in rooms]
    found = [r for r in rooms if module == r or module.startswith(f"{r}.")]
    assert found, f"{module} lies in no room: STORIES is to say where it belongs."
    return max(found, key=len)


def story(room: str) -> int:
    return next(i for i, rooms in enumerate(STORIES) if room in rooms)


def imports(tree: ast.AST, late: bool = False) -> Iterator[tuple[str, bool]]:
    """What a file imports, and whether only when a function is called.

    What is for type checkers alone is left out.
    """
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield from ((name.name, late) for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "Imports are absolute."
            for name in node.names:
                inside = f"{node.module}.{name.name}".replace(".", "/")
                is_module = any(
                    (PACKAGE.parent / inside).with_suffix(suffix).exists()
                    for suffix in (".py", "")
                )
                yield (f"{node.module}.{name.name}" if is_module else node.module), late
        elif isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            yield from imports(ast.Module(node.orelse, []), late)
        else:
            function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            yield from imports(node, late or function)


def files() -> list[tuple[str, str, list[tuple[str, bool]]]]:
    """Path, room and imports of each file."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        inside = path.relative_to(PACKAGE)
        module = ".".join(inside.with_suffix("").parts).removesuffix(".__init__")
        names = list(imports(ast.parse(path.read_text(encoding="utf-8"))))
        found.append((inside.as_posix(), room(module), names))
    assert len(found) > 50
    return found


def test_arrows_go_down():
    upward = set()
    for path, here, names in files():
        for name, _ in names:
            top, _, module = name.partition(".")
            if top != "xunit_keras":
                continue
            there = room(module or "__init__")
            if there != here and story(there) >= story(here):
                upward.add((path, there))
    assert upward == UPWARD


def test_the_rooms_without_keras_import_it_late():
    for path, here, names in files():
        if here not in KERAS:
            at_once = {name.split(".")[0] for name, late in names if not late}
            assert not at_once & {*HEAVY, "onnxruntime", "openvino"}, path
            below = [
                room(name.removeprefix("xunit_keras."))
                for name, late in names
                if name.startswith("xunit_keras.") and not late
            ]
            assert not KERAS & set(below), path


def test_the_light_side_leaves_keras_out(run_python):
    """In a process of its own, where nothing else has imported it."""
    code = f"""
import importlib, sys
for name in {light_modules()}:
    importlib.import_module(name)
    heavy = [package for package in {HEAVY} if package in sys.modules]
    assert not heavy, (name, heavy)
import xunit_keras
assert {{"XUnit", "load", "restore", "xdncnn"}} <= set(dir(xunit_keras))
assert "keras" not in sys.modules
"""
    run_python("-c", code)


def light_modules() -> list[str]:
    """The rooms without Keras, and all files of those at the bottom."""
    return [
        ".".join(("xunit_keras", *Path(path).with_suffix("").parts)).removesuffix(
            ".__init__"
        )
        for path, here, _ in files()
        if here not in KERAS and path != "__main__.py"
    ]


@pytest.mark.parametrize("arguments", [["--help"], ["list"], ["card", "xderain"]])
def test_commands_that_only_tell_leave_keras_out(run_python, arguments):
    code = f"""
import runpy, sys
sys.argv[1:] = {arguments}
try:
    runpy.run_module("xunit_keras", run_name="__main__", alter_sys=True)
except SystemExit as end:
    assert not end.code, end.code
heavy = [package for package in {HEAVY} if package in sys.modules]
assert not heavy, heavy
"""
    assert "xderain" in run_python("-c", code) or arguments == ["--help"]


def test_python_m_is_the_command_line(run_python):
    printed = run_python("-m", "xunit_keras", "list")
    for name in xunit_keras.list_models():
        assert name in printed
    assert "restore" in run_python("-m", "xunit_keras", "--help")


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A compiled model of all that is registered with Keras, and what it gives."""
    image = keras.Input((None, None, 1))
    x = keras.layers.Conv2D(2, 3, padding="same")(image)
    x = xunit_keras.XUnit(5)(x)
    x = xunit_keras.FusedBatchNormalization()(x)
    model = keras.Model(image, xunit_keras.BicubicUpsampling(2)(x))
    model.compile(
        xunit_keras.ConvolutionMuon(learning_rate=0.01), CenterMeanSquaredError(1)
    )
    path = tmp_path_factory.mktemp("saved") / "model.keras"
    model.save(path)
    return path, float(np.sum(model.predict(np.ones((1, 8, 8, 1)), verbose=0)))


@pytest.mark.parametrize("order", ["xunit_keras, keras", "keras, xunit_keras"])
def test_saved_models_load_with_the_import_alone(run_python, saved, order):
    path, total = saved
    code = f"""
import {order}
import numpy as np
model = keras.models.load_model({str(path)!r})
print(type(model.optimizer).__name__, type(model.loss).__name__)
print(np.sum(model.predict(np.ones((1, 8, 8, 1)), verbose=0)))
"""
    classes, printed = run_python("-c", code).strip().splitlines()
    assert classes == "ConvolutionMuon CenterMeanSquaredError"
    assert float(printed) == pytest.approx(total, rel=1e-4)


def test_import_of_all_names(run_python):
    """In any process, that of the command line too."""
    code = """
import sys
sys.argv[0] = "xunit-keras"
from xunit_keras import *
XUnit, xdncnn, restore, load, layers, imaging
"""
    run_python("-c", code)


def test_every_public_name_is_there():
    """What type checkers see is what there is."""
    stub = ast.parse((PACKAGE / "__init__.pyi").read_text())
    declared = {
        (name.asname or name.name): node.module
        for node in ast.walk(stub)
        if isinstance(node, ast.ImportFrom)
        for name in node.names
    }
    assert sorted(declared) == sorted(xunit_keras.__all__)
    assert set(xunit_keras.__all__) <= set(dir(xunit_keras))
    for name, module in declared.items():
        if module is None:  # A room.
            found = importlib.import_module(f"xunit_keras.{name}")
        else:
            found = getattr(importlib.import_module(f"xunit_keras.{module}"), name)
        assert getattr(xunit_keras, name) is found, name
