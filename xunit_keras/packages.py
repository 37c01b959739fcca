"""Packages that are not always installed."""

import importlib
from types import ModuleType


def require(package: str, extra: str) -> ModuleType:
    """Imports a package of an extra.

    Args:
        package: The name to import, `"onnxruntime"`.
        extra: The extra of this package that it comes with, `"export"`.

    Raises:
        ImportError: It is missing, which the message says, with what to install.
    """
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise ImportError(
            f"This needs {package!r}, which cannot be imported ({error}). "
            f"It comes with: pip install 'xunit-keras[{extra}]'"
        ) from error
