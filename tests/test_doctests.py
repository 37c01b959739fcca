"""The examples in the docstrings of public names run, and give what they show."""

import ast
import doctest
import inspect
import tempfile
from pathlib import Path

import keras
import numpy as np
import pytest

import xunit_keras

NAMES = [
    name for name in xunit_keras.__all__ if callable(getattr(xunit_keras, name, None))
]
GLOBALS = {"keras": keras, "np": np, "tempfile": tempfile, "xunit_keras": xunit_keras}
FLAGS = doctest.ELLIPSIS | doctest.IGNORE_EXCEPTION_DETAIL


@pytest.mark.parametrize("name", NAMES)
def test_the_example_of(name):
    thing = getattr(xunit_keras, name)
    documented = inspect.getdoc(thing)
    assert documented and ">>> " in documented, f"{name} has no example."
    example = doctest.DocTestParser().get_doctest(
        documented, dict(GLOBALS), name, None, None
    )
    result = doctest.DocTestRunner(optionflags=FLAGS).run(example)
    assert result.failed == 0 < result.attempted


def test_every_public_name_is_in_the_reference():
    """Once, on a page of docs/api."""
    pages = Path(__file__).resolve().parents[1] / "docs" / "api"
    text = "\n".join(page.read_text("utf-8") for page in sorted(pages.glob("*.md")))
    shown = [
        line.rpartition("xunit_keras.")[2]
        for line in text.splitlines()
        if line.startswith((".. autofunction:: ", ".. autoclass:: "))
    ]
    assert sorted(name for name in shown if "." not in name) == sorted(NAMES)


def test_rooms_are_the_other_names():
    stub = Path(xunit_keras.__file__).with_name("__init__.pyi").read_text("utf-8")
    (imported,) = [
        node
        for node in ast.walk(ast.parse(stub))
        if isinstance(node, ast.ImportFrom) and node.module is None
    ]
    rooms = {alias.name for alias in imported.names}
    assert rooms | set(NAMES) == set(xunit_keras.__all__)
