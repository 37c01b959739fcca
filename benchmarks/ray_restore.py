"""What Ray costs on one machine: files a second, memory a process, start-up.

    python benchmarks/ray_restore.py
    python benchmarks/ray_restore.py --model xdncnn-color-blind --files 200

Runs, in turns, `xunit-keras restore` on a folder, and the same with `--ray local`, on
one processor and on more, each as a process of its own on as many processors. Memory is
the proportional set size: what processes share counts once, in parts. Linux only.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import tyro
from photograph import photograph
from rich.console import Console
from rich.table import Table

from xunit_keras.imaging import files

_EVERY, _SELDOM = 0.05, 1.0  # Seconds between two looks at files and at memory.
_ACTOR = "ray::"  # What the names of processes begin with that work.


@dataclass(frozen=True)
class Config:
    """What to measure."""

    model: str = "xdncnn-color-blind"
    """A released model."""

    files: int = 60
    """Photographs in the folder."""

    side: int = 256
    """Pixels to each side of one."""

    processors: int = len(os.sched_getaffinity(0))
    """Most processors to run on."""

    rounds: int = 3
    """Runs of each, in turn; the median is printed."""


@dataclass(frozen=True)
class Run:
    """What was seen of a run.

    Attributes:
        start_up: Seconds to the first file.
        rate: Files a second from the first to the last.
        seconds: From the shell to the end.
        worker: Most megabytes of a process that restores.
        others: Most megabytes of all other processes together.
    """

    start_up: float
    rate: float
    seconds: float
    worker: float
    others: float


def main(config: Config) -> None:
    """Prints the table."""
    with tempfile.TemporaryDirectory() as place:
        source = Path(place) / "photographs"
        pixels = photograph(config.side)
        for number in range(config.files):
            files.write(source / f"{number}.png", files.Photograph(pixels))
        runs = defaultdict(list)
        for number in range(config.rounds):
            for count in range(1, config.processors + 1):
                for name, options in {"plain": (), "ray": ("--ray", "local")}.items():
                    target = Path(place) / f"{name}-{count}-{number}"
                    command = [
                        *(sys.executable, "-m", "xunit_keras", "restore"),
                        *("-i", source, "-o", target, "-m", config.model, *options),
                    ]
                    runs[name, count].append(run(command, target, config.files, count))
        table = Table("", "processors", title=f"{config.model}, {config.side} pixels")
        for title in (
            *("first file after s", "files a second", "whole run s"),
            *("MB a worker", "MB of all others"),
        ):
            table.add_column(title, justify="right")
        for (name, count), seen in sorted(runs.items(), key=lambda item: item[0][::-1]):
            medians = [
                statistics.median(getattr(one, column) for one in seen)
                for column in Run.__dataclass_fields__
            ]
            start_up, rate, seconds, worker, others = medians
            table.add_row(
                *(name, str(count), f"{start_up:.1f}", f"{rate:.2f}"),
                *(f"{seconds:.1f}", f"{worker:.0f}", f"{others:.0f}"),
            )
        Console(width=100).print(table)


def run(command: list, target: Path, count: int, processors: int) -> Run:
    """Runs a command that writes files into a folder."""
    allowed = sorted(os.sched_getaffinity(0))[:processors]
    started = time.perf_counter()
    process = subprocess.Popen(
        list(map(str, command)),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=lambda: os.sched_setaffinity(0, allowed),
    )
    first = last = None
    worker = others = looked = 0.0
    while process.poll() is None:
        time.sleep(_EVERY)
        written = len([*target.glob("[!.]*")]) if target.is_dir() else 0
        now = time.perf_counter()
        if written and first is None:
            first, begun = now, written
        if written == count and last is None:
            last = now
        if now < looked + _SELDOM:
            continue
        looked = now
        memory = dict(processes(process.pid))
        working = [mb for name, mb in memory.items() if name[1].startswith(_ACTOR)]
        if not working:
            working = [mb for name, mb in memory.items() if name[0] == process.pid]
        worker = max(worker, *working, 0.0)
        others = max(others, sum(memory.values()) - sum(working))
    if process.returncode or first is None or last is None:
        raise ValueError(f"{command[3:]} ended with {process.returncode}.")
    return Run(
        first - started,
        (count - begun) / (last - first),
        time.perf_counter() - started,
        worker,
        others,
    )


def processes(root: int):
    """Number, name and megabytes of a process and of all that it started."""
    parents, names = {}, {}
    for place in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(place.name)] = int(
                (place / "stat").read_text().rpartition(")")[2].split()[1]
            )
            names[int(place.name)] = (place / "cmdline").read_text().strip("\0")
        except OSError:
            continue
    found = {root}
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    for pid in found & {*parents}:
        try:
            text = Path(f"/proc/{pid}/smaps_rollup").read_text()
        except OSError:
            continue
        for line in text.splitlines():
            if line.startswith("Pss:"):
                yield (pid, names[pid]), int(line.split()[1]) * 1024 / 1e6


if __name__ == "__main__":
    try:
        main(tyro.cli(Config, description=__doc__))
    except ValueError as error:
        sys.exit(f"ray_restore.py: {error}")
