"""Published sets that can be downloaded, as a TensorFlow Datasets builder.

`BSDS500` (Arbelaez et al., Contour Detection and Hierarchical Image Segmentation,
IEEE Trans. PAMI, 2011) holds the photographs of most sets in this field: BSD400,
BSD68 and BSD100 are parts of it.
"""

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import tensorflow_datasets as tfds

from xunit_keras import images

URL = (
    "http://www.eecs.berkeley.edu/Research/Projects/CS/vision/grouping/BSR/"
    "BSR_bsds500.tgz"
)
# Of each split: the number of photographs and `digest` of their files.
SPLITS = {
    "train": (200, "28dd4917eb4fcf4c271a123a59610423f4a732da14ec6813be4e4cb1713477ee"),
    "val": (100, "5df49abe1f8f4beceff6e69d6598e4248983e4480b77811e392332a16bf5f715"),
    "test": (200, "a3a22eb03fe79378e6ea7536c789f3c86effb9afc8d841562ba9a2896be77a64"),
}


class Bsds500(tfds.core.GeneratorBasedBuilder):
    """The 500 photographs of BSDS500 in their published splits.

    Features: `image`, uint8 RGB as Pillow decodes it, 481x321 or 321x481, and
    `name`, the file's name without suffix.
    """

    VERSION = tfds.core.Version("1.0.0")
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "Nothing needs to be done by hand. If you have BSDS500, put its folders "
        "train/, val/ and test/ into BSDS500/ here, and nothing is downloaded."
    )

    def _info(self) -> tfds.core.DatasetInfo:
        return self.dataset_info_from_configs(
            disable_shuffling=True,
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=(None, None, 3), dtype=np.uint8),
                    "name": tfds.features.Text(),
                }
            ),
            homepage="https://www2.eecs.berkeley.edu/Research/Projects/CS/vision/grouping/resources.html",
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager):
        folder = Path(dl_manager.manual_dir) / "BSDS500"
        if not folder.is_dir():
            archive = dl_manager.download_and_extract(URL)
            folder = Path(archive) / "BSR" / "BSDS500" / "data" / "images"
        return {
            split: self._generate_examples(folder / split, split) for split in SPLITS
        }

    def _generate_examples(self, folder: Path, split: str) -> Iterator[tuple]:
        files = sorted(folder.glob("*.jpg"))
        verify(files, split)
        for path in files:
            pixels = images.read(path).pixels
            yield path.stem, {"image": pixels, "name": path.stem}


def verify(files: list[Path], split: str) -> None:
    """Raises a `ValueError` unless the files are those that were published."""
    count, expected = SPLITS[split]
    if len(files) != count or digest(files) != expected:
        raise ValueError(
            f"The {len(files)} files of BSDS500/{split} are not the {count} published "
            "ones: some are missing, damaged, or were saved again. Remove them and "
            "download the set once more."
        )


def digest(files: Iterable[Path]) -> str:
    """One sha256 of many files and their names, in the order of the names."""
    total = hashlib.sha256()
    for path in sorted(files, key=lambda path: path.name):
        total.update(path.name.encode() + b"\0")
        total.update(hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()
