"""The wheel holds the library and the zoo, and works where nothing else is."""

import itertools
import os
import re
import shutil
import subprocess
import sys
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import xunit_keras

ROOT = Path(__file__).resolve().parents[1]
SHOWN = ("xnet-100k-sigma25", "xsrcnn-f-x3")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    pytest.importorskip("build")
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation"]
    subprocess.run([*command, "--outdir", folder, ROOT], check=True, timeout=300)
    (path,) = folder.glob("*.whl")
    return path


def run_demo(command, folder, environment):
    result = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    assert "dB" in result.stdout and "xsrcnn-f-x3" in result.stdout
    for name in SHOWN:
        assert (folder / "demo" / f"{name}.png").stat().st_size > 100_000


def test_the_wheel_holds_the_library_and_the_zoo(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names}
    assert tops == {"xunit_keras", next(n for n in tops if n.endswith(".dist-info"))}
    # Public names are resolved from the stub.
    assert {"xunit_keras/py.typed", "xunit_keras/__init__.pyi"} <= set(names)
    for card in (ROOT / "saved_models").glob("*/card.json"):
        inside = f"xunit_keras/saved_models/{card.parent.name}/"
        files = {inside + file.name for file in card.parent.iterdir()}
        assert {inside + "config.json", inside + "model.weights.h5"} <= files
        assert files <= set(names)


def test_versions_agree():
    """The package, its changelog and its citation are of one version."""
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(r"^## \[(.+)\]", changes, re.M)[1] == xunit_keras.__version__
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert re.search(r"^version: (.+)$", citation, re.M)[1] == xunit_keras.__version__


@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13"])
def test_locked_versions_are_those_that_the_package_asks_for(python):
    """`make lock` was run after the last change of the dependencies."""
    where = {"python_version": python, "python_full_version": f"{python}.0"}
    lock = (ROOT / "requirements" / "dev.txt").read_text(encoding="utf-8")
    locked = {}
    for line in lock.splitlines():
        if re.match(r"\w", line):
            pinned = Requirement(line)
            if pinned.marker is None or pinned.marker.evaluate(where):
                (version,) = pinned.specifier
                locked[canonicalize_name(pinned.name)] = version.version
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    extras = project["project"]["optional-dependencies"].values()
    asked = itertools.chain(project["project"]["dependencies"], *extras)
    for requirement in map(Requirement, asked):
        if requirement.name != "xunit-keras":
            version = locked[canonicalize_name(requirement.name)]
            assert requirement.specifier.contains(version), requirement


def test_demo_from_the_wheel(wheel, tmp_path):
    """The wheel's own files, with the dependencies of this environment."""
    target = tmp_path / "site"
    pip = [sys.executable, "-m", "pip", "install", "--no-deps", "--target", target]
    subprocess.run([*pip, wheel], check=True, capture_output=True)
    for folder in (target / "xunit_keras" / "saved_models").iterdir():
        if folder.name not in SHOWN:  # All of them take a minute.
            shutil.rmtree(folder)
    code = (
        "import sys, xunit_keras, xunit_keras.cli as cli;"
        f"assert xunit_keras.__file__.startswith({str(target)!r});"
        "sys.exit(cli.main(['demo']))"
    )
    environment = {**os.environ, "PYTHONPATH": str(target)}
    run_demo([sys.executable, "-c", code], tmp_path, environment)


@pytest.mark.slow
def test_demo_in_an_empty_environment(wheel, tmp_path):
    venv.create(tmp_path / "venv", with_pip=True)
    scripts = tmp_path / "venv" / ("Scripts" if os.name == "nt" else "bin")
    pip = [scripts / "python", "-m", "pip", "install", "--quiet", wheel]
    subprocess.run(pip, check=True)
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    run_demo([scripts / "xunit-keras", "demo"], tmp_path, environment)
