"""The released models restore as well as their cards say."""

from pathlib import Path

import pytest

from pipelines import evaluate
from xunit_keras import zoo

# Engines and processors round differently; a spoiled model is far off.
TOLERANCE = 0.02


def recorded(sample: bool) -> list:
    """Every score in the zoo, by model, as test parameters."""
    return [
        pytest.param(name, score, id=f"{name}-{score['data']}-{number}")
        for name in zoo.list_models()
        for number, score in enumerate(zoo.card(name)["scores"])
        if (score["data"] == "sample") == sample
    ]


def measure(name, score, root=None):
    config = evaluate.Config(name, (score["data"],), sigma=score.get("sigma"))
    model = zoo.load(name)
    protocol = evaluate.find_protocol(config, model)
    assert str(protocol) == score["protocol"]
    return evaluate.means(evaluate.evaluate(model, score["data"], protocol, root))


@pytest.mark.parametrize(("name", "score"), recorded(sample=True))
def test_on_the_sample(name, score):
    means = measure(name, score)
    assert means["input_psnr"] == pytest.approx(score["input_psnr"], abs=TOLERANCE)
    assert means["psnr"] == pytest.approx(score["psnr"], abs=TOLERANCE)
    assert means["psnr"] > means["input_psnr"] + 0.5


@pytest.mark.slow
@pytest.mark.parametrize(("name", "score"), recorded(sample=False))
def test_on_the_real_sets(real_data, name, score):
    means = measure(name, score, real_data)
    assert means["psnr"] == pytest.approx(score["psnr"], abs=TOLERANCE)


@pytest.mark.parametrize("name", zoo.list_models())
def test_cards_are_complete(name):
    card = zoo.card(name)
    for field in (
        *("task", "network", "scale", "channels", "data", "stages", "license"),
        *("sha256", "parameters", "scores"),
    ):
        assert card.get(field) not in (None, "", []), field
    assert card["name"] == name
    for stage in card["stages"]:
        assert stage["command"].startswith("python pipelines/train.py ")
        assert " --task " in stage["command"]
        assert stage["steps"] > 0 and stage["seconds"] > 0 and stage["machine"]
        assert not {"data_root", "out"} & set(stage["recipe"])
    assert card["stages"][-1]["recipe"]["task"] == card["task"]


def test_the_zoo_stays_small():
    folders = [zoo.model_folder(name) for name in zoo.list_models()]
    files = [file for folder in folders for file in folder.iterdir()]
    assert sum(file.stat().st_size for file in files) < 12e6


@pytest.mark.parametrize("name", zoo.list_models())
def test_readme_quotes_the_card(name):
    readme = Path(__file__).resolve().parents[1] / "README.md"
    (row,) = (
        line
        for line in readme.read_text(encoding="utf-8").splitlines()
        if line.startswith(f"| `{name}`")
    )
    card = zoo.card(name)
    assert f"{card['parameters']:,}" in row
    for score in card["scores"]:
        if score["data"] != "sample":
            assert f"{score['psnr']:.2f}" in row, score
