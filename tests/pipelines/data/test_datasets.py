import sys
import types

import numpy as np
import pytest
from PIL import Image

from pipelines.data import datasets
from pipelines.data.datasets import Photograph, Unreadable


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    for name in ("b", "a", "10"):
        pixels = rng.integers(0, 256, (12, 15, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
    Image.fromarray(pixels[..., 0]).save(tmp_path / "gray.png")
    return tmp_path


@pytest.fixture
def pairs(folder):
    """A folder of one pair, beside which other photographs lie."""
    for side in ("rainy", "clean"):
        (folder / "pairs" / side).mkdir(parents=True)
        Image.open(folder / "a.png").save(folder / "pairs" / side / "1.png")
    return folder / "pairs"


def names(items):
    return [item.name for item in items]


def test_folder(folder):
    loaded = list(datasets.photographs(str(folder)))
    assert names(loaded) == ["10.png", "a.png", "b.png", "gray.png"]
    assert loaded[1].pixels.shape == (12, 15, 3)
    assert loaded[3].pixels.shape == (12, 15, 1)
    np.testing.assert_array_equal(
        loaded[1].pixels, np.asarray(Image.open(folder / "a.png"))
    )


def test_names_tell_files_of_subfolders_apart(folder):
    (folder / "more").mkdir()
    (folder / "b.png").rename(folder / "more" / "a.png")
    loaded = names(datasets.photographs(str(folder)))
    assert loaded == ["10.png", "a.png", "gray.png", "more/a.png"]


@pytest.mark.parametrize("name", datasets.MADE)
def test_made_sets_are_there_on_every_machine(name):
    made = list(datasets.photographs(name))
    assert len(made) >= 3 and datasets.is_present(name)
    assert all(p.pixels.dtype == np.uint8 and p.pixels.ndim == 3 for p in made)
    for photograph, again in zip(made, datasets.photographs(name), strict=True):
        np.testing.assert_array_equal(photograph.pixels, again.pixels)


def test_missing_sets_say_where_was_looked_and_what_to_do(tmp_path):
    with pytest.raises(datasets.DataNotFoundError, match="--data-root") as error:
        datasets.photographs("set5", tmp_path)
    assert str(tmp_path / "Set5") in str(error.value)
    with pytest.raises(datasets.DataNotFoundError, match="no_such_thing_at_all"):
        datasets.photographs("no_such_thing_at_all")
    with pytest.raises(datasets.DataNotFoundError, match="No images") as error:
        datasets.photographs(str(tmp_path))
    assert str(tmp_path) in str(error.value)
    assert not datasets.is_present("set5", tmp_path)
    assert not datasets.is_present("no_such_thing_at_all")


@pytest.fixture
def one_of_each_fault(folder):
    """Photographs among which some are damaged, cut short, or of 16 bits."""
    (folder / "damaged.png").write_bytes(b"not an image")
    whole = (folder / "b.png").read_bytes()
    (folder / "cut.png").write_bytes(whole[: len(whole) // 2])
    (folder / "empty.png").touch()
    Image.fromarray(np.full((9, 9), 3000, np.uint16)).save(folder / "deep.png")
    return folder


def test_images_that_cannot_be_used_stand_in_their_places(one_of_each_fault):
    items = list(datasets.read(str(one_of_each_fault)))
    assert names(items) == sorted(names(items)) and len(items) == 8
    faults = {item.name: item.reason for item in items if isinstance(item, Unreadable)}
    assert set(faults) == {"damaged.png", "cut.png", "empty.png", "deep.png"}
    for name, reason in faults.items():
        assert repr(str(one_of_each_fault / name)) in reason
        assert "\n" not in reason
    assert sum(isinstance(item, Photograph) for item in items) == 4


def test_photographs_end_at_the_first_that_cannot_be_used(one_of_each_fault):
    readable = datasets.photographs(str(one_of_each_fault))
    assert [next(readable).name for _ in range(3)] == ["10.png", "a.png", "b.png"]
    with pytest.raises(ValueError, match=r"cut\.png"):
        next(readable)


def test_16_bit_images_are_refused(tmp_path):
    Image.fromarray(np.full((9, 9), 3000, np.uint16)).save(tmp_path / "deep.png")
    with pytest.raises(ValueError, match=r"8-bit.*deep\.png.*uint16"):
        list(datasets.photographs(str(tmp_path)))


def test_data_root_comes_from_the_environment(monkeypatch, folder):
    (folder / "Set5").mkdir()
    (folder / "a.png").rename(folder / "Set5" / "baby.png")
    monkeypatch.setenv(datasets.ROOT_VARIABLE, str(folder))
    assert names(datasets.photographs("set5")) == ["baby.png"]
    assert datasets.is_present("set5")


def test_parts_of_a_published_set(monkeypatch, folder):
    for name, part in {
        "whole": datasets.Published("."),
        "some": datasets.Published(".", only=("a", "10")),
        "others": datasets.Published(".", without=("a", "10")),
    }.items():
        monkeypatch.setitem(datasets.PUBLISHED, name, part)
    stems = {
        name: [path.stem for path in datasets.files(name, folder)]
        for name in ("whole", "some", "others")
    }
    assert stems == {
        "whole": ["10", "a", "b", "gray"],
        "some": ["10", "a"],
        "others": ["b", "gray"],
    }


def test_pairs(pairs):
    assert datasets.has_pairs(str(pairs)) and not datasets.has_pairs(str(pairs.parent))
    (pair,) = datasets.read_pairs(str(pairs))
    assert (pair.degraded.name, pair.clean.name) == ("1.png", "1.png")
    Image.open(pairs.parent / "a.png").save(pairs / "rainy" / "2.png")
    with pytest.raises(datasets.DataNotFoundError, match="Without partner: 2"):
        datasets.read_pairs(str(pairs))


def test_pairs_of_a_published_set_lie_in_the_data_root(monkeypatch, pairs):
    monkeypatch.setitem(datasets.PUBLISHED, "mine", datasets.Published("pairs"))
    assert datasets.has_pairs("mine", pairs.parent)
    assert len(list(datasets.read_pairs("mine", pairs.parent))) == 1
    with pytest.raises(datasets.DataNotFoundError, match="rainy/ and clean/") as error:
        datasets.read_pairs("mine", pairs)
    assert str(pairs / "pairs") in str(error.value)


def test_pairs_that_cannot_be_used(pairs):
    for name in ("2", "3"):
        Image.open(pairs / "clean" / "1.png").save(pairs / "clean" / f"{name}.png")
    (pairs / "rainy" / "2.png").write_bytes(b"not an image")
    Image.new("RGB", (12, 15)).save(pairs / "rainy" / "3.png")
    whole, damaged, turned = datasets.read_pairs(str(pairs))
    assert whole.clean.name == "1.png"
    assert damaged.name == "2.png" and str(pairs / "rainy" / "2.png") in damaged.reason
    assert turned.name == "3.png" and "12x15" in turned.reason
    assert str(pairs / "rainy" / "3.png") in turned.reason


def test_rainy_images_are_no_clean_ones(pairs):
    """However pairs are reached, what stands for photographs is their clean half."""
    assert [path.parent.name for path in datasets.files(str(pairs))] == ["clean"]
    above = names(datasets.photographs(str(pairs.parent)))
    assert "pairs/clean/1.png" in above and len(above) == 5
    assert not any("rainy" in name for name in above)
    # By its name, or without a clean half, a folder is what its user says.
    assert names(datasets.photographs(str(pairs / "rainy"))) == ["1.png"]
    (pairs / "clean").rename(pairs / "other")
    assert "pairs/rainy/1.png" in names(datasets.photographs(str(pairs.parent)))


def test_drawn_streaks():
    masks = list(datasets.streak_masks(datasets.SAMPLE))
    assert masks[0].dtype == np.uint8 and masks[0].shape[2] == 1
    assert np.abs(masks[0].astype(int) - masks[1]).max() > 0


def test_terms():
    assert datasets.terms(("sample", "my/folder")) == ""
    said = datasets.terms(("t91", "my/folder", "bsds500-train"))
    assert said == "t91, bsds500-train: published for research"


class FakeBuilder:
    """What `tensorflow_datasets.builder` gives, as far as it is used."""

    def __init__(self, features, images, fault=None):
        self.info = types.SimpleNamespace(features=features)
        self.images, self.fault = images, fault

    def download_and_prepare(self):
        if self.fault:
            raise self.fault

    def as_dataset(self, split, shuffle_files):
        assert split == "validation" and not shuffle_files
        items = [{"image": image} for image in self.images]
        return types.SimpleNamespace(as_numpy_iterator=lambda: iter(items))


@pytest.fixture
def fake_tfds(monkeypatch):
    """Puts a stand-in in the place of TensorFlow Datasets, which gives one builder."""

    class Feature:
        pass

    def offer(images, features=("image",), fault=None):
        features = dict.fromkeys(features, Feature())
        module = types.ModuleType("tensorflow_datasets")
        module.features = types.SimpleNamespace(Image=Feature)
        module.builder = lambda name: FakeBuilder(features, images, fault)
        monkeypatch.setitem(sys.modules, "tensorflow_datasets", module)

    return offer


def test_tensorflow_datasets(fake_tfds):
    images = [np.full((9, 8, c), c, t) for c, t in ((3, "u1"), (4, "u1"), (1, "u2"))]
    fake_tfds(images)
    good, alpha, deep = datasets.read("theirs:validation")
    assert good.name == "0" and good.pixels is images[0]
    assert alpha.name == "1" and "(9, 8, 4)" in alpha.reason
    assert deep.name == "2" and "uint16" in deep.reason


def test_tensorflow_datasets_that_cannot_be_had(fake_tfds):
    fake_tfds([], features=("label",))
    with pytest.raises(datasets.DataNotFoundError, match="no feature 'image'"):
        datasets.read("theirs:validation")
    fake_tfds([], fault=OSError("no network\nand so on"))
    with pytest.raises(datasets.DataNotFoundError, match=r"'theirs.*: no network$"):
        datasets.read("theirs:validation")


def test_nothing_leaks(real_data):
    """No list that training reads holds a picture that a test set holds."""
    tested = {path.stem for path in datasets.files("bsd100", real_data)}
    assert set(datasets.BSD68_IDS) < tested and len(datasets.BSD68_IDS) == 68
    for name in datasets.PUBLISHED:
        if name.startswith("bsds500"):
            assert not datasets.PUBLISHED[name].test_set
            training = {path.stem for path in datasets.files(name, real_data)}
            assert not training & tested
            if name.endswith("rainless"):
                assert not training & set(datasets.RAIN12_IDS)
                plain = name.removesuffix("-rainless")
                everything = {p.stem for p in datasets.files(plain, real_data)}
                assert everything - training <= set(datasets.RAIN12_IDS)
    both = ("bsds500-train", "bsds500-test")
    scenes = {p.stem for name in both for p in datasets.files(name, real_data)}
    assert set(datasets.RAIN12_IDS) <= scenes
