"""Photographs in files: which become which, and one of them through a network."""

import dataclasses
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from xunit_keras.imaging import files
from xunit_keras.imaging.alpha import fill_transparent
from xunit_keras.runtime import restoring
from xunit_keras.runtime.network import Network


@dataclass(frozen=True)
class Job:
    """A photograph to restore.

    Attributes:
        source: Its file.
        target: Where the result goes.
    """

    source: Path
    target: Path


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


def plan(source: Path, target: Path, skip_existing: bool = False) -> Plan:
    """Which file is to become which.

    Args:
        source: A photograph, or a folder of them.
        target: A file or a folder; a folder of photographs gives a folder with the
            same names and subfolders.
        skip_existing: Leave out photographs whose result is there.

    Raises:
        ValueError: There is nothing to restore, or a result would replace a
            photograph.
    """
    passed_over: dict[Path, str] = {}
    if source.is_dir():
        jobs, passed_over = _folder_jobs(source, target)
    elif source.exists():
        if target.is_dir():
            target /= source.name
        if target.suffix.lower() not in files.SUFFIXES:
            raise ValueError(
                f"The output's suffix must be one of {', '.join(files.SUFFIXES)}. "
                f"Received: {str(target)!r}"
            )
        jobs = [Job(source, target)]
    else:
        raise ValueError(f"There is no file or folder {str(source)!r}.")
    sources = {_resolved(job.source) for job in jobs}
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
    job: Job,
    network: Network,
    tile: int | Literal["auto"] = "auto",
    self_ensemble: bool = False,
    strength: float = 1.0,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Reads a photograph, restores it and writes the result.

    Transparency, color profile, EXIF data and depth are kept; see
    `xunit_keras.restore` for the arguments.

    Raises:
        ValueError: The photograph cannot be read or restored, or the result cannot be
            written.
    """
    photograph = files.read(job.source)
    pixels, alpha = photograph.pixels, photograph.alpha
    scale = network.field.scale
    height, width = (side * scale for side in pixels.shape[:2])
    files.check_writable(job.target, photograph, (height, width))
    _check_memory(job.target, photograph, (height, width))
    if alpha is not None:
        # What nobody sees would bleed into the soft edges.
        pixels = fill_transparent(pixels, alpha)
    bands = _with_alpha(
        restoring.restore_bands(
            pixels, network, tile, self_ensemble, progress, strength
        ),
        alpha,
        scale,
    )
    if files.writes_rows(job.target):
        with files.open_writer(job.target, photograph, height, width) as writer:
            for band, opacity in bands:
                writer.write_rows(band, opacity)
        return
    restored, opacities = zip(*bands, strict=True)
    files.write(
        job.target,
        dataclasses.replace(
            photograph,
            pixels=np.concatenate(restored),
            alpha=None if alpha is None else np.concatenate(opacities),
        ),
    )


def _with_alpha(bands, alpha, scale) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
    """Bands of rows with as many rows of the transparency, enlarged as they are."""
    start = 0
    for band in bands:
        stop = start + len(band) // scale
        opacity = None
        if alpha is not None:
            opacity = alpha[start:stop]
            if scale > 1:
                opacity = restoring.enlarge_rows(alpha, scale, start, stop)
        yield band, opacity
        start = stop


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


def _folder_jobs(source: Path, target: Path) -> tuple[list[Job], dict[Path, str]]:
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
    jobs = [Job(f, target / files.writable_path(f.relative_to(source))) for f in found]
    return jobs, passed_over


def _resolved(path: Path) -> Path:
    """A path without links; a link to itself stays as it is."""
    try:
        return path.resolve()
    except (OSError, RuntimeError):
        return path.absolute()
