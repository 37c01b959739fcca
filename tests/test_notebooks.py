"""The notebooks run from the first cell to the last, in a short form."""

import re
from pathlib import Path

import jupytext
import pytest

FOLDER = Path(__file__).resolve().parents[1] / "notebooks"
SHORT = {
    "xunit_in_your_own_network": {"EPOCHS": 1, "PATCHES": 160, "SIDE": 24},
    "train_a_denoiser_in_ten_minutes": {"STEPS": 40, "EVERY": 10, "SIDE": 32},
    "from_a_photograph_to_a_phone": {"ROUNDS": 1, "SIDE": 48},
}
PORTABLE = ("xunit_in_your_own_network", "train_a_denoiser_in_ten_minutes")


def shortened(name, folder):
    """The script, with other values behind its cell of parameters."""
    notebook = jupytext.read(FOLDER / f"{name}.py")
    (cell,) = [c for c in notebook.cells if "parameters" in c.metadata.get("tags", ())]
    for parameter, value in SHORT[name].items():
        line = re.compile(rf"^(.*\b)?{parameter}\b.* = ", re.M)
        assert line.search(cell.source), parameter
        cell.source += f"\n{parameter} = {value!r}"
    path = folder / f"{name}.py"
    jupytext.write(notebook, path, fmt="py:percent")
    return path


def test_every_notebook_has_a_short_form_and_becomes_a_notebook(tmp_path):
    assert {path.stem for path in FOLDER.glob("*.py")} == set(SHORT)
    for name in SHORT:
        jupytext.write(jupytext.read(FOLDER / f"{name}.py"), tmp_path / "n.ipynb")
        kinds = [c.cell_type for c in jupytext.read(tmp_path / "n.ipynb").cells]
        assert kinds[0] == "markdown" and kinds.count("code") >= 5


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["tensorflow", "jax"])
@pytest.mark.parametrize("name", PORTABLE)
def test_on_each_backend(name, backend, tmp_path, run_python):
    printed = run_python(shortened(name, tmp_path), KERAS_BACKEND=backend)
    scores = re.findall(r"(noisy|restored|ReLU|XUnit): (\d+\.\d+) dB", printed)
    names, decibels = zip(*scores, strict=True)
    assert names in (("noisy", "restored"), ("noisy", "ReLU", "XUnit")), printed
    # In so few steps the statistics of normalizations do not fit yet.
    assert len(names) == 3 or float(decibels[1]) > float(decibels[0]) + 1


@pytest.mark.slow
def test_the_way_to_a_phone(tmp_path, run_python):
    printed = run_python(shortened("from_a_photograph_to_a_phone", tmp_path))
    before, after = map(float, re.findall(r"(?:bicubic|f-x3): (\d+\.\d+) dB", printed))
    found = re.findall(r"(float32|float16|int8): .* ms, (\d+\.\d+) dB", printed)
    for _, decibels in found:
        assert before + 0.3 < float(decibels) == pytest.approx(after, abs=0.5)
    assert len(found) == 3
