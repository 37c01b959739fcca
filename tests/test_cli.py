"""The command line, from arguments to files and exit codes."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from networks import as_trained
from PIL import Image, ImageCms

import xunit_keras
from xunit_keras import demo, photographs, zoo
from xunit_keras.cli import main
from xunit_keras.imaging import files
from xunit_keras.imaging.files import Photograph
from xunit_keras.layers import BicubicUpsampling
from xunit_keras.restoration import enlarge
from xunit_keras.runtime import models as zoo_models
from xunit_keras.runtime.models import Card

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A folder of small models, laid out as the released ones are."""
    folder = tmp_path_factory.mktemp("models")
    keras.utils.set_random_seed(0)
    scores = ({"data": "sample", "psnr": 30.1234},)

    def save(name, model, **card):
        known = {"network": model.name, "parameters": 0, "scores": scores}
        zoo.save(model, folder / name, Card(name=name, **known, **card))

    denoiser = as_trained(xunit_keras.xdncnn(depth=3, filters=4))
    save("gray", denoiser, task="denoise", sigma=(25.0,), channels=1)
    derainer = as_trained(xunit_keras.xderain(depth=3, filters=4))
    save("rain", derainer, task="derain", channels=3)
    image = keras.Input((None, None, 1))
    bicubic = keras.Model(image, BicubicUpsampling(3)(image))
    save("x3", bicubic, task="sr", scale=3, channels=1)
    return folder


def pixels(*shape, dtype=np.uint8, seed=0):
    """A random image, in 8-pixel blocks so that JPEG keeps it nearly."""
    height, width, *channels = shape
    random = np.random.default_rng(seed)
    small = random.integers(
        np.iinfo(dtype).max, size=(-(-height // 8), -(-width // 8), *channels)
    )
    blocks = small.repeat(8, axis=0).repeat(8, axis=1)
    return blocks[:height, :width].astype(dtype)


def run(*arguments):
    return main([str(argument) for argument in arguments])


def test_one_photograph(models, tmp_path, capsys):
    source, target = tmp_path / "in.png", tmp_path / "deeper" / "out.png"
    files.write(source, Photograph(pixels(30, 45, 3)))
    assert run("restore", "-i", source, "-o", target, "-m", models / "gray") == 0
    expected = xunit_keras.restore(pixels(30, 45, 3), models / "gray")
    np.testing.assert_array_equal(files.read(target).pixels, expected)
    assert "Restored 1 of 1" in capsys.readouterr().out

    folder = tmp_path / "folder"
    folder.mkdir()
    arguments = ("--tile", 9, "--self-ensemble", "--model", models / "gray")
    assert run("restore", "--input", source, "--output", folder, *arguments) == 0
    expected = xunit_keras.restore(
        pixels(30, 45, 3), models / "gray", tile=9, self_ensemble=True
    )
    np.testing.assert_array_equal(files.read(folder / "in.png").pixels, expected)


def test_what_a_file_carries(models, tmp_path):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exif = Image.Exif()
    exif[274] = 6  # Orientation: to be turned by a quarter.
    exif[305] = "a camera"
    rgba = np.dstack([pixels(16, 24, 3), pixels(16, 24, seed=1)])
    Image.fromarray(rgba).save(tmp_path / "in.png", icc_profile=profile, exif=exif)
    out = tmp_path / "out.png"
    assert (
        run("restore", "-i", tmp_path / "in.png", "-o", out, "-m", models / "x3") == 0
    )
    result = files.read(out)
    upright = np.rot90(rgba, -1)
    assert result.pixels.shape == (72, 48, 3)
    np.testing.assert_array_equal(
        result.alpha, enlarge(np.ascontiguousarray(upright[..., 3]), 3)
    )
    difference = np.abs(result.pixels[1::3, 1::3] - upright[..., :3].astype(int))
    opacity = upright[..., 3:] / 255
    assert difference[upright[..., 3] == 255].max(initial=0) <= 1
    assert (difference * opacity).max() <= 5  # What nobody sees is filled anew.
    assert result.icc_profile == profile
    kept = Image.open(out).getexif()
    assert (kept.get(274), kept.get(305)) == (None, "a camera")


def test_sixteen_bits(models, tmp_path):
    deep = pixels(20, 20, dtype=np.uint16)
    files.write(tmp_path / "in.png", Photograph(deep))
    out = tmp_path / "out.tif"
    arguments = ("-i", tmp_path / "in.png", "-o", out, "-m", models / "gray")
    assert run("restore", *arguments) == 0
    result = files.read(out).pixels
    assert result.dtype == np.uint16
    np.testing.assert_array_equal(result, xunit_keras.restore(deep, models / "gray"))
    assert len(np.unique(result)) > 256


@pytest.fixture
def folder(tmp_path):
    """Good photographs and bad files, in folders."""
    folder = tmp_path / "photographs"
    good = {"a.png": (9, 9), "b/ä ö.jpg": (16, 24, 3), "b/c/[x].webp": (1, 1, 3)}
    for name, shape in good.items():
        files.write(folder / name, Photograph(pixels(*shape)))
    whole = (folder / "b/ä ö.jpg").read_bytes()
    (folder / "b" / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "text.png").write_text("This is no image.")
    (folder / "notes.txt").write_text("Nor is this, and nobody said so.")
    return folder, set(good)


def written(folder):
    return {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_folder(models, folder, tmp_path, capsys):
    source, good = folder
    out = tmp_path / "out"
    arguments = ("restore", "-i", source, "-o", out, "-m", models / "gray")
    assert run(*arguments) == 1
    assert written(out) == good
    captured = capsys.readouterr()
    assert "Restored 3 of 5" in captured.out
    complaints = captured.err.splitlines()
    assert len(complaints) == 3
    assert complaints[0].startswith("Passed over") and "notes.txt" in complaints[0]
    assert "cut.jpg" in complaints[1]
    assert "text.png" in complaints[2]
    for name in good:
        original = files.read(source / name).pixels
        assert files.read(out / name).pixels.shape == original.shape


def test_skip_existing(models, folder, tmp_path, capsys):
    source, good = folder
    out = tmp_path / "out"
    (source / "text.png").unlink()
    (source / "b" / "cut.jpg").unlink()
    (out / "b").mkdir(parents=True)
    (out / "a.png").write_text("kept")
    arguments = ("restore", "-i", source, "-o", out, "-m", models / "gray")
    assert run(*arguments, "--skip-existing") == 0
    assert written(out) == good
    assert (out / "a.png").read_text() == "kept"
    assert run(*arguments, "--skip-existing") == 0
    assert "already" in capsys.readouterr().out
    assert run(*arguments) == 0
    assert files.read(out / "a.png").pixels.shape == (9, 9)


def test_shards_and_reports(models, folder, tmp_path, capsys):
    source, good = folder
    out, codes, rows, complaints = tmp_path / "out", [], [], []
    for number in range(1, 5):
        report = tmp_path / f"{number}.csv"
        arguments = ("-i", source, "-o", out, "-m", models / "gray")
        shard = ("--shard", f"{number}/4", "--report", report)
        codes.append(run("restore", *arguments, *shard))
        complaints += capsys.readouterr().err.splitlines()
        with report.open(newline="", encoding="utf-8") as file:
            part = list(csv.DictReader(file))
        assert codes[-1] == any(row["error"] for row in part)
        rows += part
    assert written(out) == good
    assert len(complaints) == 3  # Each shard passes over its own.
    assert {Path(r["source"]).relative_to(source).as_posix() for r in rows} == {
        *good,
        "b/cut.jpg",
        "text.png",
    }
    for row in rows:
        name = Path(row["source"]).relative_to(source)
        assert row["target"] == str(out / name)
        assert float(row["seconds"]) > 0 and row["node"]
        assert bool(row["error"]) == (name.as_posix() not in good)

    single = tmp_path / "single"
    files.write(single / "a.png", Photograph(pixels(9, 9)))
    arguments = ("-i", single, "-o", out, "-m", models / "gray")
    assert run("restore", *arguments, "--shard", "1/16") == 0
    assert "has nothing in the shard 1/16" in capsys.readouterr().out
    assert run("restore", *arguments, "--shard", "0/16") == 2
    assert "from 1/N to N/N" in capsys.readouterr().err


def test_results_below_the_photographs_are_not_restored_again(models, folder):
    source, good = folder
    arguments = ("restore", "-i", source, "-o", source / "out", "-m", models / "gray")
    for _ in range(2):
        assert run(*arguments) == 1
        assert written(source / "out") == good


def test_photographs_are_not_replaced(models, folder, capsys):
    source, _ = folder
    before = (source / "a.png").read_bytes()
    model = ("-m", models / "gray")
    for i, o in (
        (source, source),
        (source / "a.png", source / "a.png"),
        (source / "a.png", source),
        (source / "a.png", source / "b" / ".." / "a.png"),
    ):
        assert run("restore", "-i", i, "-o", o, *model) == 2
        assert "would replace the photograph" in capsys.readouterr().err
    assert (source / "a.png").read_bytes() == before


def test_what_a_format_cannot_hold(models, tmp_path, capsys):
    files.write(tmp_path / "in.png", Photograph(pixels(9, 9, 3), pixels(9, 9)))
    arguments = ("restore", "-i", tmp_path / "in.png", "-m", models / "gray")
    assert run(*arguments, "-o", tmp_path / "out.jpg") == 1
    assert "JPEG cannot keep transparency" in capsys.readouterr().err
    assert written(tmp_path) == {"in.png"}


def test_interrupted(models, folder, tmp_path, capsys, monkeypatch):
    """What was begun is finished or taken back, and nothing else is begun."""
    source, _ = folder
    for number in range(40):
        files.write(source / f"z{number}.png", Photograph(pixels(9, 9)))
    out = tmp_path / "out"
    restore_file = photographs.restore_file
    calls = []

    def interrupted(*arguments):
        calls.append(arguments)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return restore_file(*arguments)

    monkeypatch.setattr(photographs, "restore_file", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run("restore", "-i", source, "-o", out, "-m", models / "gray")
    there = written(out)
    assert "a.png" in there
    assert len(there) < 40
    for name in there:
        original = files.read(source / name).pixels
        assert files.read(out / name).pixels.shape == original.shape


def _unsuited(tmp_path):
    image = keras.Input((None, None, 1))
    model = keras.Model(image, keras.layers.GroupNormalization(1, name="all")(image))
    model.save(tmp_path / "unsuited.keras")
    return tmp_path / "unsuited.keras"


def test_start_refused(models, folder, tmp_path, capsys):
    source, _ = folder
    one = source / "a.png"
    out = tmp_path / "out.png"
    gray = models / "gray"
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken.keras").write_text("This is no model.")
    cases = {
        (source / "none.png", out, gray): "There is no file or folder",
        (tmp_path / "empty", tmp_path / "o", gray): "There are no photographs in",
        (source, one, gray): "the output is a file",
        (one, tmp_path / "out", gray): "The output's suffix must be one of .png",
        (one, tmp_path / "out.gif", gray): "The output's suffix must be one of .png",
        (one, out, "no-such-model"): "There is no model 'no-such-model'",
        (one, out, tmp_path / "none.keras"): "There is no model file",
        (one, out, tmp_path / "broken.keras"): "broken.keras",
        (one, out, _unsuited(tmp_path)): "tile_overlap",
        (one, out, "auto"): "Say which model to take (-m), or what for (--task)",
    }
    for (i, o, m), message in cases.items():
        assert run("restore", "-i", i, "-o", o, "-m", m) == 2
        complaint = capsys.readouterr().err
        assert message in complaint
        assert complaint.count("\n") == 1
    assert run("restore", "-i", one, "-o", out, "-m", gray, "-t", -5) == 2
    assert "`tile` must be" in capsys.readouterr().err
    for arguments in ([], ["restore"], ["restore", "-t", "big"], ["no-such-command"]):
        with pytest.raises(SystemExit, match="2"):
            main(arguments)
    assert not out.exists()


@pytest.fixture
def released(models, monkeypatch):
    monkeypatch.setattr(zoo_models, "_FOLDERS", (models,))


def test_list(released, capsys):
    assert run("list") == 0
    out = capsys.readouterr().out
    for words in (("gray", "denoise sigma 25"), ("rain", "RGB"), ("x3", "sr x3")):
        line = next(line for line in out.splitlines() if words[0] in line)
        assert words[1] in line
        assert "30.12" in line


def test_demo(released, capsys, tmp_path):
    assert run("demo", "--all", "-o", tmp_path / "sheets") == 0
    out = capsys.readouterr().out
    assert written(tmp_path / "sheets") == {"gray.png", "rain.png", "x3.png"}
    for text in ("sigma 25/255", "shave 3", "rainy/clean", str(tmp_path)):
        assert text in out
    sheet = files.read(tmp_path / "sheets" / "x3.png").pixels
    assert sheet.shape == (demo.COUNT * 264, 728, 3)


def test_demo_scores(released):
    """The `x3` model is bicubic: it must score as bicubic does, and noise as noise."""
    for comparison in demo.compare("x3"):
        assert comparison.degraded.shape == comparison.original.shape
        assert comparison.restored_psnr == pytest.approx(comparison.degraded_psnr)
        assert 20 < comparison.restored_psnr < 45
    for comparison in demo.compare("gray"):
        # Sigma 25, less what clipping takes away.
        expected = 20 * np.log10(255 / 25)
        assert expected <= comparison.degraded_psnr < expected + 1.5
    first, second = (next(demo.compare("rain")) for _ in range(2))
    np.testing.assert_array_equal(first.degraded, second.degraded)


def test_the_demo_shows_each_task_once():
    shown = demo.one_a_task()
    assert "xespcn-s-x3" in shown and "xderain" in shown
    cards = [zoo_models.card(name) for name in zoo_models.list_models()]
    tasks = [zoo_models.card(name).task for name in shown]
    assert sorted(tasks) == sorted({card.task for card in cards})


def test_demo_without_models(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(zoo_models, "_FOLDERS", (tmp_path,))
    assert run("demo", "-o", tmp_path / "sheets") == 2
    assert "no released models" in capsys.readouterr().err
    assert not (tmp_path / "sheets").exists()


def test_convert_refused(tmp_path, capsys):
    (tmp_path / "bad.pkl").write_bytes(b"This is no checkpoint.")
    out = tmp_path / "out.keras"
    assert run("convert", "-i", tmp_path / "bad.pkl", "-o", out) == 2
    assert "bad.pkl" in capsys.readouterr().err
    assert run("convert", "-i", tmp_path / "bad.pkl", "-o", tmp_path / "out.h5") == 2
    assert "must end in .keras" in capsys.readouterr().err
    assert written(tmp_path) == {"bad.pkl"}


@pytest.mark.slow
def test_convert_and_restore(real_data, tmp_path):
    checkpoint = real_data / "official_xunit" / "xsrcnnf_s3_k9k3k5.pkl"
    files.write(tmp_path / "in.png", Photograph(pixels(20, 30)))
    model = tmp_path / "model.keras"
    for scale, shape in (((), (20, 30)), (("--scale", 3), (60, 90))):
        assert run("convert", "-i", checkpoint, "-o", model, *scale) == 0
        arguments = ("-i", tmp_path / "in.png", "-m", model)
        assert run("restore", *arguments, "-o", tmp_path / "out.png") == 0
        assert files.read(tmp_path / "out.png").pixels.shape == shape


def test_a_folder_of_everything_that_is_read(models, tmp_path, capsys):
    source = tmp_path / "in"
    source.mkdir()
    for name, form in (("a.png", "PNG"), ("b.gif", "GIF"), ("c.avif", "AVIF")):
        Image.fromarray(pixels(16, 16, 3)).save(source / name, form)
    Image.fromarray(pixels(16, 16, 3)).save(source / "d", "JPEG")
    (source / "e.svg").write_text("<svg/>")
    out = tmp_path / "out"
    assert run("restore", "-i", source, "-o", out, "-m", models / "x3") == 0
    assert written(out) == {"a.png", "b.gif.png", "c.avif", "d.png"}
    captured = capsys.readouterr()
    assert "Restored 4 of 4" in captured.out
    assert "e.svg" in captured.err


def test_soft_edges_get_no_fringe(tmp_path):
    """Black under transparent pixels stays out of what is seen."""
    yy, xx = np.mgrid[:48, :48]
    alpha = np.clip(20.5 - np.hypot(yy - 23.5, xx - 23.5), 0, 1)
    alpha = np.rint(255 * alpha).astype(np.uint8)
    logo = np.where(alpha[..., None] > 0, (240, 60, 40), 0).astype(np.uint8)
    files.write(tmp_path / "in.png", Photograph(logo, alpha))
    out = tmp_path / "out.png"
    arguments = ("-i", tmp_path / "in.png", "-o", out, "-m", "xsrcnn-f-x4")
    assert run("restore", *arguments) == 0
    result = files.read(out)
    opacity = result.alpha[..., None] / 255
    shown, ideal = (
        color * opacity + 255 * (1 - opacity)
        for color in (result.pixels, np.array([240, 60, 40]))
    )
    assert (ideal - shown).max() < 8


def test_strength(models, tmp_path):
    image = pixels(20, 30, 3)
    files.write(tmp_path / "in.png", Photograph(image))
    arguments = ("restore", "-i", tmp_path / "in.png", "-m", models / "gray")
    out = tmp_path / "out.png"
    assert run(*arguments, "-o", out, "--strength", 0) == 0
    np.testing.assert_array_equal(files.read(out).pixels, image)
    assert run(*arguments, "-o", out, "--strength", 0.5) == 0
    expected = xunit_keras.restore(image, models / "gray", strength=0.5)
    np.testing.assert_array_equal(files.read(out).pixels, expected)
    assert run(*arguments, "-o", tmp_path / "no.png", "--strength", 2) == 2
    assert not (tmp_path / "no.png").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--strength", 2), "`strength` must be 0"),
        (("--width", 0), "`width` must be at least 1"),
        (("--width", 90, "--height", 90), "one of width, height and scale"),
        (("--scale", 0), "`scale` must be more than 1"),
        (("--scale", 0.5), "`scale` must be more than 1"),
        (("--quality", 0), "`quality` must be 1 to 100"),
        (("--compression", 10), "`compression` must be 0 to 9"),
        (("--task", "sr"), "leave out either"),
        (("--device", "directml"), "`device` and `precision` are for what ONNX"),
        (("--precision", "float16"), "`device` and `precision` are for what ONNX"),
        (("--width", 90, "-m", "xderain"), "'xderain' does not enlarge"),
        (("-m", "auto", "--task", "denoise", "--scale", 2), "does not enlarge"),
        (("-m", "xsrcnn-f-x2", "--device", "directml"), "no 'directml' here: it has"),
        (("-m", "xsrcnn-f-x2", "--precision", "float16"), "processor does not compute"),
        (("-m", "xsrcnn-f-x2", "-e", "openvino", "--device", "auto"), "on 'openvino'"),
    ],
)
def test_options_refused(models, tmp_path, capsys, arguments, message):
    files.write(tmp_path / "in.png", Photograph(pixels(9, 9)))
    if "-m" not in arguments:
        arguments = (*arguments, "-m", models / "gray")
    command = ("restore", "-i", tmp_path / "in.png", "-o", tmp_path / "new" / "out.png")
    assert run(*command, *arguments) == 2
    complaint = capsys.readouterr().err
    assert message in complaint
    assert complaint.count("\n") == 1
    assert written(tmp_path) == {"in.png"}


@pytest.mark.parametrize(
    ("arguments", "shape"),
    [
        (("--scale", 2.5), (50, 75, 3)),
        (("--scale", 3), (60, 90, 3)),
        (("--width", 61), (41, 61, 3)),
        (("--height", 200), (200, 300, 3)),
    ],
)
def test_any_size(models, tmp_path, arguments, shape):
    """The network enlarges by 3, once or twice, as bicubic interpolation does."""
    image = np.linspace(20, 230, 20 * 30 * 3).reshape(20, 30, 3).astype(np.uint8)
    files.write(tmp_path / "in.png", Photograph(image, image[..., 0]))
    out = tmp_path / "out.png"
    command = ("restore", "-i", tmp_path / "in.png", "-o", out, "-m", models / "x3")
    assert run(*command, *arguments) == 0
    result = files.read(out)
    assert result.pixels.shape == shape
    for found, original in ((result.pixels, image), (result.alpha, image[..., 0])):
        smooth = Image.fromarray(original).resize(
            shape[1::-1], Image.Resampling.BICUBIC
        )
        assert np.abs(found.astype(int) - np.asarray(smooth)).max() <= 4


def test_an_exact_scale_is_the_network_alone(models, tmp_path):
    image = pixels(20, 30, 3)
    files.write(tmp_path / "in.png", Photograph(image))
    out = tmp_path / "out.png"
    command = ("restore", "-i", tmp_path / "in.png", "-o", out, "-m", models / "x3")
    assert run(*command, "--width", 90) == 0
    expected = xunit_keras.restore(image, models / "x3")
    np.testing.assert_array_equal(files.read(out).pixels, expected)


def test_size_of_a_photograph_that_is_larger(models, tmp_path, capsys):
    files.write(tmp_path / "in" / "a.png", Photograph(pixels(20, 30)))
    files.write(tmp_path / "in" / "b.png", Photograph(pixels(20, 80)))
    command = ("restore", "-i", tmp_path / "in", "-o", tmp_path / "out")
    assert run(*command, "-m", models / "x3", "--width", 80) == 1
    assert "80 x 20 pixels already" in capsys.readouterr().err
    assert files.read(tmp_path / "out" / "a.png").pixels.shape == (53, 80)
    assert written(tmp_path / "out") == {"a.png"}


def test_deep_photographs_of_any_size(models, tmp_path):
    deep = np.linspace(0, 65535, 20 * 30).reshape(20, 30).astype(np.uint16)
    files.write(tmp_path / "in.png", Photograph(deep))
    out = tmp_path / "out.tif"
    command = ("restore", "-i", tmp_path / "in.png", "-o", out, "-m", models / "x3")
    assert run(*command, "--scale", 2) == 0
    result = files.read(out).pixels
    assert (result.dtype, result.shape) == (np.uint16, (40, 60))
    assert len(np.unique(result)) > 1000


def test_quality_and_compression(models, tmp_path):
    random = np.random.default_rng(0)
    noise = random.integers(0, 256, (64, 64, 3)).astype(np.uint8)
    files.write(tmp_path / "in.png", Photograph(noise))

    def size(name, *arguments):
        command = ("restore", "-i", tmp_path / "in.png", "-o", tmp_path / name)
        assert run(*command, "-m", models / "gray", *arguments) == 0
        return (tmp_path / name).stat().st_size

    for name in ("out.jpg", "out.avif"):
        assert size(name, "--quality", 20) < 0.6 * size(name)
    assert size("out.png", "--compression", 0) > 64 * 64 * 3
    assert size("out.png", "--compression", 9) <= size("out.png")


def test_a_model_is_chosen(tmp_path, capsys):
    yy, xx = np.mgrid[:64, :64]
    clean = yy + xx + 60
    noise = np.random.default_rng(0).normal(0, 25, clean.shape)
    noisy = np.clip(clean + noise, 0, 255).astype(np.uint8)
    for name in ("a.png", "b.png"):
        files.write(tmp_path / "in" / name, Photograph(noisy))
    files.write(tmp_path / "in" / "c.png", Photograph(clean.astype(np.uint8)))
    command = ("restore", "-i", tmp_path / "in", "-o", tmp_path / "out")
    assert run(*command, "--task", "denoise") == 0
    out = capsys.readouterr().out
    assert out.count("xdncnn-gray-sigma25 (noise of sigma 2") == 1  # Once a choice.
    assert "c.png: xdncnn-gray-blind (noise of sigma 0 found" in out
    for name in ("a.png", "b.png"):
        np.testing.assert_array_equal(
            files.read(tmp_path / "out" / name).pixels,
            xunit_keras.restore(noisy, "xdncnn-gray-sigma25"),
        )


def test_several_models_one_after_the_other(tmp_path, capsys):
    files.write(tmp_path / "in.png", Photograph(pixels(10, 12)))
    command = ("restore", "-i", tmp_path / "in.png", "-o", tmp_path / "out.png")
    assert run(*command, "--task", "sr", "--scale", 5) == 0
    assert "xespcn-l-x2 (enlarges by 2, for gray images), then xespcn-l-x3 (" in (
        capsys.readouterr().out
    )
    assert files.read(tmp_path / "out.png").pixels.shape == (50, 60)


def test_many_photographs_at_once(tmp_path, capsys):
    """In the order of their names, each as if it were alone."""
    images = {
        f"{number:02}.png": pixels(8 + number, 9, 3, seed=number)
        for number in range(20)
    }
    images["10.png"] = pixels(700, 720, 3)  # This one gets all threads.
    for name, image in images.items():
        files.write(tmp_path / "in" / name, Photograph(image))
    command = ("restore", "-i", tmp_path / "in", "-o", tmp_path / "out")
    assert run(*command, "-m", "xsrcnn-f-x2") == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if " -> " in line]
    assert [Path(line).name for line in lines] == sorted(images)
    for name, image in images.items():
        result = files.read(tmp_path / "out" / name).pixels
        expected = xunit_keras.restore(image, "xsrcnn-f-x2")
        assert np.abs(result.astype(int) - expected).max() <= 1  # Float rounding.


def test_animations(models, tmp_path, capsys):
    first, second = (Image.fromarray(pixels(16, 24, 3, seed=s)) for s in range(2))
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("a.gif", "b.webp"):
        first.save(
            folder / name, save_all=True, append_images=[second], duration=[50, 90]
        )
    first.save(folder / "c.gif")
    command = ("restore", "-m", models / "x3")
    assert run(*command, "-i", folder, "-o", tmp_path / "out") == 0
    assert written(tmp_path / "out") == {"a.gif", "b.webp", "c.gif.png"}
    for name in ("a.gif", "b.webp"):
        with Image.open(tmp_path / "out" / name) as image:
            assert (image.n_frames, image.size) == (2, (72, 48))
    one = ("-i", folder / "a.gif", "-o", tmp_path / "a.jpg")
    assert run(*command, *one) == 2
    assert "suffix of an animation must be one of .gif" in capsys.readouterr().err


def test_names_are_printed_as_they_are(models, tmp_path, capsys):
    folder = tmp_path / ":cat:"
    files.write(tmp_path / "[red]in.png", Photograph(pixels(9, 9)))
    arguments = ("-i", tmp_path / "[red]in.png", "-m", models / "gray")
    assert run("restore", *arguments, "-o", folder / "写真.png") == 0
    assert ":cat:" in capsys.readouterr().out


def test_card(released, capsys):
    assert run("card", "gray") == 0
    card = json.loads(capsys.readouterr().out)
    assert (card["name"], card["task"], card["sigma"]) == ("gray", "denoise", [25.0])
    assert run("card", "none") == 2
    assert "There is no model 'none'" in capsys.readouterr().err


@pytest.mark.skipif(os.name == "nt", reason="links need rights on Windows")
def test_a_link_to_itself(models, tmp_path, capsys):
    files.write(tmp_path / "in.png", Photograph(pixels(9, 9)))
    (tmp_path / "loop.png").symlink_to("loop.png")
    model = ("-m", models / "gray")
    out = ("-i", tmp_path / "in.png", "-o", tmp_path / "loop.png")
    assert run("restore", *out, *model) == 1
    back = ("-i", tmp_path / "loop.png", "-o", tmp_path / "out.png")
    assert run("restore", *back, *model) == 2
    complaints = capsys.readouterr().err.splitlines()
    assert len(complaints) == 2
    assert all("loop.png" in line for line in complaints)


# As the script that pip installs, which is called xunit-keras.
_SCRIPT = """
import sys
sys.argv[0] = "xunit-keras"
from xunit_keras.cli import main
try:
    code = main()
finally:
    print("keras loaded:", "keras" in sys.modules)
sys.exit(code)
"""


def run_script(*arguments):
    return subprocess.run(
        [sys.executable, "-c", _SCRIPT, *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={k: v for k, v in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"},
    )


@pytest.mark.parametrize("arguments", [("--help",), ("restore", "--help"), ("list",)])
def test_what_does_not_wait_for_keras(arguments):
    result = run_script(*arguments)
    assert result.returncode == 0
    assert "xunit-keras" in result.stdout or "xsrcnn-f-x3" in result.stdout
    assert "keras loaded: False" in result.stdout


def test_a_terminal_that_cannot_show_a_name(tmp_path):
    files.write(tmp_path / "in.png", Photograph(pixels(9, 9)))
    arguments = ("-i", tmp_path / "in.png", "-o", tmp_path / "写真.png")
    command = [sys.executable, "-m", "xunit_keras", "restore", *arguments]
    result = subprocess.run(
        [*map(str, command), "-m", "xsrcnn-f-x2"],
        capture_output=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONIOENCODING": "cp1252"},
    )
    assert (result.returncode, result.stderr) == (0, b"")
    assert b"Restored 1 of 1" in result.stdout
    assert (tmp_path / "写真.png").is_file()


def test_script_restores_with_a_released_model(tmp_path):
    """In a fresh process, where nothing but the command line was imported."""
    files.write(tmp_path / "in.png", Photograph(pixels(9, 9)))
    out = tmp_path / "out.png"
    arguments = ("-i", tmp_path / "in.png", "-o", out, "-m", "xsrcnn-f-x3")
    result = run_script("restore", *arguments)
    assert result.returncode == 0, result.stderr
    assert "keras loaded: False" in result.stdout
    assert files.read(out).pixels.shape == (27, 27)


@pytest.mark.slow
def test_script_is_quiet(models, tmp_path):
    files.write(tmp_path / "in.png", Photograph(pixels(9, 9)))
    out = tmp_path / "out.png"
    arguments = ("-i", tmp_path / "in.png", "-o", out, "-m", models / "gray")
    result = run_script("restore", *arguments)
    assert result.returncode == 0
    assert result.stderr == ""
    assert result.stdout.startswith("Restored 1 of 1")
    assert out.exists()
