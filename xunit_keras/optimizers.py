"""Muon for convolutions."""

import math
import re

import keras
from keras import ops

# What is not the kernel of a convolution learns with Adam, at this part of the rate.
ADAM_RATIO = 0.1


@keras.saving.register_keras_serializable(package="xunit_keras")
class ConvolutionMuon(keras.optimizers.Muon):
    """Muon, whose steps for the kernels of convolutions are orthogonal matrices.

    Keras' own orthogonalizes matrices alone and leaves kernels of convolutions to
    Adam. Here such a kernel is the matrix from all that an output sees to the outputs:
    `(height * width * inputs, outputs)`, and for a depthwise one `(height * width,
    channels)`; the layers of these are known by "depthwise" in their names, which
    Keras gives them. What has one column, vectors and kernels with one output, learns
    with Adam.

    Args:
        learning_rate: A float or a schedule, for the kernels; a step changes a kernel
            by 0.2 times as much (root mean square).
        epsilon: Epsilon of Adam.
        weight_decay: For the kernels.
        adam_weight_decay: For what learns with Adam.
        adam_lr_ratio: What learns with Adam does so at this part of the rate.
        **kwargs: The other arguments of `keras.optimizers.Muon`, such as
            `exclude_layers`: patterns of paths that learn with Adam too, as the last
            convolution may.

    Example:
        >>> model = xunit_keras.xnet(filters=8)
        >>> model.compile(xunit_keras.ConvolutionMuon(learning_rate=0.01), "mse")
        >>> images = np.zeros((4, 16, 16, 1), "float32")
        >>> history = model.fit(images, images, verbose=0)

    Reference:
        - Jordan et al.: [Muon: An optimizer for hidden layers in neural networks](
          https://kellerjordan.github.io/posts/muon/), 2024.
        - Liu et al.: [Muon is scalable for LLM training](
          https://arxiv.org/abs/2502.16982), 2025, for the size of the steps.
    """

    def __init__(
        self,
        learning_rate=1e-2,
        epsilon=1e-8,
        weight_decay=None,
        adam_weight_decay=None,
        adam_lr_ratio=ADAM_RATIO,
        **kwargs,
    ):
        super().__init__(
            learning_rate,
            epsilon=epsilon,
            weight_decay=weight_decay,
            adam_weight_decay=adam_weight_decay,
            adam_lr_ratio=adam_lr_ratio,
            **kwargs,
        )

    def build(self, var_list):
        # Only their paths tell depthwise kernels from those with a single output, and
        # steps may be given the backend's own variables, which have none.
        if not self.built:
            self._matrices = [_as_matrix(v.shape, v.path) for v in var_list]
        super().build(var_list)

    def _should_use_adamw(self, variable):
        excluded = any(re.search(name, variable.path) for name in self.exclude_layers)
        return excluded or 1 in _as_matrix(variable.shape, variable.path)

    def _muon_update_step(self, gradient, variable, lr, m):
        self.assign_add(m, gradient + m * (self.momentum - 1))
        step = gradient + self.momentum * m if self.nesterov else m
        matrix = ops.reshape(step, self._matrices[self._get_variable_index(variable)])
        matrix = self.zeropower_via_newtonschulz5(matrix, self.ns_steps)
        step = ops.reshape(self.lr_adjust(lr * matrix), variable.shape)
        self.assign_sub(variable, step)


def _as_matrix(shape, path: str) -> tuple[int, int]:
    """Rows and columns of a variable; a vector is one column."""
    size = math.prod(shape)
    if len(shape) < 2:
        return size, 1
    columns = shape[-2] if "depthwise" in path else shape[-1]
    return size // columns, columns
