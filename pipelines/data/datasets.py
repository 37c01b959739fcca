"""Data sets by name: published sets, folders, TensorFlow Datasets, and made ones.

`photographs("set5", root)` gives the decoded photographs of a set one by one, and
`read` the same where files may be damaged. Published sets are read from the folder
`root` where the user keeps them; what has a stable home is downloaded into it. To add
a set, add an entry to `PUBLISHED`, or to `MADE` if it is made on the fly.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np

from pipelines.data.drawings import drawings
from pipelines.data.published import BSDS500, Archive
from xunit_keras.imaging import files as image_files
from xunit_keras.imaging.pixels import from_float
from xunit_keras.imaging.rain import draw_streaks
from xunit_keras.imaging.samples import sample_photographs

ROOT_VARIABLE = "XUNIT_KERAS_DATA"
SAMPLE = "sample"
RAINY, CLEAN = "rainy", "clean"
"""The folders of a set of pairs."""

_DRAWN_MASKS, _DRAWN_SIZE = 20, (320, 480)

# The 68 photographs of BSDS500/val that BSD68 shows in gray, in BSD68's order.
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
        archive: Where it is downloaded from if it is absent; the folder is then that
            of a split.
        terms: What those who published it say of its use.
    """

    folder: str
    only: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    test_set: bool = False
    archive: Archive | None = None
    terms: str = "published for research"


PUBLISHED = {
    "bsd400": Published("BSD400"),
    "bsds500-train": Published("BSDS500/train", archive=BSDS500),
    "bsds500-test": Published("BSDS500/test", archive=BSDS500),
    "bsds500-train-rainless": Published(
        "BSDS500/train", without=RAIN12_IDS, archive=BSDS500
    ),
    "bsds500-test-rainless": Published(
        "BSDS500/test", without=RAIN12_IDS, archive=BSDS500
    ),
    "t91": Published("T91"),
    "bsd68": Published("BSD68", test_set=True),
    "live1": Published("LIVE1", test_set=True),
    "classic5": Published("classic5", test_set=True),
    "bsd100": Published("BSDS500/val", test_set=True, archive=BSDS500),
    "cbsd68": Published("BSDS500/val", only=BSD68_IDS, test_set=True, archive=BSDS500),
    "set5": Published("Set5", test_set=True),
    "set12": Published("Set12", test_set=True),
    "set14": Published("Set14", test_set=True),
    "rain12": Published("Rain12", test_set=True),
    "streaks": Published("rain_streaks/rain100l"),
    "streaks-fu": Published("rain_streaks/fu_val20"),
}
"""The published sets by name."""

MADE: dict[str, Callable[[], dict[str, np.ndarray]]] = {
    SAMPLE: sample_photographs,
    "drawn": drawings,
}
"""Sets that are there on every machine, as functions that give them by name."""


class Photograph(NamedTuple):
    """A decoded image, `(height, width, 1 or 3)` uint8, and its name in the set."""

    name: str
    pixels: np.ndarray


class Pair(NamedTuple):
    """A photograph as it was degraded by nature, and the clean one of its size."""

    degraded: Photograph
    clean: Photograph


class Unreadable(NamedTuple):
    """Stands for an image that cannot be used.

    Attributes:
        name: Name of the file.
        reason: A sentence that names the file and says why.
    """

    name: str
    reason: str


class DataNotFoundError(ValueError):
    """A data set is neither in the data root nor to be had otherwise."""


_Item = TypeVar("_Item")


class Lazy(Generic[_Item]):
    """Items that are made when they are asked for, each time anew.

    Args:
        make: Makes one.
        sources: Of what.
    """

    def __init__(self, make: Callable[[Any], _Item], sources: "Sequence[Any] | Lazy"):
        self.make, self.sources = make, sources

    def __len__(self):
        return len(self.sources)

    def __getitem__(self, number: int) -> _Item:
        return self.make(self.sources[number])

    def __iter__(self) -> Iterator[_Item]:
        return map(self.make, self.sources)


def data_root(root: Path | None = None) -> Path:
    """The folder of the published sets: `root`, `$XUNIT_KERAS_DATA`, or `data`."""
    return Path(root or os.environ.get(ROOT_VARIABLE) or "data")


def is_present(name: str, root: Path | None = None) -> bool:
    """Whether a set can be read without a download: made, published, or a folder."""
    return name in MADE or _folder(name, root).is_dir()


def terms(names: Iterable[str]) -> str:
    """What those who published data sets say of their use, as far as it is known."""
    sets: dict[str, list[str]] = {}
    for name in names:
        if name in PUBLISHED:
            sets.setdefault(PUBLISHED[name].terms, []).append(name)
    return "; ".join(f"{', '.join(named)}: {said}" for said, named in sets.items())


def files(name: str, root: Path | None = None) -> list[Path]:
    """The image files of a published set or a folder, sorted.

    A published set that is absent is downloaded if it has an archive. Of pairs, the
    folders `rainy/` and `clean/` beside each other, only the clean images count: what
    is degraded is no photograph to learn from.

    Raises:
        DataNotFoundError: There are none.
        ValueError: The download failed.
    """
    folder = _folder(name, root)
    published = PUBLISHED.get(name, Published(""))
    if published.archive and not folder.is_dir():
        published.archive.fetch(folder.parent)
    found = [
        path
        for path in (image_files.find(folder) if folder.is_dir() else ())
        if (not published.only or path.stem in published.only)
        and path.stem not in published.without
        and not _is_degraded(path, folder)
    ]
    if not found:
        raise DataNotFoundError(
            f"No images of the data set {name!r} in {str(folder)!r}. Give a folder of "
            f"images, one of {', '.join((*MADE, *PUBLISHED))} with --data-root (or "
            f"${ROOT_VARIABLE}) naming where they lie, or a TensorFlow Datasets name."
        )
    return found


def read(name: str, root: Path | None = None) -> Iterable[Photograph | Unreadable]:
    """The images of a data set, one by one, in a fixed order.

    Args:
        name: A key of `PUBLISHED` or `MADE`, a folder, or a TensorFlow Datasets name
            (`"div2k"`, `"div2k/bicubic_x4:train"`) with an image feature.
        root: Folder of the published sets, see `data_root`.

    Returns:
        The photographs, and something in the place of those that cannot be used:
        damaged ones, and others than 8-bit gray or RGB. `Lazy`, but for those of
        TensorFlow Datasets.

    Raises:
        DataNotFoundError: There is no such data set; told at the call, not at the
            first image.
        ValueError: A download failed.
    """
    if name in MADE:
        return Lazy(lambda item: Photograph(*item), [*MADE[name]().items()])
    if name not in PUBLISHED and not Path(name).exists():
        return _tfds(name)
    folder = _folder(name, root)
    return Lazy(lambda path: _decoded(path, folder), files(name, root))


def photographs(name: str, root: Path | None = None) -> Iterator[Photograph]:
    """The same, where an image that cannot be used is an error.

    Raises:
        ValueError: Also for such an image, which it names.
    """
    return all_readable(read(name, root))


def all_readable(items: Iterable[_Item | Unreadable]) -> Iterator[_Item]:
    """Passes on what can be used.

    Raises:
        ValueError: Something cannot; the message names it.
    """
    # Not a generator function, so that what raises at the call still does.
    return map(_readable, items)


def has_pairs(name: str, root: Path | None = None) -> bool:
    """Whether a set is a folder of pairs, with `rainy/` and `clean/` in it."""
    return all((_folder(name, root) / side).is_dir() for side in (RAINY, CLEAN))


def read_pairs(name: str, root: Path | None = None) -> Lazy[Pair | Unreadable]:
    """The rainy and clean photographs of a folder with `rainy/` and `clean/`.

    Args:
        name: A key of `PUBLISHED` (`"rain12"`), or a folder. Files of a pair have the
            same name but for the suffix.
        root: Folder of the published sets, see `data_root`.

    Raises:
        DataNotFoundError: A folder is missing or a picture has no partner.
    """
    folder = _folder(name, root)
    if not has_pairs(name, root):
        raise DataNotFoundError(
            f"The data set {name!r} must hold the folders {RAINY}/ and {CLEAN}/, with "
            f"images of the same names. Received: {str(folder)!r}"
        )
    folders = (folder / RAINY, folder / CLEAN)
    sides = [files(str(side)) for side in folders]
    stems = [[path.stem for path in side] for side in sides]
    if stems[0] != stems[1]:
        alone = sorted(set(stems[0]) ^ set(stems[1]))
        raise DataNotFoundError(
            f"{RAINY}/ and {CLEAN}/ of {str(folder)!r} must hold files of the same "
            f"names. Without partner: {', '.join(alone[:5])}"
        )
    return Lazy(lambda paths: _pair(paths, folders), [*zip(*sides, strict=True)])


def streak_masks(name: str, root: Path | None = None) -> Iterator[np.ndarray]:
    """Streak masks `(height, width, 1)` uint8 by name: `"sample"` are drawn ones."""
    if name == SAMPLE:
        for seed in range(_DRAWN_MASKS):
            streaks = draw_streaks(*_DRAWN_SIZE, np.random.default_rng((seed, 1)))
            yield from_float(streaks, np.uint8)
        return
    for photograph in photographs(name, root):
        yield photograph.pixels


def _folder(name: str, root: Path | None) -> Path:
    if name in PUBLISHED:
        return data_root(root) / PUBLISHED[name].folder
    return Path(name)


def _is_degraded(path: Path, folder: Path) -> bool:
    """Whether a file lies in the degraded half of pairs that are in a folder."""
    inside = [parent for parent in path.parents if folder in parent.parents]
    return any(p.name == RAINY and p.with_name(CLEAN).is_dir() for p in inside)


def _decoded(path: Path, folder: Path) -> Photograph | Unreadable:
    name = path.relative_to(folder).as_posix()
    try:
        pixels = image_files.read(path).pixels
    except image_files.ImageFileError as error:
        return Unreadable(name, str(error))
    return _checked(name, pixels, str(path))


def _checked(name: str, pixels: np.ndarray, place: str) -> Photograph | Unreadable:
    pixels = pixels if pixels.ndim == 3 else pixels[..., None]
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] not in (1, 3):
        return Unreadable(
            name,
            "Training and scoring take 8-bit images, gray or RGB. Received: "
            f"{place!r} of shape {pixels.shape} with {pixels.dtype}",
        )
    return Photograph(name, pixels)


def _readable(item: _Item | Unreadable) -> _Item:
    if isinstance(item, Unreadable):
        raise ValueError(item.reason)
    return item


def _pair(paths: tuple[Path, ...], folders: tuple[Path, ...]) -> Pair | Unreadable:
    sides = (_decoded(*place) for place in zip(paths, folders, strict=True))
    degraded, clean = sides
    if isinstance(degraded, Unreadable):
        return degraded
    if isinstance(clean, Unreadable):
        return clean
    pair = Pair(degraded, clean)
    sizes = [f"{width}x{height}" for height, width, _ in (s.pixels.shape for s in pair)]
    if len(set(sizes)) > 1:
        return Unreadable(
            pair.clean.name,
            f"The images of a pair must be of one size. Received: {str(paths[0])!r} of "
            f"{sizes[0]} and {str(paths[1])!r} of {sizes[1]} pixels",
        )
    return pair


def _tfds(name: str) -> Iterator[Photograph | Unreadable]:
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
            f"names: {', '.join((*MADE, *PUBLISHED))}."
        ) from error
    features = builder.info.features
    # The sharpest image of a builder that has several (div2k: hr beside lr).
    key = next((k for k in ("hr", "image") if k in features), None)
    if key is None or not isinstance(features[key], tfds.features.Image):
        raise DataNotFoundError(
            f"The data set {name!r} has no feature 'image' or 'hr'. "
            f"Received: {sorted(features)}"
        )
    try:
        builder.download_and_prepare()
        dataset = builder.as_dataset(split=split or "train", shuffle_files=False)
    except Exception as error:  # Of any kind: builders are other people's code.
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise DataNotFoundError(
            f"The TensorFlow Datasets set {name!r} cannot be had: {reason}"
        ) from error
    items = enumerate(dataset.as_numpy_iterator())
    return (
        _checked(str(number), item[key], f"{name}, image {number}")
        for number, item in items
    )
