"""What the layers must compute, in plain NumPy and straight from the definitions."""

import math
from fractions import Fraction

import numpy as np


def depthwise(images, kernel, padding="same"):
    """Depthwise correlation, pixel by pixel: `(N, H, W, C)` and `(h, w, C)`."""
    images, kernel = images.astype("float64"), kernel.astype("float64")
    height, width = kernel.shape[:2]
    if padding == "same":
        rows = ((height - 1) // 2, height // 2)
        columns = ((width - 1) // 2, width // 2)
        images = np.pad(images, ((0, 0), rows, columns, (0, 0)))
    count, rows, columns, channels = images.shape
    outputs = np.empty((count, rows - height + 1, columns - width + 1, channels))
    for y in range(outputs.shape[1]):
        for x in range(outputs.shape[2]):
            patch = images[:, y : y + height, x : x + width]
            outputs[:, y, x] = (patch * kernel).sum(axis=(1, 2))
    return outputs


class BatchNorm:
    """Batch normalization over the last axis, with its moving averages."""

    def __init__(self, gamma, beta, moving_mean, moving_variance):
        self.gamma, self.beta = gamma.astype("float64"), beta.astype("float64")
        self.moving_mean = moving_mean.astype("float64")
        self.moving_variance = moving_variance.astype("float64")

    def __call__(self, x, training, momentum=0.9, epsilon=1e-5):
        mean, variance = self.moving_mean, self.moving_variance
        if training:
            axes = tuple(range(x.ndim - 1))
            mean, variance = x.mean(axes), x.var(axes)
            self.moving_mean = momentum * self.moving_mean + (1 - momentum) * mean
            self.moving_variance = (
                momentum * self.moving_variance + (1 - momentum) * variance
            )
        return self.gamma * (x - mean) / np.sqrt(variance + epsilon) + self.beta


class XUnit:
    """XUnit from a dictionary of its weights by their path below the layer."""

    def __init__(self, weights, gate="gaussian", form="standard"):
        def norm(name):
            kinds = ("gamma", "beta", "moving_mean", "moving_variance")
            return BatchNorm(*(weights[f"{name}/{kind}"] for kind in kinds))

        self.pointwise = weights["pointwise/kernel"][0, 0] if form == "dense" else None
        self.input_norm = None if form == "slim" else norm("input_norm")
        self.gate_norm = norm("gate_norm")
        self.kernel = weights["depthwise/kernel"][..., 0]
        self.gate = gate

    def __call__(self, x, training=False):
        x = x.astype("float64")
        d = x
        if self.pointwise is not None:
            d = d @ self.pointwise
        if self.input_norm is not None:
            d = np.maximum(self.input_norm(d, training), 0.0)
        d = self.gate_norm(depthwise(d, self.kernel), training)
        if self.gate == "sigmoid":
            return x / (1.0 + np.exp(-d))
        return x * np.exp(-(d**2))


def keys(x):
    """Keys' cubic convolution kernel with a = -0.5."""
    a, x = -0.5, abs(x)
    if x <= 1:
        return (a + 2) * x**3 - (a + 3) * x**2 + 1
    if x < 2:
        return a * x**3 - 5 * a * x**2 + 8 * a * x - 4 * a
    return 0.0


def mirrored(i, size):
    """The index that `i` means in an image whose edge pixels are repeated."""
    while not 0 <= i < size:
        i = -1 - i if i < 0 else 2 * size - 1 - i
    return i


def bicubic(image, scale):
    """Resizes `(H, W, C)` by a factor: MATLAB's bicubic, one sample at a time."""
    scale = Fraction(scale)
    stretch = max(1 / scale, 1)  # the kernel is widened when shrinking

    def axis_taps(size):
        """For every output sample, pairs of input index and weight."""
        for n in range(math.ceil(size * scale)):
            center = (n + Fraction(1, 2)) / scale - Fraction(1, 2)
            first = math.floor(center - 2 * stretch)
            last = math.ceil(center + 2 * stretch)
            taps = range(first, last + 1)
            weights = [keys(float((center - i) / stretch)) for i in taps]
            yield [
                (mirrored(i, size), weight / sum(weights))
                for i, weight in zip(taps, weights, strict=True)
            ]

    image = image.astype("float64")
    columns = list(axis_taps(image.shape[1]))
    return np.array(
        [
            [
                sum(v * h * image[y, x] for y, v in row for x, h in column)
                for column in columns
            ]
            for row in axis_taps(image.shape[0])
        ]
    )
