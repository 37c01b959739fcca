"""Published sets that are downloaded where they are absent.

`BSDS500` (Arbelaez et al., Contour Detection and Hierarchical Image Segmentation,
IEEE Trans. PAMI, 2011) holds the photographs of most sets in this field: BSD400,
BSD68 and BSD100 are parts of it.
"""

import hashlib
import http.client
import posixpath
import shutil
import tarfile
import tempfile
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from xunit_keras import atomic

_TIMEOUT = 30  # seconds without a byte
_CHUNK = 2**20


@dataclass(frozen=True)
class Archive:
    """A tar file with the photographs of a set.

    Attributes:
        name: What the set is called.
        url: Where the file lies.
        size: Its length in bytes.
        sha256: Of the file.
        inside: The folder in it that holds a folder for each split.
        splits: Number of photographs in each split.
        suffix: Of the photographs.
    """

    name: str
    url: str
    size: int
    sha256: str
    inside: str
    splits: dict[str, int]
    suffix: str = ".jpg"

    def fetch(self, folder: Path) -> None:
        """Downloads the file and unpacks the splits that a folder lacks.

        The file is verified before it is unpacked, and each split appears under its
        name when it is complete: whenever this is killed, the next call begins anew.
        Of the file only the photographs are taken, by their names; whatever else it
        holds, links and paths that lead elsewhere included, is passed over.

        Args:
            folder: Where the folders of the splits belong.

        Raises:
            ValueError: It cannot be downloaded, or is not what was published.
        """
        try:
            with urllib.request.urlopen(self.url, timeout=_TIMEOUT) as response:
                print(
                    f"Downloading {self.name}, {self.size / 1e6:.0f} MB, from "
                    f"{self.url} into {str(folder)!r}."
                )
                folder.mkdir(parents=True, exist_ok=True)
                with tempfile.TemporaryDirectory(
                    prefix=atomic.PREFIX, dir=folder
                ) as temporary:
                    archive = Path(temporary) / "archive"
                    self._download(response, archive)
                    unpacked = Path(temporary) / "unpacked"
                    self._unpack(archive, unpacked)
                    for split in self.splits:
                        _place(unpacked / split, folder / split)
        except (OSError, ValueError, http.client.HTTPException, tarfile.TarError) as e:
            raise ValueError(
                f"{self.name} is not in {str(folder)!r} and cannot be downloaded from "
                f"{self.url}: {e}. Put its folders {', '.join(self.splits)} there by "
                "hand, or name the folder above with --data-root."
            ) from e

    def _download(self, response: http.client.HTTPResponse, path: Path) -> None:
        digest, size = hashlib.sha256(), 0
        with path.open("wb") as file:
            # A server that sends too much is not listened to for ever.
            while size <= self.size and (chunk := response.read(_CHUNK)):
                file.write(chunk)
                digest.update(chunk)
                size += len(chunk)
        if size < self.size:
            raise ValueError(f"only {size:,} of {self.size:,} bytes came")
        if digest.hexdigest() != self.sha256:
            raise ValueError("the file is not the published one, by its sha256")

    def _unpack(self, archive: Path, folder: Path) -> None:
        for split in self.splits:
            (folder / split).mkdir(parents=True)
        with tarfile.open(archive) as file:
            for split, name, content in self._photographs(file):
                with (folder / split / name).open("wb") as photograph:
                    shutil.copyfileobj(content, photograph)
        for split, count in self.splits.items():
            found = sum(1 for _ in (folder / split).iterdir())
            if found != count:
                raise ValueError(
                    f"it holds {found} photographs of {split}, not {count}"
                )

    def _photographs(
        self, file: tarfile.TarFile
    ) -> Iterator[tuple[str, str, IO[bytes]]]:
        """The split, name and content of each photograph."""
        for member in file:
            place, _, name = posixpath.normpath(member.name).rpartition("/")
            inside, _, split = place.rpartition("/")
            if (
                inside == self.inside
                and split in self.splits
                and name.endswith(self.suffix)
                and member.isfile()  # Else a link would be followed.
                and (content := file.extractfile(member))
            ):
                yield split, name, content


def _place(source: Path, target: Path) -> None:
    """Moves a folder to where none is."""
    try:
        source.rename(target)
    except OSError:
        if not target.is_dir():  # Else it lay there, or another process was faster.
            raise


BSDS500 = Archive(
    "BSDS500",
    "https://www2.eecs.berkeley.edu/Research/Projects/CS/vision/grouping/BSR/"
    "BSR_bsds500.tgz",
    size=70_763_455,
    sha256="97e49d31764f3912f0c4122707d53062ac9e783ba0f095e447a4d53c1a41af8e",
    inside="BSR/BSDS500/data/images",
    splits={"train": 200, "val": 100, "test": 200},
)
