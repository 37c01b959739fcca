"""Folders whose files declare things, and are found by being there."""

import importlib
import pkgutil
from collections.abc import Iterable
from types import ModuleType


def modules(package: str, path: Iterable[str]) -> list[ModuleType]:
    """Imports every file of a package, in the order of their names.

    Args:
        package: Its name, `__name__` in its `__init__.py`.
        path: Where its files lie, `__path__` there.
    """
    found = pkgutil.iter_modules(path)
    names = sorted(file.name for file in found)
    return [importlib.import_module(f"{package}.{name}") for name in names]
