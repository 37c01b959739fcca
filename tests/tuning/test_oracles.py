"""The oracles, without any training: workers die, trials fail, chiefs restart."""

import pytest
from keras_tuner.engine.trial import TrialStatus

from pipelines.configuration import Config
from tuning.hypermodel import BudgetHyperModel, Space
from tuning.oracles import ORACLES

# Two of these six combinations cannot have 850 parameters.
SPACE = Space(
    (850,),
    depths=(3, 4),
    first_kernels=(3,),
    last_kernels=(3,),
    activations=(0, 3, 11),
)


def make(tmp_path, name="random", trials=None, lease=60.0, space=SPACE):
    hypermodel = BudgetHyperModel(space, Config(task="denoise"))
    ended = []
    oracle = ORACLES[name](hypermodel, trials, lease, ended.append, seed=1)
    oracle._set_project_dir(str(tmp_path), "oracle")
    oracle.ended = ended
    return oracle


def end(oracle, trial, score=None):
    """What a tuner does when a trial is over."""
    if score is None:
        trial.status, trial.message = TrialStatus.FAILED, "Error: out of memory"
    else:
        oracle.update_trial(trial.trial_id, {"val_psnr": score})
        trial.status = TrialStatus.COMPLETED
    oracle.end_trial(trial)


def drain(oracle, tuner_id="tuner0", score=lambda number: 20.0 + number):
    """Runs trials until the oracle stops; their values."""
    values = []
    while (trial := oracle.create_trial(tuner_id)).status != TrialStatus.STOPPED:
        values.append(trial.hyperparameters.values)
        end(oracle, trial, score(len(values)))
    return values


def spied(function, calls):
    """The function, which notes every call."""

    def call(*arguments):
        calls.append(arguments)
        return function(*arguments)

    return call


def feasible(oracle):
    return list(filter(oracle.hypermodel.is_feasible, SPACE.combinations()))


def test_the_space_of_these_tests_is_partly_infeasible(tmp_path):
    assert len(feasible(make(tmp_path))) == len(SPACE.combinations()) - 2 == 4


@pytest.mark.parametrize("name", ["random", "grid"])
def test_every_feasible_combination_is_tried_once(tmp_path, name):
    oracle = make(tmp_path, name, trials=20 if name == "random" else None)
    tried = drain(oracle)
    assert sorted(map(str, tried)) == sorted(map(str, feasible(oracle)))


@pytest.mark.parametrize("name", sorted(ORACLES))
def test_a_search_goes_on_after_a_restart(tmp_path, name):
    whole = drain(make(tmp_path / "whole", name, trials=4))
    first = make(tmp_path / "halves", name, trials=4)
    end(first, first.create_trial("tuner0"), 21.0)
    interrupted = first.create_trial("tuner0")
    second = make(tmp_path / "halves", name, trials=4)
    second.reload()
    again = second.create_trial("tuner0")
    assert again.trial_id == interrupted.trial_id
    assert again.hyperparameters.values == interrupted.hyperparameters.values
    end(second, again, 22.0)
    assert len(drain(second)) == len(whole) - 2
    assert len(second.end_order) == len(set(second.end_order)) == len(whole)


def test_hyperband_gives_the_best_more_rounds(tmp_path):
    space = Space((30_000,))
    oracle = make(tmp_path, "hyperband", space=space)
    tried = drain(oracle)
    rounds = [values["tuner/epochs"] for values in tried]
    assert set(rounds) == {1, 3, 9}
    assert rounds.count(1) > 2 * rounds.count(9) - 4
    # The later a trial here, the better: the last of the first nine is promoted.
    promoted = next(values for values in tried if values["tuner/epochs"] == 3)
    assert promoted["tuner/trial_id"] == "0008"


def test_bayesian_proposes_what_is_new_and_feasible(tmp_path, monkeypatch):
    space = Space((30_000,), first_kernels=(3,), last_kernels=(3,))
    oracle = make(tmp_path, "bayesian", trials=12, space=space)
    fits = []
    monkeypatch.setattr(oracle.gpr, "fit", spied(oracle.gpr.fit, fits))
    tried = drain(oracle, score=lambda number: 20.0 + number % 5)
    assert len({str(values) for values in tried}) == len(tried) == 12
    assert all(map(oracle.hypermodel.is_feasible, tried))
    # After a third of the trials, the process has a say.
    assert len(fits) == 8


def test_failed_trials_do_not_end_a_search(tmp_path):
    oracle = make(tmp_path, "grid")
    drain(oracle, score=lambda number: None)
    assert len(oracle.ended) == len(feasible(oracle)) >= 4
    assert {trial.status for trial in oracle.ended} == {TrialStatus.FAILED}


def test_a_score_that_is_no_number_is_a_failure(tmp_path):
    oracle = make(tmp_path, "grid", trials=1)
    drain(oracle, score=lambda number: float("nan"))
    assert oracle.ended[0].status == TrialStatus.FAILED


def test_the_trial_of_a_silent_worker_goes_to_another(tmp_path):
    oracle = make(tmp_path, trials=2, lease=0.0)
    lost = oracle.create_trial("worker0")
    end(oracle, oracle.create_trial("worker1"), 21.0)
    # Nothing to do, but worker0 may yet die.
    assert oracle.create_trial("worker1").status == TrialStatus.IDLE
    oracle.release_silent()
    assert not oracle.ongoing_trials
    again = oracle.create_trial("worker1")
    assert again.trial_id == lost.trial_id
    end(oracle, again, 22.0)
    assert oracle.create_trial("worker1").status == TrialStatus.STOPPED
    assert not oracle.tuner_ids
    # The silent one was not dead: its result comes too late.
    end(oracle, lost, 23.0)
    assert sorted(oracle.end_order) == ["0", "1"]


def test_a_worker_that_asks_is_not_silent(tmp_path):
    oracle = make(tmp_path, trials=2, lease=60.0)
    trial = oracle.create_trial("worker0")
    oracle._heard["worker0"] -= 100.0
    oracle.get_trial(trial.trial_id)
    oracle.release_silent()
    assert oracle.ongoing_trials == {"worker0": trial}


def test_a_chief_that_restarts_takes_the_result_of_a_running_worker(tmp_path):
    first = make(tmp_path, trials=1)
    trial = first.create_trial("worker0")
    second = make(tmp_path, trials=1)
    second.reload()
    end(second, trial, 21.0)
    assert second.create_trial("worker0").status == TrialStatus.STOPPED
    assert second.end_order == [trial.trial_id]
