"""The models that people give, as one functional model from an image to an image."""

import operator
import weakref
from typing import NamedTuple

import keras

from xunit_keras.graphs.walk import (
    channel_axis,
    data_format,
    inputs_of,
    opened,
    require_model,
    run_through,
)

# By the model that was given, so that what is made once for an image model is found
# again. Weak, as an image model may hold the one that it was made of.
_MADE: weakref.WeakValueDictionary[int, keras.Model] = weakref.WeakValueDictionary()

DIVISIBLE = 2**6 * 3**2 * 5 * 7
"""Side of an image that models take which divide it by 2, 3, 5 or 7.

For shapes alone: nothing of this size is computed.
"""

_MULTIPLES = (
    "Models that pool or stride need images whose height and width are multiples of "
    "what they divide by."
)


def image_model(model: keras.Model) -> keras.Model:
    """Gives the functional model from one tensor to one tensor that a model is.

    Single inputs and outputs in lists and dictionaries are taken out, sequential and
    subclassed models become functional. The layers are the model's own, not copies. A
    subclassed model whose `call` works on symbolic tensors is looked into; any other
    becomes a single layer, whose receptive field is not known.

    Args:
        model: A built Keras model.

    Returns:
        The model itself if it is such a model, or else one that is the same each time
        as long as it is in use. For inference.

    Raises:
        ValueError: It is no Keras model, has several inputs or outputs, or is of a
            class of its own and cannot be run on symbolic tensors.
    """
    require_model(model)
    graph = opened(model)
    if graph is None:
        return _around(model)
    if len(graph.inputs) != 1 or len(graph.outputs) != 1:
        raise ValueError(
            f"A model to restore images has one input and one output. Received: "
            f"{model.name!r} with {len(graph.inputs)} inputs and {len(graph.outputs)} "
            "outputs; make a functional model of those that matter."
        )
    (image,), (result,) = graph.inputs, graph.outputs
    if graph.input is image and graph.output is result and graph.name == model.name:
        return graph
    made = _MADE.get(id(model))
    if made is None or made.input is not image or made.output is not result:
        made = _MADE[id(model)] = keras.Model(image, result, name=model.name)
    return made


def image_channel_axis(model: keras.Model) -> int:
    """The axis of the channels, 3 or 1, of a model from an image to an image.

    Args:
        model: As `image_model` takes it.

    Raises:
        ValueError: The model has more than one input or output, they are not images,
            or have other or different numbers of channels than 1 or 3.
    """
    model = image_model(model)
    shapes = [model.input_shape, model.output_shape]
    if all(len(shape) == 4 for shape in shapes):
        for axis in (3, 1):
            if {shape[axis] for shape in shapes} in ({1}, {3}):
                return axis
    raise ValueError(
        "A model to restore images has one image of 1 or 3 channels as its input and "
        f"one of as many channels as its output. Received: {model.name!r} with input "
        f"shape {shapes[0]} and output shape {shapes[1]}."
    )


def scale_on(model: keras.Model, height: int, width: int) -> int:
    """The factor by which a model enlarges an image.

    Args:
        model: As `image_model` takes it.
        height: Of the image, in pixels.
        width: Of the image, in pixels.

    Raises:
        ValueError: The model does not work on images, or makes no whole multiple of
            this height and width.
    """
    model = image_model(model)
    axis = image_channel_axis(model)
    _, shape = calls_on(model, height, width)
    output = list(shape)
    del output[axis]
    scale = output[1] // height if output[1] else 0
    if output[1:] != [scale * height, scale * width] or scale < 1:
        raise ValueError(
            f"The model {model.name!r} makes {output[1]}x{output[2]} pixels of "
            f"{height}x{width}. {_MULTIPLES}"
        )
    return scale


class Call(NamedTuple):
    """An operation that a model runs, with shapes for one image."""

    operation: keras.Operation
    input_shape: tuple[int | None, ...]  # of the first input
    output_shape: tuple[int | None, ...]  # of the first output


def calls_on(
    model: keras.Model, height: int, width: int
) -> tuple[list[Call], tuple[int | None, ...]]:
    """The operations that a model runs on an image, those of what is in it too.

    Args:
        model: As `image_model` takes it.
        height: Of the image, in pixels.
        width: Of the image, in pixels.

    Returns:
        Every call, in the order of the model; and the shape of the result.

    Raises:
        ValueError: The model does not take an image, or none of this size.
    """
    model = image_model(model)
    image = keras.KerasTensor(_sized(model, height, width), model.input.dtype)
    calls = []

    def operate(operation):
        def call(*args, **kwargs):
            if (inner := opened(operation, args, kwargs)) is not None:
                return run_through(inner, args[0], operate)
            try:
                _check_joined(operation, args[0])
                outputs = operation.compute_output_spec(*args, **kwargs)
            except Exception as error:  # Of any kind: it comes from a layer.
                raise ValueError(
                    f"The model {model.name!r} cannot take {height}x{width} pixels. "
                    f"{_MULTIPLES}"
                ) from error
            first, result = map(_first_shape, ((args, kwargs), outputs))
            calls.append(Call(operation, first, result))
            return outputs

        return call

    result = run_through(model, image, operate)
    return calls, tuple(result.shape)


def _first_shape(tensors) -> tuple[int | None, ...]:
    leaves = keras.tree.flatten(tensors)
    return next(tuple(x.shape) for x in leaves if isinstance(x, keras.KerasTensor))


def _check_joined(operation, inputs) -> None:
    """Raises a `ValueError` where tensors side by side do not fit.

    Keras sees that only when it runs.
    """
    if type(operation).__name__ == "Concatenate":
        shapes = [list(tensor.shape) for tensor in inputs]
        for shape in shapes:
            del shape[operation.axis]
        if any(shape != shapes[0] for shape in shapes):
            raise ValueError(f"{operation.name!r} joins tensors of different sizes.")


def _sized(model, height, width) -> tuple[int, ...]:
    """The shape of a batch of one image for an image model."""
    size = [whole_number(height=height), whole_number(width=width)]
    given = model.input_shape
    if len(given) != 4:
        raise ValueError(
            f"The model {model.name!r} must take images. Received: input shape {given}"
        )
    axis = channel_axis(data_format(model), 4)
    shape = [1, *size]
    shape.insert(axis, given[axis])
    pairs = zip(given[1:], shape[1:], strict=True)
    if any(fixed not in (None, asked) for fixed, asked in pairs):
        raise ValueError(
            f"The model {model.name!r} takes inputs of shape {given} alone. "
            f"Received: an image of {height}x{width} pixels"
        )
    return tuple(shape)


def whole_number(least: int | None = 1, **given) -> int:
    """The one argument given by name, as an integer.

    Raises:
        ValueError: It is no integer, or less than `least`.
    """
    ((name, value),) = given.items()
    try:
        if not isinstance(value, bool):
            number = operator.index(value)
            if least is None or number >= least:
                return number
    except TypeError:
        pass
    bound = "" if least is None else f" of at least {least}"
    raise ValueError(f"`{name}` must be an integer{bound}. Received: {name}={value!r}")


def _around(model) -> keras.Model:
    """A functional model of one layer: a model that cannot be looked into."""
    made = _MADE.get(id(model))
    if made is not None and model in made.layers:
        return made
    inputs = inputs_of(model)
    if inputs is None:
        raise ValueError(
            f"The model {model.name!r} of class {type(model).__name__} is not "
            "functional and has not seen an image yet: call it on one, or make it "
            "functional."
        )
    try:
        (image,), (result,) = map(keras.tree.flatten, (inputs, model(inputs)))
        made = keras.Model(image, result, name=model.name)
    except Exception as error:
        reason = str(error).partition("\n")[0]
        raise ValueError(
            f"The model {model.name!r} of class {type(model).__name__} is not "
            f"functional and cannot be run on images of any size: {reason}"
        ) from error
    _MADE[id(model)] = made
    return made
