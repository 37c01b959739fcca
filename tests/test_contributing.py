"""The recipes of CONTRIBUTING.md are true: followed in a copy, they work."""

import functools
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
GUIDE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```(python|diff)\n(?:# |--- )(\S+)\n(.*?)^```$", re.M | re.S)

# The files that each recipe touches.
RECIPES = {
    "A network": ["xunit_keras/models/shallow.py"],
    "A task": ["xunit_keras/tasks/invert.py", "xunit_keras/tasks/__init__.py"],
    "A data set": ["pipelines/data/datasets.py"],
    "An engine and a format": [
        "xunit_keras/runtime/engines/ort.py",
        "xunit_keras/exporting/formats/ort.py",
    ],
}

# What the guide says that one can do then.
USED = """
import sys
import numpy as np
from pathlib import Path
import xunit_keras
from pipelines import evaluate, train
from pipelines.configuration import Config, resolve
from xunit_keras import demo, models, tasks
from xunit_keras.runtime import engines

out = Path(sys.argv[1])
image = str(out / "data" / "Urban100")
small = dict(batch_size=2, patch_size=16, steps=2, data=("sample",), validation=image)

denoise = Config("denoise", model="shallow", out=out / "shallow", **small)
train.train(resolve(denoise))
shallow = xunit_keras.load(out / "shallow" / "model")
assert xunit_keras.card(out / "shallow" / "model").network == "shallow"
assert xunit_keras.models.shallow(filters=3).count_params() < shallow.count_params()
assert models.find("shallow").twin == "convnet"

small.update(filters=4, depth=3, kernel_size=3)
train.train(resolve(Config("invert", out=out / "invert", **small)))
model = str(out / "invert" / "model")
scored = evaluate.run(evaluate.Config(model, ("urban100",), data_root=out / "data"))
assert scored[0].images == ["negative.png"], scored[0]
task = tasks.from_card(xunit_keras.card(model))
assert (task.name, task.scored().test_sets) == ("invert", ("set12",))
compared = next(demo.compare(model))
np.testing.assert_allclose(compared.degraded, 1 - compared.original, atol=1e-6)

image = np.random.default_rng(0).random((20, 23), dtype=np.float32)
restored = xunit_keras.restore(image, shallow)
file = out / "small.ort"
assert xunit_keras.export(shallow, file, "ort").difference < 1e-3
assert [engine.name for engine in engines.for_file(file)] == ["ort"]
np.testing.assert_allclose(
    xunit_keras.restore(image, shallow, engine="ort"), restored, atol=1e-3
)
np.testing.assert_allclose(
    xunit_keras.restore(image, str(file), tile=0), restored, atol=1e-3
)
"""


def recipe(title: str) -> list[tuple[str, str, str]]:
    """The blocks of a recipe: kind, file and content."""
    (section,) = re.findall(rf"^## {title}\n(.*?)(?=^## |\Z)", GUIDE, re.M | re.S)
    return BLOCK.findall(section)


def change(text: str, diff: str) -> str:
    """Applies the hunks of a diff without line numbers."""
    for hunk in diff.split("@@\n"):
        lines = hunk.splitlines(keepends=True)
        before = "".join(line[1:] for line in lines if line[0] in " -")
        after = "".join(line[1:] for line in lines if line[0] in " +")
        assert text.count(before) == 1, f"CONTRIBUTING.md: there is no\n{before}"
        text = text.replace(before, after)
    return text


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """A copy of the package in which all recipes were followed."""
    folder = tmp_path_factory.mktemp("copy")
    for name in ("xunit_keras", "pipelines"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, folder / name, ignore=ignored)
    for title in RECIPES:
        for kind, file, content in recipe(title):
            path = folder / file
            if kind == "diff":
                content = change(path.read_text(encoding="utf-8"), content)
            else:
                assert not path.exists(), f"{file} is there without the recipe."
            path.write_text(content, encoding="utf-8")
    return folder


@pytest.fixture
def in_copy(copy, run_python):
    """Runs Python in the copy."""
    return functools.partial(run_python, folder=copy)


def test_recipes_touch_what_they_promise():
    for title, files in RECIPES.items():
        assert [file for _, file, _ in recipe(title)] == files


def test_recipes_are_in_style(copy):
    written = [copy / file for files in RECIPES.values() for file in files]
    for command in (["check"], ["format", "--check"]):
        ruff = [sys.executable, "-m", "ruff", *command]
        subprocess.run(
            [*ruff, "--config", ROOT / "pyproject.toml", *written], check=True
        )


def test_the_command_line_knows_what_was_added(in_copy):
    code = """
import sys
from xunit_keras import cli, tasks
from xunit_keras.exporting import formats
from xunit_keras.runtime import engines
assert "ort" in engines.ENGINES and "ort" in formats.names()
assert tasks.create("invert", channels=3).purpose == "invert"
assert not {"keras", "tensorflow", "onnxruntime"} & set(sys.modules)
"""
    in_copy("-c", code)
    assert "ort" in in_copy("-m", "xunit_keras", "export", "--help")


def test_recipes_work(in_copy, tmp_path):
    data = tmp_path / "data" / "Urban100"
    data.mkdir(parents=True)
    pixels = np.random.default_rng(0).integers(0, 256, (24, 30), dtype=np.uint8)
    Image.fromarray(pixels).save(data / "negative.png")
    in_copy("-c", USED, tmp_path)
