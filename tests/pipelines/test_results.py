"""The page of results shows what cards and evaluation files say, and no more."""

import json

import pytest

from pipelines import results
from xunit_keras import tasks
from xunit_keras.runtime import models
from xunit_keras.runtime.models import Card

STAGE = {
    **{"command": "python pipelines/train.py --task sr", "steps": 9000},
    **{"seconds": 3600, "machine": "a machine"},
}
INTEGERS = {**STAGE, "command": "python pipelines/quantize.py --model xsrcnn-f-x3"}


def card(name, task, parameters, *scores, **known):
    return Card(
        name=name,
        network="any",
        parameters=parameters,
        scores=scores,
        stages=(STAGE,),
        **task.as_card(),
        **known,
    )


CARDS = {
    "xdncnn-a": card(
        "xdncnn-a",
        tasks.create("denoise", sigma=(0, 55)),
        303_616,
        {"data": "bsd68", "sigma": 25, "psnr": 28.9, "input_psnr": 20.2},
        {"data": "sample", "sigma": 25, "psnr": 31.0, "input_psnr": 20.3},
    ),
    "xderain": card(
        "xderain",
        tasks.create("derain"),
        305_920,
        {
            **{"data": "rain12", "psnr": 32.1, "psnr_y": 33.4},
            **{"input_psnr": 28.82, "input_psnr_y": 30.14},
        },
    ),
    "xsrcnn-f-x3": card(
        "xsrcnn-f-x3",
        tasks.create("sr", scale=3),
        32_576,
        {"data": "set5", "psnr": 32.8, "input_psnr": 30.41},
        integers=INTEGERS,
    ),
}


@pytest.fixture
def page(monkeypatch, tmp_path):
    monkeypatch.setattr(models, "list_models", lambda: sorted(CARDS))
    monkeypatch.setattr(models, "card", CARDS.get)
    reports = {
        f"f{scale}": {
            "model": f"somewhere/xsrcnnf_s{scale}_k9k3k5.pkl",
            "protocol": {"task": "sr", "scale": scale, "sigma": 25.0},
            "results": [{"data": "set5", "mean": {"psnr": psnr}}],
        }
        for scale, psnr in ((3, 32.9), (4, 30.72))
    }
    reports["bm3d"] = {
        **{"model": "BM3D", "processor_seconds_per_image": 4.21},
        "protocol": {"task": "denoise", "scale": 1, "sigma": 25.0},
        "results": [{"data": "bsd68", "mean": {"psnr": 28.6}}],
    }
    reports["rain"] = {
        "model": "somebody-elses",
        "protocol": tasks.create("derain").as_card(),
        "results": [{"data": "rain12", "mean": {"psnr": 30.1, "psnr_y": 31.2}}],
    }
    for name, report in reports.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(report))
    return results.page(results.Config(evaluations=tmp_path))


def rows(page, title):
    section = page.split(f"## {title}")[1].split("##")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    head, _, *body = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in lines
    ]
    return {line[0]: dict(zip(head[1:], line[1:], strict=True)) for line in body}


def test_measured_and_quoted_scores_are_told_apart(page):
    table = rows(page, "Denoising")
    assert table["WNNM"]["BSD68 σ=25"] == "28.82"
    assert table["WNNM"]["scores"] == "published"
    assert table["**`xdncnn-a`**"] == {
        **{"parameters": "303,616", "BSD68 σ=25": "28.90", "BSD68 σ=50": ""},
        # In color there are published ones.
        **{"CBSD68 σ=15": "", "CBSD68 σ=25": "", "CBSD68 σ=50": ""},
        "scores": "measured",
    }
    assert table["degraded input"]["BSD68 σ=25"] == "20.20"


def test_a_method_that_took_time_says_how_much(monkeypatch, page):
    section = page.split("## Denoising")[1].split("##")[0]
    scores = "measured, 4.2 s of processor time an image"
    assert f"| BM3D |  | 28.60 |  |  |  |  | {scores} |" in section


def test_evaluations_of_several_scales_are_one_row(page):
    table = rows(page, "Super resolution")
    authors = table["xSRCNNf, the authors' checkpoint"]
    assert authors["parameters"] == "32,576"
    assert (authors["Set5 x3"], authors["Set5 x4"]) == ("32.90", "30.72")
    assert table["bicubic"]["Set5 x3"] == "30.41"
    # FSRCNN alone has one, published; no row has a score for the other.
    assert authors["Set5 x2"] == "" and table["FSRCNN"]["Set5 x2"] == "37.00"
    assert "BSD100 x2" not in authors


def test_rain_is_scored_on_rgb_and_on_y(page):
    table = rows(page, "Deraining")
    assert table["**`xderain`**"]["Rain12 RGB"] == "32.10"
    assert table["**`xderain`**"]["Rain12 Y"] == "33.40"
    assert table["degraded input"]["Rain12 Y"] == "30.14"


def test_evaluations_of_rain_fill_its_columns(page):
    row = rows(page, "Deraining")["somebody-elses"]
    assert (row["Rain12 RGB"], row["Rain12 Y"]) == ("30.10", "31.20")


def test_every_table_has_its_picture_and_the_command_that_draws_it(page):
    for task, model in (
        ("denoise", "xdncnn-gray-sigma25"),
        ("derain", "xderain"),
        ("sr", "xsrcnn-f-x3"),
    ):
        assert f"](compare-{task}.png)" in page
        (command,) = (
            line for line in page.splitlines() if line.endswith(f"compare-{task}.png")
        )
        assert command.startswith("python pipelines/figures.py compare --models")
        assert f" {model} " in command


def test_trainings_can_be_repeated(page):
    assert "`xsrcnn-f-x3`: 9,000 steps, 1.0 h, a machine." in page
    assert page.count(STAGE["command"]) == len(CARDS)
    assert page.count(INTEGERS["command"]) == 1
