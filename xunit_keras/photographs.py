"""Photographs in files: which become which, and all of them through networks."""

import dataclasses
import os
import platform
import threading
import time
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from xunit_keras import animations, video
from xunit_keras.imaging import files
from xunit_keras.restorer import Progress, Restorer
from xunit_keras.shards import Shard


@dataclass(frozen=True)
class Job:
    """A photograph to restore.

    Attributes:
        source: Its file.
        target: Where the result goes.
        is_animation: Whether it has several frames.
    """

    source: Path
    target: Path
    is_animation: bool = False


@dataclass(frozen=True)
class Plan:
    """What is to be done.

    Attributes:
        jobs: The photographs, in the order of their names.
        existing: How many were left out, as their result is there already.
        passed_over: Files that are no photographs to restore, with the reason.
    """

    jobs: list[Job]
    existing: int = 0
    passed_over: dict[Path, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """What became of a photograph.

    Attributes:
        number: Its place among the jobs.
        job: Which.
        error: What was wrong, if anything was.
        seconds: How long it took; None if nobody knows.
        node: The machine that worked on it; empty if nobody knows.
    """

    number: int
    job: Job
    error: Exception | None
    seconds: float | None
    node: str


def plan(
    source: Path,
    target: Path,
    skip_existing: bool = False,
    shard: Shard | None = None,
) -> Plan:
    """Which file is to become which.

    Args:
        source: A photograph, or a folder of them.
        target: A file or a folder; a folder of photographs gives a folder with the
            same names and subfolders.
        skip_existing: Leave out photographs whose result is there.
        shard: Take this part of the folder only.

    Raises:
        ValueError: There is nothing to restore, or a result would replace a
            photograph.
    """
    passed_over: dict[Path, str] = {}
    if source.is_dir():
        found, passed_over = _found(source, target)
        sources = {_resolved(path) for path in found}
        if shard is not None:
            found = [f for f in found if shard.holds(f.relative_to(source))]
            passed_over = {
                path: reason
                for path, reason in passed_over.items()
                if shard.holds(path.relative_to(source))
            }
        jobs = [_job_in(f, target / f.relative_to(source)) for f in found]
    elif shard is not None:
        raise ValueError(
            f"A shard is a part of a folder. Received: {str(source)!r}, shard {shard}"
        )
    elif source.exists():
        if target.is_dir():
            target /= source.name
        jobs, sources = [_job(source, target)], {_resolved(source)}
    else:
        raise ValueError(f"There is no file or folder {str(source)!r}.")
    for job in jobs:
        if _resolved(job.target) in sources:
            raise ValueError(
                f"The result would replace the photograph {str(job.target)!r}. "
                "Give another --output."
            )
    existing = 0
    if skip_existing:
        missing = [job for job in jobs if not job.target.exists()]
        existing, jobs = len(jobs) - len(missing), missing
    return Plan(jobs, existing, passed_over)


def restore_file(
    job: Job, restorer: Restorer, progress: Progress | None = None
) -> None:
    """Reads a photograph, an animation or a video, restores it and writes the result.

    Transparency, color profile, EXIF data and depth are kept.

    Args:
        job: Which.
        restorer: Finds the networks and holds the settings.
        progress: Called with how much is done, and how much there is.

    Raises:
        ValueError: It cannot be read or restored, or the result cannot be written.
        ImportError: The package for such a file is missing.
    """
    if video.is_video(job.source):
        video.restore(job.source, job.target, restorer, progress)
    elif job.is_animation:
        animations.restore(job.source, job.target, restorer, progress)
    else:
        _restore_photograph(job, restorer, progress)


def _restore_photograph(job, restorer, progress) -> None:
    photograph = files.read(job.source)
    route = restorer.route(photograph.pixels, job.source.name)
    files.check_writable(job.target, photograph, route.size)
    _check_memory(job.target, photograph, route.size)
    settings = restorer.settings
    with route.turn:
        bands = route.bands(photograph.pixels, photograph.alpha, progress)
        if files.writes_rows(job.target):
            with files.open_writer(
                job.target, photograph, *route.size, compression=settings.compression
            ) as writer:
                for pixels, alpha in bands:
                    writer.write_rows(pixels, alpha)
            return
        colors, opacities = zip(*bands, strict=True)
    restored = dataclasses.replace(
        photograph,
        pixels=np.concatenate(colors),
        alpha=None if photograph.alpha is None else np.concatenate(opacities),
    )
    files.write(job.target, restored, settings.quality, settings.compression)


def restore_files(
    jobs: Sequence[Job],
    restorer: Restorer,
    progress: Callable[[int, int, int], None] | None = None,
) -> Generator[Outcome, None, None]:
    """Restores files, as many at once as the restorer says.

    An interruption leaves whole files only: what is half done is taken back.

    Args:
        jobs: The files.
        restorer: Finds the networks and holds the settings.
        progress: Called with the number of a job, how much of it is done, and how much
            there is; by several threads.

    Yields:
        What became of each, in the order of the jobs.
    """
    stopped = threading.Event()
    node = platform.node()

    def work(number: int, job: Job) -> Outcome:
        def report(done: int, total: int) -> None:
            if stopped.is_set():
                raise CancelledError
            if progress is not None:
                progress(number, done, total)

        started = time.perf_counter()
        error = None
        try:
            restore_file(job, restorer, report)
        # Whatever is wrong with one file, the others go on.
        except Exception as problem:
            error = problem
        return Outcome(number, job, error, time.perf_counter() - started, node)

    with ThreadPoolExecutor(restorer.together) as pool:
        try:
            results = [pool.submit(work, *item) for item in enumerate(jobs)]
            for result in results:
                yield result.result()
        finally:
            stopped.set()
            pool.shutdown(wait=True, cancel_futures=True)


def _check_memory(path: Path, photograph: files.Photograph, size) -> None:
    """Refuses what the machine cannot hold, before it has worked for long."""
    needed = files.bytes_needed(path, photograph, size)
    free = _free_memory()
    if free is not None and needed > free:
        raise ValueError(
            f"Writing {str(path)!r} with {size[1]} x {size[0]} pixels takes "
            f"{needed / 1e9:.1f} GB of memory, and {free / 1e9:.1f} GB are free: write "
            "a .png or .tif file, which takes little."
        )


def _free_memory() -> int | None:
    """Bytes of memory that are free; None where the system does not tell."""
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return None


def _job(source: Path, target: Path) -> Job:
    """What is to be done with one file, whose result has been given a name."""
    if video.is_video(source):
        video.check_target(target)
        return Job(source, target)
    is_animation = animations.is_animation(source)
    known = tuple(animations.SUFFIXES) if is_animation else files.SUFFIXES
    if target.suffix.lower() not in known:
        kind = " of an animation" if is_animation else ""
        raise ValueError(
            f"The output's suffix{kind} must be one of {', '.join(known)}. "
            f"Received: {str(target)!r}"
        )
    return Job(source, target, is_animation)


def _found(source: Path, target: Path) -> tuple[list[Path], dict[Path, str]]:
    """The photographs in a folder, and what is passed over, with the reason."""
    if target.exists() and not target.is_dir():
        raise ValueError(
            "A folder of photographs gives a folder, and the output is a file. "
            f"Received: {str(target)!r}"
        )
    survey = files.survey(source)
    found, passed_over = survey.files, survey.passed_over
    folder, results = _resolved(source), _resolved(target)
    if results != folder and results.is_relative_to(folder):
        # Results of an earlier run are not photographs to restore.
        found = [f for f in found if not _resolved(f).is_relative_to(results)]
        passed_over = {
            path: reason
            for path, reason in passed_over.items()
            if not _resolved(path).is_relative_to(results)
        }
    if not found:
        raise ValueError(
            f"There are no photographs in {str(source)!r}. "
            f"Known suffixes: {', '.join(files.SUFFIXES)}"
        )
    return found, passed_over


def _job_in(source: Path, target: Path) -> Job:
    """What is to be done with a file of a folder, whose result is called the same."""
    if animations.is_animation(source):
        return Job(source, target, is_animation=True)
    return Job(source, files.writable_path(target))


def _resolved(path: Path) -> Path:
    """A path without links; a link to itself stays as it is."""
    try:
        return path.resolve()
    except (OSError, RuntimeError):
        return path.absolute()
