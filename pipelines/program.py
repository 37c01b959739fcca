"""How all programs start and end, and what they say then.

Programs import this file before Keras.
"""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

# TensorFlow reads both when it is first imported; the package sets the other one.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
import xunit_keras  # noqa: F401
from xunit_keras.interrupts import Stopped as Stopped
from xunit_keras.interrupts import guarded


class ProgramError(RuntimeError):
    """What ends a program with a sentence, and is no wrong argument."""


def run(main: Callable[[], object], name: str) -> NoReturn:
    """Runs a program and ends the process.

    The exit code is 0; 1 after an error that the user can mend, which is told in one
    line; 130 after Ctrl-C and 143 after SIGTERM.

    Args:
        main: The program.
        name: What it is called.
    """

    def ending_in_a_line():
        try:
            main()
        except BrokenPipeError:
            raise
        except (ValueError, ImportError, OSError, MemoryError, ProgramError) as error:
            message = " ".join(str(error).split()) or type(error).__name__
            notes = getattr(error, "__notes__", ())
            print(" ".join((f"{name}: {message}", *notes)), file=sys.stderr)
            return 1

    sys.exit(guarded(ending_in_a_line, name=name))


def check_writable(folder: Path) -> None:
    """Looks whether a folder can be written into, or made where it is not there.

    Raises:
        ValueError: It is a file, lies in one, or may not be written.
    """
    nearest = folder.absolute()
    while not nearest.exists():
        nearest = nearest.parent
    if not nearest.is_dir():
        raise ValueError(
            f"{str(folder)!r} must be a folder, or a place to make one: "
            f"{str(nearest)!r} is a file."
        )
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise ValueError(
            f"{str(folder)!r} must be a folder to write into: {str(nearest)!r} may not "
            "be written."
        )


def _told(kind, error, trace) -> None:
    name = Path(sys.argv[0]).name
    if issubclass(kind, KeyboardInterrupt):
        print(f"{name}: interrupted.", file=sys.stderr)
    elif issubclass(kind, ImportError):
        print(f"{name}: {error}", file=sys.stderr)
    else:
        sys.__excepthook__(kind, error, trace)


# Programs are imported for seconds before they run, and packages may be missing.
sys.excepthook = _told
