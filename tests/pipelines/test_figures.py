import json
import re
import sys
from dataclasses import asdict

import numpy as np
import pytest
from networks import as_trained
from PIL import Image

import xunit_keras
from pipelines import drawing, figures, scoring, train
from xunit_keras import zoo
from xunit_keras.graphs.inspection import ActivationMaps, activation_maps
from xunit_keras.imaging.metrics import psnr

CARD = {"task": "denoise", "sigma": [15]}


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
        zoo.save(model, folders[-1], CARD)
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
    monkeypatch.setattr(sys, "argv", ["figures.py", *map(str, arguments)])
    figures.main()


def test_maps_of_a_network_and_its_twin(
    networks, picture, tmp_path, monkeypatch, capsys, drawn
):
    out = tmp_path / "new" / "maps.png"
    run(
        monkeypatch,
        *("maps", "--model", networks[0], "--twin", networks[1]),
        *("--image", picture, "--crop", 12, "--out", out),
    )
    columns, note = drawn["maps"]
    assert note == f"{picture}: noise of sigma 15; PSNR of the whole image"
    example = scoring.example(
        figures._photograph(str(picture)), scoring.Protocol("denoise", sigma=15)
    )
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
    zoo.save(model, tmp_path / "small", {"task": "sr", "scale": 2})
    run(
        monkeypatch,
        *("maps", "--model", tmp_path / "small", "--image", picture),
        *("--activation", 1, "--crop", 12, "--out", tmp_path / "maps.png"),
    )
    ((column,), _) = drawn["maps"]
    assert column.maps.layer == "xunit_1"
    assert column.after.image.shape[:2] == (12, 12)
    # Small pixels, each as two by two large ones, cover the crop.
    assert column.maps.weights.shape[0] in (12, 14)


def test_mosaic_keeps_channels_in_order():
    maps = np.arange(2 * 3 * 10, dtype="float32").reshape(2, 3, 10)
    found = drawing.mosaic(maps)
    assert found.shape == (2 * 2 + 2, 8 * 3 + 7 * 2)
    np.testing.assert_array_equal(found[:2, :3], maps[..., 0])
    np.testing.assert_array_equal(found[:2, 5:8], maps[..., 1])
    np.testing.assert_array_equal(found[4:, :3], maps[..., 8])
    assert np.isnan(found[2:4]).all() and np.isnan(found[4:, 10:]).all()


def test_the_most_active_channels_are_drawn_first():
    weights = np.zeros((4, 4, 80), "float32")
    weights[..., 70] = 1.0
    maps = ActivationMaps(
        layer="unit",
        crop=(slice(0, 4), slice(0, 4)),
        features=weights,
        weights=weights,
        mean_weight=weights.mean((0, 1)),
        near_one=weights.mean((0, 1)),
        activity=np.arange(80.0)[::-1],
    )
    panel = drawing.Panel(np.zeros((4, 4, 1)), "")
    figure = drawing.maps([drawing.Column("one", panel, panel, maps)])
    mosaics = [axes.images[0].get_array() for axes in figure.axes[2:]]
    assert all(mosaic.shape == (8 * 4 + 7 * 2,) * 2 for mosaic in mosaics)
    assert mosaics[1].max() == 0.0  # The 71st channel is not among the first 64.


def test_detail_is_found_where_it_is_but_not_at_the_border():
    image = np.zeros((80, 90, 1))
    image[40:50, 30:40] = np.random.default_rng(0).random((10, 10, 1))
    image[:10, :10] = 2 * np.random.default_rng(1).random((10, 10, 1))
    rows, columns = drawing.detailed(image, 12)
    assert rows.start <= 40 and rows.stop >= 50 and rows.stop - rows.start == 12
    assert columns.start <= 30 and columns.stop >= 40
    # Where nothing but border is left, it is in the middle; and never larger.
    assert drawing.detailed(image, 78) == (slice(1, 79), slice(6, 84))
    assert drawing.detailed(image, 100) == (slice(0, 80), slice(0, 90))


def training(folder, model, psnr_values, **changes):
    config = train.Config(
        "denoise",
        **{"model": model.name, "validation": "set12", "steps": 30, "every": 10}
        | {"data": ("sample",), "batch_size": 2, "patch_size": 16}
        | changes,
    )
    folder.mkdir()
    (folder / "training.json").write_text(json.dumps(asdict(config), default=str))
    lines = [f"{10 * i},{value}" for i, value in enumerate(psnr_values, start=1)]
    (folder / "log.csv").write_text("\n".join(["step,val_psnr", *lines, ""]))
    zoo.save(model, folder / "model", CARD)
    return folder


def test_convergence_of_two_trainings(tmp_path, monkeypatch, drawn):
    runs = [
        training(tmp_path / "a", xunit_keras.convnet(depth=3, filters=4), (20, 24, 25)),
        training(tmp_path / "b", xunit_keras.xnet(depth=2, filters=4), (19, 25, 26.5)),
    ]
    run(monkeypatch, "convergence", "--runs", *runs, "--out", tmp_path / "figure.png")
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
    tmp_path, monkeypatch
):
    model = xunit_keras.convnet(depth=2, filters=4)
    runs = [
        training(tmp_path / "a", model, (20,)),
        training(tmp_path / "b", model, (20,), seed=1, depth=2),
    ]
    with pytest.raises(SystemExit, match=r"more than the network: seed 0, 1\.$"):
        run(monkeypatch, "convergence", "--runs", *runs)
    with pytest.raises(SystemExit, match="pictures' is not the folder of a training"):
        run(monkeypatch, "convergence", "--runs", tmp_path / "pictures")


def test_comparison_of_models(networks, picture, tmp_path, monkeypatch, drawn):
    run(
        monkeypatch,
        *("compare", "--models", *networks, "--data", picture.parent),
        *("--sigma", 40, "--crop", 8, "--out", tmp_path / "sheet.png"),
    )
    titles, (row,), note = drawn["sheet"]
    assert [title.split("\n")[0] for title in titles] == [
        *("noisy", "xnet", "convnet", "original")
    ]
    assert note.startswith("noise of sigma 40")
    (example,) = scoring.examples(
        str(picture.parent), scoring.Protocol("denoise", sigma=40)
    )
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


def test_a_photograph_alone_is_rained_on_the_same_every_time():
    photograph = figures._photograph("rocket")
    protocol = scoring.Protocol("derain", channels=3)
    one, other = (scoring.example(photograph, protocol) for _ in range(2))
    np.testing.assert_array_equal(one.degraded, other.degraded)
    added = one.degraded - one.clean
    assert added.min() >= 0 and added.max() > 0.1


def test_the_center_of_an_example_is_a_smaller_example():
    example = scoring.example(
        figures._photograph("camera"), scoring.Protocol("sr", scale=3)
    )
    center = example.center(50)
    assert center.degraded.shape == (16, 16, 1)
    assert center.clean.shape == center.enlarged.shape == (48, 48, 1)
    np.testing.assert_array_equal(center.clean, example.clean[231:279, 231:279])
    np.testing.assert_array_equal(center.degraded, example.degraded[77:93, 77:93])


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
def test_errors_are_sentences(networks, picture, monkeypatch, arguments, message):
    arguments = [str(a).format(xnet=networks[0]) for a in arguments]
    if "--image" not in arguments:
        arguments += ["--image", picture]
    with pytest.raises(SystemExit, match=message):
        run(monkeypatch, "maps", *arguments)
