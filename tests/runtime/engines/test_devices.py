"""The devices and precisions of ONNX Runtime."""

import numpy as np
import onnxruntime
import pytest

from xunit_keras.restoration import open_network, restore
from xunit_keras.runtime import models
from xunit_keras.runtime.engines import onnxruntime as engine
from xunit_keras.runtime.engines.base import SettingError

NAME = "xsrcnn-f-x2"
FILE = models.model_folder(NAME) / models.READY_FILE


def image():
    return np.random.default_rng(0).random((20, 24, 1)).astype(np.float32)


@pytest.fixture
def graphics_card(monkeypatch):
    """ONNX Runtime as where there is CUDA; says how sessions were asked for."""
    asked = []
    real = onnxruntime.InferenceSession

    class Session:
        starts = True

        def __init__(self, source, options, providers):
            asked.append((source, options, providers))
            names = [name for name, _ in providers]
            self.names = names if self.starts else names[1:]
            self.real = real(source, options, providers=["CPUExecutionProvider"])

        def get_providers(self):
            return self.names

        def get_inputs(self):
            return self.real.get_inputs()

        def run(self, *arguments):
            return self.real.run(*arguments)

    monkeypatch.setattr(
        onnxruntime,
        "get_available_providers",
        lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"],
    )
    monkeypatch.setattr(onnxruntime, "InferenceSession", Session)
    Session.asked = asked
    return Session


def test_auto_is_what_is_there():
    available = onnxruntime.get_available_providers()
    assert engine.DEVICES[engine.check_device("auto")] in available
    np.testing.assert_allclose(
        restore(image(), NAME, device="auto"), restore(image(), NAME), atol=1e-4
    )


@pytest.mark.parametrize("device", ["cuda", "auto"])
def test_a_graphics_card(graphics_card, device):
    expected = restore(image(), open_network(NAME))
    run = engine.open_on(FILE, device=device)
    np.testing.assert_array_equal(run(image()[None])[0].clip(0, 1), expected)
    (cuda, settings), (fallback, _) = graphics_card.asked[-1][2]
    assert (cuda, fallback) == ("CUDAExecutionProvider", "CPUExecutionProvider")
    assert settings == {"use_tf32": "0"}  # Exact to float32, as everywhere.


def test_a_device_that_does_not_start(graphics_card):
    graphics_card.starts = False
    with pytest.raises(SettingError, match="'cuda' and cannot start it"):
        engine.open_on(FILE, device="cuda")


def test_float16(graphics_card):
    expected = engine.open_on(FILE)(image()[None])
    result = engine.open_on(FILE, device="cuda", precision="float16")(image()[None])
    assert result.dtype == np.float32
    difference = np.abs(result - expected).max()
    assert 1e-6 < difference < 1e-2


@pytest.mark.parametrize(
    ("device", "precision", "message"),
    [
        ("gpu", "float32", "`device` must be one of auto, cuda, coreml"),
        ("cpu", "int8", "`precision` must be one of float32, float16"),
        ("cpu", "float16", "processor does not compute in float16"),
        ("coreml", "float32", "no 'coreml' here: it has cuda, cpu"),
    ],
)
def test_refused(graphics_card, device, precision, message):
    for model in (NAME, FILE):
        with pytest.raises(SettingError, match=message):
            open_network(model, device=device, precision=precision, tile=0)


def test_engines_that_are_not_asked():
    with pytest.raises(ValueError, match="runs on 'keras'"):
        open_network(NAME, "keras", device="auto")
