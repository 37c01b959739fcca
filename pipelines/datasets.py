"""Data sets by name: published sets, folders, TensorFlow Datasets, and the sample.

`load("set5", root)` gives a `tf.data.Dataset` of decoded photographs. Published
sets are read from the folder `root` where the user keeps them, and otherwise
through the builders of `published.py`, which download what has a stable home.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from xunit_keras import images
from xunit_keras.photographs import sample_photographs
from xunit_keras.rain import draw_rain, draw_streaks

ROOT_VARIABLE = "XUNIT_KERAS_DATA"
SAMPLE = "sample"
_DRAWN_MASKS, _DRAWN_SIZE = 20, (320, 480)

# The 68 photographs of BSDS500/val that BSD68 shows in grey, in BSD68's order.
BSD68_IDS = tuple(
    (
        "101085 101087 102061 103070 105025 106024 108005 108070 108082 109053 119082 "
        "12084 123074 126007 130026 134035 14037 143090 145086 147091 148026 148089 "
        "157055 159008 160068 16077 163085 167062 167083 170057 175032 175043 182053 "
        "189080 19021 196073 197017 208001 210088 21077 216081 219090 220075 223061 "
        "227092 229036 236037 24077 241004 241048 253027 253055 260058 271035 285079 "
        "291000 295087 296007 296059 299086 300091 302008 304034 304074 306005 3096 "
        "33039 351093"
    ).split()
)
# The photographs of BSDS500 that Rain12 shows in the rain.
RAIN12_IDS = tuple(
    (
        "33066 76002 159045 173036 5096 69000 69007 48025 79073 97010 202000 384022"
    ).split()
)


@dataclass(frozen=True)
class Published:
    """A published set as a folder below the data root.

    Attributes:
        folder: Where its images lie.
        only: Names, without suffix, of the files that belong to it; empty for all.
        without: Names of files that do not.
        test_set: Whether it, or part of it, is what models are scored on. Such a
            set is refused for training.
    """

    folder: str
    only: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    test_set: bool = False


PUBLISHED = {
    "bsd400": Published("BSD400"),
    "bsds500-train": Published("BSDS500/train"),
    "bsds500-test": Published("BSDS500/test"),
    "bsds500-train-rainless": Published("BSDS500/train", without=RAIN12_IDS),
    "bsds500-test-rainless": Published("BSDS500/test", without=RAIN12_IDS),
    "t91": Published("T91"),
    "bsd68": Published("BSD68", test_set=True),
    "bsd100": Published("BSDS500/val", test_set=True),
    "cbsd68": Published("BSDS500/val", only=BSD68_IDS, test_set=True),
    "set5": Published("Set5", test_set=True),
    "set12": Published("Set12", test_set=True),
    "set14": Published("Set14", test_set=True),
    "rain12": Published("Rain12", test_set=True),
    "streaks": Published("rain_streaks/rain100l"),
    "streaks-fu": Published("rain_streaks/fu_val20"),
}


class Photograph(NamedTuple):
    """A decoded image, `(height, width, 1 or 3)` uint8, and its name."""

    name: str
    pixels: np.ndarray


class DataNotFoundError(ValueError):
    """A data set is neither in the data root nor to be had otherwise."""


def data_root(root: Path | None = None) -> Path:
    """The folder of the published sets: `root`, `$XUNIT_KERAS_DATA`, or `data`."""
    return Path(root or os.environ.get(ROOT_VARIABLE) or "data")


def is_present(name: str, root: Path | None = None) -> bool:
    """Whether a published set lies in the data root."""
    return (data_root(root) / PUBLISHED[name].folder).is_dir()


def files(name: str, root: Path | None = None) -> list[Path]:
    """The image files of a published set or a folder, sorted.

    Raises:
        DataNotFoundError: There are none.
    """
    if name in PUBLISHED:
        published = PUBLISHED[name]
        folder = data_root(root) / published.folder
        found = [
            path
            for path in (images.find(folder) if folder.is_dir() else ())
            if (not published.only or path.stem in published.only)
            and path.stem not in published.without
        ]
    else:
        folder = Path(name)
        found = images.find(folder) if folder.is_dir() else []
    if not found:
        raise DataNotFoundError(
            f"No images of the data set {name!r} in {str(folder)!r}. Give a folder of "
            f"images, one of {', '.join((SAMPLE, *PUBLISHED))} with --data-root (or "
            f"${ROOT_VARIABLE}) naming where they lie, or a TensorFlow Datasets name."
        )
    return found


def load(name: str, root: Path | None = None) -> tf.data.Dataset:
    """The photographs of a data set.

    Args:
        name: A key of `PUBLISHED`, `"sample"`, a folder, or a TensorFlow Datasets
            name (`"div2k"`, `"div2k/bicubic_x4:train"`) with an image feature.
        root: Folder of the published sets, see `data_root`.

    Returns:
        A data set of `{"name": string, "image": uint8 (height, width, 1 or 3)}`.

    Raises:
        DataNotFoundError: There is no such data set.
    """
    if name == SAMPLE:
        sample = sample_photographs()
        return _from_generator(lambda: sample.items())
    if name in PUBLISHED and not is_present(name, root):
        return _download(name)
    if name not in PUBLISHED and not Path(name).exists():
        return _tfds(name)
    paths = files(name, root)

    def decode(path):
        pixels = images.read(Path(path.decode())).pixels
        if pixels.dtype != np.uint8:
            raise ValueError(
                f"Training and scoring take 8-bit images. Received: {path.decode()} "
                f"with {pixels.dtype}"
            )
        return pixels if pixels.ndim == 3 else pixels[..., None]

    def read(path):
        image = tf.numpy_function(decode, [path], tf.uint8, stateful=False)
        image.set_shape([None, None, None])
        stem = tf.strings.split(path, os.sep)[-1]
        return {"name": stem, "image": image}

    listed = tf.data.Dataset.from_tensor_slices([str(path) for path in paths])
    return listed.map(read, num_parallel_calls=tf.data.AUTOTUNE)


def photographs(name: str, root: Path | None = None) -> Iterator[Photograph]:
    """The photographs of a data set as arrays, one by one; see `load` for errors."""
    items = load(name, root).as_numpy_iterator()
    return (Photograph(item["name"].decode(), item["image"]) for item in items)


def has_pairs(name: str) -> bool:
    """Whether a name is a folder of rainy/clean pairs."""
    return (Path(name) / "rainy").is_dir() and (Path(name) / "clean").is_dir()


def rainy_pairs(
    name: str, root: Path | None = None
) -> Iterator[tuple[Photograph, Photograph]]:
    """The rainy and clean photographs of a folder with `rainy/` and `clean/`.

    Args:
        name: A key of `PUBLISHED` (`"rain12"`), a folder, where files of a pair have
            the same name but for the suffix, or `"sample"`, with drawn rain.
        root: Folder of the published sets, see `data_root`.

    Raises:
        DataNotFoundError: A folder is missing or a picture has no partner.
    """
    if name == SAMPLE:
        return _drawn_pairs()
    folder = data_root(root) / PUBLISHED[name].folder if name in PUBLISHED else name
    sides = [files(str(Path(folder) / side)) for side in ("rainy", "clean")]
    stems = [[path.stem for path in side] for side in sides]
    if stems[0] != stems[1]:
        alone = sorted(set(stems[0]) ^ set(stems[1]))
        raise DataNotFoundError(
            f"rainy/ and clean/ of {str(folder)!r} must hold files of the same names. "
            f"Without partner: {', '.join(alone[:5])}"
        )
    loaded = [photographs(str(Path(folder) / side)) for side in ("rainy", "clean")]
    return zip(*loaded, strict=True)


def _drawn_pairs() -> Iterator[tuple[Photograph, Photograph]]:
    for number, clean in enumerate(photographs(SAMPLE)):
        rainy = with_rain(clean.pixels, np.random.default_rng(number))
        yield Photograph(clean.name, rainy), clean


def with_rain(pixels: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """A uint8 photograph in drawn rain."""
    return images.from_float(draw_rain(images.to_float(pixels), random), np.uint8)


def streak_masks(name: str, root: Path | None = None) -> Iterator[np.ndarray]:
    """Streak masks `(height, width, 1)` uint8 by name: `"sample"` are drawn ones."""
    if name == SAMPLE:
        for seed in range(_DRAWN_MASKS):
            streaks = draw_streaks(*_DRAWN_SIZE, np.random.default_rng((seed, 1)))
            yield images.from_float(streaks, np.uint8)
        return
    for photograph in photographs(name, root):
        yield photograph.pixels


def _from_generator(items) -> tf.data.Dataset:
    signature = {
        "name": tf.TensorSpec([], tf.string),
        "image": tf.TensorSpec([None, None, None], tf.uint8),
    }
    return tf.data.Dataset.from_generator(
        lambda: ({"name": name, "image": image} for name, image in items()),
        output_signature=signature,
    )


def _download(name: str) -> tf.data.Dataset:
    """A published set that is not in the data root, if it has a home to come from."""
    published = PUBLISHED[name]
    parent, _, split = published.folder.partition("/")
    if parent != "BSDS500":
        files(name)  # says where it looked
    from pipelines.published import Bsds500

    builder = Bsds500()
    builder.download_and_prepare()
    chosen = [
        tf.constant(ids, tf.string) for ids in (published.only, published.without)
    ]

    def belongs(item):
        only, without = (tf.reduce_any(ids == item["name"]) for ids in chosen)
        return (only or not published.only) and not without

    dataset = builder.as_dataset(split=split, shuffle_files=False)
    return dataset.filter(belongs)


def _tfds(name: str) -> tf.data.Dataset:
    try:
        import tensorflow_datasets as tfds
    except ImportError as error:
        raise DataNotFoundError(
            f"There is no data set or folder {name!r}. For TensorFlow Datasets names, "
            'pip install "xunit-keras[train]".'
        ) from error
    builder_name, _, split = name.partition(":")
    try:
        builder = tfds.builder(builder_name)
    except Exception as error:
        raise DataNotFoundError(
            f"There is no data set, folder or TensorFlow Datasets name {name!r}. Known "
            f"names: {', '.join((SAMPLE, *PUBLISHED))}."
        ) from error
    features = builder.info.features
    # The sharpest image of a builder that has several (div2k: hr beside lr).
    key = next((k for k in ("hr", "image") if k in features), None)
    if key is None or not isinstance(features[key], tfds.features.Image):
        raise DataNotFoundError(
            f"The data set {name!r} has no feature 'image' or 'hr'. "
            f"Received: {sorted(features)}"
        )
    builder.download_and_prepare()
    dataset = builder.as_dataset(split=split or "train", shuffle_files=False)
    return dataset.enumerate().map(
        lambda i, item: {"name": tf.strings.as_string(i), "image": item[key]}
    )
