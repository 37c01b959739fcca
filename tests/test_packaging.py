"""The wheel holds the library and the zoo, and works where nothing else is."""

import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


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
    assert (folder / "demo" / "xsrcnn-f-x3.png").stat().st_size > 100_000


def test_the_wheel_holds_the_library_and_the_zoo(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names}
    assert tops == {"xunit_keras", next(n for n in tops if n.endswith(".dist-info"))}
    assert "xunit_keras/py.typed" in names
    for folder in (ROOT / "saved_models").glob("*/card.json"):
        inside = f"xunit_keras/saved_models/{folder.parent.name}/"
        for file in ("card.json", "config.json", "model.weights.h5"):
            assert inside + file in names


def test_demo_from_the_wheel(wheel, tmp_path):
    """The wheel's own files, with the dependencies of this environment."""
    target = tmp_path / "site"
    pip = [sys.executable, "-m", "pip", "install", "--no-deps", "--target", target]
    subprocess.run([*pip, wheel], check=True, capture_output=True)
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
