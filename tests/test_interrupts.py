"""How programs end that are interrupted."""

import os
import signal
import subprocess
import sys
import threading

import pytest

from xunit_keras.interrupts import Terminated, guarded, termination_raises


def test_exit_codes(capsys):
    def interrupted():
        raise KeyboardInterrupt

    def terminated():
        os.kill(os.getpid(), signal.SIGTERM)
        signal.pause()

    assert guarded(lambda: 3, "") == 3
    assert guarded(lambda: None, "") == 0
    assert guarded(interrupted, "All is well.") == 130
    assert capsys.readouterr().err == "Interrupted. All is well.\n"
    assert guarded(terminated, "All is well.") == 143
    assert capsys.readouterr().err == "Terminated. All is well.\n"
    with pytest.raises(ValueError, match="not mine"):
        guarded(lambda: (_ for _ in ()).throw(ValueError("not mine")), "")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no signals of this kind")
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_who_is_told_twice_ends_as_after_once(sent):
    """While it takes back what is half done, and while the interpreter ends."""
    code = f"""
import os, signal, sys
from xunit_keras.interrupts import Stopped, guarded

class Slow:
    def __del__(self):
        os.kill(os.getpid(), {sent})

def main():
    left_behind = Slow()
    try:
        os.kill(os.getpid(), {sent})
        signal.pause()
    except Stopped as stop:
        stop.add_note("Two of three are written.")
        raise
    finally:
        os.kill(os.getpid(), {sent})
        signal.pause()

left_to_the_end = Slow()
sys.exit(guarded(main))
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    word = {signal.SIGINT: "Interrupted", signal.SIGTERM: "Terminated"}[sent]
    assert ended.stderr == f"{word}. Two of three are written.\n"
    assert ended.returncode in (128 + sent, -sent)


def test_the_handler_before_comes_back():
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Terminated), termination_raises():
        os.kill(os.getpid(), signal.SIGTERM)
        signal.pause()
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_thread_leaves_signals_alone():
    results = []
    thread = threading.Thread(target=lambda: results.append(guarded(lambda: 5, "")))
    thread.start()
    thread.join()
    assert results == [5]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no pipes of this kind")
def test_nobody_reads():
    code = (
        "import sys; from xunit_keras.interrupts import guarded;"
        "sys.exit(guarded(lambda: [print('line', flush=True) for _ in range(9)] and 0,"
        "''))"
    )
    reader, writer = os.pipe()
    os.close(reader)
    result = subprocess.run(
        [sys.executable, "-c", code], stdout=writer, stderr=subprocess.PIPE, text=True
    )
    os.close(writer)
    assert (result.returncode, result.stderr) == (1, "")
