"""Trainings in processes of their own, real but tiny."""

import dataclasses
import multiprocessing
import os
import signal
import threading
import time

import numpy as np
import pytest

import xunit_keras
from pipelines.configuration import Config, resolve
from tuning.hypermodel import Architecture
from tuning.training import TrainingFailedError, train_apart

NETWORK = Architecture((3, 3, 3), (4, 4), 3)


def tiny(out, **changes):
    config = Config(
        task="denoise",
        model="xnet",
        data=("sample",),
        validation="sample",
        validation_images=1,
        steps=4,
        every=2,
        batch_size=2,
        patch_size=16,
        out=out,
    )
    return resolve(dataclasses.replace(config, **changes))


@pytest.mark.slow
def test_a_training_tells_its_score_and_leaves_a_model(tmp_path):
    outcome = train_apart(tiny(tmp_path / "run"), NETWORK)
    assert outcome["parameters"] == NETWORK.parameters.total
    assert 15.0 < outcome["val_input_psnr"] < 25.0
    assert outcome["val_psnr"] == pytest.approx(outcome["val_input_psnr"], abs=5.0)
    model = xunit_keras.load(tmp_path / "run" / "model")
    assert xunit_keras.count_parameters(model) == NETWORK.parameters
    # Once more: nothing is left to train, and the score is the same.
    again = train_apart(tiny(tmp_path / "run"), NETWORK)
    assert again["val_psnr"] == outcome["val_psnr"]


@pytest.mark.slow
def test_a_training_that_diverges_fails_with_a_sentence(tmp_path):
    config = tiny(tmp_path / "run", learning_rate=1e30, steps=20, every=20)
    with pytest.raises(TrainingFailedError, match=r"The loss became"):
        train_apart(config, NETWORK)


def test_a_training_that_the_system_kills_fails_with_a_sentence(tmp_path):
    def kill():
        while not (children := multiprocessing.active_children()):
            time.sleep(0.1)
        for child in children:
            child.kill()

    killer = threading.Thread(target=kill)
    killer.start()
    with pytest.raises(TrainingFailedError, match="killed"):
        train_apart(tiny(tmp_path / "run"), NETWORK)
    killer.join()


def test_who_is_interrupted_does_not_wait_for_the_training(tmp_path):
    def interrupt():
        while not multiprocessing.active_children():
            time.sleep(0.1)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        train_apart(tiny(tmp_path / "run", steps=1_000_000), NETWORK)
    assert not multiprocessing.active_children()


@pytest.mark.slow
def test_equal_seeds_train_equal_models(tmp_path):
    models = []
    for name in ("a", "b"):
        train_apart(tiny(tmp_path / name), NETWORK)
        models.append(xunit_keras.load(tmp_path / name / "model"))
    for one, other in zip(models[0].weights, models[1].weights, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)
