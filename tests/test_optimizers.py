import keras
import numpy as np
import pytest
from layers.checks import random_images

from xunit_keras import xdncnn
from xunit_keras.optimizers import ADAM_RATIO, ConvolutionMuon


def trained(**arguments):
    """Weights by path before and after a step on noise."""
    keras.utils.set_random_seed(0)
    model = xdncnn(depth=3, kernel_size=5, filters=8)

    def weights():
        variables = model.trainable_variables
        return {v.path: keras.ops.convert_to_numpy(v) for v in variables}

    before = weights()
    model.compile(ConvolutionMuon(0.01, **arguments), "mse", jit_compile=False)
    x = random_images(2, 12, 12, 1)
    model.train_on_batch(x, 0.5 * x)
    return before, weights()


def as_matrix(path, step):
    if "depthwise" in path:
        return step.reshape(25, 8)
    return step.reshape(-1, step.shape[-1])


def test_steps_of_kernels_are_orthogonal_and_of_the_promised_size():
    before, after = trained()
    kernels = [path for path, value in before.items() if value.ndim == 4]
    assert len(kernels) == 5
    for path in kernels[:-1]:
        step = as_matrix(path, after[path] - before[path])
        size = 0.01 * 0.2 * np.sqrt(max(step.shape))
        values = np.linalg.svd(step, compute_uv=False) / size
        # Newton-Schulz as Muon has it ends near 1, not at it.
        assert values.min() > 0.6, path
        assert values.max() < 1.3, path


def test_the_rest_learns_with_adam_at_a_tenth():
    before, after = trained()
    steps = {path: after[path] - before[path] for path in before}
    rest = [p for p, step in steps.items() if step.ndim < 4 or step.shape[-1] == 1]
    rest = [path for path in rest if "depthwise" not in path]
    sizes = {path: np.abs(steps[path]).max() / (0.01 * ADAM_RATIO) for path in rest}
    assert max(sizes.values()) < 1.01
    # The first step of Adam is the rate itself, where there is something to learn.
    ends = ("conv_3/kernel", "conv_3/bias", "gate_norm/gamma")
    moved = [path for path in rest if path.endswith(ends)]
    assert len(moved) == 4
    for path in moved:
        assert sizes[path] == pytest.approx(1, rel=0.01), path


def test_what_is_excluded_learns_with_adam():
    before, after = trained(exclude_layers=["conv_1/"])
    step = after["conv_1/kernel"] - before["conv_1/kernel"]
    other = after["conv_2/kernel"] - before["conv_2/kernel"]
    # The first step of Adam has one size but where gradients vanish; Muon's has many.
    low, high = np.quantile(np.abs(step), (0.2, 1)) / (0.01 * ADAM_RATIO)
    assert 0.99 < low < high < 1.01
    low, high = np.quantile(np.abs(other), (0.2, 1))
    assert high > 3 * low


def test_momentum_against_numpy():
    """Two steps of a kernel on given gradients, by singular values."""
    optimizer = ConvolutionMuon(0.1, ns_steps=5)
    kernel = keras.Variable(np.zeros((3, 3, 4, 6), "float32"), name="kernel")
    optimizer.build([kernel])
    gradients = [random_images(3, 3, 4, 6, seed=seed) for seed in (1, 2)]
    momentum, expected = 0.0, np.zeros((36, 6))
    for gradient in gradients:
        optimizer.apply([keras.ops.convert_to_tensor(gradient)], [kernel])
        gradient = gradient.reshape(36, 6).astype("float64")
        momentum = 0.95 * momentum + gradient
        u, _, v = np.linalg.svd(gradient + 0.95 * momentum, full_matrices=False)
        expected -= 0.1 * 0.2 * np.sqrt(36) * u @ v
    step = keras.ops.convert_to_numpy(kernel).reshape(36, 6)
    similarity = (step * expected).sum() / np.linalg.norm(step)
    assert similarity / np.linalg.norm(expected) > 0.98
    assert np.linalg.norm(step) == pytest.approx(np.linalg.norm(expected), rel=0.25)


def test_it_survives_a_file(tmp_path):
    model = xdncnn(depth=3, kernel_size=5, filters=4)
    model.compile(ConvolutionMuon(0.02), "mse")
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert isinstance(loaded.optimizer, ConvolutionMuon)
    assert float(loaded.optimizer.learning_rate) == pytest.approx(0.02)
    assert loaded.optimizer.adam_lr_ratio == ADAM_RATIO
