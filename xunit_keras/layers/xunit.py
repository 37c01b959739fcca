"""XUnit, the learnable spatial activation."""

import keras
import numpy as np
from keras import ops

from xunit_keras.layers.depthwise import LargeKernelDepthwiseConv2D
from xunit_keras.layers.initializers import CenterImpulse
from xunit_keras.layers.normalization import FusedBatchNormalization

GATES = ("gaussian", "sigmoid")
FORMS = ("standard", "dense", "slim")


@keras.saving.register_keras_serializable(package="xunit_keras")
class XUnit(keras.layers.Layer):
    """Spatial activation: every pixel is weighted by what lies around it.

    `XUnit(x) = x * exp(-d^2)`, `d = BN(DepthwiseConv(ReLU(BN(x))))`. Where a
    ReLU multiplies a pixel by 0 or 1 according to the pixel alone, `XUnit`
    multiplies it by a weight in (0, 1] computed from its neighborhood.

    ========  =====================================  ===================
    form      d                                      parameters
    ========  =====================================  ===================
    standard  `BN(Depthwise(ReLU(BN(x))))`           `(k^2 + 4) C`
    dense     `BN(Depthwise(ReLU(BN(Conv1x1(x)))))`  `(k^2 + 4) C + C^2`
    slim      `BN(Depthwise(x))`                     `(k^2 + 2) C`
    ========  =====================================  ===================

    for C channels and a kernel of k x k. The convolutions have no bias, as a
    normalization follows each of them.

    Args:
        kernel_size: Odd integer, side of the square depthwise kernel.
        gate: `"gaussian"`, `exp(-d^2)`, or `"sigmoid"`, `1 / (1 + exp(-d))`.
        form: `"standard"`; `"dense"`, where the weight of a channel sees all
            channels; or `"slim"`, the cheapest.
        depthwise_initializer: Initializer of the depthwise kernel. The default,
            `CenterImpulse(0.03)`, learns faster than the paper's
            `"glorot_uniform"`.
        gate_initializer: Initializer of the scale of the normalization before
            the gate. The default, 0.5, opens the gate at the start; the paper
            has `"ones"`.
        momentum: Momentum of the moving averages of both normalizations.
        epsilon: Epsilon of both normalizations.
        evaluation: How the depthwise convolution is evaluated, see
            `LargeKernelDepthwiseConv2D`.
        data_format: `"channels_last"` or `"channels_first"`; None is the one in
            the Keras configuration.
        **kwargs: Arguments of `keras.layers.Layer`.

    Input shape:
        `(batch, height, width, channels)`, or `(batch, channels, height, width)` for
        `data_format="channels_first"`.

    Output shape:
        That of the input.

    Under a mixed precision policy the weights of the pixels are computed in the
    dtype of the variables, and only the result is rounded: `d^2` amplifies
    rounding, and processors whose convolutions are faster in 16 bits have slower
    depthwise convolutions there (benchmarks/training_step.py).

    Raises:
        ValueError: `kernel_size` is not an odd positive integer, or `gate` or
            `form` is unknown.

    Example:
        >>> x = keras.layers.Conv2D(64, 3, padding="same")(np.zeros((1, 16, 24, 3)))
        >>> tuple(xunit_keras.XUnit()(x).shape)
        (1, 16, 24, 64)

    Reference:
        - [Kligvasser, Rott Shaham, Michaeli: xUnit: Learning a Spatial Activation
          Function for Efficient Image Restoration, CVPR 2018](
          https://arxiv.org/abs/1711.06445), equations 3 to 5.
        - [Kligvasser, Michaeli: Dense xUnit Networks, 2018](
          https://arxiv.org/abs/1811.11051), for the other forms.
    """

    def __init__(
        self,
        kernel_size=9,
        gate="gaussian",
        form="standard",
        depthwise_initializer=None,
        gate_initializer=None,
        momentum=0.9,
        epsilon=1e-5,
        evaluation="auto",
        data_format=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        integer = isinstance(kernel_size, int | np.integer)
        odd = integer and not isinstance(kernel_size, bool) and kernel_size % 2 == 1
        if not odd or kernel_size < 1:
            raise ValueError(
                "`kernel_size` must be an odd positive integer. "
                f"Received: kernel_size={kernel_size!r}"
            )
        if gate not in GATES:
            raise ValueError(f"`gate` must be one of {GATES}. Received: gate={gate!r}")
        if form not in FORMS:
            raise ValueError(f"`form` must be one of {FORMS}. Received: form={form!r}")
        self.kernel_size = int(kernel_size)
        self.gate = gate
        self.form = form
        self.depthwise_initializer = keras.initializers.get(
            CenterImpulse() if depthwise_initializer is None else depthwise_initializer
        )
        self.gate_initializer = keras.initializers.get(
            keras.initializers.Constant(0.5)
            if gate_initializer is None
            else gate_initializer
        )
        self.momentum = momentum
        self.epsilon = epsilon
        self.evaluation = evaluation
        self.input_spec = keras.layers.InputSpec(ndim=4)

        depthwise = LargeKernelDepthwiseConv2D(
            self.kernel_size,
            padding="same",
            use_bias=False,
            depthwise_initializer=self.depthwise_initializer,
            evaluation=evaluation,
            data_format=data_format,
            dtype=self.variable_dtype,
            name="depthwise",
        )
        self.data_format = depthwise.data_format  # checked, the default filled in
        self.pointwise = None  # Its filters are the channels of the input.
        self.input_norm = None if form == "slim" else self._norm("input_norm")
        self.depthwise = depthwise
        self.gate_norm = self._norm(
            "gate_norm", gamma_initializer=self.gate_initializer
        )

    def build(self, input_shape):
        if self.form == "dense":
            self.pointwise = keras.layers.Conv2D(
                input_shape[self._channel_axis],
                1,
                use_bias=False,
                data_format=self.data_format,
                dtype=self.dtype_policy,
                name="pointwise",
            )
            self.pointwise.build(input_shape)
        if self.input_norm is not None:
            self.input_norm.build(input_shape)
        self.depthwise.build(input_shape)
        self.gate_norm.build(input_shape)

    def call(self, inputs, training=None):
        exact = ops.cast(inputs, self.variable_dtype)
        outputs = exact * self.weight_map(exact, training=training)
        return ops.cast(outputs, self.compute_dtype)

    def weight_map(self, inputs, training=None):
        """The weight in (0, 1] of every pixel and channel, shaped like `inputs`."""
        d = ops.cast(inputs, self.variable_dtype)
        if self.pointwise is not None:
            d = self.pointwise(d)
        if self.input_norm is not None:
            d = ops.relu(self.input_norm(d, training=training))
        d = self.gate_norm(self.depthwise(d, training=training), training=training)
        if self.gate == "sigmoid":
            return ops.sigmoid(d)
        return ops.exp(-ops.square(d))

    @property
    def norms(self) -> list[FusedBatchNormalization]:
        """The batch normalizations inside, in the order of their evaluation."""
        return [n for n in (self.input_norm, self.gate_norm) if n is not None]

    @property
    def _channel_axis(self):
        return -1 if self.data_format == "channels_last" else 1

    def _norm(self, name, **kwargs):
        return FusedBatchNormalization(
            axis=self._channel_axis,
            momentum=self.momentum,
            epsilon=self.epsilon,
            dtype=self.variable_dtype,
            name=name,
            **kwargs,
        )

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        serialize = keras.initializers.serialize
        return {
            **super().get_config(),
            "kernel_size": self.kernel_size,
            "gate": self.gate,
            "form": self.form,
            "depthwise_initializer": serialize(self.depthwise_initializer),
            "gate_initializer": serialize(self.gate_initializer),
            "momentum": self.momentum,
            "epsilon": self.epsilon,
            "evaluation": self.evaluation,
            "data_format": self.data_format,
        }
