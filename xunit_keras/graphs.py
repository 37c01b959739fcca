"""What all that walks the graph of a model shares."""

from collections.abc import Iterator

import keras


def functional(model: keras.Operation) -> keras.Model | None:
    """The functional model that a model is, sequential ones included, if it is one."""
    if isinstance(model, keras.Sequential):
        return keras.Model(model.inputs, model.outputs) if model.built else None
    is_graph = isinstance(model, keras.Model) and hasattr(model, "operations")
    return model if is_graph else None


def operations(graph: keras.Model) -> Iterator[keras.Operation]:
    """The layers and operations of a functional model, nested models opened."""
    for operation in graph.operations:
        inner = functional(operation)
        if inner is None:
            yield operation
        else:
            yield from operations(inner)


def data_format(graph: keras.Model) -> str:
    """`"channels_last"` or `"channels_first"`, as the layers of a model say."""
    for operation in operations(graph):
        if hasattr(operation, "data_format"):
            return operation.data_format
    return keras.config.image_data_format()
