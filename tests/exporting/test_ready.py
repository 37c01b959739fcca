"""Files that models bring along for engines."""

import shutil

import pytest

import xunit_keras
from xunit_keras.exporting import exporting, write
from xunit_keras.exporting.ready import keep_quantized
from xunit_keras.runtime import models
from xunit_keras.runtime.models import QUANTIZED_FILE


@pytest.fixture
def folder(tmp_path):
    shutil.copytree(models.model_folder("xespcn-s-x4"), tmp_path / "model")
    model = xunit_keras.load("xespcn-s-x4")
    write(model, tmp_path / "trained.tflite", *exporting.QUANTIZED)
    return tmp_path / "model"


def test_integers_that_lose_too_much_are_refused(folder, tmp_path):
    other = xunit_keras.xespcn_s(scale=4)  # without the weights of the model
    write(other, tmp_path / "other.tflite", *exporting.QUANTIZED)
    with pytest.raises(ValueError, match="in int8-full it loses, in dB, "):
        keep_quantized(folder, tmp_path / "other.tflite", {})
    assert not (folder / QUANTIZED_FILE).exists()
    assert not models.card(folder).integers


def test_integers_that_were_trained_are_given_out(folder, tmp_path):
    trained = tmp_path / "trained.tflite"
    stage = {"command": "python pipelines/quantize.py --model small", "steps": 20}
    lost = keep_quantized(folder, trained, stage).psnr_lost
    assert lost < 0.1
    known = models.card(folder)
    assert known.sha256[QUANTIZED_FILE] == models.sha256(trained)
    assert known.integers == {**stage, "psnr_lost": round(lost, 3)}
    given = tmp_path / "given.tflite"
    found = xunit_keras.export(folder, given, "tflite", "int8-full")
    assert found.psnr_lost == pytest.approx(lost)
    assert given.read_bytes() == trained.read_bytes()
    # Of one size, it is written anew.
    xunit_keras.export(folder, given, "tflite", "int8-full", input_shape=(96, 64))
    assert given.read_bytes() != trained.read_bytes()

    (folder / QUANTIZED_FILE).write_bytes(b"damaged")
    with pytest.raises(ValueError, match="The file model-int8"):
        xunit_keras.export(folder, given, "tflite", "int8-full")
