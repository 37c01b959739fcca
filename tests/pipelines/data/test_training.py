from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from pipelines.data import datasets
from pipelines.data.training import patch_source
from xunit_keras import tasks
from xunit_keras.imaging.resize import imresize


def configuration(task, data, **changes):
    settings = {
        "target": task,
        "data": tuple(map(str, data)),
        "data_root": None,
        "shrink": (1.0,),
        "streaks": datasets.SAMPLE,
        "shuffle_channels": False,
        "patch_size": 12,
        "batch_size": 32,
        "seed": 0,
    }
    return SimpleNamespace(**{**settings, **changes})


def save(folder, level, *names, size=(40, 40)):
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        Image.new("RGB", size, (level,) * 3).save(folder / name)


@pytest.fixture
def photographs(tmp_path):
    save(tmp_path / "photographs", 10, "a.png", "b.png")
    return tmp_path / "photographs"


@pytest.fixture
def pairs(tmp_path):
    save(tmp_path / "pairs" / "rainy", 250, "1.png", "2.png")
    save(tmp_path / "pairs" / "clean", 20, "1.png", "2.png")
    return tmp_path / "pairs"


def levels(batch):
    """The level of each patch, of the degraded and of the clean side, in 0..255."""
    return [np.rint(255 * side.numpy().mean(axis=(1, 2, 3))) for side in batch]


def test_clean_images_are_the_targets_whatever_lies_side_by_side(photographs, pairs):
    both = (photographs, pairs)
    source = patch_source(configuration(tasks.create("derain"), both))
    degraded, clean = levels(source.batch(0))
    assert set(clean) == {10, 20}
    assert set(degraded[clean == 20]) == {250}
    # What falls on the others is drawn, and never as bright as that all over.
    assert degraded[clean == 10].max() < 200
    # For another task, and from the folder above, the clean half is photographs.
    for task, data in (
        (tasks.create("denoise", sigma=(0,)), both),
        (tasks.create("sr", scale=2, channels=3), both),
        (tasks.create("derain"), [pairs.parent]),
    ):
        source = patch_source(configuration(task, data))
        assert set(levels(source.batch(0))[1]) == {10, 20}


def test_pairs_alone_need_no_streaks(pairs):
    config = configuration(tasks.create("derain"), [pairs], streaks="no/such/folder")
    degraded, clean = levels(patch_source(config).batch(0))
    assert set(degraded) == {250} and set(clean) == {20}


def test_shrunk_copies_stand_behind_the_photographs(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    heights = {"denoise": [40, 20], "sr": [39, 18]}  # of multiples of the scale
    for name, expected in heights.items():
        config = configuration(tasks.create(name), [tmp_path], shrink=(1.0, 0.5))
        assert patch_source(config).clean.heights.numpy().tolist() == expected
    config = configuration(tasks.create("denoise", channels=3), [tmp_path])
    config.shrink = (0.5,)
    np.testing.assert_array_equal(
        patch_source(config).clean.pixels, imresize(pixels, 0.5).ravel()
    )


def test_small_images_are_left_out_and_named(photographs, capsys):
    save(photographs, 99, "tiny.png", size=(11, 50))
    config = configuration(tasks.create("denoise"), [photographs], shrink=(1.0, 0.25))
    assert len(patch_source(config).skipped) == 4
    printed = capsys.readouterr().out
    assert printed.startswith("4 of 6 images, copies by --shrink included, are smaller")
    assert printed.endswith(
        "left out: tiny.png, a.png x0.25, b.png x0.25, tiny.png x0.25.\n"
    )
    patch_source(configuration(tasks.create("denoise"), ["sample"]))
    assert capsys.readouterr().out == ""


def test_many_small_images_are_not_all_named(photographs, capsys):
    save(photographs, 0, *(f"{number}.png" for number in range(9)), size=(5, 5))
    patch_source(configuration(tasks.create("denoise"), [photographs]))
    assert "left out: 0.png, 1.png, 2.png, 3.png, 4.png and 4 more." in (
        capsys.readouterr().out
    )


@pytest.mark.parametrize("name", tasks.TASKS)
def test_a_damaged_image_is_named(photographs, pairs, name):
    (photographs / "b.png").write_bytes(b"not an image")
    (pairs / "rainy" / "2.png").write_bytes(b"not an image")
    task = tasks.create(name)
    with pytest.raises(ValueError, match=r"photographs/b\.png") as error:
        patch_source(configuration(task, [photographs]))
    assert "\n" not in str(error.value)
    if name == "derain":
        with pytest.raises(ValueError, match=r"pairs/rainy/2\.png"):
            patch_source(configuration(task, [pairs]))


def test_a_missing_set_names_the_folder(tmp_path):
    for changes in ({"data": ("t91",)}, {"streaks": "streaks"}):
        config = configuration(tasks.create("derain"), ["sample"], data_root=tmp_path)
        vars(config).update(changes)
        with pytest.raises(datasets.DataNotFoundError) as error:
            patch_source(config)
        assert str(tmp_path) in str(error.value)


def test_drawn_patches_among_photographs():
    task = tasks.create("denoise", channels=3, sigma=(0,))
    config = configuration(task, ["sample", "drawn"], batch_size=256)
    _, clean = patch_source(config).batch(0)
    flat = np.ptp(clean.numpy(), axis=(1, 2)).max(axis=1) == 0
    assert 0.1 < flat.mean() < 0.9
    config.shuffle_channels = True
    assert patch_source(config).shuffle_channels
