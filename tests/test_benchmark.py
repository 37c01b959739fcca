"""The benchmark counts right and reports what it measured."""

import json
import re
import subprocess
import sys

import pytest
from rich.console import Console

import xunit_keras
from xunit_keras import benchmark, zoo
from xunit_keras.cli import main
from xunit_keras.runtime.models import Card


@pytest.fixture(scope="module")
def measurements(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "small"
    card = Card(
        name="", task="sr", network="xsrcnn_f", scale=2, channels=1, parameters=0
    )
    zoo.save(xunit_keras.xsrcnn_f(scale=2), folder, card)
    with pytest.MonkeyPatch.context() as patch:
        # A process of its own takes long to import TensorFlow.
        patch.setattr(benchmark, "_in_child", lambda run, *arguments: run(*arguments))
        return benchmark.benchmark(
            [str(folder)], ["keras", "onnxruntime"], size=16, rounds=3
        )


def test_measurements(measurements):
    assert [(m.model.split("/")[-1], m.engine) for m in measurements] == [
        ("srcnn-x2", "tensorflow"),
        ("srcnn-x2", "onnxruntime"),
        ("small", "tensorflow"),
        ("small", "onnxruntime"),
    ]
    twins, small = measurements[:2], measurements[2:]
    assert all(m.ratio_to_twin is None for m in twins)
    for m, twin in zip(small, twins, strict=True):
        assert m.ratio_to_twin == pytest.approx(
            m.ms_per_megapixel / twin.ms_per_megapixel
        )
        assert m.gigamacs_per_megapixel == pytest.approx(
            1e-3 * (81 * 64 + 9 * 64 * 32 + 25 * 32 + 96 * 81)
        )
        assert 0 < m.peak_share < 1.5
        assert m.spread >= 0
        assert 0 < m.file_mb < 5
        assert 0 <= m.memory_mb < 4000


@pytest.mark.slow
def test_memory_is_that_of_a_process_of_its_own():
    (srcnn,) = benchmark.benchmark(["srcnn"], ["onnxruntime"], size=512, rounds=1)
    # 64 channels of float32, at least once.
    assert srcnn.memory_mb > 512**2 * 64 * 4 / 1e6


def test_table_and_json(measurements, tmp_path):
    console = Console(record=True, width=120)
    console.print(benchmark.table(measurements))
    assert "srcnn-x2" in console.export_text()
    path = tmp_path / "result.json"
    benchmark.write_json(path, measurements, benchmark.environment(2))
    result = json.loads(path.read_text())
    assert result["environment"]["threads"] == "2"
    assert len(result["measurements"]) == len(measurements)
    assert [file.name for file in tmp_path.iterdir()] == ["result.json"]


def test_command(monkeypatch, measurements, tmp_path, capsys):
    given = []

    def measured(*arguments):
        given.extend(arguments[:5])
        return measurements

    monkeypatch.setattr(benchmark, "benchmark", measured)
    path = tmp_path / "result.json"
    models = ["-m", "xdncnn", "-m", "srcnn", "-e", "litert"]
    options = ["--size", "64", "--threads", "2", "--json", str(path)]
    assert main(["benchmark", *models, *options]) == 0
    assert given == [("xdncnn", "srcnn"), ("litert",), 64, 2, 10]
    assert "GMAC" in capsys.readouterr().out
    assert path.is_file()


def test_twins_take_the_same_images():
    found = {
        name: (network.input_shape[-1], twin)
        for name, network, twin in benchmark._networks(["xderain", "xdncnn", "dncnn"])
    }
    assert found["xderain"] == (3, "dncnn-rgb")
    assert found["dncnn-rgb"] == (3, None)
    assert found["xdncnn"] == (1, "dncnn")
    assert found["dncnn"] == (1, None)
    twin, build = benchmark._twin_of(
        xunit_keras.xsrresnet(scale=3, blocks=1, channels=3)
    )
    assert twin == "srresnet-x3"
    assert build().output_shape == (None, None, None, 3)


@pytest.mark.parametrize("name", ["size", "rounds"])
def test_bad_numbers(name):
    with pytest.raises(ValueError, match=f"`{name}` must be at least 1"):
        benchmark.benchmark(["xdncnn"], ["keras"], **{name: 0})


def test_threads_of_keras_in_a_process_of_its_own():
    """Where nothing has run yet, in the processes that measure memory too."""
    command = [sys.executable, "-m", "xunit_keras", "benchmark", "-m", "xespcn"]
    command += ["-e", "keras", "--threads", "1", "--rounds", "1", "--size", "16"]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert re.search(r"xespcn +tensorflow +\d", result.stdout), result.stdout
