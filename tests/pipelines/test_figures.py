import json
import re
import sys
import types
from dataclasses import asdict

import numpy as np
import pytest
from networks import as_trained
from PIL import Image

import xunit_keras
from pipelines import drawing, figures, program
from pipelines.configuration import Config
from pipelines.data.examples import first_examples
from xunit_keras import tasks, zoo
from xunit_keras.benchmark import Measurement
from xunit_keras.graphs.inspection import activation_maps
from xunit_keras.imaging.metrics import psnr
from xunit_keras.runtime.models import Card

NOISE = tasks.create("denoise", sigma=(15,))


def card_of(task):
    return Card(name="", network="none", parameters=0, **task.as_card())


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "pictures" / "noise.png"
    path.parent.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (40, 56), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture(scope="module")
def networks(tmp_path_factory):
    """Folders of an xNet and of its ReLU twin."""
    tmp_path, folders = tmp_path_factory.mktemp("networks"), []
    for build in (xunit_keras.xnet, xunit_keras.convnet):
        model = as_trained(build(depth=3, filters=10))
        folders.append(tmp_path / model.name / "model")
        zoo.save(model, folders[-1], card_of(NOISE))
    return folders


@pytest.fixture
def drawn(monkeypatch):
    """What the figures are drawn from, by name of the drawing."""
    calls = {}

    def spied(name, draw):
        def spy(*arguments):
            calls[name] = arguments
            return draw(*arguments)

        return spy

    for name in ("maps", "convergence", "sheet"):
        monkeypatch.setattr(drawing, name, spied(name, getattr(drawing, name)))
    return calls


def run(monkeypatch, *arguments):
    """Runs the program; the error is in the exit code, 0 without."""
    monkeypatch.setattr(sys, "argv", ["figures.py", *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        program.run(figures.main, "figures.py")
    return end.value.code


def test_maps_of_a_network_and_its_twin(
    networks, picture, tmp_path, monkeypatch, capsys, drawn
):
    out = tmp_path / "new" / "maps.png"
    assert not run(
        monkeypatch,
        *("maps", "--model", networks[0], "--twin", networks[1]),
        *("--image", picture, "--crop", 12, "--out", out),
    )
    columns, note = drawn["maps"]
    assert note == f"{picture}: noise of sigma 15; PSNR of the whole image"
    example = NOISE.example(str(picture), figures._pixels(str(picture)))
    printed = capsys.readouterr().out
    for column, folder in zip(columns, networks, strict=True):
        model = zoo.load(folder)
        assert column.title.startswith(f"{model.name} (")
        # The twins see the same noise, and are drawn in the same place.
        rows, cols = column.maps.crop
        assert (rows, cols) == drawing.detailed(example.clean, 12)
        name = {"xnet": "xunit_2", "convnet": "relu_2"}[model.name]
        expected = activation_maps(model, example.degraded, crop=(rows, cols))[name]
        assert column.maps.layer == name
        np.testing.assert_allclose(column.maps.weights, expected.weights, atol=1e-5)
        restored = model.predict_on_batch(example.degraded[None])[0].clip(0, 1)
        caption = f"restored {psnr(restored, example.clean):.2f} dB"
        assert column.after.caption == caption
        line = re.search(rf"{name}.*", printed).group()
        assert f"{expected.effective_channels:.1f}" in line
        assert f"{expected.mean_weight.mean():.3f}" in line
    image = Image.open(out)
    assert image.width > 800 and out.stat().st_size < 600_000


def test_super_resolution_is_drawn_in_pixels_of_the_truth(
    picture, tmp_path, monkeypatch, drawn
):
    model = as_trained(xunit_keras.xsrcnn_f(scale=2, kernel_size=3))
    zoo.save(model, tmp_path / "small", card_of(tasks.create("sr", scale=2)))
    assert not run(
        monkeypatch,
        *("maps", "--model", tmp_path / "small", "--image", picture),
        *("--activation", 1, "--crop", 12, "--out", tmp_path / "maps.png"),
    )
    ((column,), _) = drawn["maps"]
    assert column.maps.layer == "xunit_1"
    assert column.after.image.shape[:2] == (12, 12)
    # Small pixels, each as two by two large ones, cover the crop.
    assert column.maps.weights.shape[0] in (12, 14)


def training(folder, model, psnr_values, **changes):
    config = Config(
        NOISE.name,
        **{"model": model.name, "validation": "set12", "steps": 30, "every": 10}
        | {"data": ("sample",), "batch_size": 2, "patch_size": 16}
        | changes,
    )
    folder.mkdir()
    (folder / "training.json").write_text(json.dumps(asdict(config), default=str))
    lines = [f"{10 * i},{value}" for i, value in enumerate(psnr_values, start=1)]
    (folder / "log.csv").write_text("\n".join(["step,val_psnr", *lines, ""]))
    zoo.save(model, folder / "model", card_of(NOISE))
    return folder


def test_convergence_of_two_trainings(tmp_path, monkeypatch, drawn):
    runs = [
        training(tmp_path / "a", xunit_keras.convnet(depth=3, filters=4), (20, 24, 25)),
        training(tmp_path / "b", xunit_keras.xnet(depth=2, filters=4), (19, 25, 26.5)),
    ]
    out = tmp_path / "figure.png"
    assert not run(monkeypatch, "convergence", "--runs", *runs, "--out", out)
    curves, data, note = drawn["convergence"]
    assert [(curve.steps, curve.psnr) for curve in curves] == [
        ([10, 20, 30], [20.0, 24.0, 25.0]),
        ([10, 20, 30], [19.0, 25.0, 26.5]),
    ]
    # 9 * (4 + 4 * 4 + 4) + 2 * 2 * 4, and 9 * (4 + 4) + 85 * 4.
    assert [curve.label for curve in curves] == [
        "convnet, 3 layers, 232 parameters",
        "xnet, 2 layers, 412 parameters",
    ]
    assert data == "the first 12 images of set12" and "2 patches of 16x16" in note
    assert Image.open(tmp_path / "figure.png").width > 600


def test_trainings_that_differ_in_more_than_the_network_are_refused(
    tmp_path, monkeypatch, capsys
):
    model = xunit_keras.convnet(depth=2, filters=4)
    runs = [
        training(tmp_path / "a", model, (20,)),
        training(tmp_path / "b", model, (20,), seed=1, depth=2),
    ]
    assert run(monkeypatch, "convergence", "--runs", *runs) == 1
    said = capsys.readouterr().err
    assert said.endswith("more than the network: seed 0, 1.\n")
    assert run(monkeypatch, "convergence", "--runs", tmp_path / "pictures") == 1
    assert "pictures' is not the folder of a training" in capsys.readouterr().err


def test_comparison_of_models(networks, picture, tmp_path, monkeypatch, drawn):
    assert not run(
        monkeypatch,
        *("compare", "--models", *networks, "--data", picture.parent),
        *("--sigma", 40, "--crop", 8, "--out", tmp_path / "sheet.png"),
    )
    titles, (row,), note = drawn["sheet"]
    assert [title.split("\n")[0] for title in titles] == [
        *("noisy", "xnet", "convnet", "original")
    ]
    assert note.startswith("noise of sigma 40")
    task = tasks.create("denoise", sigma=(40,))
    (example,) = first_examples(str(picture.parent), task, None, 4)
    crop = drawing.detailed(example.clean, 8)
    results = [example.degraded] + [
        zoo.load(folder).predict_on_batch(example.degraded[None])[0]
        for folder in networks
    ]
    for panel, image in zip(row, results, strict=False):
        image = image.clip(0, 1)
        np.testing.assert_allclose(panel.image, image[crop], atol=1e-5)
        assert panel.caption == f"{psnr(image, example.clean):.2f} dB"
    np.testing.assert_array_equal(row[3].image, example.clean[crop])
    assert row[3].caption == "noise"


def test_gallery_of_the_tasks(tmp_path, monkeypatch, capsys):
    """With another method where there is one, and the time of each."""
    shown, sheets = ["xnet-100k-sigma25", "xsrcnn-f-x3"], []
    black = np.zeros((60, 48, 3), np.uint8)
    small = dict.fromkeys(figures.demo.NAMES, black)
    small["chelsea"] = np.random.default_rng(0).integers(0, 256, (60, 48, 3), np.uint8)
    other = types.SimpleNamespace(bm3d_rgb=lambda image, sigma: image * 0)
    monkeypatch.setattr(figures.demo, "one_a_task", lambda: shown)
    monkeypatch.setattr(figures, "sample_photographs", lambda: small)
    spied = drawing.sheet
    monkeypatch.setattr(
        drawing, "sheet", lambda *a, **k: (sheets.append(a), spied(*a, **k))[1]
    )
    arguments = ("gallery", "--crop", 12, "--rounds", 1, "--out", tmp_path / "new")
    monkeypatch.setitem(sys.modules, "bm3d", None)
    assert not run(monkeypatch, *arguments)
    assert "BM3D is left out: pip install bm3d" in capsys.readouterr().out
    monkeypatch.setitem(sys.modules, "bm3d", other)
    assert not run(monkeypatch, *arguments)
    titles = [sheet[0] for sheet in sheets]
    assert titles[0] == ["noisy", shown[0], "original"]
    assert titles[2] == ["noisy", "BM3D", shown[0], "original"]
    assert titles[1] == titles[3] == ["input", "bicubic", shown[1], "original"]
    _, ((noisy, black, ours, truth),), note = sheets[2]
    assert (truth.caption, black.image.max()) == ("chelsea", 0)
    assert re.fullmatch(r"\d+\.\d\d dB, \d+ ms", ours.caption), ours.caption
    assert float(ours.caption.split()[0]) > float(noisy.caption.split()[0]) - 3
    assert note == (
        "noise of sigma 25; PSNR and processor time of the whole, 48x60 pixels"
    )
    names = sorted(path.name for path in (tmp_path / "new").iterdir())
    assert names == ["gallery-denoise.png", "gallery-sr.png"]


@pytest.mark.parametrize("name", tasks.TASKS)
def test_every_task_has_words_for_its_pictures(name, picture, monkeypatch, drawn):
    task = tasks.create(name)
    model = xunit_keras.models.find(task.training.model)
    model = model.build(**model.suited(task))
    monkeypatch.setattr(figures.evaluate, "load_model", lambda _: model)
    monkeypatch.setattr(figures.evaluate, "find_card", lambda _: card_of(task))
    config = figures.Compare(("a",), limit=1, crop=16, out=picture.with_name("c.png"))
    figures.draw_comparison(config)
    titles, (row,), note = drawn["sheet"]
    assert titles[0] == task.degraded_title and titles[-1] == "original"
    assert note == f"{task.degradation}; PSNR of the whole image"
    assert len(row) == len(titles) == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--model", "nobody"), "figures.py: There is no model 'nobody'"),
        (("--model", "{xnet}", "--image", "nothing.png"), "no such file"),
        (("--model", "{xnet}", "--activation", 3), "1 to 2. Received: activation=3"),
        (("--model", "{xnet}", "--crop", 0), "Received: crop=0"),
        (("--model", "{xnet}", "--twin", "xsrcnn-f-x3"), "restore different things"),
    ],
)
def test_errors_are_sentences(
    networks, picture, monkeypatch, capsys, arguments, message
):
    arguments = [str(a).format(xnet=networks[0]) for a in arguments]
    if "--image" not in arguments:
        arguments += ["--image", picture]
    assert run(monkeypatch, "maps", *arguments) == 1
    said = capsys.readouterr().err
    assert message in said and said.count("\n") == 1


def test_prices_of_the_released_networks(tmp_path, monkeypatch, capsys):
    def measured(names, on, *_):
        assert "xespcn-s-x3" in names and on == ("onnxruntime",)
        costs = {"spread": 0.0, "peak_share": 0.1, "memory_mb": 1.0, "file_mb": 0.1}
        return [
            Measurement(
                model=name,
                engine=on[0],
                ms_per_megapixel=50.0,
                gigamacs_per_megapixel=1.4,
                ratio_to_twin=None,
                **costs,
            )
            for name in ("fsrcnn-x3", "unknown-x3", "xespcn-s-x3")
        ]

    monkeypatch.setattr(figures, "benchmark", measured)
    assert not run(monkeypatch, "prices", "--out", tmp_path / "prices.png")
    out = capsys.readouterr().out
    assert "fsrcnn-x3, published: 33.16 dB, 1,400 MAC/pixel, 50.0 ms" in out
    assert "xespcn-s-x3: 33.39 dB, 1,400 MAC/pixel" in out
    assert "unknown" not in out
    assert Image.open(tmp_path / "prices.png").size[0] > 600
    assert run(monkeypatch, "prices", "--scale", 7, "--out", tmp_path / "x.png") == 1
    assert "No released model has a score" in capsys.readouterr().err
