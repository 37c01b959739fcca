"""The released models restore as well as their cards say, without Keras and with it."""

import dataclasses
import itertools
from pathlib import Path

import numpy as np
import pytest

import xunit_keras
from pipelines.data.examples import examples
from xunit_keras import restoration, tasks
from xunit_keras.runtime import models
from xunit_keras.runtime.models import QUANTIZED_FILE, READY_FILE, WEIGHTS_FILE

# Engines and processors round differently; a spoiled model is far off.
TOLERANCE = 0.02

every_model = pytest.mark.parametrize("name", models.list_models())


def recorded(sample: bool) -> list:
    """Every score in the zoo, by model, as test parameters."""
    return [
        pytest.param(name, score, id=f"{name}-{score['data']}-{number}")
        for name in models.list_models()
        for number, score in enumerate(models.card(name).scores)
        if (score["data"] == "sample") == sample
    ]


def measure(name, score, root=None):
    task = tasks.from_card(models.card(name))
    for setting in ("sigma", "quality"):
        if setting in score:
            task = dataclasses.replace(task, **{setting: (score[setting],)})
    assert str(task.scored()) == score["protocol"]
    rows = []
    for example in examples(score["data"], task, root):
        restored = xunit_keras.restore(example.degraded, name)
        rows.append(task.score(restored, example))
    return {column: np.mean([row[column] for row in rows]) for column in rows[0]}


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


@every_model
def test_the_ready_file_is_the_keras_model(name):
    """To 1e-4, in tiles and as a whole, on an image of an odd size."""
    card = models.card(name)
    image = np.random.default_rng(0).random((61, 94, card.channels), dtype=np.float32)
    ready = xunit_keras.restore(image, name, tile=0)
    network = restoration.open_network(xunit_keras.load(name))
    assert network.field == models.open_ready(name).field
    expected = xunit_keras.restore(image, network, tile=0)
    np.testing.assert_allclose(ready, expected, rtol=0, atol=1e-4)
    tiled = xunit_keras.restore(image, name, tile=17)
    np.testing.assert_allclose(tiled, ready, rtol=0, atol=1e-5)


@every_model
def test_cards_are_complete(name):
    card = models.card(name)
    for field in ("data", "data_terms", "stages", "license", "scores", "parameters"):
        assert getattr(card, field), field
    assert card.name == name
    assert set(card.sha256) - {QUANTIZED_FILE} == {WEIGHTS_FILE, READY_FILE}
    for stage in card.stages:
        assert stage["command"].startswith("python pipelines/train.py ")
        assert " --task " in stage["command"]
    assert card.stages[-1]["recipe"]["task"] == card.task
    assert bool(card.integers) == (QUANTIZED_FILE in card.sha256)
    if card.integers:
        command = f"python pipelines/quantize.py --model {name} "
        assert card.integers["command"].startswith(command)
        assert card.integers["psnr_lost"] < 0.1
    for stage in filter(None, (*card.stages, card.integers)):
        assert stage["steps"] > 0 and stage["seconds"] > 0 and stage["machine"]
        assert not {"data_root", "out"} & set(stage["recipe"])


@pytest.mark.parametrize(
    ("name", "sigma", "in_a_line"),
    [
        ("xdncnn-color-blind", 0, 3),
        ("xdncnn-color-blind", 5, 3),
        ("xdncnn-color-blind", 15, 3),
        ("xdncnn-color-blind", 25, 3),
        ("xdncnn-gray-blind", 25, 3),
        ("xdncnn-gray-sigma25", 25, 3),
        ("xdncnn-gray-sigma50", 50, 5),
        ("xderain", 0, 3),
    ],
)
def test_flat_saturated_colors_stay(name, sigma, in_a_line):
    """Which photographs hardly have: levels that areas and single lines are off."""
    random = np.random.default_rng(1)
    for corner in itertools.product((0, 1), repeat=models.card(name).channels):
        clean = np.full((96, 96, len(corner)), corner, np.float32)
        noise = random.normal(scale=sigma / 255, size=clean.shape).astype(np.float32)
        restored = xunit_keras.restore(clean + noise, name)
        wrong = 255 * (np.clip(restored, 0, 1) - clean)
        assert np.abs(wrong.mean(axis=(0, 1))).max() < 3, corner
        # The first and last of them are the borders.
        lines = max(np.abs(wrong.mean(axis=axis)).max() for axis in (0, 1))
        assert lines < in_a_line, corner


def test_the_zoo_stays_small():
    folders = [models.model_folder(name) for name in models.list_models()]
    files = [file for folder in folders for file in folder.iterdir()]
    assert sum(file.stat().st_size for file in files) < 20e6


@every_model
def test_readme_quotes_the_card(name):
    readme = Path(__file__).resolve().parents[1] / "README.md"
    (row,) = (
        line
        for line in readme.read_text(encoding="utf-8").splitlines()
        if line.startswith(f"| `{name}`")
    )
    card = models.card(name)
    assert f"{card.parameters:,}" in row
    for score in card.scores:
        if score["data"] != "sample":
            assert f"{score['psnr']:.2f}" in row, score
