"""Models as people write them, as one from a tensor to a tensor."""

import gc
import weakref

import keras
import numpy as np
import pytest
from graphs import user_models
from keras import layers, ops
from networks import noisy, unet

import xunit_keras
from xunit_keras.graphs.image_model import (
    image_channel_axis,
    image_model,
    scale_on,
    whole_number,
)


@pytest.mark.parametrize("name", user_models.BUILDERS)
def test_equals_the_model_with_the_same_weights(name):
    model = user_models.build(name)
    made = image_model(model)
    assert isinstance(made.input, keras.KerasTensor)
    assert isinstance(made.output, keras.KerasTensor)
    assert made.name == model.name
    assert image_model(made) is made
    assert image_model(model) is made
    assert {id(w) for w in made.weights} == {id(w) for w in model.weights}
    for size in ((8, 8), (16, 12)):
        x = noisy(1, *size, 3)
        expected = user_models.restored(model, x)
        np.testing.assert_allclose(
            ops.convert_to_numpy(made(x, training=False)), expected, atol=1e-5
        )
        scale = {"bilinear": 2, "lanczos5": 2, "bicubic": 3, "eightfold": 8}
        assert scale_on(model, *size) == scale.get(name, 1)
    assert image_channel_axis(model) == 3


def test_nothing_is_made_of_what_is_an_image_model():
    for model in (xunit_keras.xdncnn(depth=2, filters=2), unet()):
        assert image_model(model) is model


def test_a_sequential_model_that_grows_is_seen():
    model = user_models.sequential()
    before = image_model(model)
    model.add(layers.UpSampling2D(2))
    assert scale_on(model, 8, 8) == 2
    assert image_model(model) is not before


def test_models_are_not_kept_alive():
    for name in ("lists", "subclassed", "closed"):
        model = user_models.build(name)
        image_model(model)
        reference = weakref.ref(model)
        del model
        gc.collect()
        assert reference() is None, name


def test_arguments_of_a_block_beyond_its_input_keep_it_closed():
    class Powered(layers.Layer):
        def __init__(self):
            super().__init__()
            self.conv = user_models.conv()

        def call(self, x, times=1):
            return self.conv(x) * times

    from xunit_keras.graphs.walk import opened

    block, x = Powered(), user_models.image()
    y = block(x, times=3)
    assert opened(block, (x,)) is not None
    assert opened(block, (x,), {"times": 3}) is None
    assert opened(block, (x, 3)) is None
    assert image_model(keras.Model(x, y)).layers[1] is block


def test_channels_first(keras_settings):
    keras_settings.set_image_data_format("channels_first")
    model = xunit_keras.xsrcnn_f(scale=2)
    assert image_channel_axis(model) == 1
    assert scale_on(model, 5, 6) == 2

    class Wrapped(keras.Model):
        def __init__(self):
            super().__init__()
            self.inner = model

        def call(self, x):
            return self.inner(x)

    wrapped = Wrapped()
    wrapped.build((None, 1, 8, 8))
    assert image_model(wrapped).input_shape == (None, 1, None, None)
    assert scale_on(wrapped, 5, 6) == 2


def _two_inputs():
    x, y = user_models.image(), user_models.image()
    return keras.Model([x, y], layers.Add()([x, y]))


def _several_outputs():
    x = user_models.image()
    return keras.Model(x, {"a": user_models.conv()(x), "b": x})


def _colorizing():
    x = keras.Input((None, None, 1))
    return keras.Model(x, user_models.conv()(x))


def _any_channels():
    x = keras.Input((None, None, None))
    return keras.Model(x, layers.Activation("tanh")(x))


def _unseen():
    return user_models.Subclassed(name="new")


def _real_tensors_only():
    class Converting(keras.Model):
        def call(self, x):
            return ops.convert_to_tensor(np.asarray(x) * 2.0)

    model = Converting(name="eager")
    model.build((None, None, None, 3))
    return model


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: "xdncnn", "must be a Keras model. Received: model='xdncnn'"),
        (lambda: None, "must be a Keras model. Received: model=None"),
        (_two_inputs, "with 2 inputs and 1 outputs"),
        (_several_outputs, "with 1 inputs and 2 outputs"),
        (_unseen, "'new' of class Subclassed is not functional and has not seen"),
        (lambda: keras.Sequential([layers.ReLU()]), "call it on one, or make it func"),
        (_real_tensors_only, "'eager' of class Converting is not functional and"),
        (_colorizing, "of 1 or 3 channels as its input and one of as many channels"),
        (_any_channels, r"channels.*\(None, None, None, None\)"),
        (
            lambda: keras.Sequential([keras.Input((8,)), layers.Dense(3)]),
            r"channels.*\(None, 8\)",
        ),
    ],
)
def test_refused_in_a_sentence(build, message):
    model = build()
    for function in (image_channel_axis, lambda model: scale_on(model, 8, 8)):
        with pytest.raises(ValueError, match=message) as error:
            function(model)
        assert "\n" not in str(error.value)


def _odd_unet():
    """Its halves do not fit where the height is odd."""
    x = user_models.image()
    half = layers.MaxPooling2D()(x)
    return keras.Model(x, layers.Conv2DTranspose(3, 2, strides=2)(half) + x)


def _halving():
    x = user_models.image()
    return keras.Model(x, user_models.conv(strides=2)(x))


def _of_one_size():
    x = keras.Input((8, 8, 3))
    return keras.Model(x, user_models.conv()(x))


@pytest.mark.parametrize(
    ("build", "size", "message"),
    [
        (_odd_unet, (31, 30), "cannot take 31x30 pixels.*multiples"),
        (unet, (8, 9), "'unet' cannot take 8x9 pixels.*multiples"),
        (_odd_unet, (1, 1), "cannot take 1x1 pixels.*multiples"),
        (_halving, (8, 8), "makes 4x4 pixels of 8x8.*multiples"),
        (_of_one_size, (8, 9), r"shape \(None, 8, 8, 3\) alone.*8x9 pixels"),
        (_of_one_size, (0, 8), "`height` must be an integer of at least 1.*height=0"),
        (_of_one_size, (8, 1.5), "`width` must be an integer of at least 1.*1.5"),
    ],
)
def test_sizes_that_do_not_fit(build, size, message):
    with pytest.raises(ValueError, match=message):
        scale_on(build(), *size)
    assert scale_on(_odd_unet(), np.int64(30), np.int32(2)) == 1


def test_whole_numbers():
    assert whole_number(size=np.int64(3)) == 3
    assert type(whole_number(size=np.int64(3))) is int
    assert whole_number(least=0, size=0) == 0
    for wrong in (0, -1, 2.0, "3", None, True):
        with pytest.raises(ValueError, match="`size` must be an integer of at least 1"):
            whole_number(size=wrong)
