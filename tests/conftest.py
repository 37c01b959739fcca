"""Fixtures that all tests share."""

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

# Read when TensorFlow is imported, which is after this file.
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "2")
os.environ.setdefault("TF_NUM_INTEROP_THREADS", "2")

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    """What each test starts from, before fixtures of any scope."""
    # Equal weights in every run: Keras draws the seeds of its initializers from here.
    random.seed(0)
    # A shell that starts the tests in the background has them, and all that they start,
    # pay no attention to Ctrl-C; and so do programs that have been interrupted.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of the real data sets: $XUNIT_KERAS_DATA, or beside the checkout."""
    beside = REPOSITORY.parent / "shared" / "data"
    folder = Path(os.environ.get("XUNIT_KERAS_DATA", beside))
    if not folder.is_dir():
        pytest.skip(f"The real data sets are not at {folder}: see XUNIT_KERAS_DATA.")
    return folder


@pytest.fixture(scope="session")
def run_python():
    """Runs `python ARGUMENTS` in a process of its own, and shows why it failed.

    `folder` is a checkout, or a copy of one.
    """

    def run(*arguments, folder: Path = REPOSITORY, **environment: str) -> str:
        result = subprocess.run(
            [sys.executable, *map(str, arguments)],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(folder), **environment},
            capture_output=True,
            text=True,
            timeout=600,
        )
        assert result.returncode == 0, result.stdout + result.stderr
        return result.stdout

    return run


@pytest.fixture
def keras_settings():
    """Puts the global dtype policy and data format back after a test."""
    import keras

    policy = keras.config.dtype_policy()
    data_format = keras.config.image_data_format()
    yield keras.config
    keras.config.set_dtype_policy(policy)
    keras.config.set_image_data_format(data_format)
