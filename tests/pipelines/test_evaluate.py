import csv
import json
import sys
from fractions import Fraction

import keras
import numpy as np
import pytest
from PIL import Image

from pipelines import evaluate, scoring
from xunit_keras import zoo
from xunit_keras.colour import luminance
from xunit_keras.layers import BicubicUpsampling
from xunit_keras.resize import imresize


@pytest.fixture
def pictures(tmp_path):
    rng = np.random.default_rng(0)
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(2):
        small = rng.integers(0, 256, (11, 13, 3), dtype=np.uint8)
        Image.fromarray(imresize(small, 4)).save(folder / f"{number}.png")
    return folder


def identity(channels):
    image = keras.Input((None, None, channels))
    return keras.Model(image, keras.layers.Identity()(image), name="identity")


def run(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["evaluate.py", *map(str, arguments)])
    evaluate.main()


def test_denoising_scores_of_the_noise_itself(pictures):
    protocol = scoring.Protocol("denoise", channels=1, sigma=25)
    rows = evaluate.evaluate(identity(1), str(pictures), protocol)
    assert [row["image"] for row in rows] == ["0.png", "1.png"]
    for row in rows:
        assert row["psnr"] == row["input_psnr"]
        # 20 log10(255 / 25), and a little more for what the clipping mends.
        assert 20.0 < row["psnr"] < 21.5


def test_noise_of_an_image_does_not_depend_on_the_others(pictures):
    protocol = scoring.Protocol("denoise", channels=3)
    both = list(scoring.examples(str(pictures), protocol))
    (pictures / "0.png").unlink()
    (alone,) = scoring.examples(str(pictures), protocol)
    np.testing.assert_array_equal(alone.degraded, both[1].degraded)
    assert np.abs(both[0].degraded - both[0].clean).std() > 0.05


def test_super_resolution_scores_y_with_shaved_borders(pictures):
    image = keras.Input((None, None, 1))
    model = keras.Model(image, BicubicUpsampling(3)(image))
    protocol = scoring.Protocol("sr", scale=3)
    (row, _) = evaluate.evaluate(model, str(pictures), protocol)
    clean = np.asarray(Image.open(pictures / "0.png"))[:42, :51]
    small = luminance(imresize(clean, Fraction(1, 3)) / 255.0)
    difference = (imresize(small, 3).clip(0, 1) - luminance(clean / 255.0))[3:-3, 3:-3]
    expected = -10 * np.log10(np.mean(difference**2))
    assert row["psnr"] == pytest.approx(expected, abs=1e-3)
    assert row["input_psnr"] == pytest.approx(expected, abs=1e-3)


def test_rain_is_scored_on_rgb_and_y(pictures, tmp_path):
    folder = tmp_path / "rain"
    for side in ("rainy", "clean"):
        (folder / side).mkdir(parents=True)
    clean = np.full((30, 30, 3), 100, np.uint8)
    Image.fromarray(clean).save(folder / "clean" / "1.png")
    Image.fromarray(clean + 10).save(folder / "rainy" / "1.png")
    (row,) = evaluate.evaluate(
        identity(3), str(folder), scoring.Protocol("derain", channels=3)
    )
    assert row["psnr"] == pytest.approx(20 * np.log10(255 / 10), abs=1e-4)
    assert row["psnr_y"] == pytest.approx(
        20 * np.log10(255 / (10 * 219 / 255)), abs=1e-3
    )
    assert row["input_ssim_y"] == row["ssim_y"]


def test_the_program_writes_what_it_prints(pictures, tmp_path, monkeypatch, capsys):
    zoo.save(identity(1), tmp_path / "model", {"task": "denoise", "sigma": [15]})
    run(
        monkeypatch,
        *("--model", tmp_path / "model", "--data", pictures),
        *("--csv", tmp_path / "out" / "scores.csv", "--json", tmp_path / "scores.json"),
        *("--save-images", tmp_path / "sheets"),
    )
    printed = capsys.readouterr().out
    assert "sigma 15/255" in printed and "mean of 2" in printed
    report = json.loads((tmp_path / "scores.json").read_text())
    assert report["protocol"]["sigma"] == 15
    mean = report["results"][0]["mean"]["psnr"]
    assert f"{mean:.3f}" in printed
    with (tmp_path / "out" / "scores.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert [line["image"] for line in lines] == ["0.png", "1.png"]
    assert np.mean([float(line["psnr"]) for line in lines]) == pytest.approx(mean)
    sheets = sorted((tmp_path / "sheets").iterdir())
    assert [path.name for path in sheets] == ["pictures-0.png", "pictures-1.png"]
    assert Image.open(sheets[0]).size == (3 * 52, 44)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--model", "nobody", "--data", "sample"), "no model 'nobody'"),
        (("--model", "{model}", "--data", "sample"), "What does"),
        (("--model", "{model}", "--data", "nowhere", "--sigma", 5), "nowhere"),
    ],
)
def test_errors_are_sentences(tmp_path, monkeypatch, arguments, message):
    path = tmp_path / "plain.keras"
    identity(1).save(path)
    arguments = [str(a).format(model=path) for a in arguments]
    with pytest.raises(SystemExit, match=message):
        run(monkeypatch, *arguments)
