"""Which files become which; the command line's tests have the rest."""

from pathlib import Path

import numpy as np
import pytest

from xunit_keras import photographs
from xunit_keras.imaging import files
from xunit_keras.imaging.files import Photograph
from xunit_keras.shards import Shard


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "photographs"
    add(folder, range(30))
    return folder


def add(folder, numbers):
    for number in numbers:
        path = folder / f"{number % 3}" / f"{number}.png"
        files.write(path, Photograph(np.zeros((4, 4), np.uint8)))
    (folder / "notes.txt").write_text("Not a photograph.")


def part(folder, shard):
    plan = photographs.plan(folder, folder.with_name("out"), shard=shard)
    return {job.source: job.target for job in plan.jobs}, plan.passed_over


def test_shards_together_are_the_folder(folder):
    whole, passed_over = part(folder, None)
    parts = [part(folder, Shard(number, 16)) for number in range(1, 17)]
    assert sum(len(jobs) for jobs, _ in parts) == len(whole) == 30
    together = {}
    for jobs, _ in parts:
        together |= jobs
    assert together == whole
    assert [over for _, over in parts if over] == [passed_over]


def test_files_that_come_later_do_not_move_others(folder):
    shards = [Shard(number, 4) for number in range(1, 5)]
    before = [part(folder, shard)[0] for shard in shards]
    add(folder, range(100, 140))
    for shard, jobs in zip(shards, before, strict=True):
        assert jobs.items() <= part(folder, shard)[0].items()


def test_photographs_of_other_shards_are_not_replaced_either(tmp_path):
    """The result of a.gif is called a.gif.png."""
    (tmp_path / "a.gif").write_bytes(b"GIF89a")
    files.write(tmp_path / "a.gif.png", Photograph(np.zeros((4, 4), np.uint8)))
    shards = [Shard(number, 16) for number in range(1, 17)]
    (alone,) = (s for s in shards if s.holds(Path("a.gif")))
    assert not alone.holds(Path("a.gif.png"))
    with pytest.raises(ValueError, match=r"replace the photograph .*a\.gif\.png"):
        photographs.plan(tmp_path, tmp_path, shard=alone)


def test_a_shard_of_a_file_is_refused(folder):
    file = folder / "0" / "0.png"
    with pytest.raises(ValueError, match="part of a folder"):
        photographs.plan(file, folder.with_name("out.png"), shard=Shard(1, 2))
