"""The report: fronts, costs, and the best model trained longer."""

import dataclasses
import json

import numpy as np
import pytest
from PIL import Image

import xunit_keras
from pipelines import keeping, program
from pipelines.configuration import Config
from tuning import report, search
from tuning.hypermodel import Architecture
from tuning.report import Report
from tuning.training import TrainingFailedError

NETWORKS = [
    Architecture((3, 3, 3), (6, 6), None),
    Architecture((3, 3, 3), (5, 5), 5),
    Architecture((5, 3, 3), (5, 5), 7),
]
SCORES = [27.0, 28.0, 27.5]


@pytest.fixture
def folder(tmp_path):
    """The folder of a search with three completed trials and a failed one."""
    config = Config(
        task="denoise",
        data=("sample",),
        validation="sample",
        validation_images=1,
        batch_size=2,
        patch_size=16,
        steps=4,
        out=tmp_path,
    )
    asked = search.resolve(search.Search(config, search.Space((500,))))
    (tmp_path / "search.json").write_text(
        json.dumps(dataclasses.asdict(asked), default=str)
    )
    rows = [
        {
            "trial": str(number),
            "status": "COMPLETED",
            "values": {},
            "architecture": dataclasses.asdict(network),
            "val_psnr": score,
            "val_psnr_std": 0.0,
            "val_input_psnr": 20.0,
            "parameters": network.parameters.total,
            "activation_share": network.parameters.activation_share,
        }
        for number, (network, score) in enumerate(zip(NETWORKS, SCORES, strict=True))
    ]
    rows.append({**rows[0], "trial": "3", "status": "FAILED", "val_psnr": 99.0})
    (tmp_path / "trials.json").write_text(json.dumps(rows))
    return tmp_path


def test_a_front_is_what_nothing_beats_in_both():
    rng = np.random.default_rng(3)
    rows = [
        {"cost": int(cost), "val_psnr": float(psnr)}
        for cost, psnr in zip(
            rng.integers(1, 20, 40), rng.random(40).round(1), strict=True
        )
    ]
    front = report.pareto(rows, "cost")

    def beaten(row):
        return any(
            other["cost"] <= row["cost"]
            and other["val_psnr"] >= row["val_psnr"]
            and (other["cost"], other["val_psnr"]) != (row["cost"], row["val_psnr"])
            for other in rows
        )

    expected = {(r["cost"], r["val_psnr"]) for r in rows if not beaten(r)}
    assert {(row["cost"], row["val_psnr"]) for row in front} == expected
    assert len(front) == len(expected)


def test_reports_costs_and_fronts(folder, capsys):
    report.run(Report(folder, size=32, repeats=1))
    result = json.loads((folder / "report.json").read_text())
    assert [row["trial"] for row in result["networks"]] == ["1", "2", "0"]
    for row in result["networks"]:
        network = NETWORKS[int(row["trial"])]
        assert row["parameters"] == network.parameters.total
        gates = (network.xunit_kernel or 0) ** 2 * sum(network.filters)
        assert row["macs_per_pixel"] == network.parameters.convolutions + gates
        assert row["milliseconds"] > 0
    assert "parameters" in result["networks"][0]["front"]
    assert Image.open(folder / "report.png").size > (800, 300)
    assert (folder / "report.csv").read_text().count("\n") == 4
    assert "degraded input 20.00 dB" in capsys.readouterr().out


def test_the_best_model_is_retrained_and_loads(folder, monkeypatch):
    asked = []

    def train_apart(config, architecture):
        asked.append((config, architecture))
        card = keeping.card(config, architecture.blueprint, 120, 1.0)
        xunit_keras.zoo.save(architecture.build(), config.out / "model", card)
        return {"val_psnr": 29.0, "val_input_psnr": 20.0}

    monkeypatch.setattr(report, "train_apart", train_apart)
    report.run(Report(folder, size=16, repeats=1, retrain=120))
    ((config, architecture),) = asked
    assert architecture == NETWORKS[1]
    assert config.steps >= 120
    assert config.steps % config.every == 0
    model = xunit_keras.load(folder / "best")
    assert xunit_keras.count_parameters(model) == architecture.parameters
    card = xunit_keras.card(folder / "best")
    assert (card.name, card.network) == ("best", "searched")
    assert card.scores[0]["psnr"] == 29.0
    assert report.architecture_of({"architecture": card.arguments}) == architecture


@pytest.mark.slow
def test_the_best_model_is_really_trained_and_exported(folder):
    report.run(Report(folder, size=16, repeats=1, retrain=3, formats=("tflite",)))
    assert xunit_keras.card(folder / "best").stages[-1]["steps"] == 3
    assert (folder / "best-tflite.tflite").is_file()


def test_a_folder_without_results_is_refused(tmp_path, folder):
    with pytest.raises(ValueError, match="no search with results"):
        report.run(Report(tmp_path / "nowhere"))
    (folder / "trials.json").write_text('[{"status": "FAILED"}]')
    with pytest.raises(ValueError, match="None of the 1 trials"):
        report.run(Report(folder))


@pytest.mark.parametrize("name", ["size", "repeats", "threads", "retrain"])
def test_numbers_out_of_range_are_refused(folder, name):
    with pytest.raises(ValueError, match=f"`{name}` must be positive"):
        report.run(Report(folder, **{name: 0}))


def test_a_training_that_breaks_is_told(folder, monkeypatch, capsys):
    def train_apart(config, architecture):
        raise TrainingFailedError("The loss became nan.")

    monkeypatch.setattr(report, "train_apart", train_apart)
    monkeypatch.setattr(
        "sys.argv",
        ["report.py", str(folder), *"--size 16 --repeats 1 --retrain 5".split()],
    )
    with pytest.raises(SystemExit) as end:
        program.run(report.main, "report.py")
    assert end.value.code == 1
    assert capsys.readouterr().err == "report.py: The loss became nan.\n"
    assert not (folder / "best").exists()
