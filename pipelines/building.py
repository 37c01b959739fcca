"""Networks made ready for a training."""

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from pipelines.configuration import Resolved
from pipelines.initializing import start_from
from pipelines.teaching import taught
from xunit_keras.layers import FusedBatchNormalization, XUnit
from xunit_keras.losses import CenterMeanAbsoluteError, CenterMeanSquaredError
from xunit_keras.models import registry
from xunit_keras.optimizers import ConvolutionMuon

_LOSSES = {"mse": CenterMeanSquaredError, "mae": CenterMeanAbsoluteError}


@dataclass(frozen=True)
class Blueprint:
    """A network to train, and what its card says of it.

    Attributes:
        name: Of its builder, or of what else makes it.
        arguments: What that is given.
        build: Makes it.
        kept: Makes of it, trained, what is kept; None keeps it as it is.
    """

    name: str
    arguments: dict[str, Any]
    build: Callable[[], keras.Model]
    kept: Callable[[keras.Model], keras.Model] | None = None


def blueprint(config: Resolved) -> Blueprint:
    """The network of a resolved configuration, with the weights that it starts from."""
    network, arguments = registry.find(config.model), config.arguments

    def build():
        model = network.build(**arguments)
        if config.init:
            start_from(model, config.init)
        return model

    return Blueprint(network.name, arguments, build)


def compiled(config: Resolved, network: Blueprint) -> keras.Model:
    """A network with its optimizer and its loss, to train with the policy asked for."""
    with _policy(config.precision):
        model = network.build()
        if config.teacher:
            model = taught(model, config.teacher, config.target)
        for norm in normalizations(model):
            norm.statistics_fixed = config.fix_statistics
        # A short run cannot afford to average over the last thousand steps.
        average = min(config.average, max(0.0, 1.0 - 20.0 / config.steps))
        model.compile(
            _optimizer(config, model, use_ema=True, ema_momentum=average),
            loss=_LOSSES[config.loss](config.margin),
            # XLA's convolutions on a CPU are slower than TensorFlow's own.
            jit_compile=False if keras.config.backend() == "tensorflow" else "auto",
        )
        model.optimizer.build(model.trainable_variables)
    return model


def _optimizer(config, model, **averages) -> keras.optimizers.Optimizer:
    arguments = {"learning_rate": _learning_rate(config), "epsilon": 1e-8, **averages}
    if config.optimizer == "adam":
        return keras.optimizers.Adam(**arguments)
    # Steps of one size in all directions are too much for what makes the image.
    last = re.escape(_last_kernel(model).path)
    return ConvolutionMuon(exclude_layers=[f"^{last}$"], **arguments)


def _last_kernel(model) -> keras.Variable:
    """That of the convolution that makes the image."""
    return [
        variable
        for variable in model.trainable_variables
        if len(variable.shape) == 4 and "depthwise" not in variable.path
    ][-1]


def _learning_rate(config):
    warmup = min(config.warmup, config.steps // 10)
    return keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=config.learning_rate / max(warmup, 1),
        warmup_target=config.learning_rate,
        warmup_steps=warmup,
        decay_steps=config.steps - warmup,
        alpha=0.01,
    )


@contextmanager
def _policy(name: str) -> Iterator[None]:
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def normalizations(model: keras.Model) -> list[FusedBatchNormalization]:
    """The batch normalizations of a model, those inside the activations too."""
    found = []
    for layer in model.layers:
        if isinstance(layer, XUnit):
            found += layer.norms
        elif isinstance(layer, FusedBatchNormalization):
            found.append(layer)
    return found


def estimate_statistics(model: keras.Model, batches: Iterable) -> bool:
    """Sets the moving averages of a model to the plain mean over batches, if that fits.

    Weights that were trained with fixed statistics fit those and no others: they are
    kept where the loss of the batches would be larger with new ones.

    Returns:
        Whether they were set.
    """
    norms, batches = normalizations(model), list(batches)
    statistics = [v for norm in norms for v in norm.non_trainable_variables]
    known = [keras.ops.convert_to_numpy(variable) for variable in statistics]
    before = _loss(model, batches)
    settings = [(norm.momentum, norm.statistics_fixed) for norm in norms]
    for count, (degraded, _) in enumerate(batches):
        for norm in norms:
            norm.momentum, norm.statistics_fixed = count / (count + 1), False
        model(degraded, training=True)
    for norm, setting in zip(norms, settings, strict=True):
        norm.momentum, norm.statistics_fixed = setting
    if _loss(model, batches) <= before:
        return True
    for variable, value in zip(statistics, known, strict=True):
        variable.assign(value)
    return False


def _loss(model, batches) -> float:
    return float(np.mean([model.loss(y, model(x, training=False)) for x, y in batches]))
