"""Several processes and devices that train one network: as one, and refused."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from pipelines import distribution, history
from pipelines.distribution import ADDRESSES, ALONE, PROCESS, PROCESSES, Group, place

ROOT = Path(__file__).resolve().parents[2]
COMMAND = (
    *("pipelines/train.py", "--task", "denoise", "--model", "xdncnn"),
    *("--depth", "3", "--filters", "4", "--kernel-size", "3", "--patch-size", "16"),
    *("--data", "sample", "--validation", "sample", "--validation-images", "1"),
)
STEPS = ("--batch-size", "4", "--steps", "6", "--every", "2")


def environment(address="10.0.0.1:1234", processes="2", process="0"):
    return {ADDRESSES: address, PROCESSES: processes, PROCESS: process}


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


# ------------------------------------------------------------- what is asked for


def test_where_a_process_has_its_place():
    assert place({}) is None and place({ADDRESSES: ""}) is None
    assert place(environment()) == distribution.Place("10.0.0.1:1234", 2, 0)
    every = environment("a:1,b:2,c:3", "3", "2")
    assert place(every) == distribution.Place("a:1", 3, 2)
    assert place(environment("[::1]:80", "2", "1")).address == "[::1]:80"
    assert place(environment(processes="1")) is None


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({PROCESS: "0"}, f"set {ADDRESSES} and {PROCESSES}, or none"),
        (environment(process=""), f"set {PROCESS}, or none"),
        (environment(processes="two"), f"{PROCESSES} must be an integer.*'two'"),
        (environment(processes="0"), "at least 1. Received: '0'"),
        (environment(process="-1"), f"{PROCESS} must be an integer.*'-1'"),
        (environment(process="2"), f"{PROCESS} must be in 0..1,.* Received: 2"),
        (environment("10.0.0.1"), "form host:port. Received: '10.0.0.1'"),
        (environment(":80"), "form host:port"),
        (environment("host:http"), "form host:port"),
        (environment("host:99999"), "form host:port"),
        (environment("a:1,b:1,c:1"), "or those of all 2"),
    ],
)
def test_what_the_environment_cannot_say(given, message):
    with pytest.raises(ValueError, match=message):
        place(given)


def test_other_backends_train_in_one_process(monkeypatch):
    with distribution.joined():
        pass
    for name, value in environment().items():
        monkeypatch.setenv(name, value)
    said = r"set KERAS_BACKEND=jax.* the tensorflow backend"
    with pytest.raises(ValueError, match=said), distribution.joined():
        pytest.fail("It cannot join.")


def test_an_address_where_nobody_answers(monkeypatch):
    monkeypatch.setattr(distribution, "MEETING", 1)
    here = distribution.Place(f"127.0.0.1:{free_port()}", 3, 1)
    said = rf"The 3 processes .* not all meet at {here.address} within 1 seconds"
    with pytest.raises(distribution.LostError, match=said):
        distribution._reach(here)
    with pytest.raises(
        ValueError, match=r"host that is not known.*'nowhere.invalid:1'"
    ):
        distribution._reach(distribution.Place("nowhere.invalid:1", 3, 1))


# ------------------------------------------------------------------ parts of a batch


@pytest.mark.parametrize("processes", [1, 2, 3])
def test_the_parts_of_all_processes_are_the_batch(processes):
    arrays = np.arange(5 * 6).reshape(5, 6), np.arange(5 * 6 * 2).reshape(5, 6, 2)
    batches = tf.data.Dataset.from_tensor_slices(arrays)
    parts = [
        list(Group(processes, process, processes).part(batches).as_numpy_iterator())
        for process in range(processes)
    ]
    for step, batch in enumerate(batches.as_numpy_iterator()):
        for number, whole in enumerate(batch):
            shares = [part[step][number] for part in parts]
            assert len({len(share) for share in shares}) == 1
            np.testing.assert_array_equal(np.concatenate(shares), whole)


def test_a_batch_must_divide():
    Group(2, 0, 4).check(12)
    with pytest.raises(ValueError, match=r"multiple of the 4 devices.*batch_size=6"):
        Group(2, 0, 4).check(6)


def test_one_process_has_all_there_is():
    assert distribution.group() == ALONE and ALONE.is_first
    assert ALONE.from_first(b"what") == b"what" and ALONE.from_first(None) is None
    ALONE.agree(lambda: pytest.fail("Nobody to agree with."), "words")
    with ALONE.spread(), distribution.alone():
        pass


def test_the_last_words_of_a_process_that_is_aborted():
    """As C++ does it, in a thread of its own, while Python waits in another."""
    code = """
import ctypes, threading, time
from pipelines import distribution
print("kept", end="")
distribution._set_last_words("The end.")
threading.Thread(target=ctypes.CDLL(None).abort).start()
time.sleep(60)
"""
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True
    )
    assert (result.returncode, result.stdout) == (1, "kept"), result.stderr
    assert result.stderr.splitlines()[-1] == "-c: The end."


# ------------------------------------------------------------ processes that train


@pytest.fixture(scope="module", autouse=True)
def compiled_once(tmp_path_factory):
    """What JAX compiled for one process, another one takes."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("compiled")
        patch.setenv("JAX_COMPILATION_CACHE_DIR", str(folder))
        patch.setenv("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
        patch.setenv("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")
        yield


def start(out, *arguments, devices=1, **more):
    """A training with JAX on so many devices of the processor."""
    pytest.importorskip("jax")
    flags = f"--xla_force_host_platform_device_count={devices}"
    return subprocess.Popen(
        [sys.executable, *COMMAND, "--out", str(out), *arguments],
        cwd=ROOT,
        env={**os.environ, "KERAS_BACKEND": "jax", "XLA_FLAGS": flags, **more},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def start_two(out, *arguments):
    """Two processes; the folder of the second one is another."""
    address = f"127.0.0.1:{free_port()}"
    return [
        start(folder, *arguments, **environment(address, "2", process))
        for process, folder in (("0", out), ("1", f"{out}-other"))
    ]


def finish(processes, timeout=300):
    """Exit code, output and errors of each."""
    ends = []
    for process in processes:
        try:
            output, errors = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            for one in processes:
                one.kill()
            raise
        assert "Traceback" not in errors, errors
        ends.append((process.returncode, output, errors))
    return ends


def trained(processes):
    """Waits for trainings that go well; gives what each of them printed."""
    ends = finish(processes)
    assert [code for code, *_ in ends] == [0] * len(processes), ends
    return [output for _, output, _ in ends]


def state(out):
    with np.load(out / "checkpoint.npz") as arrays:
        return dict(arrays)


def losses(out):
    return [float(row["loss"]) for row in history.read(out / "log.csv")]


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The folder of a training on one device."""
    out = tmp_path_factory.mktemp("alone") / "run"
    trained([start(out, *STEPS)])
    return out


def assert_like(out, alone):
    """A folder that is complete, of a training that went like that on one device."""
    np.testing.assert_allclose(losses(out), losses(alone), atol=5e-7)
    ours, theirs = state(out), state(alone)
    assert ours.keys() == theirs.keys()
    for name, value in theirs.items():
        np.testing.assert_allclose(ours[name], value, atol=1e-4, err_msg=name)
    rows = [history.read(folder / "log.csv") for folder in (out, alone)]
    for column in ("step", "learning_rate", "val_input_psnr"):
        assert len({tuple(row[column] for row in log) for log in rows}) == 1, column
    scores = [[float(row["val_psnr"]) for row in log] for log in rows]
    np.testing.assert_allclose(*scores, atol=1e-3)
    files = [
        {
            path.relative_to(folder).as_posix()
            for path in folder.rglob("*")
            if path.is_file() and "tfevents" not in path.name
        }
        for folder in (out, alone)
    ]
    assert files[0] == files[1]


@pytest.mark.slow
def test_two_devices_of_one_process_train_like_one(alone, tmp_path):
    trained([start(tmp_path / "run", *STEPS, devices=2)])
    assert_like(tmp_path / "run", alone)


@pytest.fixture(scope="module")
def together(tmp_path_factory):
    """The folder of a training in two processes."""
    out = tmp_path_factory.mktemp("together") / "run"
    first, second = trained(start_two(out, *STEPS))
    assert "The trained model is in" in first and "loss" not in second
    assert [path.name for path in out.parent.iterdir()] == ["run"]
    return out


@pytest.mark.slow
def test_two_processes_train_like_one(alone, together):
    assert_like(together, alone)


@pytest.mark.slow
def test_two_processes_learn_from_a_teacher_like_one(tmp_path):
    flags = (*STEPS, "--teacher", "xnet-100k-sigma25")
    trained([start(tmp_path / "alone", *flags)])
    (tmp_path / "together").mkdir()
    trained(start_two(tmp_path / "together" / "run", *flags))
    assert_like(tmp_path / "together" / "run", tmp_path / "alone")


def after_a_round(processes, out):
    """Waits for the first checkpoint."""
    deadline = time.monotonic() + 300
    while not (out / "checkpoint.npz").exists():
        assert all(process.poll() is None for process in processes)
        assert time.monotonic() < deadline
        time.sleep(0.01)


# What JAX says may come before it or after.
LOST = "train.py: One of the other processes of the training, of 2, has ended or"


@pytest.mark.slow
@pytest.mark.parametrize("victim", [0, 1])
def test_a_killed_process_ends_the_other_and_resume_goes_on(
    victim, alone, together, tmp_path
):
    out = tmp_path / "run"
    processes = start_two(out, *STEPS)
    after_a_round(processes, out)
    processes[victim].kill()
    ends = finish(processes, timeout=60)
    assert ends[victim][0] == -signal.SIGKILL
    code, _, errors = ends[1 - victim]
    assert code == 1 and LOST in errors
    assert state(out)["epoch"] < 3
    if victim == 0:
        trained(start_two(out, *STEPS, "--resume"))
        ours, theirs = state(out), state(together)
        assert ours.keys() == theirs.keys()
        for name, value in theirs.items():
            np.testing.assert_array_equal(ours[name], value, err_msg=name)
        assert losses(out) == losses(together)
    else:
        (output,) = trained([start(out, *STEPS, "--resume")])
        assert "Going on from step" in output
        assert_like(out, alone)


@pytest.mark.slow
def test_a_process_that_is_told_to_stop_does_not_wait_for_the_other(tmp_path):
    out = tmp_path / "run"
    processes = start_two(out, *STEPS)
    after_a_round(processes, out)
    processes[0].terminate()
    (code, _, errors), (other, _, lost) = finish(processes, timeout=60)
    assert code == 143 and "with --resume goes on from there. The other" in errors
    assert other == 1 and LOST in lost


@pytest.mark.slow
def test_a_process_that_fails_does_not_wait_for_the_other(together):
    (code, _, errors), (other, _, lost) = finish(start_two(together, *STEPS))
    assert code == 1 and "holds a run already" in errors
    assert other == 1 and LOST in lost


@pytest.mark.slow
def test_processes_that_were_told_different_things(tmp_path):
    address, out = f"127.0.0.1:{free_port()}", tmp_path / "run"
    ends = finish(
        [
            start(out, *STEPS, "--seed", process, **environment(address, "2", process))
            for process in "01"
        ]
    )
    for code, _, errors in ends:
        assert code == 1 and "must have the same arguments" in errors, ends
    assert not out.exists()


@pytest.mark.slow
def test_a_batch_that_does_not_divide_is_one_line(tmp_path):
    flags = ("--batch-size", "3")
    ((code, _, errors),) = finish([start(tmp_path / "run", *flags, devices=2)])
    assert code == 1 and "train.py: `batch_size` must be a multiple" in errors
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_statistics_are_estimated_alike(alone, tmp_path):
    weights = alone / "model" / "model.weights.h5"
    flags = (*STEPS, "--init", str(weights), "--fix-statistics")
    trained([start(tmp_path / "one", *flags)])
    trained(start_two(tmp_path / "two", *flags))
    assert_like(tmp_path / "two", tmp_path / "one")


@pytest.mark.slow
def test_the_first_process_does_not_wait_for_ever():
    code = """
from pipelines import distribution, program
distribution.MEETING = 1
def main():
    with distribution.joined():
        raise AssertionError
program.run(main, "it.py")
"""
    pytest.importorskip("jax")
    more = environment(f"127.0.0.1:{free_port()}")
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, "KERAS_BACKEND": "jax", **more},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    ((code, _, errors),) = finish([process])
    assert code == 1 and "did not all meet at 127.0.0.1" in errors.splitlines()[-1]
