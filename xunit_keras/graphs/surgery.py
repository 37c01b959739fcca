"""Giving a network of one's own `XUnit` for its activations."""

import operator
import weakref
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import keras
from keras import layers

from xunit_keras.graphs.counting import ParameterCount, count_parameters
from xunit_keras.graphs.walk import (
    copy_weights,
    data_format,
    functional,
    require_model,
    run_through,
    sublayers,
)
from xunit_keras.layers import LargeKernelDepthwiseConv2D, XUnit

# Activations that pass large values and hold back negative ones, by the names of
# functions, layers and operations, without case and underscores. What squashes
# (sigmoid, tanh, softmax, hard_sigmoid) or makes results positive (softplus) has
# another purpose.
RECTIFIERS = frozenset(
    "relu relu6 leakyrelu prelu elu selu celu gelu silu swish hardsilu hardswish "
    "mish".split()
)

# Layers whose activation is the last thing that they do.
_WITH_ACTIVATION = (
    layers.Conv2D,
    layers.Conv2DTranspose,
    layers.DepthwiseConv2D,
    layers.SeparableConv2D,
    layers.Dense,
    LargeKernelDepthwiseConv2D,
)


_REPORTS: weakref.WeakKeyDictionary[keras.Model, "Replacement"] = (
    weakref.WeakKeyDictionary()
)


@dataclass(frozen=True)
class Replacement:
    """What `replace_activations` did, see `replacement_report`.

    Attributes:
        replaced: Names of the layers and operations whose activation was replaced, in
            the order of the network.
        left: Those whose activation was to be replaced and could not, with the reason.
        before: Parameters of the model that was given, see `count_parameters`.
        after: Parameters of the new model.

    Example:
        >>> model = xunit_keras.replace_activations(xunit_keras.convnet(filters=8))
        >>> xunit_keras.replacement_report(model).replaced
        ('relu_1', 'relu_2', 'relu_3')
    """

    replaced: tuple[str, ...]
    left: dict[str, str]
    before: ParameterCount
    after: ParameterCount

    def __str__(self) -> str:
        before, after = self.before.total, self.after.total
        change = f" ({after / before - 1:+.1%})" if before else ""
        lines = [
            f"{len(self.replaced)} activations became XUnit: "
            f"{', '.join(self.replaced)}.",
            f"Parameters: {before:,} before, {after:,} after{change}.",
        ]
        lines += [
            f"Left alone: {name}, {reason}." for name, reason in self.left.items()
        ]
        return "\n".join(lines)


def replace_activations(
    model: keras.Model,
    kernel_size: int = 9,
    gate: str = "gaussian",
    only: str | Iterable[str] | Callable[[keras.Operation], bool] | None = None,
    form: str = "standard",
) -> keras.Model:
    """Clones a model with `XUnit` in place of its ReLU and ReLU-like activations.

    These are relu, relu6, leaky_relu, prelu, elu, selu, celu, gelu, silu (swish),
    hard_silu and mish: as layers of their own, as operations on tensors, and as the
    `activation` of a convolution or of a dense layer on images. All other layers keep
    their names, weights and whether they are trainable; convolutions that lose their
    activation keep theirs too. A unit is called `<name>_xunit` after the layer that it
    replaces or follows.

    An activation that is used in several places becomes a unit for each, as each of
    them learns. A convolution or a nested model that is used in several places stays
    one, with its units.

    Left alone are activations of what is not an image (4D, with a known number of
    channels), of images of a single pixel, as in squeeze-and-excitation, and those
    inside layers that cannot be opened. `replacement_report` lists them, with reasons.

    Args:
        model: A functional or built sequential model; nested ones are opened.
        kernel_size: Odd side of the depthwise kernels, see `XUnit`.
        gate: See `XUnit`.
        only: What to replace: a name or names of layers or operations, or a function
            that gets each of those with a ReLU-like activation and says whether to
            replace it. None is all.
        form: See `XUnit`.

    Returns:
        The new model, functional and not compiled, with the name, inputs and outputs
        of `model`.

    Raises:
        ValueError: The model is neither functional nor sequential, nothing in it is
            to be replaced, an activation named in `only` cannot be, a layer cannot be
            made again from its configuration, or an argument of `XUnit` is wrong.

    Example:
        >>> backbone = keras.applications.MobileNet(
        ...     alpha=0.25, include_top=False, weights=None
        ... )
        >>> model = xunit_keras.replace_activations(backbone, only="conv1_relu")
        >>> xunit_keras.count_parameters(model).activations
        680
    """
    require_model(model)
    graph = functional(model)
    if graph is None:
        raise ValueError(
            "Activations can be replaced in functional models and built sequential "
            f"ones. Received: {model.name!r} of class {type(model).__name__}"
        )
    chosen, names = _selection(only)
    unit = {"kernel_size": _integer(kernel_size), "gate": gate, "form": form}
    XUnit(**unit)  # Raises if an argument is wrong, whatever there is to replace.
    surgeon = _Surgeon(
        unit=unit,
        data_format=data_format(graph),
        chosen=chosen,
    )
    clone = surgeon.clone(graph, model.name)
    _check(model, names, surgeon)
    surgeon.copy_weights()
    _REPORTS[clone] = Replacement(
        tuple(surgeon.replaced),
        surgeon.left,
        count_parameters(model),
        count_parameters(clone),
    )
    return clone


def replacement_report(model: keras.Model) -> Replacement:
    """What `replace_activations` did when it made a model.

    Args:
        model: What it returned; not a copy of it, nor one loaded from a file.

    Returns:
        A `Replacement`, which can be printed.

    Raises:
        ValueError: It did not make this model.

    Example:
        >>> model = xunit_keras.replace_activations(xunit_keras.convnet(filters=8))
        >>> print(xunit_keras.replacement_report(model))
        3 activations became XUnit: relu_1, relu_2, relu_3.
        Parameters: 1,344 before, 3,384 after (+151.8%).
    """
    require_model(model)
    if model not in _REPORTS:
        raise ValueError(
            f"`model` must be one that `replace_activations` returned. Received: "
            f"{model.name!r}"
        )
    return _REPORTS[model]


def _integer(value):
    """An integer of Python for one of NumPy; anything else as it is."""
    try:
        return value if isinstance(value, bool) else operator.index(value)
    except TypeError:
        return value


def _selection(only):
    """`only` as a function of a layer, and the names in it."""
    if only is None:
        return (lambda layer: True), ()
    if callable(only):
        return only, ()
    several = isinstance(only, Iterable) and not isinstance(only, str)
    names: list[Any] = [*only] if several else [only]
    if not all(isinstance(name, str) for name in names):
        raise ValueError(
            "`only` must be a name, names, or a function of a layer. "
            f"Received: only={only!r}"
        )
    return (lambda layer: layer.name in names), sorted({*names})


def _check(model, names, surgeon):
    """Raises a `ValueError` unless all was replaced that was asked for."""
    for name in names:
        if name not in surgeon.replaced:
            reason = surgeon.left.get(name, "it has no ReLU-like activation")
            raise ValueError(
                f"The activation of {name!r} in `only` cannot be replaced: {reason}."
            )
    if not surgeon.replaced:
        left = "".join(f" {name}: {why}." for name, why in surgeon.left.items())
        raise ValueError(
            f"The model {model.name!r} has no ReLU-like activation to replace.{left}"
        )


def _is_rectifier(activation) -> bool:
    """Whether a layer, an operation or a function is a ReLU-like activation."""
    name = getattr(activation, "__name__", type(activation).__name__)
    return name.replace("_", "").lower() in RECTIFIERS


def _has_rectifier(layer) -> bool:
    return _is_rectifier(layer) or _is_rectifier(getattr(layer, "activation", None))


def _is_activation(operation) -> bool:
    """Whether an operation is an activation and nothing else."""
    return _is_rectifier(operation) or type(operation) is layers.Activation


@dataclass
class _Surgeon:
    """Builds a model anew, with units where its activations were.

    Attributes:
        unit: Arguments of the units.
        data_format: Of the model.
        chosen: Whether an activation is to be replaced.
        replaced: Names of the layers whose activation was.
        left: Those whose activation could not be, with the reason.
    """

    unit: dict
    data_format: str
    chosen: Callable[[keras.Operation], bool]
    replaced: list[str] = field(default_factory=list)
    left: dict[str, str] = field(default_factory=dict)
    _clones: dict[int, keras.Operation] = field(default_factory=dict)
    _pairs: list[tuple[keras.Operation, keras.Operation]] = field(default_factory=list)
    _uses: Counter = field(default_factory=Counter)

    def clone(self, graph: keras.Model, name: str) -> keras.Model:
        """A functional model operated on, its weights not set yet."""
        inputs = keras.tree.map_structure(
            lambda x: keras.Input(batch_shape=x.shape, dtype=x.dtype, name=x.name),
            graph.input,
        )

        def operated(operation):
            return lambda *args, **kwargs: self._operation(operation, args, kwargs)

        outputs = run_through(graph, inputs, operated)
        return keras.Model(inputs, outputs, name=name)

    def copy_weights(self) -> None:
        """Gives all clones the weights of their originals."""
        for original, clone in self._pairs:
            copy_weights(original, clone)

    def _operation(self, operation, args, kwargs):
        inner = functional(operation)
        if inner is not None:
            clone = self._once(operation, lambda: self.clone(inner, operation.name))
            return clone(*args, **kwargs)
        if not self._is_to_go(operation, args, kwargs):
            clone = self._once(operation, lambda: self._remade(operation))
            return clone(*args, **kwargs)
        if _is_activation(operation):
            return self._new_unit(operation)(args[0])
        clone = self._once(
            operation, lambda: self._remade(operation, activation="linear")
        )
        unit = self._once(clone, lambda: self._new_unit(operation))
        return unit(clone(*args, **kwargs))

    def _is_to_go(self, operation, args, kwargs) -> bool:
        """Whether the activation is to be replaced and can be; says so if not."""
        parts = [operation, *sublayers(operation)]
        if not any(map(_has_rectifier, parts)) or not self.chosen(operation):
            return False
        obstacle = self._obstacle(operation, args, kwargs)
        if obstacle:
            self.left[operation.name] = obstacle
        elif operation.name not in self.replaced:
            self.replaced.append(operation.name)
        return not obstacle

    def _obstacle(self, operation, args, kwargs) -> str | None:
        if not _is_activation(operation) and type(operation) not in _WITH_ACTIVATION:
            return f"it is inside a layer of class {type(operation).__name__}"
        shape = operation.compute_output_spec(*args, **kwargs).shape
        if len(shape) != 4:
            return f"shape {shape} is not that of images"
        *size, channels = shape[1:]
        if self.data_format == "channels_first":
            channels, *size = shape[1:]
        if channels is None:
            return f"the number of channels is not known in shape {shape}"
        if size == [1, 1]:
            return f"images of shape {shape} have one pixel"
        return None

    def _once(self, original, make):
        """The counterpart of a layer, made when it is first needed."""
        if id(original) not in self._clones:
            self._clones[id(original)] = make()
        return self._clones[id(original)]

    def _remade(self, operation, **changes):
        try:
            clone = type(operation).from_config({**operation.get_config(), **changes})
        except Exception as error:
            raise ValueError(
                f"The layer {operation.name!r} of class {type(operation).__name__} "
                "cannot be made again from its configuration, so the model cannot be "
                f"cloned: {error}"
            ) from error
        self._pairs.append((operation, clone))
        return clone

    def _new_unit(self, operation) -> XUnit:
        self._uses[operation.name] += 1
        use = self._uses[operation.name]
        return XUnit(
            **self.unit,
            data_format=getattr(operation, "data_format", self.data_format),
            dtype=getattr(operation, "dtype_policy", None),
            name=f"{operation.name}_xunit" + (f"_{use}" if use > 1 else ""),
        )
