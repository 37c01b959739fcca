import numpy as np
import pytest
from skimage import color
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from xunit_keras.imaging.metrics import gaussian_window, psnr, psnr_b, ssim


def pair(height, width, channels, seed=0):
    """A smooth image in [0, 1] and a noisy one that leaves the range."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width, :1][:2] / 7.0
    clean = 0.5 + 0.4 * np.sin(x + np.arange(channels)) * np.cos(y)
    noisy = clean + rng.normal(scale=0.1, size=clean.shape)
    return noisy.astype("float32"), clean.astype("float32")


def reference_ssim(image, reference):
    return structural_similarity(
        reference.astype("float64"),
        image.astype("float64"),
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        data_range=1.0,
        channel_axis=-1,
    )


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("shave", [0, 1, 4])
def test_against_scikit_image(channels, shave):
    image, reference = pair(37, 29, channels)
    inside = np.s_[shave : 37 - shave, shave : 29 - shave]
    expected = peak_signal_noise_ratio(
        reference[inside].astype("float64"),
        image[inside].astype("float64"),
        data_range=1.0,
    )
    assert psnr(image, reference, shave) == pytest.approx(expected, abs=1e-6)
    expected = reference_ssim(image[inside], reference[inside])
    assert ssim(image, reference, shave) == pytest.approx(expected, abs=1e-9)


def test_the_window_is_that_of_the_paper():
    window = np.outer(gaussian_window(), gaussian_window())
    y, x = np.mgrid[-5:6, -5:6]
    expected = np.exp(-(x**2 + y**2) / (2 * 1.5**2))
    np.testing.assert_allclose(window, expected / expected.sum(), atol=1e-12)


def test_ssim_of_flat_and_of_tiny_images():
    """Nearly flat areas are where variances cancel."""
    image, reference = pair(11, 11, 1)
    flat = 0.9 + 0.001 * (image - 0.5)
    other = 0.9 + 0.001 * (reference - 0.5)
    assert ssim(flat, other) == pytest.approx(reference_ssim(flat, other), abs=1e-9)
    assert ssim(flat, flat) == pytest.approx(1.0, abs=1e-6)


def test_luminance():
    image, reference = pair(30, 31, 3)
    image = np.clip(image, 0.0, 1.0)
    y_image, y_reference = (
        color.rgb2ycbcr(i.astype("float64"))[..., :1] / 255 for i in (image, reference)
    )
    expected = peak_signal_noise_ratio(y_reference, y_image, data_range=1.0)
    assert psnr(image, reference, on_luminance=True) == pytest.approx(
        expected, abs=1e-4
    )
    assert ssim(image, reference, on_luminance=True) == pytest.approx(
        reference_ssim(y_image, y_reference), abs=1e-6
    )
    gray, gray_reference = image[..., :1], reference[..., :1]
    assert psnr(gray, gray_reference, on_luminance=True) == psnr(gray, gray_reference)


def test_known_values():
    reference = np.zeros((4, 5, 1))
    assert psnr(reference, reference) == float("inf")
    assert psnr(reference + 0.1, reference) == pytest.approx(20.0)
    assert psnr(reference + 1 / 255, reference) == pytest.approx(48.1308, abs=1e-4)


def test_only_the_border_differs():
    image = np.zeros((9, 9, 1), "float32")
    image[0], image[:, -1] = 1.0, 1.0
    reference = np.zeros_like(image)
    assert psnr(image, reference, shave=1) == float("inf")
    assert psnr(image, reference) < 10


@pytest.mark.parametrize("metric", [psnr, ssim])
@pytest.mark.parametrize(
    ("image", "reference", "shave", "message"),
    [
        (np.zeros((16, 16, 1)), np.zeros((16, 15, 1)), 0, r"\(16, 15, 1\)"),
        (np.zeros((16, 16)), np.zeros((16, 16)), 0, r"\(16, 16\)"),
        (np.zeros((16, 16, 1)), np.zeros((16, 16, 1)), 8, "16x16"),
        (np.zeros((16, 16, 1), "uint8"), np.zeros((16, 16, 1)), 0, "uint8"),
        (np.full((16, 16, 1), 255.0), np.zeros((16, 16, 1)), 0, "255"),
        (np.zeros((16, 16, 1)), np.full((16, 16, 1), np.nan), 0, "nan"),
        (np.full((16, 16, 1), -np.inf), np.zeros((16, 16, 1)), 0, "inf"),
    ],
)
def test_bad_images(metric, image, reference, shave, message):
    with pytest.raises(ValueError, match=message):
        metric(image, reference, shave)


def test_ssim_needs_its_window():
    image = np.zeros((14, 20, 1))
    with pytest.raises(ValueError, match="10x16"):
        ssim(image, image, shave=2)


def reference_psnr_b(image, reference):
    """Step by step, as the publication defines it, on one channel."""
    height, width = image.shape
    borders, others = [], []
    for y in range(height):
        for x in range(width - 1):
            step = (float(image[y, x]) - float(image[y, x + 1])) ** 2
            (borders if (x + 1) % 8 == 0 else others).append(step)
    for y in range(height - 1):
        for x in range(width):
            step = (float(image[y, x]) - float(image[y + 1, x])) ** 2
            (borders if (y + 1) % 8 == 0 else others).append(step)
    excess = np.mean(borders) - np.mean(others)
    factor = np.log2(8) / np.log2(min(height, width)) if excess > 0 else 0.0
    error = np.mean((image.astype(float) - reference) ** 2)
    return 10 * np.log10(1 / (error + factor * excess))


def test_psnr_b_step_by_step():
    noisy, clean = pair(37, 29, 1)
    blocks = clean.copy()
    blocks[:, 8:] += 0.05
    blocks[16:] -= 0.07
    for image in (noisy, blocks):
        expected = reference_psnr_b(image[..., 0], clean[..., 0])
        assert psnr_b(image, clean) == pytest.approx(expected, abs=1e-6)
    assert psnr_b(blocks, clean) < psnr(blocks, clean) - 0.01
    flat = np.full((16, 17, 1), 0.5, np.float32)
    assert psnr_b(flat, flat) == float("inf")
    with pytest.raises(ValueError, match="at least 16x16"):
        psnr_b(clean[:15], clean[:15])
