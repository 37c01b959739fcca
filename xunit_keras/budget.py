"""Parameters as the paper counts them."""

import math
from dataclasses import dataclass

import keras

from xunit_keras.layers import XUnit

_KERNELS = ("kernel", "depthwise_kernel", "pointwise_kernel")


@dataclass(frozen=True)
class ParameterCount:
    """Parameters of a model by kind of layer.

    Attributes:
        convolutions: Kernels of the convolutions outside `XUnit`.
        activations: Everything inside the `XUnit` layers: depthwise kernels,
            scales and shifts.
        normalizations: Scales and shifts of the other batch normalizations.
    """

    convolutions: int
    activations: int
    normalizations: int

    @property
    def total(self) -> int:
        """All three kinds together."""
        return self.convolutions + self.activations + self.normalizations

    @property
    def activation_share(self) -> float:
        """Share of the total that the activations take, 0 to 1."""
        return self.activations / self.total if self.total else 0.0


def count_parameters(model: keras.Model) -> ParameterCount:
    """Counts a model's parameters as the paper does.

    Kernels, and scales and shifts of batch normalizations, are counted; biases
    and moving averages are not.

    Args:
        model: A built Keras model.

    Returns:
        A `ParameterCount`.
    """
    counts = {"convolutions": 0, "activations": 0, "normalizations": 0}
    for layer in _outermost_layers(model):
        if isinstance(layer, XUnit):
            kind = "activations"
        elif isinstance(layer, keras.layers.BatchNormalization):
            kind = "normalizations"
        elif any(weight.name in _KERNELS for weight in layer.weights):
            kind = "convolutions"
        else:
            continue
        counts[kind] += sum(
            math.prod(weight.shape)
            for weight in layer.weights
            if weight.name in (*_KERNELS, "gamma", "beta")
        )
    return ParameterCount(**counts)


def _outermost_layers(model):
    """The layers of a model, nested models opened, composite layers whole."""
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from _outermost_layers(layer)
        else:
            yield layer
