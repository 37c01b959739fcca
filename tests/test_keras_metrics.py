import keras
import numpy as np
import pytest
from keras import ops

from xunit_keras.imaging.metrics import psnr, ssim
from xunit_keras.metrics import PSNR, SSIM


def pair(height, width, channels, seed=0):
    """A smooth image in [0, 1] and a noisy one that leaves the range."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width, :1][:2] / 7.0
    clean = 0.5 + 0.4 * np.sin(x + np.arange(channels)) * np.cos(y)
    noisy = clean + rng.normal(scale=0.1, size=clean.shape)
    return noisy.astype("float32"), clean.astype("float32")


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
