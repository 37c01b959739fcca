"""Packages that are missing say how to get them."""

import sys

import pytest

from xunit_keras.packages import require


def test_a_package_that_is_there():
    import json.decoder

    assert require("json.decoder", "export") is json.decoder


def test_a_package_that_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    message = r"needs 'openvino', .*: pip install 'xunit-keras\[export\]'"
    with pytest.raises(ImportError, match=message):
        require("openvino", "export")
