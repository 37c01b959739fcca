"""The receptive field derived from the layers, against gradients of the model."""

import keras
import numpy as np
import pytest
from graphs import user_models
from keras import layers, ops
from networks import noisy

import xunit_keras
from xunit_keras.graphs.receptive_field import ReceptiveField, receptive_field


def with_open_paths(model):
    """Draws positive weights, so that no path is dead and none cancels."""
    random = np.random.default_rng(0)
    for weight in model.weights:
        fan_in = max(1, np.prod(weight.shape[:-1]))
        weight.assign(random.uniform(0.5, 1.5, weight.shape) / fan_in)
    return model


def measured_radius(model, field):
    """How far from input pixel n the outputs of n are moved by, in input pixels.

    Derivatives instead of differences are taken, so that none is lost to rounding.
    """
    tf = pytest.importorskip("tensorflow")
    random = np.random.default_rng(0)
    with_open_paths(model)
    # Room for a little more than the radius that is to be confirmed.
    side = (2 * field.radius // field.stride + 3) * field.stride
    middle = side // 2
    shape = (1, side, side, model.input_shape[-1])
    image = tf.constant(random.random(shape), "float32")
    radius = 0
    for n in range(middle, middle + field.stride):
        with tf.GradientTape() as tape:
            tape.watch(image)
            result = model(image, training=False)
            own = slice(n * field.scale, (n + 1) * field.scale)
            target = tf.reduce_sum(result[:, own, own])
        gradient = np.abs(tape.gradient(target, image).numpy()).max(axis=(0, 3))
        for axis in (0, 1):
            moved_by = np.flatnonzero(gradient.max(axis=axis))
            radius = max(radius, np.abs(moved_by - n).max())
    return radius


BUILDERS = {
    "convnet": (lambda: xunit_keras.convnet(depth=4, filters=4), 1),
    "xnet": (lambda: xunit_keras.xnet(depth=3, kernel_size=5, filters=4), 1),
    "dncnn": (lambda: xunit_keras.dncnn(filters=4), 1),
    "xdncnn": (lambda: xunit_keras.xdncnn(filters=4), 1),
    "derainnet": (xunit_keras.derainnet, 1),
    "xderain": (lambda: xunit_keras.xderain(depth=4, filters=4), 1),
    "srcnn": (xunit_keras.srcnn, 1),
    "srcnn x4": (lambda: xunit_keras.srcnn(scale=4, residual=True), 4),
    "srresnet x3": (lambda: xunit_keras.srresnet(scale=3, blocks=2, filters=4), 3),
    "xsrresnet x4": (
        lambda: xunit_keras.xsrresnet(scale=4, residual=True, blocks=2, filters=4),
        4,
    ),
    "xsrcnn_f x2": (lambda: xunit_keras.xsrcnn_f(scale=2), 2),
    "xsrcnn_f x3": (lambda: xunit_keras.xsrcnn_f(scale=3), 3),
    "xsrcnn_c x4": (lambda: xunit_keras.xsrcnn_c(scale=4), 4),
}


@pytest.mark.parametrize("name", BUILDERS)
def test_builders(name):
    build, scale = BUILDERS[name]
    model = build()
    field = receptive_field(model)
    assert (field.scale, field.stride) == (scale, 1)
    assert field.radius == measured_radius(model, field)


def test_paper_networks():
    assert receptive_field(xunit_keras.dncnn()) == ReceptiveField(1, 17, 1)
    # Nine 3x3 convolutions and eight 9x9 activations.
    assert receptive_field(xunit_keras.xdncnn()) == ReceptiveField(1, 9 + 8 * 4, 1)


def _layered(*stack):
    image = outputs = keras.Input((None, None, 1))
    for layer in stack:
        outputs = layer(outputs)
    return keras.Model(image, outputs)


def _conv(filters=2, kernel_size=3, padding="same", **kwargs):
    return layers.Conv2D(filters, kernel_size, padding=padding, **kwargs)


STACKS = {
    "dilation": (_layered, (_conv(dilation_rate=3), _conv(1)), (1, 4, 1)),
    "sides": (_layered, (_conv(1, (3, 9)),), (1, 4, 1)),
    "separable": (_layered, (layers.SeparableConv2D(1, 5, padding="same"),), (1, 2, 1)),
    "padded first": (
        _layered,
        (layers.ZeroPadding2D(2), _conv(padding="valid"), _conv(1, padding="valid")),
        (1, 2, 1),
    ),
    "sub-pixel": (
        _layered,
        (_conv(4), lambda x: ops.depth_to_space(x, 2, "channels_last")),
        (2, 1, 1),
    ),
    "nearest": (_layered, (layers.UpSampling2D(2), _conv(1, 5)), (2, 1, 1)),
    "bilinear": (
        _layered,
        (layers.UpSampling2D(2, interpolation="bilinear"), _conv(1)),
        (2, 1, 1),
    ),
    "transposed": (
        _layered,
        (_conv(), layers.Conv2DTranspose(1, 4, strides=2, padding="same")),
        (2, 2, 1),
    ),
    "sequential": (
        lambda *stack: keras.Sequential([keras.Input((None, None, 1)), *stack]),
        (_conv(activation="softplus"), layers.BatchNormalization(), _conv(1)),
        (1, 2, 1),
    ),
}


@pytest.mark.parametrize("name", STACKS)
def test_other_layers(name):
    build, stack, expected = STACKS[name]
    model = build(*stack)
    field = receptive_field(model)
    assert field == ReceptiveField(*expected)
    assert measured_radius(model, field) <= field.radius


def test_hourglass():
    """Pooling and strides: the radius covers every phase, the stride is theirs."""
    model = _layered(
        _conv(strides=2),
        layers.AveragePooling2D(2),
        _conv(),
        layers.UpSampling2D(4),
        _conv(1),
    )
    field = receptive_field(model)
    assert (field.scale, field.stride) == (1, 4)
    measured = measured_radius(model, field)
    assert measured <= field.radius <= measured + 4


def test_branches_nested_models_and_operations():
    inner = _layered(_conv(1, 7), layers.ReLU())
    image = keras.Input((None, None, 1))
    wide = inner(inner(image))
    narrow = _conv(1)(image)
    joined = layers.Concatenate()([wide, ops.exp(-ops.square(narrow)) * 2.0 + image])
    model = keras.Model(image, _conv(1, 1)(joined))
    field = receptive_field(model)
    assert field == ReceptiveField(1, 6, 1)
    assert measured_radius(model, field) == 6


USERS = {
    "lists": (1, 2, 1),
    "dictionaries": (1, 2, 1),
    "sequential": (1, 2, 1),
    "nested": (1, 6, 1),
    "keywords": (1, 2, 1),
    "blocks": (1, 5, 1),
    "subclassed": (1, 5, 1),
    "doubled": (1, 1, 1),
    "bilinear": (2, 2, 1),
    "bicubic": (3, 3, 1),
    "lanczos5": (2, 6, 1),
    "lora": (1, 2, 1),
    "eightfold": (8, 2, 1),
    "channel norms": (1, 2, 1),
}


@pytest.mark.parametrize("name", USERS)
def test_models_as_people_write_them(name):
    model = with_open_paths(user_models.BUILDERS[name]())
    field = receptive_field(model)
    assert field == ReceptiveField(*USERS[name])
    tf = pytest.importorskip("tensorflow")
    side = 2 * field.radius + 3
    middle, reach = side // 2, 0
    image = tf.constant(np.abs(noisy(1, side, side, 3)))
    for phase in range(field.scale):
        at = middle * field.scale + phase
        with tf.GradientTape() as tape:
            tape.watch(image)
            given = {"photo": image} if name == "dictionaries" else image
            given = [image] if name == "lists" else given
            (result,) = keras.tree.flatten(model(given, training=False))
            pixel = tf.reduce_sum(result[:, at, at] ** 2)
        moved_by = np.abs(tape.gradient(pixel, image).numpy()).max(axis=(0, 2, 3))
        reach = max(reach, np.abs(np.flatnonzero(moved_by) - middle).max())
    assert reach <= field.radius
    assert field.radius - reach <= (1 if field.scale > 1 else 0)


def test_a_model_with_two_inputs_inside_another():
    a, b = user_models.image(), user_models.image()
    inner = keras.Model([a, b], layers.Add()([_conv(3, 5)(a), b]))
    x = user_models.image()
    model = keras.Model(x, inner([_conv(3, 7)(x), x]))
    assert receptive_field(model) == ReceptiveField(1, 5, 1)


@pytest.mark.parametrize(
    ("layer", "name"),
    [
        (lambda: layers.GroupNormalization(1), "GroupNormalization"),
        (
            lambda: layers.GlobalAveragePooling2D(keepdims=True),
            "GlobalAveragePooling2D",
        ),
        (user_models.Scaled, "Scaled"),
    ],
)
def test_an_overlap_that_is_given_where_layers_do_not_tell_it(layer, name):
    x = user_models.image()
    y = layers.Multiply()([x, layer()(x)])
    model = keras.Model(x, layers.UpSampling2D(2)(_conv(3)(y)))
    with pytest.raises(ValueError, match=f"{name} is not known; use tile=0 or give ti"):
        receptive_field(model)
    for overlap in (12, np.int64(12)):
        assert receptive_field(model, overlap) == ReceptiveField(2, 12, 1)
    for wrong in (-1, 1.5, "all", True):
        with pytest.raises(ValueError, match="`tile_overlap` must be an integer"):
            receptive_field(model, tile_overlap=wrong)


def test_an_overlap_given_for_a_whole_model_and_the_stride_that_sizes_tell():
    model = user_models.build("closed")
    with pytest.raises(ValueError, match="of class Closed is not known"):
        receptive_field(model)
    assert receptive_field(model, 7) == ReceptiveField(1, 7, 1)
    for halvings in (1, 3):
        x = y = user_models.image()
        for _ in range(halvings):
            y = layers.GroupNormalization(1)(_conv(3, strides=2)(y))
        for _ in range(halvings):
            y = layers.UpSampling2D(2)(y)
        field = receptive_field(keras.Model(x, y), 20)
        assert field == ReceptiveField(1, 20, 2**halvings)


def test_a_convolution_of_ones_own_that_pads_otherwise_is_not_known():
    class Mirrored(layers.Conv2D):
        def call(self, x):
            return super().call(ops.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), "reflect"))

    class Conv3x3(layers.Conv2D):
        def __init__(self, filters, **kwargs):
            super().__init__(filters, 3, padding="same", **kwargs)

    with pytest.raises(ValueError, match="class Mirrored is not known"):
        receptive_field(_layered(Mirrored(1, 3)))
    assert receptive_field(_layered(Conv3x3(1))) == ReceptiveField(1, 1, 1)


def _unknown():
    return _layered(_conv(), layers.GroupNormalization(1, name="whole"), _conv(1))


def _two_scales():
    image = keras.Input((None, None, 1))
    halved = layers.UpSampling2D(2, name="up")(_conv(1, strides=4)(image))
    return keras.Model(image, ops.add(halved, image))


def _beside():
    image = keras.Input((None, None, 1))
    return keras.Model(image, layers.Concatenate(axis=1, name="beside")([image, image]))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (
            _unknown,
            "'whole' of class GroupNormalization is not known; use tile=0 or give",
        ),
        (_two_scales, "different scales"),
        (_beside, "'beside' of class Concatenate is not known"),
        (lambda: _layered(_conv(1, strides=2)), "factors 1/2"),
        (lambda: _layered(_conv(5)), "one image of 1 or 3 channels"),
        (
            lambda: keras.Sequential([keras.Input((8, 8, 1)), _conv(1)]),
            "any height and width",
        ),
    ],
)
def test_refused(build, message):
    with pytest.raises(ValueError, match=message):
        receptive_field(build())
