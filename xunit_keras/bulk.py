"""Photographs in files, restored on the machines of a cluster."""

import os
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from xunit_keras.choosing import Choice
from xunit_keras.clusters import ONE_PROCESSOR, Cluster, Needs
from xunit_keras.photographs import Job, Outcome, restore_file
from xunit_keras.restorer import Restorer, Tell
from xunit_keras.runtime import models


def restore_files(
    jobs: Sequence[Job],
    make_restorer: Callable[..., Restorer],
    cluster: Cluster,
    folder: Path,
    needs: Needs = ONE_PROCESSOR,
    seen: Sequence[Path] = (),
    tell: Tell = lambda name, choices: None,
) -> Iterator[Outcome]:
    """Restores files, each in one of the processes of a cluster.

    A result that is there already is left as it is: it comes from before a machine was
    lost.

    Args:
        jobs: The files.
        make_restorer: Makes what restores them, in each process; takes `tell`. It
            travels there, see `Cluster.map`.
        cluster: The machines. All must see the files at the same place.
        folder: Where all results are, or below it.
        needs: What a process takes up.
        seen: Files and folders that the machines must see besides the photographs.
        tell: Is told once of each choice, see `Restorer`.

    Yields:
        What became of each, in the order in which they are done.

    Raises:
        ClusterError: The machines do not share the folder, or cannot go on.
    """
    if not jobs:
        return
    cluster.check(needs, absolute(folder), [absolute(jobs[0].source), *seen])
    told: set[tuple[str, ...]] = set()
    items = [
        {
            "source": str(absolute(job.source)),
            "target": str(absolute(job.target)),
            "is_animation": job.is_animation,
        }
        for job in jobs
    ]
    for answer in cluster.map(partial(_Worker, make_restorer), items, needs):
        job, error = jobs[answer.number], answer.error
        if error and answer.seconds is None and job.target.exists():
            error = ""  # Done, and then the machine was lost.
        for name, choices in answer.value or ():
            chosen = tuple(Choice(*choice) for choice in choices)
            models = tuple(choice.model for choice in chosen)
            if models not in told:
                told.add(models)
                tell(name, chosen)
        yield Outcome(
            answer.number,
            job,
            ValueError(error) if error else None,
            answer.seconds,
            answer.node,
        )


def named_everywhere(model: str) -> tuple[str, list[Path]]:
    """What a model is called on other machines, and the files that they need for it.

    Raises:
        ValueError: There is no such model.
    """
    if model in models.list_models() or not Path(model).exists():
        models.model_folder(model)
        return model, []
    return str(absolute(Path(model))), [absolute(Path(model))]


def absolute(path: Path) -> Path:
    """A path as other machines know it, which have other folders to work in."""
    return Path(os.path.abspath(path))  # noqa: PTH100  Links are to stay.


class _Worker:
    """Restores one file after the other, with networks that are opened once."""

    def __init__(self, make_restorer: Callable[..., Restorer]):
        self.told: list[tuple[str, tuple[Choice, ...]]] = []
        self.restorer = make_restorer(
            tell=lambda name, choices: self.told.append((name, choices))
        )

    def __call__(self, item: dict[str, Any]) -> list[tuple[str, tuple[Choice, ...]]]:
        """Restores a file. Gives the choices of models that it has not given before."""
        source, target = Path(item["source"]), Path(item["target"])
        if not target.exists():
            restore_file(Job(source, target, item["is_animation"]), self.restorer)
        told, self.told = self.told, []
        return told
