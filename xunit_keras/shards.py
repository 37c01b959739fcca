"""A folder in parts, for machines that know nothing of each other."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import PurePath

_DIGEST = 8  # Bytes: parts of as many files as there may be come out of one size.


@dataclass(frozen=True)
class Shard:
    """One of the parts of a folder, `Shard(3, 16)`.

    A file belongs to the part that its name says, by a digest of it: all parts
    together are exactly the folder, on every machine and in every version of Python,
    and a file stays in its part when others come or go, as it would not if the sorted
    names were counted. Parts are of about one size: of 1,000,000 files in 16 parts,
    62,500 and some hundreds more or less.

    Attributes:
        number: Which part, from 1.
        count: How many parts there are.

    Raises:
        ValueError: There is no such part.
    """

    number: int
    count: int

    def __post_init__(self):
        if not 1 <= self.number <= self.count:
            raise ValueError(
                "A shard is one of so many, from 1/N to N/N. "
                f"Received: {self.number}/{self.count}"
            )

    @classmethod
    def parse(cls, text: str) -> "Shard":
        """The shard that `"3/16"` means.

        Raises:
            ValueError: It means none.
        """
        number, slash, count = text.partition("/")
        if not (slash and number.isdecimal() and count.isdecimal()):
            raise ValueError(
                f"A shard is written as K/N, the third of sixteen as 3/16. "
                f"Received: {text!r}"
            )
        return cls(int(number), int(count))

    def __str__(self):
        return f"{self.number}/{self.count}"

    def holds(self, name: PurePath) -> bool:
        """Whether a file belongs to this part.

        Args:
            name: Its path below the folder.
        """
        digest = hashlib.blake2b(os.fsencode(name.as_posix()), digest_size=_DIGEST)
        return int.from_bytes(digest.digest(), "big") % self.count == self.number - 1
