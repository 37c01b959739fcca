"""Seeing what the activations of a network do to an image."""

import functools
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import keras
import numpy as np
from keras import ops

from xunit_keras.graphs.enlarging import AnySizeUpSampling2D
from xunit_keras.graphs.image_model import (
    image_channel_axis,
    image_model,
    scale_on,
    whole_number,
)
from xunit_keras.graphs.receptive_field import receptive_field
from xunit_keras.graphs.walk import opened, operations, run_through
from xunit_keras.layers import XUnit
from xunit_keras.runtime.restoring import as_float, check_image
from xunit_keras.runtime.tiles import ReceptiveField, Tile, check_tile, cover

NEAR_ONE = 0.9
"""From what weight on a pixel of a feature map passes nearly as it is."""

# Side, in output pixels, of the windows. The maps of xDnCNN, two of 64 channels for
# each of 8 activations, take 4 kB a pixel: 600 MB.
_WINDOW = 384


@dataclass(frozen=True, eq=False)
class ActivationMaps:
    """What one activation does to an image: `product = weights * features`.

    The maps show the `crop` of the image; the statistics, one number a channel, are
    of the whole image.

    Attributes:
        layer: Name of the activation, see `activations`.
        crop: Rows and columns of the image that the maps show.
        features: z, what the activation is given, `(height, width, channels)` float32.
        weights: g, its weight map: in (0, 1] for `XUnit`, 0 or 1 for ReLU.
        mean_weight: Mean of the weight map, `(channels,)`.
        near_one: Share of the weight map above `NEAR_ONE`.
        activity: Variance of the product, which is how much a channel tells the next
            layer about the image.

    Example:
        >>> image = np.random.default_rng(0).random((40, 50), dtype=np.float32)
        >>> found = xunit_keras.activation_maps("xsrcnn-f-x3", image)["xunit_1"]
        >>> found.weights.shape, bool((found.weights <= 1).all())
        ((120, 150, 64), True)
    """

    layer: str
    crop: tuple[slice, slice]
    features: np.ndarray
    weights: np.ndarray
    mean_weight: np.ndarray
    near_one: np.ndarray
    activity: np.ndarray

    @property
    def product(self) -> np.ndarray:
        """What the activation gives, `(height, width, channels)` float32."""
        return self.weights * self.features

    @property
    def effective_channels(self) -> float:
        """How many channels are in use: `sum(activity)^2 / sum(activity^2)`.

        All of them where all are equally active, and 1 where only one is.
        """
        squares = np.square(self.activity).sum()
        return float(self.activity.sum() ** 2 / squares) if squares else 0.0

    @property
    def by_activity(self) -> np.ndarray:
        """The channels, the most active first."""
        return np.argsort(-self.activity, kind="stable")


def activation_maps(
    model: keras.Model | str | Path,
    image: np.ndarray,
    layer: str | None = None,
    crop: int | tuple[slice, slice] | None = 256,
    tile: int | Literal["auto"] = "auto",
    tile_overlap: int | None = None,
) -> dict[str, ActivationMaps]:
    """Feature maps and weight maps of a network's activations on an image.

    An activation multiplies its feature map z by a weight map g. That of a ReLU is 1
    where z is positive and 0 elsewhere; that of an `XUnit` is learned and looks at the
    neighborhood.

    The image passes in windows that overlap by the receptive field, as in `restore`:
    the statistics are those of the whole image, to float rounding, and memory is that
    of a window and of the maps of the crop.

    Args:
        model: A Keras model from one image to one image, or what `xunit_keras.load`
            takes. Activations are its `XUnit` layers and its plain ReLU layers, those
            inside other models and layers too.
        image: `(height, width)` or `(height, width, channels)`, with the model's
            channels; uint8, uint16, or float in [0, 1] (noise may go beyond).
        layer: The name of an activation, see `activations`; None for all.
        crop: What the maps show: rows and columns of the image, or the side in pixels
            of a square at its center; None for all of it. At 256, the maps of the
            eight activations of xDnCNN take 270 MB.
        tile: See `restore`.
        tile_overlap: See `restore`.

    Returns:
        The maps by name of the activation, in the order of the network.

    Raises:
        ValueError: The image is not as above, `crop` is empty, there is no such
            model or activation, the model does not work on images or on tiles, or an
            activation sees a smaller image than the model.

    Example:
        >>> image = np.random.default_rng(0).random((40, 50), dtype=np.float32)
        >>> list(xunit_keras.activation_maps("xsrcnn-f-x3", image))
        ['xunit_1', 'xunit_2']

    Reference:
        Kligvasser, Rott Shaham, Michaeli: xUnit, CVPR 2018, Figures 5 and 10.
    """
    image = check_image(image)
    if isinstance(model, str | Path):
        from xunit_keras import zoo

        model = zoo.load(model)
    graph = image_model(model)
    channel_axis = image_channel_axis(graph)
    planes = image if image.ndim == 3 else image[..., None]
    height, width, channels = planes.shape
    if channels != graph.input_shape[channel_axis]:
        raise ValueError(
            f"The model {graph.name!r} takes images of "
            f"{graph.input_shape[channel_axis]} channels. Received: an image of shape "
            f"{image.shape}"
        )
    shown = _shown(crop, height, width)
    field = ReceptiveField(scale_on(graph, height, width), radius=0)
    if check_tile(tile) != 0:
        field = receptive_field(graph, tile_overlap)
    tiles = cover(field, height, width, tile, _WINDOW)
    names = _chosen(graph, layer)
    probe = _probe(graph, names)
    records = {name: _Record(name, shown) for name in names}
    for rows, columns in tiles:
        window = as_float(planes[rows.window, columns.window])
        outputs = probe.predict_on_batch(np.moveaxis(window[None], 3, channel_axis))
        for record, z, g in zip(
            records.values(), outputs[::2], outputs[1::2], strict=True
        ):
            z, g = (np.moveaxis(maps, channel_axis, 3)[0] for maps in (z, g))
            record.add(z, g, rows, columns)
    return {name: record.maps() for name, record in records.items()}


def activations(model: keras.Model) -> list[str]:
    """The names of the activations of a model that `activation_maps` looks at.

    That of an activation inside another model or layer begins with the name of that
    one and a dot; the second use of a shared one ends in `#2`.
    """
    names = []
    model = image_model(model)

    def operate(operation):
        return operation.compute_output_spec

    _follow(model, model.input, operate, lambda name, *_: names.append(name))
    return names


def _follow(graph, inputs, operate: Callable, look: Callable):
    """Runs a graph, and shows the name, the layer and the input of each activation."""
    uses = Counter()

    def run(graph, inputs, prefix):
        def followed(operation):
            def call(*args, **kwargs):
                name = prefix + operation.name
                if _is_activation(operation):
                    uses[name] += 1
                    use = f"#{uses[name]}" if uses[name] > 1 else ""
                    look(name + use, operation, args[0])
                elif (inner := opened(operation, args, kwargs)) is not None:
                    return run(inner, args[0], f"{name}.")
                kwargs.pop("training", None)  # Some blocks hand it on.
                return operate(operation)(*args, **kwargs)

            return call

        return run_through(graph, inputs, followed)

    return run(graph, inputs, "")


def _chosen(model, layer) -> tuple[str, ...]:
    names = activations(model)
    if not names:
        raise ValueError(
            f"The model {model.name!r} has no XUnit and no plain ReLU layer to look at."
        )
    if layer is None:
        return tuple(names)
    if layer not in names:
        raise ValueError(
            f"`layer` must be one of {', '.join(names)}. Received: layer={layer!r}"
        )
    return (layer,)


def _is_activation(layer) -> bool:
    if isinstance(layer, keras.layers.ReLU):
        return not (layer.negative_slope or layer.threshold or layer.max_value)
    if isinstance(layer, keras.layers.Activation):
        return layer.activation is keras.activations.relu
    return isinstance(layer, XUnit)


def _weight_map(activation, inputs):
    if isinstance(activation, XUnit):
        return activation.weight_map(inputs, training=False)
    return ops.cast(inputs > 0, inputs.dtype)


class _Probe(keras.Model):
    """A model from the image to z and g of each activation, with the same weights."""

    def __init__(self, model: keras.Model, names: tuple[str, ...]):
        super().__init__(dtype="float32", name="probe")
        self.model = model
        self.names = names
        self.enlarging = {
            id(operation): AnySizeUpSampling2D.from_config(operation.get_config())
            for operation in operations(model)
            if AnySizeUpSampling2D.is_needed_for(operation)
        }

    def call(self, inputs):
        maps = {}

        def operate(operation):
            return self.enlarging.get(id(operation), operation)

        def look(name, activation, features):
            if name in self.names:
                maps[name] = [features, _weight_map(activation, features)]

        _follow(self.model, inputs, operate, look)
        return [part for name in self.names for part in maps[name]]


# Compiled once a model, and not anew for each image or round of training.
@functools.lru_cache(maxsize=4)
def _probe(model: keras.Model, names: tuple[str, ...]) -> keras.Model:
    probe = _Probe(model, names)
    # XLA's convolutions on a CPU are slower than TensorFlow's own.
    probe.compile(jit_compile=keras.config.backend() == "jax")
    return probe


def _shown(crop, height: int, width: int) -> tuple[slice, slice]:
    """Rows and columns of the crop."""
    sizes = (height, width)
    if crop is None:
        crop = max(sizes)
    try:
        if not isinstance(crop, tuple):
            side = whole_number(crop=crop)
            starts = [max(0, (length - side) // 2) for length in sizes]
            crop = tuple(slice(start, start + side) for start in starts)
        rows, columns = (
            range(*part.indices(n)) for part, n in zip(crop, sizes, strict=True)
        )
        if not (rows and columns and rows.step == columns.step == 1):
            raise ValueError("It is empty, or leaves lines out.")
    except (AttributeError, TypeError, ValueError) as error:
        raise ValueError(
            "`crop` must be rows and columns of the image, or a number of pixels. "
            f"Received: crop={crop!r} for {height}x{width}"
        ) from error
    return slice(rows.start, rows.stop), slice(columns.start, columns.stop)


class _Record:
    """What is kept of the windows of one activation: sums of all, maps of the crop."""

    def __init__(self, name: str, crop: tuple[slice, slice]):
        self.name = name
        self.crop = crop
        self.features: Any = None  # allocated when the scale and the channels are known
        self.pixels = 0
        self.weights: Any = None
        self.sums: Any = 0.0

    def add(self, z: np.ndarray, g: np.ndarray, rows: Tile, columns: Tile) -> None:
        """Adds the maps of a window, `(height, width, channels)`."""
        height, width = (a.window.stop - a.window.start for a in (rows, columns))
        scale = z.shape[0] // height
        if z.shape[:2] != (scale * height, scale * width):
            raise ValueError(
                f"The activation {self.name!r} has {z.shape[0]}x{z.shape[1]} pixels "
                f"for {height}x{width} of the image; it must not have fewer."
            )
        kept = (rows.within(scale), columns.within(scale))
        z, g = (maps[kept].astype(np.float32) for maps in (z, g))
        product = z * g
        self.pixels += z.shape[0] * z.shape[1]
        self.sums += np.array(
            [
                np.sum(values, axis=(0, 1), dtype=np.float64)
                for values in (g, g > NEAR_ONE, product, np.square(product))
            ]
        )
        if self.features is None:
            shape = [(part.stop - part.start) * scale for part in self.crop]
            self.features, self.weights = np.empty((2, *shape, z.shape[2]), np.float32)
        ours, theirs = zip(
            *(
                _common(axis.target(scale), _times(part, scale))
                for axis, part in zip((rows, columns), self.crop, strict=True)
            ),
            strict=True,
        )
        self.features[theirs] = z[ours]
        self.weights[theirs] = g[ours]

    def maps(self) -> ActivationMaps:
        """The maps and the statistics, when all windows have been added."""
        mean_weight, near_one, mean, square = self.sums / self.pixels
        return ActivationMaps(
            layer=self.name,
            crop=self.crop,
            features=self.features,
            weights=self.weights,
            mean_weight=mean_weight,
            near_one=near_one,
            activity=np.maximum(square - np.square(mean), 0.0),
        )


def _times(part: slice, scale: int) -> slice:
    return slice(part.start * scale, part.stop * scale)


def _common(one: slice, other: slice) -> tuple[slice, slice]:
    """Where two ranges overlap, counted from the start of each."""
    start = max(one.start, other.start)
    stop = max(start, min(one.stop, other.stop))
    return (
        slice(start - one.start, stop - one.start),
        slice(start - other.start, stop - other.start),
    )
