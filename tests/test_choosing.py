"""Which released model fits an image."""

import numpy as np
import pytest

from xunit_keras.choosing import choose_model, estimate_noise, released
from xunit_keras.runtime import models
from xunit_keras.runtime.models import Card


@pytest.fixture
def zoo(tmp_path, monkeypatch):
    """Makes a zoo of cards alone."""
    monkeypatch.setattr(models, "_FOLDERS", (tmp_path,))

    def add(name, task, psnr=30.0, channels=1, **card):
        (tmp_path / name).mkdir()
        Card(
            name=name,
            task=task,
            network="any",
            parameters=1,
            channels=channels,
            scores=({"psnr": psnr},),
            **card,
        ).write(tmp_path / name)

    return add


@pytest.fixture
def denoisers(zoo):
    zoo("blind", "denoise", sigma=(0.0, 55.0))
    zoo("color-25", "denoise", channels=3, sigma=(25.0,))
    zoo("gray-25", "denoise", 29.0, sigma=(25.0,))
    zoo("gray-25-small", "denoise", 28.0, sigma=(25.0,))
    zoo("gray-50", "denoise", 26.0, sigma=(50.0,))


def noisy(sigma, channels, side=96):
    clean = np.linspace(0.3, 0.7, side)[:, None, None] * np.ones((1, side, channels))
    noise = np.random.default_rng(0).standard_normal(clean.shape)
    return (clean + sigma / 255 * noise).astype(np.float32)


@pytest.mark.parametrize("sigma", [0, 5, 25, 60])
@pytest.mark.parametrize("channels", [1, 3])
def test_noise_is_found(sigma, channels):
    image = noisy(sigma, channels)
    assert estimate_noise(image) == pytest.approx(sigma, abs=0.05 * sigma + 0.2)
    levels = np.clip(np.rint(255 * image), 0, 255).astype(np.uint8)
    # Clipped noise is less noise.
    assert estimate_noise(levels) == pytest.approx(sigma, abs=0.08 * sigma + 0.7)


@pytest.mark.parametrize("shape", [(1, 1), (1, 9, 3), (2, 2, 1)])
def test_noise_of_next_to_nothing(shape):
    assert estimate_noise(np.zeros(shape, np.uint8)) == 0


@pytest.mark.parametrize(
    ("sigma", "channels", "expected"),
    [
        (25, 1, "gray-25"),
        (27, 1, "gray-25"),
        (29, 1, "blind"),
        (48, 1, "gray-50"),
        (10, 1, "blind"),
        (36, 1, "blind"),
        (80, 1, "blind"),
        (25, 3, "color-25"),
        (17, 3, "color-25"),
        (32, 3, "color-25"),
        (8, 3, "blind"),
        (50, 3, "gray-50"),
    ],
)
def test_denoisers(denoisers, sigma, channels, expected):
    choice = choose_model("denoise", noisy(sigma, channels))
    assert choice.model == expected
    assert "noise of sigma" in choice.reason


def test_reasons(denoisers):
    assert choose_model("denoise", noisy(25, 3)).reason == (
        "noise of sigma 24 found, trained for 25, for RGB images"
    )
    assert choose_model("denoise", noisy(8, 3)).reason == (
        "noise of sigma 8 found, trained for 0 to 55, on R, G and B one by one"
    )


def test_no_denoiser_for_so_little_noise(zoo):
    zoo("gray-25", "denoise", sigma=(25.0,))
    with pytest.raises(ValueError, match="sigma 3: they are trained for 25"):
        choose_model("denoise", noisy(3, 1))


def test_enlargers(zoo):
    zoo("x2", "sr", scale=2)
    zoo("x3", "sr", 32.7, scale=3)
    zoo("x3-better", "sr", 32.9, scale=3)
    zoo("x3-color", "sr", 32.0, channels=3, scale=3)
    gray, color = np.zeros((9, 9), np.uint8), np.zeros((9, 9, 3), np.uint8)
    assert choose_model("sr", gray) == (
        "x2",
        "enlarges by 2, as no size is asked for, for gray images",
    )
    assert choose_model("sr", color, 1.5).reason == "enlarges by 2, on the luminance"
    assert choose_model("sr", gray, 2.1).model == "x3-better"
    assert choose_model("sr", color, 3).model == "x3-color"
    with pytest.raises(ValueError, match="enlarges by 4 at once: there are x2, x3"):
        choose_model("sr", gray, 4)


def test_other_tasks(zoo):
    zoo("rain", "derain", channels=3)
    choice = choose_model("derain", np.zeros((9, 9), np.uint8))
    assert choice == ("rain", "which takes the gray image as RGB")
    with pytest.raises(ValueError, match="do not enlarge"):
        choose_model("derain", np.zeros((9, 9, 3), np.uint8), 2)
    with pytest.raises(ValueError, match=r"no released model for 'jpeg'.*derain"):
        released("jpeg")
    with pytest.raises(ValueError, match="`task` must be one of"):
        choose_model("rain", np.zeros((9, 9), np.uint8))


def test_the_released_ones():
    color = np.full((64, 64, 3), 100, np.uint8)
    assert choose_model("sr", color, 2).model == "xespcn-l-x2"
    assert choose_model("sr", color, 3).model == "xespcn-l-x3"
    assert choose_model("sr", color, 3.5).model == "xespcn-l-x4"
    assert choose_model("denoise", noisy(25, 3)).model == "xdncnn-color-blind"
    assert choose_model("denoise", noisy(8, 3)).model == "xdncnn-color-blind"
    assert choose_model("denoise", noisy(50, 1)).model == "xdncnn-gray-sigma50"
    assert choose_model("denoise", noisy(12, 1)).model == "xdncnn-gray-blind"
    assert choose_model("derain", color).model == "xderain"
    assert choose_model("jpeg", color).model == "xdncnn-color-jpeg"
    assert choose_model("jpeg", color[..., 0]).model == "xdncnn-gray-jpeg"
