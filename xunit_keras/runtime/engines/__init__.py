"""The engines that run networks, one file each.

Every file in this folder declares its `ENGINES`, and is found by being there. None of
them imports the package of its engine before it opens a model.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from xunit_keras.discovery import modules
from xunit_keras.runtime.engines.base import (
    Engine,
    ForkedError,
    Runner,
    SettingError,
    check_threads,
)


def _found() -> dict[str, Engine]:
    declared = (getattr(file, "ENGINES", ()) for file in modules(__name__, __path__))
    return {engine.name: engine for engines in declared for engine in engines}


ENGINES: dict[str, Engine] = _found()
"""The engines by name."""

# What a command line offers, which type checkers cannot see.
if TYPE_CHECKING:
    EngineName = str
else:
    EngineName = Literal[tuple(ENGINES)]


def get(name: str) -> Engine:
    """An engine by name.

    Raises:
        ValueError: There is no such engine.
    """
    if name not in ENGINES:
        raise ValueError(
            f"`engine` must be one of {', '.join(ENGINES)}. Received: engine={name!r}"
        )
    return ENGINES[name]


def for_file(path: str | Path) -> tuple[Engine, ...]:
    """The engines that open an exported file, the first choice first.

    Args:
        path: A file, which need not exist, or a SavedModel folder, which must.

    Returns:
        None at all for what is no exported file.
    """
    path = Path(path)
    suffix = "" if (path / "saved_model.pb").is_file() else path.suffix or None
    return tuple(engine for engine in ENGINES.values() if engine.suffix == suffix)


def open_file(
    path: str | Path,
    engine: str | None = None,
    threads: int | None = None,
    **settings: str,
) -> Runner:
    """Opens an exported file.

    Args:
        path: A `.onnx`, `.tflite` or `.xml` (OpenVINO) file, or a SavedModel folder.
        engine: The name of an engine; None is the first choice for such files.
        threads: Number of threads of one run; None leaves it to the engine.
        **settings: What else the engine is opened with: `device` and `precision` of
            ONNX Runtime.

    Returns:
        A `Runner`.

    Raises:
        ValueError: There is no such file or engine, the engine does not open such
            files, the file is damaged, or `threads` is out of range or cannot be set.
        ImportError: The package of the engine is missing.
        ForkedError: See there.
    """
    path = Path(path)
    threads = check_threads(threads)
    known = for_file(path)
    if not path.exists() or not known:
        raise ValueError(f"There is no exported model {str(path)!r}.")
    chosen = known[0] if engine is None else get(engine)
    if chosen not in known:
        raise ValueError(
            f"`engine` must be one of {', '.join(one.name for one in known)} for "
            f"{str(path)!r}. Received: engine={engine!r}"
        )
    try:
        return chosen.open(path, threads, **settings)
    except (ImportError, ForkedError, SettingError):
        raise
    # Engines raise errors of their own, with pages of text.
    except Exception as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ValueError(
            f"{str(path)!r} cannot be opened by {chosen.name}: {reason}"
        ) from error
