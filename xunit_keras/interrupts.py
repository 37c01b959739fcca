"""How programs end that are interrupted: in a sentence, with the signal's exit code."""

import contextlib
import signal
import sys
from collections.abc import Callable, Iterator

INTERRUPTED, TERMINATED = 130, 143
"""Exit codes after Ctrl-C and after SIGTERM, as shells count them."""


class Terminated(BaseException):
    """The system asks the process to end."""


@contextlib.contextmanager
def termination_raises() -> Iterator[None]:
    """Turns SIGTERM into an exception, so that what is half done is taken back."""

    def terminate(number, frame):
        raise Terminated

    try:
        before = signal.signal(signal.SIGTERM, terminate)
    except ValueError:  # Not in the main thread: leave it to who is.
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def guarded(main: Callable[[], int | None], advice: str) -> int:
    """Runs a program; an interruption ends it in a sentence.

    Args:
        main: The program. Gives its exit code.
        advice: What to say of what was done so far.

    Returns:
        The exit code: that of `main`, 130 after Ctrl-C, 143 after SIGTERM.
    """
    with termination_raises():
        try:
            return main() or 0
        except KeyboardInterrupt:
            print(f"Interrupted. {advice}", file=sys.stderr)
            return INTERRUPTED
        except Terminated:
            print(f"Terminated. {advice}", file=sys.stderr)
            return TERMINATED
        except BrokenPipeError:
            # Nobody reads any more. Keep the interpreter from saying so at the end.
            sys.stdout = None
            return 1
