import hashlib

import numpy as np
import pytest
from PIL import Image

from pipelines import datasets


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    for name in ("b", "a", "10"):
        pixels = rng.integers(0, 256, (12, 15, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
    Image.fromarray(pixels[..., 0]).save(tmp_path / "grey.png")
    return tmp_path


def test_folder(folder):
    loaded = list(datasets.photographs(str(folder)))
    assert [p.name for p in loaded] == ["10.png", "a.png", "b.png", "grey.png"]
    assert loaded[1].pixels.shape == (12, 15, 3)
    assert loaded[3].pixels.shape == (12, 15, 1)
    np.testing.assert_array_equal(
        loaded[1].pixels, np.asarray(Image.open(folder / "a.png"))
    )


def test_sample_is_there_on_every_machine():
    sample = list(datasets.photographs(datasets.SAMPLE))
    assert len(sample) >= 3
    assert all(p.pixels.dtype == np.uint8 and p.pixels.ndim == 3 for p in sample)


def test_missing_sets_say_what_to_do(tmp_path):
    with pytest.raises(datasets.DataNotFoundError, match="--data-root"):
        list(datasets.photographs("set5", tmp_path))
    with pytest.raises(datasets.DataNotFoundError, match="no_such_thing_at_all"):
        list(datasets.photographs("no_such_thing_at_all"))
    with pytest.raises(datasets.DataNotFoundError, match="No images"):
        list(datasets.photographs(str(tmp_path)))


def test_16_bit_images_are_refused(tmp_path):
    Image.fromarray(np.full((9, 9), 3000, np.uint16)).save(tmp_path / "deep.png")
    with pytest.raises(Exception, match=r"8-bit.*uint16"):
        list(datasets.photographs(str(tmp_path)))


def test_data_root_comes_from_the_environment(monkeypatch, folder):
    (folder / "Set5").mkdir()
    (folder / "a.png").rename(folder / "Set5" / "baby.png")
    monkeypatch.setenv(datasets.ROOT_VARIABLE, str(folder))
    assert [p.name for p in datasets.photographs("set5")] == ["baby.png"]


def test_rainy_pairs(folder):
    for side in ("rainy", "clean"):
        (folder / side).mkdir()
        Image.open(folder / "a.png").save(folder / side / "1.png")
    assert datasets.has_pairs(str(folder))
    ((rainy, clean),) = datasets.rainy_pairs(str(folder))
    assert (rainy.name, clean.name) == ("1.png", "1.png")
    Image.open(folder / "a.png").save(folder / "rainy" / "2.png")
    with pytest.raises(datasets.DataNotFoundError, match="Without partner: 2"):
        datasets.rainy_pairs(str(folder))


def test_the_sample_has_drawn_rain():
    pairs = list(datasets.rainy_pairs(datasets.SAMPLE))
    again = list(datasets.rainy_pairs(datasets.SAMPLE))
    for (rainy, clean), (same, _) in zip(pairs, again, strict=True):
        np.testing.assert_array_equal(rainy.pixels, same.pixels)
        assert (rainy.pixels >= clean.pixels).all()
        assert 0.02 < (rainy.pixels > clean.pixels).mean() < 0.5
    masks = list(datasets.streak_masks(datasets.SAMPLE))
    assert masks[0].dtype == np.uint8 and masks[0].shape[2] == 1
    assert np.abs(masks[0].astype(int) - masks[1]).max() > 0


@pytest.fixture
def small_bsds500(tmp_path, monkeypatch):
    """A stand-in for BSDS500: two photographs in each split."""
    published = pytest.importorskip("pipelines.published")
    rng = np.random.default_rng(0)
    splits = {}
    for split in published.SPLITS:
        folder = tmp_path / "manual" / "BSDS500" / split
        folder.mkdir(parents=True)
        for name in ("101085", "33066"):
            pixels = rng.integers(0, 256, (8, 9, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"{name}.jpg")
        splits[split] = (2, published.digest(sorted(folder.glob("*.jpg"))))
    monkeypatch.setattr(published, "SPLITS", splits)
    return published, tmp_path


def test_builder_takes_a_folder_and_verifies_it(small_bsds500):
    published, path = small_bsds500
    import tensorflow_datasets as tfds

    def prepare(name):
        builder = published.Bsds500(data_dir=path / name)
        config = tfds.download.DownloadConfig(manual_dir=path / "manual")
        builder.download_and_prepare(download_config=config)
        return builder

    items = list(prepare("one").as_dataset(split="val").as_numpy_iterator())
    assert [item["name"].decode() for item in items] == ["101085", "33066"]
    file = path / "manual" / "BSDS500" / "val" / "101085.jpg"
    np.testing.assert_array_equal(items[0]["image"], np.asarray(Image.open(file)))
    file.write_bytes(file.read_bytes() + b"x")
    with pytest.raises(ValueError, match="not the 2 published ones"):
        prepare("two")


def test_digest_depends_on_names_and_bytes(tmp_path):
    published = pytest.importorskip("pipelines.published")
    files = [tmp_path / "a", tmp_path / "b"]
    for file in files:
        file.write_bytes(file.name.encode())
    expected = hashlib.sha256()
    for name in (b"a", b"b"):
        expected.update(name + b"\0" + hashlib.sha256(name).digest())
    assert published.digest(reversed(files)) == expected.hexdigest()


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
