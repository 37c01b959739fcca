"""Silence ends when its last block does, and leaves everything as it was."""

import os
import sys
import threading
from pathlib import Path

import pytest

from xunit_keras.quiet import silence


def say(text):
    os.write(2, text.encode())


def open_files():
    return sum(1 for _ in Path("/dev/fd").iterdir())


def test_what_is_written_meanwhile_is_lost(capfd):
    say("before ")
    with silence():
        say("lost ")
        print("standard output stays")
        with silence():
            say("lost ")
        say("lost ")
    say("after")
    output = capfd.readouterr()
    assert output.err == "before after"
    assert output.out == "standard output stays\n"


def test_after_an_error(capfd):
    with pytest.raises(KeyError), silence():
        raise KeyError
    say("after")
    assert capfd.readouterr().err == "after"


def test_threads_that_overlap(capfd):
    """Each begins before the one before it ends."""
    stdout, target, files = sys.stdout, os.fstat(2), open_files()
    begun = [threading.Event() for _ in range(6)]
    ended = [threading.Event() for _ in range(6)]

    def work(number):
        if number:
            assert begun[number - 1].wait(10)
        with silence():
            begun[number].set()
            if number < 5:
                assert begun[number + 1].wait(10)
            if number:
                assert ended[number - 1].wait(10)
            say("lost")
        ended[number].set()

    threads = [threading.Thread(target=work, args=(k,)) for k in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(event.is_set() for event in ended)
    assert sys.stdout is stdout
    assert not stdout.closed
    after = os.fstat(2)
    assert (after.st_dev, after.st_ino) == (target.st_dev, target.st_ino)
    assert open_files() == files
    say("after")
    assert capfd.readouterr().err == "after"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_a_forked_process_can_speak(capfd):
    with silence():
        if (child := os.fork()) == 0:
            say("child")
            os._exit(0)
        os.waitpid(child, 0)
        say("parent")
    assert capfd.readouterr().err == "child"


def test_without_a_standard_error(run_python):
    run_python(
        "-c",
        "import os, sys\n"
        "from xunit_keras.quiet import silence\n"
        "os.close(2)\n"
        "sys.stderr = None\n"
        "with silence():\n"
        "    pass\n",
    )
