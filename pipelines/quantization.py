"""Networks that compute, in training, as 8-bit integers will."""

from collections.abc import Iterable
from pathlib import Path

import keras
import numpy as np
from keras import ops

from xunit_keras.atomic import replacing
from xunit_keras.exporting import formats
from xunit_keras.graphs.folding import deploy
from xunit_keras.graphs.walk import run_through
from xunit_keras.layers import BicubicUpsampling

_FORM = formats.get("litert").precision("int8-full").form


class FakeQuantization(keras.layers.Layer):
    """Rounds values to the 256 that an 8-bit integer of their range can have.

    The gradient passes as if nothing had been rounded, within the range, which is the
    moving average of the least and the largest value, and holds 0.

    Args:
        momentum: Of the moving average; with 1, training leaves the range alone.
        **kwargs: Arguments of `keras.layers.Layer`.

    Attributes:
        measures: Whether it widens its range to what it sees, and rounds nothing.

    Reference:
        Jacob et al.: Quantization and Training of Neural Networks for Efficient
        Integer-Arithmetic-Only Inference, CVPR 2018.
    """

    def __init__(self, momentum=0.99, **kwargs):
        super().__init__(**kwargs)
        self.momentum = momentum
        self.measures = False

    def build(self, input_shape):
        self.low, self.high = (
            self.add_weight(name=name, shape=(), initializer="zeros", trainable=False)
            for name in ("low", "high")
        )

    def call(self, inputs, training=None):
        low = ops.minimum(ops.min(inputs), 0.0)
        high = ops.maximum(ops.max(inputs), 0.0)
        if self.measures:
            self.low.assign(ops.minimum(self.low, low))
            self.high.assign(ops.maximum(self.high, high))
            return inputs
        if training:
            self.low.assign(self.low + (1 - self.momentum) * (low - self.low))
            self.high.assign(self.high + (1 - self.momentum) * (high - self.high))
        return keras.quantizers.fake_quant_with_min_max_vars(
            inputs, self.low, self.high
        )

    def get_config(self):
        return {**super().get_config(), "momentum": self.momentum}

    def compute_output_spec(self, inputs, training=None):
        # Said, as Keras takes a difference for a sparse tensor, which has no least.
        return keras.KerasTensor(inputs.shape, self.compute_dtype)


class QuantizedConvolution(keras.layers.Layer):
    """A convolution whose kernel has 8 bits and one scale for each channel.

    Args:
        layer: A `Conv2D`, or a `DepthwiseConv2D` with a depth multiplier of 1.
        **kwargs: Arguments of `keras.layers.Layer`.
    """

    def __init__(self, layer, **kwargs):
        super().__init__(**kwargs)
        self.layer = layer

    def call(self, inputs):
        layer = self.layer
        depthwise = isinstance(layer, keras.layers.DepthwiseConv2D)
        axis = 2 if depthwise else 3
        others = [a for a in range(4) if a != axis]
        limit = ops.stop_gradient(ops.max(ops.abs(layer.kernel), axis=others))
        limit = ops.maximum(limit, keras.config.epsilon())
        kernel = keras.quantizers.fake_quant_with_min_max_vars(
            layer.kernel, -limit, limit, narrow_range=True, axis=axis
        )
        convolve = ops.depthwise_conv if depthwise else ops.conv
        outputs = convolve(inputs, kernel, layer.strides, layer.padding)
        return layer.activation(outputs + layer.bias)

    def get_config(self):
        config = super().get_config()
        return {**config, "layer": keras.saving.serialize_keras_object(self.layer)}


def integer_form(model: keras.Model) -> keras.Model:
    """What a model becomes before its weights and values turn to integers."""
    return deploy(model, _FORM)


def quantized(plain: keras.Model, images: Iterable[np.ndarray]) -> keras.Model:
    """A network on the layers of another one, that rounds as integers would.

    What the layers learn in it, the other one has learned too.

    Args:
        plain: As `integer_form` gives it.
        images: `(height, width, channels)` in [0, 1], as the network gets them, to
            tell the ranges of its values.
    """
    numbers = iter(range(len(plain.operations)))
    last = plain.output._keras_history.operation

    def rounding(operation):
        # Training images are small, and few of them have black and white in them.
        is_image = isinstance(operation, BicubicUpsampling) or operation is last
        momentum = {"momentum": 1.0} if is_image else {}
        return FakeQuantization(**momentum, name=f"rounded_{next(numbers)}")

    def operate(operation):
        rounded = rounding(operation)
        if isinstance(operation, (keras.layers.Conv2D, keras.layers.DepthwiseConv2D)):
            operation = QuantizedConvolution(operation, name=operation.name)
        return lambda *args, **kwargs: rounded(operation(*args, **kwargs))

    image = keras.Input(plain.input_shape[1:], name="image")
    first = FakeQuantization(momentum=1.0, name="rounded_image")
    outputs = run_through(plain, first(image), operate)
    model = keras.Model(image, outputs, name=plain.name)
    layers = [x for x in model.layers if isinstance(x, FakeQuantization)]
    for layer in layers:
        layer.measures = True
    for image in images:
        model(image[None])
    for layer in layers:
        layer.measures = False
    return model


def put_back(trained: keras.Model, plain: keras.Model) -> None:
    """Gives the convolutions of a plain network what they learned as integers."""
    for layer in trained.layers:
        if isinstance(layer, QuantizedConvolution):
            plain.get_layer(layer.name).set_weights(layer.layer.get_weights())


def write_integers(network: keras.Model, path: Path) -> None:
    """Writes a network that rounds as integers would, in integers, for LiteRT.

    The converter takes the ranges that the network has learned: those that it would
    measure itself, from least to largest, lose twice as much.

    Args:
        network: As `quantized` gives it.
        path: The file, ending in .tflite.
    """
    import tensorflow as tf

    image = tf.TensorSpec((None, *network.input_shape[1:]), "float32", name="image")
    with replacing(path) as partial:
        network.export(
            str(partial),
            format="litert",
            input_signature=[image],
            verbose=False,
            optimizations=[tf.lite.Optimize.DEFAULT],
        )
