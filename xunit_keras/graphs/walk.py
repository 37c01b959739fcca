"""The one door to the graph of a model: what walks it comes through here.

Keras has no public way to run a functional model with other operations in place of
its own, none to list its operations in order, and none to list the layers inside a
layer. What is used of its private parts is used in this file alone.
"""

import inspect
import weakref
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

import keras

_NOTHING = MappingProxyType({})

# Graphs of blocks that were opened: each opening leaves nodes in the layers inside.
_BLOCKS: weakref.WeakKeyDictionary[keras.layers.Layer, keras.Model | None] = (
    weakref.WeakKeyDictionary()
)


def require_model(model: keras.Model) -> None:
    """Raises a `ValueError` unless `model` is a Keras model."""
    if not isinstance(model, keras.Model):
        raise ValueError(f"`model` must be a Keras model. Received: model={model!r}")


def functional(model: keras.Operation) -> keras.Model | None:
    """The functional model that a model is, sequential ones included, if it is one.

    One whose class has a `call` of its own is none: its graph may not be what it runs.
    """
    if not isinstance(model, keras.Model) or not _is_of(type(model).call, "keras"):
        return None
    if isinstance(model, keras.Sequential):
        return model._functional if model.built else None
    return model if hasattr(model, "operations") else None


def opened(
    operation: keras.Operation, args: tuple = (), kwargs: Mapping = _NOTHING
) -> keras.Model | None:
    """The graph of what is made of layers, as it is at inference.

    That is a functional model, or a layer or model of somebody's own class that has all
    its weights in layers and whose `call` works on symbolic tensors. The layers are the
    same ones. What is opened once is not looked into again.

    Args:
        operation: A layer, model or operation.
        args: What it is called with by position.
        kwargs: What it is called with by keyword.

    Returns:
        The graph, for images of any size; None for what cannot be opened, or is called
        with more than its inputs.
    """
    graph = functional(operation)
    if graph is not None or not _is_block(operation):
        return graph
    if len(args) > 1 or {*kwargs} - {"training", "mask"}:
        return None
    if operation not in _BLOCKS:
        _BLOCKS[operation] = _graph_of(operation)
    return _BLOCKS[operation]


def run_through(
    graph: keras.Model,
    inputs: Any,
    operate: Callable[[keras.Operation], Callable[..., Any]],
) -> Any:
    """Runs a functional model on anything, with other operations in place of its own.

    Args:
        graph: A functional model.
        inputs: In the structure of the model's inputs; each leaf of any class that
            `keras.tree` takes for a leaf.
        operate: Called with an operation of the graph; returns what is called with the
            operation's arguments in its place. The first of them, its inputs, comes by
            position.

    Returns:
        The outputs, in the structure of the model's.
    """

    def inputs_first(operation):
        function = operate(operation)

        def call(*args, **kwargs):
            if not args:
                name = next(iter(inspect.signature(operation.call).parameters))
                args = (kwargs.pop(name),)
            return function(*args, **kwargs)

        return call

    return graph._run_through_graph(inputs, operation_fn=inputs_first)


def operations(graph: keras.Model) -> Iterator[keras.Operation]:
    """The layers and operations of a graph, those that are made of layers opened."""
    for operation in graph.operations:
        inner = opened(operation)
        if inner is None:
            yield operation
        else:
            yield from operations(inner)


def sublayers(operation: keras.Operation) -> list[keras.layers.Layer]:
    """A layer and those inside it, the outer first; nothing for other operations."""
    if not isinstance(operation, keras.layers.Layer):
        return []
    return operation._flatten_layers()


def copy_weights(source: keras.Operation, target: keras.Operation) -> None:
    """Gives a layer the weights of one like it, and those inside it as well.

    Where `source` is adapted by LoRA and `target` is not, it gets the effective kernel.
    """
    # The activation of a convolution may be a layer, which comes after it and which
    # the target may not have.
    pairs = zip(sublayers(source), sublayers(target), strict=False)
    for original, copy in pairs:
        if not original.built:  # As an activation inside a layer that has not run yet.
            continue
        variables = {}
        original.save_own_variables(variables)
        copy.load_own_variables(variables)
        # Keras merges what LoRA learned into the kernel, from where it could not learn
        # on, and forgets the factor of dense layers.
        if getattr(copy, "lora_enabled", False):
            copy.lora_alpha = original.lora_alpha
            for weight, own in zip(original.weights, copy.weights, strict=False):
                own.assign(weight)


def data_format(graph: keras.Model) -> str:
    """`"channels_last"` or `"channels_first"`, as the layers of a model say."""
    for operation in operations(graph):
        if hasattr(operation, "data_format"):
            return operation.data_format
    return keras.config.image_data_format()


def channel_axis(data_format: str, rank: int) -> int:
    """The axis of the channels in tensors of so many axes, from 0."""
    return rank - 1 if data_format == "channels_last" else 1


def inputs_of(layer: keras.layers.Layer) -> Any:
    """Symbolic inputs of any size for a built layer, or None where they are not known.

    Their structure and channels are those that it was built for.
    """
    shapes = (layer.get_build_config() or {}).get("input_shape")
    if shapes is None and hasattr(layer, "operations"):
        shapes = keras.tree.map_structure(lambda x: x.shape, layer.input)
    if shapes is None:
        return None
    formats = [getattr(inner, "data_format", None) for inner in sublayers(layer)]
    known = [data_format for data_format in formats if data_format is not None]
    data_format = known[0] if known else keras.config.image_data_format()

    def any_size(shape):
        free = [None, *shape[1:]]
        if len(shape) == 4:
            axis = channel_axis(data_format, 4)
            free = [size if i == axis else None for i, size in enumerate(shape)]
        return keras.Input(batch_shape=free, dtype=layer.compute_dtype)

    return keras.tree.map_shape_structure(any_size, shapes)


def _is_of(thing, *packages) -> bool:
    """Whether a class or a function comes from one of the packages."""
    return thing.__module__.split(".")[0] in packages


def _is_block(operation) -> bool:
    """Whether a layer is of somebody's own class, with all its weights in layers."""
    if _is_of(type(operation), "keras", "xunit_keras"):
        return False
    inner = {id(w) for layer in sublayers(operation)[1:] for w in layer.weights}
    return (
        len(sublayers(operation)) > 1
        and operation.built
        and all(id(weight) in inner for weight in operation.weights)
    )


def _graph_of(block) -> keras.Model | None:
    """A functional model of the layers in a block, if its `call` lets one be made."""
    inputs = inputs_of(block)
    if inputs is None:
        return None
    takes_training = "training" in inspect.signature(block.call).parameters
    try:
        outputs = block.call(inputs, **({"training": False} if takes_training else {}))
        return keras.Model(inputs, outputs, name=block.name)
    except Exception:
        # Someone else's code, which may do anything with what are not real tensors.
        return None
