import keras
import numpy as np
import pytest
from keras import ops
from skimage import color
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from xunit_keras.metrics import PSNR, SSIM, psnr, ssim


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
    assert ssim(image, reference, shave) == pytest.approx(expected, abs=2e-5)


def test_ssim_of_flat_and_of_tiny_images():
    """Nearly flat areas are where float32 variances cancel."""
    image, reference = pair(11, 11, 1)
    flat = 0.9 + 0.001 * (image - 0.5)
    other = 0.9 + 0.001 * (reference - 0.5)
    assert ssim(flat, other) == pytest.approx(reference_ssim(flat, other), abs=2e-3)
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
        reference_ssim(y_image, y_reference), abs=2e-5
    )
    grey, grey_reference = image[..., :1], reference[..., :1]
    assert psnr(grey, grey_reference, on_luminance=True) == psnr(grey, grey_reference)


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
    ],
)
def test_bad_images(metric, image, reference, shave, message):
    with pytest.raises(ValueError, match=message):
        metric(image, reference, shave)


def test_ssim_needs_its_window():
    image = np.zeros((14, 20, 1))
    with pytest.raises(ValueError, match="10x16"):
        ssim(image, image, shave=2)


@pytest.mark.parametrize("channels", [1, 3])
def test_keras_metrics_are_means_over_images(channels):
    pairs = [pair(20, 24, channels, seed) for seed in range(5)]
    clipped = [(np.clip(image, 0, 1), reference) for image, reference in pairs]
    for metric, function in ((PSNR(), psnr), (SSIM(), ssim)):
        expected = [function(*images) for images in clipped]
        for batch in (pairs[:2], pairs[2:]):
            images, references = map(np.stack, zip(*batch, strict=True))
            metric.update_state(references, images)
        assert float(metric.result()) == pytest.approx(np.mean(expected), abs=1e-4)
        metric.reset_state()
        images, references = map(np.stack, zip(*pairs[:2], strict=True))
        metric.update_state(references, images, sample_weight=np.array([1.0, 3.0]))
        weighted = np.average(expected[:2], weights=[1, 3])
        assert float(metric.result()) == pytest.approx(weighted, abs=1e-4)


def test_keras_metrics_clip_and_count_equal_images():
    reference = np.ones((1, 12, 12, 1), "float32")
    for metric, expected in ((PSNR(), 100.0), (SSIM(), 1.0)):
        metric.update_state(reference, reference + 3.0)
        assert float(metric.result()) == pytest.approx(expected, abs=1e-4)


def test_keras_metrics_compile_by_class_and_survive_a_file(tmp_path):
    inputs = keras.Input((None, None, 1))
    model = keras.Model(inputs, keras.layers.Conv2D(1, 3, padding="same")(inputs))
    model.compile("sgd", "mse", metrics=[PSNR(), SSIM(name="similarity")])
    image, reference = pair(16, 16, 1)
    images, references = image[None], reference[None]
    before = model.evaluate(images, references, verbose=0, return_dict=True)
    assert {"psnr", "similarity"} <= set(before)
    result = ops.convert_to_numpy(model(images))[0]
    expected = psnr(np.clip(result, 0, 1), reference)
    assert before["psnr"] == pytest.approx(expected, abs=1e-3)

    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    after = loaded.evaluate(images, references, verbose=0, return_dict=True)
    assert after == pytest.approx(before, abs=1e-5)
