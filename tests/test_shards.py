"""Parts of a folder: together the whole, and the same on every machine."""

from collections import Counter
from pathlib import Path, PurePosixPath

import pytest

from xunit_keras.shards import Shard

NAMES = [PurePosixPath(f"{n % 7}/photograph {n}.jpg") for n in range(4_000)]


def shards(count):
    return [Shard(number, count) for number in range(1, count + 1)]


@pytest.mark.parametrize("count", [1, 2, 3, 16])
def test_all_parts_together_are_the_whole(count):
    held = Counter(name for s in shards(count) for name in NAMES if s.holds(name))
    assert held == dict.fromkeys(NAMES, 1)


def test_parts_are_of_about_one_size():
    sizes = [sum(map(shard.holds, NAMES)) for shard in shards(16)]
    # Five standard deviations of a fair draw.
    spread = 5 * (len(NAMES) / 16 * 15 / 16) ** 0.5
    assert all(abs(size - len(NAMES) / 16) < spread for size in sizes)


def test_parts_stay_in_later_versions():
    """A job that was begun with one version goes on with another.

    Reference: the last digit of `printf %s a.png | b2sum -l 64`, and 1.
    """
    names = [Path("a.png"), Path("b", "ä ö.jpg"), Path("b/c/[x].webp")]
    found = [[s.number for s in shards(16) if s.holds(name)] for name in names]
    assert found == [[7], [2], [8]]


@pytest.mark.parametrize("name", ["\udcff.png", "写真.png"])
def test_names_of_any_bytes(name):
    assert sum(shard.holds(Path(name)) for shard in shards(5)) == 1


def test_parse():
    assert Shard.parse("3/16") == Shard(3, 16)
    assert str(Shard(3, 16)) == "3/16"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        *((text, "written as K/N") for text in ("3", "3/", "/16", "a/b", "-1/4", "")),
        *((text, "from 1/N to N/N") for text in ("0/16", "17/16", "1/0")),
    ],
)
def test_what_is_no_shard(text, message):
    with pytest.raises(ValueError, match=message):
        Shard.parse(text)
