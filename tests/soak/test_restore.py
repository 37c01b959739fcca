"""A hundred kills of `restore` over a folder, at random moments."""

import os
import subprocess
import sys
import time

import numpy as np
import pytest

from xunit_keras.atomic import PREFIX
from xunit_keras.imaging import files

KILLS = 100
_IMAGES = 10

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.name == "nt", reason="Windows has no signal 9"),
]


def command(source, target):
    return [
        *(sys.executable, "-m", "xunit_keras", "restore", "-i", str(source)),
        *("-o", str(target), "-m", "xsrcnn-f-x2", "--skip-existing", "--threads", "1"),
    ]


def contents(folder):
    """What is seen in a folder, by name."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and not path.name.startswith(".")
    }


def test_kills_leave_whole_files_only(tmp_path):
    random = np.random.default_rng(0)
    source = tmp_path / "photographs"
    for number in range(_IMAGES):
        pixels = random.integers(0, 256, (40 + 8 * number, 60, 3), dtype=np.uint8)
        suffix = ("png", "jpg", "tif", "webp")[number % 4]
        path = source / f"{number % 3}" / f"{number}.{suffix}"
        files.write(path, files.Photograph(pixels))
    started = time.monotonic()
    subprocess.run(command(source, tmp_path / "whole"), check=True)
    longest = 1.2 * (time.monotonic() - started)
    whole = contents(tmp_path / "whole")
    assert len(whole) == _IMAGES

    kills = rounds = 0
    while kills < KILLS:
        target = tmp_path / f"killed-{rounds}"
        rounds += 1
        while True:
            process = subprocess.Popen(
                command(source, target),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
            )
            try:
                _, complaints = process.communicate(timeout=random.uniform(0, longest))
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()
                kills += 1
            else:
                assert process.returncode == 0, complaints
                break
            seen = contents(target) if target.exists() else {}
            assert seen.items() <= whole.items()
        assert contents(target) == whole
        hidden = [path.name for path in target.rglob(".*")]
        assert all(name.startswith(PREFIX) for name in hidden)
    assert kills >= KILLS
