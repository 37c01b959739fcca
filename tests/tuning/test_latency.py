"""Times of networks: measured once, and what is too slow is not taken."""

import json

import numpy as np
import pytest

from tuning import latency
from tuning.hypermodel import Architecture
from tuning.latency import Latencies

SMALL = Architecture((3, 3), (2,), None, 1, 2, True, "post")
LARGE = Architecture((3, 3), (64,), 9, 1, 2, True, "pre")


@pytest.fixture
def opened(monkeypatch):
    """The networks that were opened, in a place without engines."""
    networks = []

    def open_model(model, engine, threads):
        networks.append((model, engine, threads))
        return lambda image: None

    monkeypatch.setattr(latency, "open_model", open_model)
    return networks


def test_each_is_measured_once_and_kept(tmp_path, opened, capsys):
    path = tmp_path / "times.json"
    first = Latencies("onnxruntime", path, 1e9, 1).milliseconds(SMALL)
    assert first > 0
    assert f"{first:.1f} ms a megapixel: {SMALL}." in capsys.readouterr().out
    assert Latencies("onnxruntime", path, 1e9, 1).milliseconds(SMALL) == first
    assert len(opened) == 1
    assert opened[0][1:] == ("onnxruntime", 1)
    assert json.loads(path.read_text()) == {str(SMALL): first}


def test_what_is_measured_is_a_megapixel_of_the_result(tmp_path, monkeypatch):
    shapes = []

    def open_model(model, engine, threads):
        return lambda image: shapes.append(image.shape)

    # Each run takes a second on this clock.
    clock = iter(np.arange(1000.0))
    monkeypatch.setattr(latency, "open_model", open_model)
    monkeypatch.setattr(latency.time, "perf_counter", lambda: next(clock))
    took = Latencies("keras", tmp_path / "times.json", 1.0).milliseconds(SMALL)
    assert set(shapes) == {(1, 256, 256, 1)}
    assert took == pytest.approx(1000.0 / 0.512**2)


def test_the_limit(tmp_path):
    times = Latencies("onnxruntime", tmp_path / "times.json", 0.0)
    fast, slow = times.milliseconds(SMALL), times.milliseconds(LARGE)
    # 700 times the multiplications.
    assert fast < slow / 3
    times.limit = (fast + slow) / 2
    assert times.accepts(SMALL)
    assert not times.accepts(LARGE)
