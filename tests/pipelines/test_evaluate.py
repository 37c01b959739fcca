"""Scores, from the image to the files and the table."""

import csv
import importlib.util
import json
import math
import subprocess
import sys
from fractions import Fraction

import keras
import numpy as np
import pytest
from PIL import Image

from pipelines import evaluate, program
from xunit_keras import tasks, zoo
from xunit_keras.imaging.color import luminance
from xunit_keras.imaging.resize import imresize
from xunit_keras.layers import BicubicUpsampling
from xunit_keras.runtime.models import Card


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


def card_of(task):
    return Card(name="", network="none", parameters=0, **task.as_card())


def run(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["evaluate.py", *map(str, arguments)])
    program.run(evaluate.main, "evaluate.py")


def ended(monkeypatch, capsys, *arguments):
    """Exit code, output, and errors of the program."""
    with pytest.raises(SystemExit) as end:
        run(monkeypatch, *arguments)
    return end.value.code, *capsys.readouterr()


def test_denoising_scores_of_the_noise_itself(pictures):
    found = evaluate.evaluate(identity(1), str(pictures), tasks.create("denoise"))
    assert found.images == ["0.png", "1.png"]
    for row in found.scores:
        assert row["psnr"] == row["input_psnr"]
        # 20 log10(255 / 25), and a little more for what the clipping mends.
        assert 20.0 < row["psnr"] < 21.5
    assert found.means["psnr"] == np.mean([row["psnr"] for row in found.scores])


def test_super_resolution_scores_y_with_shaved_borders(pictures):
    image = keras.Input((None, None, 1))
    model = keras.Model(image, BicubicUpsampling(3)(image))
    found = evaluate.evaluate(model, str(pictures), tasks.create("sr", scale=3))
    clean = np.asarray(Image.open(pictures / "0.png"))[:42, :51]
    small = luminance(imresize(clean, Fraction(1, 3)) / 255.0)
    difference = (imresize(small, 3).clip(0, 1) - luminance(clean / 255.0))[3:-3, 3:-3]
    expected = -10 * np.log10(np.mean(difference**2))
    row = found.scores[0]
    assert row["psnr"] == pytest.approx(expected, abs=1e-3)
    assert row["input_psnr"] == pytest.approx(expected, abs=1e-3)


def test_rain_is_scored_on_rgb_and_y(tmp_path):
    folder = tmp_path / "rain"
    for side in ("rainy", "clean"):
        (folder / side).mkdir(parents=True)
    clean = np.full((30, 30, 3), 100, np.uint8)
    Image.fromarray(clean).save(folder / "clean" / "1.png")
    Image.fromarray(clean + 10).save(folder / "rainy" / "1.png")
    found = evaluate.evaluate(identity(3), str(folder), tasks.create("derain"))
    (row,) = found.scores
    assert row["psnr"] == pytest.approx(20 * np.log10(255 / 10), abs=1e-4)
    assert row["psnr_y"] == pytest.approx(
        20 * np.log10(255 / (10 * 219 / 255)), abs=1e-3
    )
    assert row["input_ssim_y"] == row["ssim_y"]


# --------------------------------------------------------------- what a model does


def found_task(model, name="a.keras", task=None, seed=0, **settings):
    settings = evaluate.Settings(**settings)
    return evaluate.find_task(str(name), model, task, settings, seed)


def test_the_card_says_what_a_model_does(tmp_path):
    for task in (
        tasks.create("denoise", sigma=(15,)),
        tasks.create("derain"),
        tasks.create("sr", scale=2),
    ):
        model = identity(task.channels)
        zoo.save(model, tmp_path / task.name, card_of(task))
        assert found_task(model, tmp_path / task.name) == task
    # Of a range, the level of the literature; or what is asked for.
    blind = tasks.create("denoise", sigma=(0, 55))
    zoo.save(identity(1), tmp_path / "blind", card_of(blind))
    for asked, level in ((None, 25.0), (50.0, 50.0)):
        task = found_task(identity(1), tmp_path / "blind", sigma=asked, seed=3)
        assert task == tasks.create("denoise", sigma=(level,), seed=3)


def test_without_a_card_the_flags_and_the_shapes_say_it():
    image = keras.Input((None, None, 1))
    enlarging = keras.Model(image, BicubicUpsampling(3)(image))
    assert found_task(enlarging) == tasks.create("sr", scale=3)
    assert found_task(enlarging, scale=3) == tasks.create("sr", scale=3)
    assert found_task(identity(1), scale=4) == tasks.create("sr", scale=4)
    assert found_task(identity(3), sigma=10) == tasks.create(
        "denoise", sigma=(10,), channels=3
    )
    assert found_task(identity(1), quality=20) == tasks.create("jpeg", quality=20)
    assert found_task(identity(3), task="derain") == tasks.create("derain")


@pytest.mark.parametrize(
    ("channels", "flags", "message"),
    [
        (1, {}, "What does 'a.keras' do.* --task denoise, derain, "),
        (1, {"task": "sr"}, "works on enlarged images.*--scale"),
        (1, {"task": "dehaze"}, "`task` must be one of"),
        (1, {"task": "derain"}, "`channels` must be 3"),
        (1, {"task": "denoise", "scale": 2}, "'denoise' has no `scale`"),
        (1, {"sigma": -1}, "`sigma` must be"),
        (1, {"scale": 1}, "`scale` must be an integer of at least 2"),
    ],
)
def test_what_a_model_does_must_be_clear(channels, flags, message):
    with pytest.raises(ValueError, match=message):
        found_task(identity(channels), **flags)


@pytest.mark.parametrize("flags", [{"scale": 2}, {"task": "denoise"}])
def test_a_model_that_enlarges_does_nothing_else(flags):
    image = keras.Input((None, None, 1))
    enlarging = keras.Model(image, BicubicUpsampling(3)(image))
    with pytest.raises(ValueError, match=r"'a\.keras' enlarges by 3\. Received"):
        found_task(enlarging, **flags)


# ------------------------------------------------------------------- the program


def test_the_program_writes_what_it_prints(pictures, tmp_path, monkeypatch, capsys):
    task = tasks.create("denoise", sigma=(15,))
    zoo.save(identity(1), tmp_path / "model", card_of(task))
    code, printed, _ = ended(
        *(monkeypatch, capsys),
        *("--model", tmp_path / "model", "--data", pictures),
        *("--csv", tmp_path / "out" / "scores.csv", "--json", tmp_path / "scores.json"),
        *("--save-images", tmp_path / "sheets"),
    )
    assert code == 0
    assert "sigma 15/255" in printed and "mean of 2" in printed
    report = json.loads((tmp_path / "scores.json").read_text())
    assert tasks.from_card(report["protocol"]) == task
    (result,) = report["results"]
    mean = result["mean"]["psnr"]
    assert f"{mean:.3f}" in printed and result["left_out"] == []
    with (tmp_path / "out" / "scores.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert [line["image"] for line in lines] == ["0.png", "1.png"]
    assert np.mean([float(line["psnr"]) for line in lines]) == pytest.approx(mean)
    sheets = sorted((tmp_path / "sheets").iterdir())
    assert [path.name for path in sheets] == ["pictures-0.png", "pictures-1.png"]
    assert Image.open(sheets[0]).size == (3 * 52, 44)


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "plain.keras"
    identity(1).save(path)
    return path


def test_images_that_cannot_be_read_are_named_and_the_others_scored(
    pictures, model, tmp_path, monkeypatch, capsys
):
    (pictures / "00.png").write_bytes(b"not an image")
    Image.fromarray(np.full((40, 40), 3000, np.uint16)).save(pictures / "2.png")
    code, printed, errors = ended(
        *(monkeypatch, capsys, "--model", model, "--data", pictures, "--sigma", 25),
        *("--json", tmp_path / "scores.json"),
    )
    assert code == 1
    assert errors == "evaluate.py: 2 of 4 images were left out.\n"
    told = [line for line in printed.splitlines() if line.startswith("Left out: ")]
    assert "00.png" in told[0] and "2.png" in told[1]
    (result,) = json.loads((tmp_path / "scores.json").read_text())["results"]
    assert [row["image"] for row in result["images"]] == ["0.png", "1.png"]
    assert result["left_out"] == ["00.png", "2.png"]


def test_names_are_printed_as_they_are(pictures, model, monkeypatch, capsys):
    (pictures / "0.png").rename(pictures / "[red]cat.png")
    (pictures / "1.png").rename(pictures / ":cat:.png")
    arguments = ("--model", model, "--data", pictures, "--sigma", 25)
    code, printed, _ = ended(monkeypatch, capsys, *arguments)
    assert code == 0
    assert "[red]cat.png" in printed and ":cat:.png" in printed


def test_scores_are_written_though_a_later_set_fails(
    pictures, model, tmp_path, monkeypatch, capsys
):
    code, _, errors = ended(
        *(monkeypatch, capsys, "--model", model, "--sigma", 25),
        *("--data", pictures, tmp_path / "nowhere"),
        *("--csv", tmp_path / "scores.csv", "--json", tmp_path / "scores.json"),
    )
    assert code == 1 and "nowhere" in errors
    (result,) = json.loads((tmp_path / "scores.json").read_text())["results"]
    assert len(result["images"]) == 2 and math.isfinite(result["mean"]["psnr"])
    assert len((tmp_path / "scores.csv").read_text().splitlines()) == 3


def test_scores_are_written_though_the_program_is_interrupted(
    pictures, model, tmp_path, monkeypatch, capsys
):
    scored = []
    score = tasks.Denoise.score

    def interrupted(self, image, example):
        if scored:
            raise KeyboardInterrupt
        scored.append(score(self, image, example))
        return scored[0]

    monkeypatch.setattr(tasks.Denoise, "score", interrupted)
    code, _, errors = ended(
        *(monkeypatch, capsys, "--model", model, "--data", pictures, "--sigma", 25),
        *("--json", tmp_path / "scores.json"),
    )
    assert code == 130
    assert errors == "evaluate.py: interrupted. The scores of 1 images are written.\n"
    (result,) = json.loads((tmp_path / "scores.json").read_text())["results"]
    assert result["images"] == [{"image": "0.png", **scored[0]}]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--model", "nobody", "--data", "sample"), "no model 'nobody'"),
        (("--model", "{model}", "--data", "sample"), "What does"),
        (("--model", "{model}", "--data", "nowhere", "--sigma", 5), "nowhere"),
        (("--model", "{model}", "--data", "sample", "--limit", 0), "limit=0"),
        (
            ("--model", "{model}", "--data", "sample", "--json", "{model}/a"),
            "is a file",
        ),
        (
            ("--model", "{model}", "--data", "sample", "--csv", "{folder}"),
            "need a file",
        ),
    ],
)
def test_errors_are_sentences(tmp_path, model, monkeypatch, capsys, arguments, message):
    places = {"model": model, "folder": tmp_path}
    arguments = [str(argument).format(**places) for argument in arguments]
    code, _, errors = ended(monkeypatch, capsys, *arguments)
    assert code == 1 and message in errors and errors.count("\n") == 1
    assert errors.startswith("evaluate.py: ")


# ------------------------------------------------------------------- on a cluster


@pytest.mark.slow
@pytest.mark.skipif(
    importlib.util.find_spec("ray") is None, reason="needs the extra `ray`"
)
def test_scores_on_ray_are_those_of_one_process(pictures, tmp_path):
    """Digit by digit, in the same order, with the same images left out."""
    (pictures / "1.5.png").write_bytes(b"not an image")
    seen = []
    for options in ((), ("--ray", "local")):
        folder = tmp_path / f"scored{len(options)}"
        result = subprocess.run(
            [
                *(sys.executable, evaluate.__file__, "--model", "xdncnn-gray-sigma25"),
                *("--data", pictures, "sample", "--limit", "3", *options),
                *("--csv", folder / "scores.csv", "--json", folder / "scores.json"),
                *("--save-images", folder / "sheets"),
            ],
            capture_output=True,
            text=True,
        )
        assert result.returncode == 1, result.stderr
        complaint = result.stderr.splitlines()[-1]  # Behind those of TensorFlow.
        assert complaint == "evaluate.py: 1 of 6 images were left out."
        files = {
            path.relative_to(folder): path.read_bytes()
            for path in folder.rglob("*")
            if path.is_file()
        }
        assert len(files) == 2 + 5
        # Bars of progress leave empty lines.
        seen.append(([line for line in result.stdout.splitlines() if line], files))
    assert seen[0] == seen[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--data", "sample", "--ray", "127.0.0.1:1"), "Nobody answers at"),
        (("--data", "nowhere", "--ray", "local"), "nowhere"),
    ],
)
def test_what_a_cluster_cannot_do(model, monkeypatch, capsys, arguments, message):
    arguments = ("--model", model, "--sigma", 25, *arguments)
    code, _, errors = ended(monkeypatch, capsys, *arguments)
    assert code == 1 and message in errors and errors.count("\n") == 1
