"""Seeing what the activations of a network do to an image."""

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import keras
import numpy as np
from keras import ops

from xunit_keras import zoo
from xunit_keras.layers import XUnit
from xunit_keras.receptive_field import image_channel_axis
from xunit_keras.restoration import Tile, check_image, cover, to_float

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
        layer: Name of the activation.
        crop: Rows and columns of the image that the maps show.
        features: z, what the activation is given, `(height, width, channels)` float32.
        weights: g, its weight map: in (0, 1] for `XUnit`, 0 or 1 for ReLU.
        mean_weight: Mean of the weight map, `(channels,)`.
        near_one: Share of the weight map above `NEAR_ONE`.
        activity: Variance of the product, which is how much a channel tells the next
            layer about the image.
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
) -> dict[str, ActivationMaps]:
    """Feature maps and weight maps of a network's activations on an image.

    An activation multiplies its feature map z by a weight map g. That of a ReLU is 1
    where z is positive and 0 elsewhere; that of an `XUnit` is learned and looks at the
    neighbourhood.

    The image passes in windows that overlap by the receptive field, as in `restore`:
    the statistics are those of the whole image, to float rounding, and memory is that
    of a window and of the maps of the crop.

    Args:
        model: A Keras model from one image to one image, or what `xunit_keras.load`
            takes. Activations are its `XUnit` layers and its plain ReLU layers, but
            not those inside another model.
        image: `(height, width)` or `(height, width, channels)`, with the model's
            channels; uint8, uint16, or float in [0, 1] (noise may go beyond).
        layer: The name of an activation; None for all.
        crop: What the maps show: rows and columns of the image, or the side in pixels
            of a square at its centre; None for all of it. At 256, the maps of the
            eight activations of xDnCNN take 270 MB.
        tile: See `restore`.

    Returns:
        The maps by name of the activation, in the order of the network.

    Raises:
        ValueError: The image is not as above, `crop` is empty, there is no such
            model or activation, the model does not work on images or on tiles, or an
            activation sees a smaller image than the model.

    Reference:
        Kligvasser, Rott Shaham, Michaeli: xUnit, CVPR 2018, Figures 5 and 10.
    """
    image = np.asarray(image)
    check_image(image)
    if not isinstance(model, keras.Model):
        model = zoo.load(model)
    channel_axis = image_channel_axis(model)
    planes = image if image.ndim == 3 else image[..., None]
    height, width, channels = planes.shape
    if channels != model.input_shape[channel_axis]:
        raise ValueError(
            f"The model {model.name!r} takes images of "
            f"{model.input_shape[channel_axis]} channels. Received: an image of shape "
            f"{image.shape}"
        )
    shown = _shown(crop, height, width)
    _, tiles = cover(model, height, width, tile, _WINDOW)
    names = _chosen(model, layer)
    probe = _probe(model, names)
    records = {name: _Record(name, shown) for name in names}
    for rows, columns in tiles:
        window = to_float(planes[rows.window, columns.window])
        outputs = probe.predict_on_batch(np.moveaxis(window[None], 3, channel_axis))
        for record, z, g in zip(
            records.values(), outputs[::2], outputs[1::2], strict=True
        ):
            z, g = (np.moveaxis(maps, channel_axis, 3)[0] for maps in (z, g))
            record.add(z, g, rows, columns)
    return {name: record.maps() for name, record in records.items()}


def activations(model: keras.Model) -> list[str]:
    """The names of the activations of a model that `activation_maps` looks at."""
    return [layer.name for layer in model.layers if _is_activation(layer)]


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


class _WeightMap(keras.layers.Layer):
    """The weight map of an activation, as a layer so that it runs in the graph."""

    def __init__(self, activation: keras.layers.Layer):
        super().__init__(dtype=activation.dtype_policy)
        self.activation = activation

    def call(self, inputs):
        if isinstance(self.activation, XUnit):
            return self.activation.weight_map(inputs, training=False)
        return ops.cast(inputs > 0, inputs.dtype)


# Compiled once a model, and not anew for each image or round of training.
@functools.lru_cache(maxsize=4)
def _probe(model: keras.Model, names: tuple[str, ...]) -> keras.Model:
    """A model from the image to z and g of each activation, with the same weights."""
    outputs = []
    for name in names:
        activation = model.get_layer(name)
        outputs += [activation.input, _WeightMap(activation)(activation.input)]
    probe = keras.Model(model.input, outputs)
    # XLA's convolutions on a CPU are slower than TensorFlow's own.
    probe.compile(jit_compile=keras.config.backend() == "jax")
    return probe


def _shown(crop, height: int, width: int) -> tuple[slice, slice]:
    """Rows and columns of the crop."""
    if crop is None:
        crop = max(height, width)
    if not isinstance(crop, tuple):
        starts = [max(0, (length - crop) // 2) for length in (height, width)]
        crop = tuple(slice(start, start + crop) for start in starts)
    bounds = [part.indices(n) for part, n in zip(crop, (height, width), strict=True)]
    if any(stop <= start or step != 1 for start, stop, step in bounds):
        raise ValueError(
            "`crop` must be rows and columns of the image, or a number of pixels. "
            f"Received: crop={crop} for {height}x{width}"
        )
    return tuple(slice(start, stop) for start, stop, _ in bounds)


class _Record:
    """What is kept of the windows of one activation: sums of all, maps of the crop."""

    def __init__(self, name: str, crop: tuple[slice, slice]):
        self.name = name
        self.crop = crop
        self.features = None  # allocated when the scale and the channels are known
        self.pixels = 0
        self.sums = 0.0

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
