import numpy as np
import pytest
from PIL import Image, ImageEnhance

from pipelines.data import datasets
from pipelines.data.datasets import Unreadable
from pipelines.data.examples import examples, first_examples
from xunit_keras import tasks
from xunit_keras.imaging.files import read
from xunit_keras.imaging.pixels import to_float
from xunit_keras.tasks import Example


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    for number in range(3):
        pixels = rng.integers(0, 256, (31, 26, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
    return tmp_path


@pytest.fixture
def pairs(folder):
    for side, brightness in (("rainy", 1.0), ("clean", 0.5)):
        (folder / side).mkdir()
        for path in folder.glob("*.png"):
            image = ImageEnhance.Brightness(Image.open(path)).enhance(brightness)
            image.save(folder / side / path.name)
    return folder


@pytest.mark.parametrize(
    "task",
    [
        tasks.create("denoise"),
        tasks.create("denoise", channels=3, sigma=(0, 55)),
        tasks.create("sr", scale=4),
    ],
    ids=str,
)
def test_photographs_are_degraded_as_the_task_is_scored(folder, task):
    found = list(examples(str(folder), task))
    assert [example.name for example in found] == ["0.png", "1.png", "2.png"]
    for example in found:
        pixels = read(folder / example.name).pixels
        expected = task.scored().example(example.name, pixels)
        for array, same in zip(example[1:], expected[1:], strict=True):
            np.testing.assert_array_equal(array, same)


def test_an_image_alone_is_degraded_as_among_others(folder):
    task = tasks.create("denoise")
    *_, among = examples(str(folder), task)
    for name in ("0.png", "1.png"):
        (folder / name).unlink()
    (alone,) = examples(str(folder), task)
    np.testing.assert_array_equal(alone.degraded, among.degraded)


def test_pairs_are_scored_as_they_are(pairs):
    found = list(examples(str(pairs), tasks.create("derain")))
    assert [example.name for example in found] == ["0.png", "1.png", "2.png"]
    for example in found:
        rainy, clean = (
            to_float(read(pairs / side / example.name).pixels)
            for side in ("rainy", "clean")
        )
        np.testing.assert_array_equal(example.degraded, rainy)
        np.testing.assert_array_equal(example.clean, clean)
    # For another task, the clean ones are photographs.
    for example in examples(str(pairs / "clean"), tasks.create("denoise")):
        clean = to_float(read(pairs / "clean" / example.name).pixels)
        assert example.clean.shape[:2] == clean.shape[:2]
    names = [e.name for e in examples(str(pairs), tasks.create("denoise"))]
    assert not any("rainy" in name for name in names)


def test_rain_is_not_scored_without_pairs(folder):
    with pytest.raises(datasets.DataNotFoundError, match="rainy/ and clean/"):
        examples(str(folder), tasks.create("derain"))


@pytest.mark.parametrize("name", datasets.MADE)
def test_made_sets_have_drawn_rain(name):
    task = tasks.create("derain")
    found, again = (first_examples(name, task, None, 3) for _ in range(2))
    assert len(found) == 3
    shares = []
    for example, same in zip(found, again, strict=True):
        np.testing.assert_array_equal(example.degraded, same.degraded)
        assert (example.degraded >= example.clean).all()
        shares.append((example.degraded > example.clean).mean())
    assert 0.02 < max(shares) < 0.5


def test_what_cannot_be_scored_is_said_in_its_place(folder):
    (folder / "1.png").write_bytes(b"not an image")
    Image.new("L", (40, 12)).save(folder / "small.png")
    for task in (tasks.create("denoise"), tasks.create("sr", scale=3)):
        found = list(examples(str(folder), task))
        assert [example.name for example in found] == [
            *("0.png", "1.png", "2.png", "small.png")
        ]
        kinds = [type(example) for example in found]
        # 12 rows are enough for SSIM, but not when the scale is left out twice.
        last = Unreadable if task.shave else Example
        assert kinds == [Example, Unreadable, Example, last]
        assert str(folder / "1.png") in found[1].reason
    assert "'small.png' is too small" in found[3].reason
    assert "40x12" in found[3].reason
    assert len(first_examples(str(folder), task, None, 1)) == 1
    with pytest.raises(ValueError, match=r"1\.png"):
        first_examples(str(folder), task, None, 2)


@pytest.mark.parametrize("side", [1, 2, 10])
@pytest.mark.parametrize("name", tasks.TASKS)
def test_tiny_images(tmp_path, name, side):
    for half in ("rainy", "clean"):
        (tmp_path / half).mkdir()
        Image.new("RGB", (side, side)).save(tmp_path / half / "tiny.png")
    (found,) = examples(str(tmp_path), tasks.create(name))
    assert isinstance(found, Unreadable) and "tiny.png" in found.reason


def test_a_missing_set_is_told_at_the_call(tmp_path):
    for name in tasks.TASKS:
        with pytest.raises(datasets.DataNotFoundError) as error:
            examples("rain12", tasks.create(name), tmp_path)
        assert str(tmp_path / "Rain12") in str(error.value)


def test_rain12(real_data):
    (example, *_) = first_examples("rain12", tasks.create("derain"), real_data, 2)
    assert (example.degraded >= example.clean).all()
