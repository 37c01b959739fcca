"""Keeps what packages say to nobody in particular from the terminal."""

import contextlib
import os
import sys
import threading
from collections.abc import Iterator

_STDERR = 2


@contextlib.contextmanager
def silence() -> Iterator[None]:
    """Drops what the process writes to its standard error, which C++ does too.

    Blocks may be nested, and run in several threads at once: the first to begin turns
    standard error off, and the last to end turns it on again, so what other threads
    say there meanwhile is lost. Processes that are started meanwhile stay quiet.
    """
    _switch.off()
    try:
        yield
    finally:
        _switch.on()


class _Switch:
    """Standard error, and how many blocks want it off."""

    def __init__(self):
        self.lock = threading.Lock()
        self.blocks = 0
        self.kept: int | None = None

    def off(self) -> None:
        with self.lock:
            if self.blocks == 0:
                _flush()
                with contextlib.suppress(OSError):  # A process may have none.
                    self.kept = os.dup(_STDERR)
                    nowhere = os.open(os.devnull, os.O_WRONLY)
                    os.dup2(nowhere, _STDERR)
                    os.close(nowhere)
            self.blocks += 1

    def on(self) -> None:
        with self.lock:
            self.blocks = max(self.blocks - 1, 0)
            if self.blocks == 0:
                self.restore()

    def restore(self) -> None:
        if self.kept is not None:
            _flush()
            os.dup2(self.kept, _STDERR)
            os.close(self.kept)
            self.kept = None

    def forked(self) -> None:
        """In a new process, which runs none of the blocks of other threads."""
        self.lock = threading.Lock()
        self.blocks = 0
        self.restore()


def _flush() -> None:
    if sys.stderr is not None:
        sys.stderr.flush()


_switch = _Switch()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_switch.forked)
