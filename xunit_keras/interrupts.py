"""How programs end that are interrupted: in a sentence, with the signal's exit code."""

import contextlib
import io
import signal
import sys
from collections.abc import Callable, Iterator

INTERRUPTED, TERMINATED = 130, 143
"""Exit codes after Ctrl-C and after SIGTERM, as shells count them."""


class Terminated(BaseException):
    """The system asks the process to end."""


Stopped = (KeyboardInterrupt, Terminated)
"""What is raised where a program is told to stop. Whoever knows what was done so far
adds it as a note."""


def exit_code(error: BaseException) -> int:
    """The exit code of a program that an error ends."""
    codes = {KeyboardInterrupt: INTERRUPTED, Terminated: TERMINATED}
    return codes.get(type(error), 1)


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


def guarded(main: Callable[[], int | None], advice: str = "", name: str = "") -> int:
    """Runs a program; an interruption ends it in a sentence.

    Args:
        main: The program. Gives its exit code.
        advice: What to say of what was done so far, before the notes of the
            interruption.
        name: Of the program, to begin the sentence with.

    Returns:
        The exit code: that of `main`, 130 after Ctrl-C, 143 after SIGTERM, 1 where
        nobody reads the output any more.
    """
    for stream in (sys.stdout, sys.stderr):
        # Names of files may hold what a terminal or a pipe cannot show.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    with termination_raises():
        try:
            return main() or 0
        except Stopped as stop:
            # The process is ending: whoever is told so twice would only break into it.
            with contextlib.suppress(ValueError):  # Not in the main thread.
                for number in (signal.SIGINT, signal.SIGTERM):
                    signal.signal(number, signal.SIG_IGN)
            is_ctrl_c = isinstance(stop, KeyboardInterrupt)
            word = "interrupted." if is_ctrl_c else "terminated."
            said = f"{name}: {word}" if name else word.capitalize()
            parts = (said, advice, *_notes(stop))
            print(" ".join(filter(None, parts)), file=sys.stderr)
            return exit_code(stop)
        except BrokenPipeError:
            # Nobody reads any more. Keep the interpreter from saying so at the end.
            sys.stdout = None
            return 1


def _notes(stop: BaseException) -> list[str]:
    """The notes of an interruption, and of the one that it came on top of."""
    before = stop.__context__
    earlier = _notes(before) if isinstance(before, Stopped) else []
    return [*earlier, *getattr(stop, "__notes__", ())]
