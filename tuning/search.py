"""Searches for the best split of a parameter budget.

    python tuning/search.py --task denoise --sigma 25 --budget 30000 --steps 1000

All networks of a search have the same number of parameters, within 2 %; some spend
more of them in the activations, some in the convolutions. What counts is the PSNR on
the validation images with the averaged weights. Everything lies in one folder, and
the same command goes on where an interrupted search stood.

On several machines, give each of them the same command, and

    --chief HOST:PORT               on the machine that hands out the trials
    --chief HOST:PORT --worker 0    on the first machine that trains
    --chief HOST:PORT --worker 1    on the next
"""

import contextlib
import dataclasses
import math
import os
import statistics
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import tuning  # noqa: F401  (says what is missing)
from pipelines import program

# isort: split
import keras_tuner
import tensorflow as tf
import tyro
from keras_tuner.engine.base_tuner import BaseTuner
from keras_tuner.engine.trial import TrialStatus
from keras_tuner.src import config as keras_tuner_config
from rich.console import Console
from rich.table import Table

from pipelines import configuration
from pipelines.configuration import Config
from pipelines.data.examples import first_examples
from pipelines.data.training import patch_source
from tuning.files import claimed, write_json
from tuning.hypermodel import TOLERANCE, Architecture, BudgetHyperModel, Space
from tuning.latency import Latencies
from tuning.oracles import HYPERBAND_ROUNDS, ORACLES, SearchOracle
from tuning.training import TrainingFailedError, train_apart
from xunit_keras import tasks
from xunit_keras.packages import require
from xunit_keras.runtime.engines import EngineName


@dataclass(frozen=True)
class Search:
    """A search; saved as `search.json` in its folder."""

    config: tyro.conf.OmitArgPrefixes[Config]
    """How every network is trained."""

    space: tyro.conf.OmitArgPrefixes[Space]
    """What to choose from."""

    tuner: Literal["random", "hyperband", "bayesian", "grid"] = "random"
    """How to choose."""

    trials: int | None = None
    """Trials in all. Default: 20; for hyperband and grid, all that they have."""

    seeds: int = 1
    """Trainings of every trial, equal in all but the seed; their mean counts."""

    max_milliseconds: float | None = None
    """Leave out networks that take longer for a megapixel of the result, measured on
    --engine before any training."""

    engine: EngineName = "onnxruntime"
    """What --max-milliseconds is measured on."""

    chief: str | None = None
    """HOST:PORT of the chief of a search on several machines. Without --worker: be
    the chief, who hands out the trials and trains nothing."""

    worker: int | None = None
    """Be this worker, one number each, of the search of --chief."""

    lease: float = 60.0
    """Seconds after which the chief gives a silent worker's trial to another."""


class Resolved(Search):
    """A search in which nothing is left open."""

    config: configuration.Resolved


def resolve(search: Search) -> Resolved:
    """Fills in what was left open, and checks the rest.

    Raises:
        ValueError: An argument is out of range.
    """
    config = search.config
    for name in ("model", "depth", "filters", "kernel_size", "init"):
        if (value := getattr(config, name)) is not None:
            raise ValueError(
                "The search makes its own networks, untrained. "
                f"Received: {name}={value!r}"
            )
    if "post" in search.space.upsampling and config.task != "sr":
        raise ValueError(
            "Only super resolution enlarges. Received: upsampling="
            f"{search.space.upsampling} for the task {config.task!r}"
        )
    for name in ("trials", "seeds", "lease", "max_milliseconds"):
        value = getattr(search, name)
        if value is not None and not 0 < value < math.inf:
            raise ValueError(f"`{name}` must be positive. Received: {name}={value}")
    budget = "-".join(map(str, search.space.budget))
    steps = config.steps or tasks.get(config.task).training.steps
    config = configuration.resolve(
        dataclasses.replace(
            config,
            # The last validation counts; the others are checkpoints.
            every=config.every or -(-steps // 4),
            out=config.out or Path("runs") / f"search-{config.task}-{budget}",
        )
    )
    trials = search.trials
    if trials is None and search.tuner in ("random", "bayesian"):
        trials = 20
    return Resolved(**{**vars(search), "config": config, "trials": trials})


def join(search: Search) -> str:
    """Takes a part in a search: `"alone"`, `"chief"` or `"worker"`.

    KerasTuner learns its part from environment variables; --chief and --worker set
    them, and whoever sets them otherwise needs neither.

    Raises:
        ValueError: `chief` is not HOST:PORT, or there is none.
    """
    if search.chief is not None:
        host, _, port = search.chief.rpartition(":")
        if not host or not port.isdigit():
            raise ValueError(f"`chief` must be HOST:PORT. Received: {search.chief!r}")
        part = "chief" if search.worker is None else f"worker{search.worker}"
        os.environ["KERASTUNER_ORACLE_IP"] = host
        os.environ["KERASTUNER_ORACLE_PORT"] = port
        os.environ["KERASTUNER_TUNER_ID"] = part
    elif search.worker is not None:
        raise ValueError("A worker needs a chief: give --chief HOST:PORT.")
    if "KERASTUNER_ORACLE_IP" not in os.environ:
        return "alone"
    is_chief = "chief" in os.environ.get("KERASTUNER_TUNER_ID", "")
    return "chief" if is_chief else "worker"


def check_space(hypermodel: BudgetHyperModel) -> None:
    """Tells which combinations cannot meet the budget, before anything is trained.

    Raises:
        ValueError: None can.
    """
    reasons = []
    combinations = hypermodel.space.combinations()
    for values in combinations:
        try:
            hypermodel.architecture(values)
        except ValueError as error:
            reasons.append(str(error))
    if len(reasons) == len(combinations):
        raise ValueError(f"No combination can meet the budget. {reasons[0]}")
    print(f"The space has {len(combinations)} combinations.")
    if reasons:
        print(
            f"{len(reasons)} of them cannot meet the budget within {TOLERANCE:.0%} "
            f"and are left out, the first because: {reasons[0]}"
        )


def check_data(config: configuration.Resolved) -> None:
    """Reads the data once, so that a wrong name ends the search before it starts."""
    patch_source(config)
    first_examples(config.validation, config.target, config.data_root, 1)


class BudgetTuner(BaseTuner):
    """Runs the trials of a search, each training in a process of its own.

    KerasTuner does not get to see the hypermodel, because it would build a network
    here at the start, and claim the memory of a GPU that the trainings need.
    """

    def __init__(
        self, oracle: SearchOracle, hypermodel: BudgetHyperModel, search: Resolved
    ):
        self.budget = hypermodel
        self.settings = search
        super().__init__(oracle, directory=search.config.out, project_name="oracle")

    def pre_create_trial(self):
        if self._is_worker():
            time.sleep(1.0)  # The chief may have nothing to do just now.

    def run_trial(self, trial, **kwargs):
        values = trial.hyperparameters.values
        architecture = self.budget.architecture(values)
        config = self.budget.training(values)
        if "tuner/epochs" in values:
            share = values["tuner/epochs"] / HYPERBAND_ROUNDS
            config = _shortened(config, round(config.steps * share))
        print(f"Trial {trial.trial_id}: {architecture}.", flush=True)
        outcomes = []
        with self._alive(trial.trial_id):
            for seed in range(config.seed, config.seed + self.settings.seeds):
                out = config.out / "runs" / f"{trial.trial_id}-seed{seed}"
                seeded = dataclasses.replace(config, seed=seed, out=out)
                try:
                    outcomes.append(train_apart(seeded, architecture))
                except TrainingFailedError as error:
                    print(f"Trial {trial.trial_id} failed: {error}", flush=True)
                    raise keras_tuner.errors.FailedTrialError(str(error)) from None
        scores = [outcome["val_psnr"] for outcome in outcomes]
        return {
            **outcomes[0],
            "val_psnr": statistics.fmean(scores),
            "val_psnr_std": statistics.stdev(scores) if len(scores) > 1 else 0.0,
            "seconds": sum(outcome["seconds"] for outcome in outcomes),
        }

    @contextlib.contextmanager
    def _alive(self, trial_id):
        """Lets the chief know, while a trial runs, that its worker is alive."""
        ended = threading.Event()

        def ask():
            while not ended.wait(self.settings.lease / 4):
                with contextlib.suppress(Exception):  # A chief may be restarted.
                    self.oracle.get_trial(trial_id)

        if self._is_worker():
            threading.Thread(target=ask, daemon=True).start()
        try:
            yield
        finally:
            ended.set()

    # All state is the oracle's.

    def _get_tuner_fname(self):
        return str(self.settings.config.out / "oracle" / "oracle.json")

    def save(self):
        if not self._is_worker():
            self.oracle.save()


def _shortened(config: configuration.Resolved, steps: int) -> configuration.Resolved:
    rounds = -(-steps // config.every)
    every = -(-steps // rounds)
    return dataclasses.replace(config, every=every, steps=rounds * every)


def describe(trial: keras_tuner.engine.trial.Trial, hypermodel: BudgetHyperModel):
    """A trial as a dictionary: values, architecture, status and scores."""
    values = trial.hyperparameters.values
    architecture = hypermodel.architecture(values)
    lines = (trial.message or "See the output of its worker.").strip().splitlines()
    failed = trial.status != TrialStatus.COMPLETED
    metrics = {
        name: float(trial.metrics.get_best_value(name))
        for name in trial.metrics.metrics
    }
    return {
        "trial": trial.trial_id,
        "status": trial.status,
        "values": {name: values[name] for name in hypermodel.space.choices()},
        "architecture": dataclasses.asdict(architecture),
        **metrics,
        "parameters": architecture.parameters.total,
        "activation_share": architecture.parameters.activation_share,
        **({"message": lines[-1].partition(": ")[2] or lines[-1]} if failed else {}),
    }


def ranked(rows: list[dict]) -> list[dict]:
    """The trials that were completed, best first."""
    completed = [row for row in rows if row["status"] == TrialStatus.COMPLETED]
    return sorted(completed, key=lambda row: -row["val_psnr"])


def print_table(rows: list[dict], config: configuration.Resolved) -> None:
    """Prints the trials, best first, with protocol and degraded input's score."""
    best_first = ranked(rows)
    table = Table(
        title=f"{config.validation}, {config.target.scored()}",
        caption=f"degraded input {best_first[0]['val_input_psnr']:.2f} dB; share: of "
        "the parameters in the activations; kernels: first, middle, last",
        box=None,
        padding=(0, 2, 0, 0),
    )
    for heading in ("trial", "dB", "parameters", "share"):
        table.add_column(heading, justify="right")
    table.add_column("activation")
    for heading in ("depth", "kernels", "filters", "steps"):
        table.add_column(heading, justify="right")
    for row in best_first:
        architecture = Architecture(**row["architecture"])
        deviation = f" ± {row['val_psnr_std']:.3f}" if row["val_psnr_std"] else ""
        kernels = (row["values"][f"{at}_kernel"] for at in ("first", "middle", "last"))
        filters = sorted(set(architecture.filters))
        table.add_row(
            row["trial"],
            f"{row['val_psnr']:.3f}{deviation}",
            f"{row['parameters']:,}",
            f"{row['activation_share']:.1%}",
            architecture.activation,
            str(len(architecture.kernels)),
            "-".join(map(str, kernels)),
            "-".join(map(str, filters)),
            f"{row['steps']:g}",
        )
    Console().print(table)


def run(search: Resolved) -> list[dict]:
    """Runs a search, or goes on with it.

    Args:
        search: A resolved search.

    Returns:
        What `describe` gives for its trials; none where this is a worker.

    Raises:
        ValueError: The folder holds another search, there is no such data, or
            nothing meets the budget or is fast enough.
    """
    part = join(search)
    # A failed trial is told in a sentence; its traceback is in its trial.json.
    keras_tuner_config.DEBUG = False
    # What is trained is trained by other processes.
    tf.config.set_visible_devices([], "GPU")
    hypermodel = BudgetHyperModel(search.space, search.config)
    if search.max_milliseconds is not None:
        hypermodel.accepts = Latencies(
            search.engine,
            search.config.out / "milliseconds.json",
            search.max_milliseconds,
        ).accepts
    check_space(hypermodel)
    if part != "chief":
        check_data(search.config)
    # More trials, or other machines, make no other search.
    settings = dataclasses.asdict(search)
    for name in ("trials", "chief", "worker", "lease"):
        del settings[name]
    path = search.config.out / "search.json"
    with claimed(path, settings, shared=part == "worker"):
        rows = _run(search, hypermodel, part)
    if not rows and part != "worker":
        raise ValueError(
            f"No network of the space takes {search.max_milliseconds:g} ms or less for "
            f"a megapixel on {search.engine}: see milliseconds.json in "
            f"{search.config.out}."
        )
    return rows


def _run(search: Resolved, hypermodel: BudgetHyperModel, part: str) -> list[dict]:
    """The search itself, in a folder that holds no other one."""

    def on_end(trial):
        rows = [describe(t, hypermodel) for t in oracle.trials.values()]
        write_json(search.config.out / "trials.json", rows)
        row = describe(trial, hypermodel)
        score = f"{row['val_psnr']:.3f} dB" if trial.score else row["message"]
        done = f"{len(oracle.end_order)} of {search.trials or 'all'}"
        print(f"Trial {trial.trial_id} {trial.status}: {score} ({done}).", flush=True)

    oracle = ORACLES[search.tuner](
        hypermodel, search.trials, search.lease, on_end, seed=search.config.seed + 1
    )
    tuner = BudgetTuner(oracle, hypermodel, search)
    if oracle.end_order:
        print(f"Going on after {len(oracle.end_order)} trials.")
    if part == "chief":
        oracle.watch()
        address = ":".join(
            os.environ[f"KERASTUNER_ORACLE_{name}"] for name in ("IP", "PORT")
        )
        print(f"Handing out trials at {address}.", flush=True)
    try:
        tuner.search()
    except program.Stopped as stop:
        stop.add_note(
            f"{len(oracle.end_order)} trials have ended: the same command goes on."
        )
        raise
    if part == "worker":
        return []
    return [describe(trial, hypermodel) for trial in oracle.trials.values()]


def main() -> None:
    """Reads the command line and searches."""
    search = tyro.cli(
        Search, description=__doc__, config=(tyro.conf.FlagCreatePairsOff,)
    )
    for package in ("matplotlib", "tensorboard"):
        require(package, "train")
    search = resolve(search)
    rows = run(search)
    if not rows:
        print("This worker is done; the chief has the results.")
    elif not ranked(rows):
        raise program.ProgramError(
            f"all {len(rows)} trials failed, the last because: {rows[-1]['message']}"
        )
    else:
        print_table(rows, search.config)
        out = search.config.out
        print(f"The trials are in {out / 'trials.json'}.")
        print(f"What they cost to run: python tuning/report.py {out}")


if __name__ == "__main__":
    program.run(main, "search.py")
