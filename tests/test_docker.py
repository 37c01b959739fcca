"""The image without Keras: what it installs, and its steps, run where no daemon is."""

import fnmatch
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from PIL import Image
from test_light import KERAS, files

import xunit_keras

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
LIGHT = (ROOT / "requirements" / "light.txt").read_text("utf-8")
HEAVY = {"keras", "tensorflow"}
# Needed by scikit-image, which does not say so.
NOT_IMPORTED = {"pywavelets"}


def requirements(lines):
    """Requirements by their names, without comments and references to this package."""
    texts = [line.partition(" #")[0] for line in lines if re.match(r"\w", line)]
    found = {canonicalize_name(Requirement(t).name): Requirement(t) for t in texts}
    return {name: one for name, one in found.items() if name != "xunit-keras"}


def test_the_light_requirements_are_those_of_the_package_without_keras():
    asked = requirements(PROJECT["dependencies"])
    assert set(asked) >= HEAVY
    light = requirements(LIGHT.splitlines())
    assert light == {n: one for n, one in asked.items() if n not in HEAVY}


def test_the_light_requirements_are_what_the_light_rooms_import():
    """At once no others; those of engines and hubs when they are used."""
    light = set(requirements(LIGHT.splitlines()))
    distributions = metadata.packages_distributions()
    at_once, imported = set(), set()
    for _, room, names in files():
        if room not in KERAS:
            for name, late in names:
                top = name.partition(".")[0]
                if top not in {"xunit_keras", *sys.stdlib_module_names}:
                    found = set(map(canonicalize_name, distributions.get(top, [top])))
                    imported |= found
                    at_once |= set() if late else found
    assert at_once <= light
    assert light - imported == NOT_IMPORTED


def stages():
    """The stages of the Dockerfile: their instructions, with what stands behind."""
    text = (ROOT / "Dockerfile").read_text("utf-8").replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and line[0] != "#"]
    found = []
    for name, _, rest in (line.partition(" ") for line in lines):
        if name == "FROM":
            found.append([])
        found[-1].append((name, rest))
    return found


def copied(folder):
    """The build context: what .dockerignore lets through."""
    ignored = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    assert [line for line in ignored if line[0] not in "#!"] == ["*", "**/__pycache__"]
    wanted = {line[1:] for line in ignored if line[0] == "!"}
    for path in ROOT.iterdir():
        if any(fnmatch.fnmatch(path.name, name) for name in wanted):
            if path.is_dir():
                leave = shutil.ignore_patterns("__pycache__")
                shutil.copytree(path, folder / path.name, ignore=leave)
            else:
                shutil.copyfile(path, folder / path.name)


@pytest.mark.slow
def test_the_steps_of_the_image(tmp_path):
    """With the Python of the tests for that of the image, below another root."""
    build, final = stages()
    context, photographs = tmp_path / "context", tmp_path / "photographs"
    context.mkdir()
    photographs.mkdir()
    copied(context)
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    tools = Path(sys.executable).parent
    environment["PATH"] = f"{tools}{os.pathsep}{environment['PATH']}"

    def below(text):
        return text.replace("/opt/", f"{tmp_path}/opt/")

    for name, rest in build:
        if name == "RUN":
            subprocess.run(
                below(rest), shell=True, cwd=context, env=environment, check=True
            )
    (kept,) = [shlex.split(rest) for name, rest in final if name == "COPY"]
    assert kept == ["--from=build", "/opt/xunit-keras", "/opt/xunit-keras"]
    (site,) = (tmp_path / "opt/xunit-keras").glob("lib/python*/site-packages")
    installed = {path.name for path in site.iterdir()}
    assert not {"keras", "tensorflow", "jax", "torch"} & installed

    settings = dict(final)
    command = json.loads(below(settings["ENTRYPOINT"]))
    assert command[0].startswith(str(tmp_path))
    pixels = np.random.default_rng(0).integers(0, 256, (20, 24, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(photographs / "small.png")
    shutil.rmtree(context)  # The image does not have it.
    restore = "restore -i small.png -o large.png -m xsrcnn-f-x3".split()
    for arguments in (json.loads(settings["CMD"]), restore, ["list"]):
        subprocess.run(
            [*command, *arguments], cwd=photographs, env=environment, check=True
        )
    large = np.asarray(Image.open(photographs / "large.png")).astype(int)
    expected = xunit_keras.restore(pixels, "xsrcnn-f-x3").astype(int)
    np.testing.assert_array_equal(large, expected)

    bytes_ = sum(p.stat().st_size for p in site.rglob("*") if p.is_file())
    print(f"site-packages: {bytes_ / 1e6:.0f} MB")
    stated = (ROOT / "docs" / "docker.md").read_text("utf-8")
    (megabytes,) = re.findall(r"\*\*(\d+) MB\*\*", stated)
    assert bytes_ / 1e6 == pytest.approx(int(megabytes), rel=0.15)
