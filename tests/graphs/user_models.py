"""Models from RGB to RGB as people write them, for what reads or rewrites graphs."""

import keras
from keras import layers, ops
from networks import as_trained, unet

import xunit_keras


def conv(filters=3, kernel_size=3, **kwargs):
    return layers.Conv2D(filters, kernel_size, padding="same", **kwargs)


def image():
    return keras.Input((None, None, 3))


class Block(layers.Layer):
    """A convolution, a normalization and an activation, and the image added."""

    def __init__(self, activation=None, **kwargs):
        super().__init__(**kwargs)
        self.conv = conv(name="conv", use_bias=False)
        self.norm = layers.BatchNormalization(name="norm")
        self.activation = activation or layers.ReLU(name="activation")

    def call(self, x, training=None):
        return x + self.activation(self.norm(self.conv(x), training=training))


class Scaled(layers.Layer):
    """A convolution times a weight of the layer's own, which nobody can look into."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.conv = conv(name="conv")

    def build(self, shape):
        self.gain = self.add_weight(shape=(3,), initializer="ones", name="gain")
        super().build(shape)

    def call(self, x):
        return self.conv(x) * self.gain


class Subclassed(keras.Model):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        unit = xunit_keras.XUnit(5, name="unit")
        self.parts = [Block(name="first"), Block(unit, name="second"), conv()]

    def call(self, x):
        for part in self.parts:
            x = part(x)
        return x


class Closed(keras.Model):
    """Subclassed, with a weight of its own."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.convs = [conv(4), conv()]

    def build(self, shape):
        self.gain = self.add_weight(shape=(3,), initializer="ones", name="gain")
        self.convs[0].build(shape)
        self.convs[1].build((*shape[:-1], 4))

    def call(self, x):
        return x * self.gain - self.convs[1](ops.relu(self.convs[0](x)))


class Doubled(keras.Model):
    """Functional by its arguments, and something else by its `call`."""

    def call(self, inputs, training=None):
        return 2.0 * super().call(inputs, training=training)


def in_lists():
    x = image()
    return keras.Model([x], [conv(name="last")(layers.ReLU(name="relu")(conv(4)(x)))])


def in_dictionaries():
    x = keras.Input((None, None, 3), name="photo")
    y = conv(name="last")(layers.ReLU(name="relu")(conv(4)(x)))
    return keras.Model({"photo": x}, {"restored": y})


def sequential():
    relu = layers.ReLU(name="relu")
    return keras.Sequential([image(), conv(4), relu, conv(name="last")], name="row")


def nested():
    """A nested model used twice, with a shared layer, beside layers of its names."""
    shared = conv(name="shared")
    x = image()
    y = shared(layers.BatchNormalization(name="norm")(shared(x)))
    inner = keras.Model([x], [layers.ReLU(name="relu")(y)], name="inner")
    row = [image(), conv(name="shared"), layers.ReLU(name="relu")]
    row = keras.Sequential(row, name="row")
    x = image()
    y = row(inner(inner(x)))
    y = conv(name="shared")(layers.ReLU(name="relu")(y))
    return keras.Model(x, layers.Add()([x, y]), name="nested")


def by_keywords():
    x = image()
    y = layers.ReLU(name="relu")(inputs=conv(4)(inputs=x))
    y = layers.BatchNormalization()(inputs=y, training=True)
    return keras.Model(x, conv(name="last")(inputs=y))


def blocks():
    x = image()
    y = Block(name="block")(x)
    y = Block(xunit_keras.XUnit(5, name="unit"), name="block_of_xunit")(y)
    return keras.Model(x, conv()(y))


def subclassed():
    model = Subclassed()
    model(ops.zeros((1, 8, 9, 3)))
    return model


def closed():
    model = Closed()
    model.build((None, None, None, 3))
    return model


def closed_block():
    x = image()
    y = layers.ReLU(name="relu")(Scaled()(x))
    return keras.Model(x, conv(name="last")(y))


def doubled():
    x = image()
    return Doubled(x, conv()(x))


def interpolating(interpolation, size=2):
    def build():
        x = image()
        y = layers.UpSampling2D(size, interpolation=interpolation)(conv(4)(x))
        return keras.Model(x, conv(name="last")(layers.ReLU(name="relu")(y)))

    return build


def adapted():
    """LoRA on a convolution and on a dense layer, with weights that have learned."""
    x = image()
    y = conv(4, name="conv")(x)
    y = layers.Dense(5, name="dense", activation="relu")(y)
    model = keras.Model(x, conv()(layers.BatchNormalization()(y)))
    model.get_layer("conv").enable_lora(2)
    model.get_layer("dense").enable_lora(2, lora_alpha=6)
    return model


def eightfold():
    x = image()
    y = layers.ReLU(name="relu")(conv(4)(x))
    y = ops.depth_to_space(conv(3 * 64)(y), 8, data_format="channels_last")
    return keras.Model(x, y)


def channel_norms():
    x = image()
    y = layers.LayerNormalization()(conv(4)(x))
    y = layers.ReLU(name="relu")(layers.Dense(4, name="dense")(y))
    return keras.Model(x, conv(name="last")(y))


BUILDERS = {
    "lists": in_lists,
    "dictionaries": in_dictionaries,
    "sequential": sequential,
    "nested": nested,
    "keywords": by_keywords,
    "blocks": blocks,
    "subclassed": subclassed,
    "closed": closed,
    "closed block": closed_block,
    "doubled": doubled,
    "bilinear": interpolating("bilinear"),
    "bicubic": interpolating("bicubic", 3),
    "lanczos5": interpolating("lanczos5"),
    "lora": adapted,
    "eightfold": eightfold,
    "channel norms": channel_norms,
    "U-Net": lambda: unet(channels=3),
}


def build(name: str) -> keras.Model:
    """One of the models, with weights that look trained."""
    return as_trained(BUILDERS[name]())


def restored(model: keras.Model, x):
    """What a model itself makes of images, as an array."""
    given = getattr(model, "input", None)
    if isinstance(given, dict):
        x = {"photo": x}
    elif isinstance(given, list):
        x = [x]
    (result,) = keras.tree.flatten(model(x, training=False))
    return ops.convert_to_numpy(result)
