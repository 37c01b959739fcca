"""KerasTuner's oracles, made to survive kills, failures and lost workers.

An oracle decides which trial comes next; in a search on several machines it lives
on the chief. KerasTuner 1.4.8 as it is loses a grid search on a restart, stops after
a few failed trials, waits for ever for a worker that died, tries what cannot meet
the budget, and reports a failed trial as the best if there is no other.
"""

import itertools
import sys
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import keras_tuner
from keras_tuner.engine.trial import TrialStatus

from tuning.files import write_json
from tuning.hypermodel import BudgetHyperModel

# The longest training of Hyperband, in rounds; its first trials get one round.
HYPERBAND_ROUNDS = 9


class SearchOracle(keras_tuner.Oracle):
    """What the oracles of a budget search have in common.

    Args:
        hypermodel: The space.
        trials: How many trials to run at most; None for as many as the oracle has.
        lease: Seconds after which a silent worker's trial goes to another one.
        on_end: Called with every trial that ended.
        **kwargs: Arguments of the oracle.
    """

    def __init__(
        self,
        hypermodel: BudgetHyperModel,
        trials: int | None,
        lease: float,
        on_end: Callable[[keras_tuner.engine.trial.Trial], None],
        **kwargs,
    ):
        space = keras_tuner.HyperParameters()
        hypermodel.declare_hyperparameters(space)
        super().__init__(
            objective=keras_tuner.Objective("val_psnr", "max"),
            hyperparameters=space,
            # A failed trial is recorded, and the search goes on.
            max_consecutive_failed_trials=sys.maxsize,
            **kwargs,
        )
        self.max_trials = trials
        self.hypermodel = hypermodel
        self.lease = lease
        self.on_end = on_end
        self.verbose = 0
        self._max_collisions = 1000
        self._heard: dict[str, float] = {}

    def _duplicate(self, values):
        """What cannot meet the budget counts as tried, and is never proposed."""
        return super()._duplicate(values) or not self.hypermodel.is_feasible(values)

    # ---------------------------------------------------------- workers that die

    @keras_tuner.synchronized
    def create_trial(self, tuner_id):
        self._heard[tuner_id] = time.monotonic()
        trial = super().create_trial(tuner_id)
        if trial.status == TrialStatus.STOPPED and self.ongoing_trials:
            # Another worker may yet die and leave its trial to this one.
            self.tuner_ids.add(tuner_id)
            trial.status = TrialStatus.IDLE
        return trial

    @keras_tuner.synchronized
    def get_trial(self, trial_id):
        """A trial; the worker that runs it thereby says that it is alive."""
        for tuner_id, trial in self.ongoing_trials.items():
            if trial.trial_id == trial_id:
                self._heard[tuner_id] = time.monotonic()
        return super().get_trial(trial_id)

    @keras_tuner.synchronized
    def end_trial(self, trial):
        if trial.trial_id in self.end_order:
            return  # Two workers ran it: the first was silent, not dead.
        if trial.trial_id in self._retry_queue:
            self._retry_queue.remove(trial.trial_id)
        super().end_trial(trial)
        self.on_end(self.trials[trial.trial_id])

    @keras_tuner.synchronized
    def release_silent(self) -> None:
        """Takes back the trials of workers that were silent for a lease."""
        now = time.monotonic()
        for tuner_id in list(self.tuner_ids):
            if now - self._heard[tuner_id] < self.lease:
                continue
            self.tuner_ids.remove(tuner_id)
            trial = self.ongoing_trials.pop(tuner_id, None)
            if trial is not None:
                self._retry_queue.append(trial.trial_id)
                self.save()
                print(
                    f"Nothing heard from {tuner_id} for {self.lease:g} s: trial "
                    f"{trial.trial_id} goes to another worker."
                )

    def watch(self) -> None:
        """Releases silent workers from now on, in a thread."""

        def run():
            while True:
                time.sleep(self.lease / 4)
                self.release_silent()

        threading.Thread(target=run, daemon=True).start()

    # ---------------------------------------------------------- restarts

    def save(self):
        write_json(Path(self._get_oracle_fname()), self.get_state())

    def _save_trial(self, trial):
        folder = Path(self._get_trial_dir(trial.trial_id))
        write_json(folder / "trial.json", trial.get_state())

    def reload(self):
        super().reload()
        # Also those whose start was the last thing written.
        self._retry_queue = sorted(
            trial_id
            for trial_id, trial in self.trials.items()
            if trial.status == TrialStatus.RUNNING
        )


class RandomOracle(SearchOracle, keras_tuner.oracles.RandomSearchOracle):
    """Combinations drawn at random, none twice."""


class BayesianOracle(SearchOracle, keras_tuner.oracles.BayesianOptimizationOracle):
    """Combinations that a Gaussian process expects most of.

    The first third of the trials is drawn at random, for the process to start from.
    KerasTuner's default, three trials for every hyperparameter, would leave it next to
    none of a search of ordinary length.
    """

    def __init__(self, hypermodel, trials, *args, **kwargs):
        start = max(3, trials // 3)
        super().__init__(hypermodel, trials, *args, num_initial_points=start, **kwargs)

    def populate_space(self, trial_id):
        with warnings.catch_warnings():
            # About the scales of the process, which nobody here can set.
            warnings.simplefilter("ignore")
            response = super().populate_space(trial_id)
        # The process knows nothing of budgets, and proposes favorites again.
        if response["values"] and self._duplicate(response["values"]):
            return self._random_populate_space()
        return response


class HyperbandOracle(SearchOracle, keras_tuner.oracles.HyperbandOracle):
    """Many short trainings, and longer ones for the best of them.

    Every training starts anew, with a learning rate that falls to the end of its
    own length, so that workers need not share their files.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, max_epochs=HYPERBAND_ROUNDS, **kwargs)


class GridOracle(SearchOracle):
    """All combinations, one after the other."""

    def populate_space(self, trial_id):
        feasible = filter(
            self.hypermodel.is_feasible, self.hypermodel.space.combinations()
        )
        values = next(itertools.islice(feasible, len(self.trials), None), None)
        if values is None:
            return {"status": TrialStatus.STOPPED, "values": None}
        return {"status": TrialStatus.RUNNING, "values": values}


ORACLES = {
    "random": RandomOracle,
    "hyperband": HyperbandOracle,
    "bayesian": BayesianOracle,
    "grid": GridOracle,
}
