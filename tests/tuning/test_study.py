"""The studies: their networks, their resuming, their figures."""

import csv
import dataclasses
import json

import pytest
from PIL import Image

from tuning import study
from tuning.study import Study
from tuning.training import TrainingFailedError


@pytest.fixture
def trainings(monkeypatch):
    """Replaces trainings; a list of the runs that were asked for."""
    asked = []

    def train_apart(config, architecture):
        asked.append(config.out.name)
        count = architecture.parameters
        return {
            "val_psnr": 25.0 + count.activation_share + 0.2 * config.seed,
            "val_input_psnr": 20.0,
            "parameters": count.total,
            "activation_share": count.activation_share,
            "steps": config.steps,
            "seconds": 1.0,
        }

    monkeypatch.setattr(study, "train_apart", train_apart)
    return asked


def make(tmp_path, figure, **changes):
    return Study(figure, data=("sample",), validation="sample", out=tmp_path, **changes)


def few(asked):
    """The plan of a study with every fourth of its networks, the last one included."""
    plan = study.plan(asked)
    return dataclasses.replace(plan, networks=plan.networks[::-4])


@pytest.mark.parametrize(("full", "budget"), [(False, 30_000), (True, 100_000)])
def test_figure4_has_one_total_and_many_shares(tmp_path, full, budget):
    plan = study.plan(make(tmp_path, "figure4", full=full))
    counts = [network.parameters for network in plan.networks]
    assert all(abs(count.total - budget) <= 0.02 * budget for count in counts)
    shares = [count.activation_share for count in counts]
    assert shares == sorted(shares)
    assert shares[0] == 0.0
    assert shares[-1] > 0.35
    assert plan.seeds > 1


@pytest.mark.parametrize("full", [False, True])
def test_figure3_has_all_kernels_at_several_depths(tmp_path, full):
    networks = study.plan(make(tmp_path, "figure3", full=full)).networks
    kernels = {network.xunit_kernel for network in networks}
    assert kernels == {None, 1, 3, 5, 7, 9}
    depths = {len(network.kernels) for network in networks}
    assert len(depths) >= 3
    assert len(networks) == len(kernels) * len(depths)


@pytest.mark.parametrize("figure", ["figure3", "figure4"])
def test_a_study_writes_csv_json_and_png(tmp_path, trainings, figure):
    asked = make(tmp_path, figure)
    plan = few(asked)
    assert study.run(asked, plan) == 0
    assert len(trainings) == len(set(trainings)) == plan.seeds * len(plan.networks)
    with (tmp_path / f"{figure}.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(plan.networks)
    result = json.loads((tmp_path / f"{figure}.json").read_text())
    assert "sigma 25" in result["protocol"]
    assert result["input_psnr"] == 20.0
    for point in result["points"]:
        mean = 25.0 + point["activation_share"] + 0.1 * (plan.seeds - 1)
        assert point["psnr"] == pytest.approx(mean)
        assert point["seeds"] == plan.seeds
    assert Image.open(tmp_path / f"{figure}.png").size > (600, 400)


def test_an_interrupted_study_goes_on(tmp_path, trainings, monkeypatch):
    asked = make(tmp_path, "figure4")
    plan = few(asked)
    train_apart = study.train_apart

    def interrupt(config, architecture):
        if len(trainings) == 2:
            raise KeyboardInterrupt
        return train_apart(config, architecture)

    monkeypatch.setattr(study, "train_apart", interrupt)
    with pytest.raises(KeyboardInterrupt):
        study.run(asked, plan)
    monkeypatch.setattr(study, "train_apart", train_apart)
    study.run(asked, plan)
    assert len(trainings) == len(set(trainings)) == plan.seeds * len(plan.networks)
    with pytest.raises(ValueError, match="other settings"):
        study.run(asked, dataclasses.replace(plan, config=plan_with_other_steps(plan)))


def plan_with_other_steps(plan):
    return dataclasses.replace(plan.config, steps=7)


def test_failed_trainings_are_counted_and_repeated(tmp_path, trainings, monkeypatch):
    asked = make(tmp_path, "figure4")
    plan = few(asked)
    train_apart = study.train_apart

    def fail_on_large_kernels(config, architecture):
        if architecture.xunit_kernel == 15:
            raise TrainingFailedError("ResourceExhaustedError: out of memory")
        return train_apart(config, architecture)

    monkeypatch.setattr(study, "train_apart", fail_on_large_kernels)
    assert study.run(asked, plan) == plan.seeds
    monkeypatch.setattr(study, "train_apart", train_apart)
    assert study.run(asked, plan) == 0
    assert len(trainings) == len(set(trainings)) == plan.seeds * len(plan.networks)
