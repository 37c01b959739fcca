"""Activation maps, against NumPy and against the whole image at once."""

import keras
import numpy as np
import pytest
import references
from graphs import user_models
from networks import as_trained, noisy

import xunit_keras
from xunit_keras import activation_maps
from xunit_keras.graphs.inspection import activations
from xunit_keras.graphs.walk import sublayers


def feature_map(model, layer, image):
    """What a layer is given, from the model itself."""
    probe = keras.Model(model.input, model.get_layer(layer).input)
    return keras.ops.convert_to_numpy(probe(image[None], training=False))[0]


def weights_of(layer):
    return {
        weight.path.split(f"{layer.name}/", 1)[1]: keras.ops.convert_to_numpy(weight)
        for weight in layer.weights
    }


@pytest.fixture(scope="module")
def xnet():
    return as_trained(xunit_keras.xnet(depth=3, kernel_size=5, filters=6))


def test_weight_map_of_xunit_is_that_of_its_weights(xnet):
    image = noisy(14, 11, 1)
    maps = activation_maps(xnet, image, crop=None)
    assert list(maps) == ["xunit_1", "xunit_2"]
    for name, found in maps.items():
        z = feature_map(xnet, name, image).astype("float64")
        w = weights_of(xnet.get_layer(name))
        norms = [
            references.BatchNorm(
                *(
                    w[f"{norm}/{kind}"]
                    for kind in ("gamma", "beta", "moving_mean", "moving_variance")
                )
            )
            for norm in ("input_norm", "gate_norm")
        ]
        d = np.maximum(norms[0](z, False), 0.0)[None]
        d = references.depthwise(d, w["depthwise/kernel"][..., 0])[0]
        g = np.exp(-(norms[1](d, False) ** 2))
        assert found.layer == name
        np.testing.assert_allclose(found.features, z, atol=1e-5)
        np.testing.assert_allclose(found.weights, g, atol=1e-4)
        np.testing.assert_allclose(found.product, z * g, atol=1e-4)
        np.testing.assert_allclose(found.mean_weight, g.mean((0, 1)), atol=1e-4)
        np.testing.assert_allclose(found.near_one, (g > 0.9).mean((0, 1)), atol=0.01)
        np.testing.assert_allclose(found.activity, (z * g).var((0, 1)), atol=1e-4)
        assert np.all(np.diff(found.activity[found.by_activity]) <= 0)


def test_weight_map_of_relu_is_zero_or_one():
    model = as_trained(xunit_keras.convnet(depth=3, filters=5, channels=3))
    image = noisy(9, 12, 3)
    maps = activation_maps(model, image)
    assert list(maps) == ["relu_1", "relu_2"]
    for name, found in maps.items():
        z = feature_map(model, name, image)
        np.testing.assert_array_equal(found.weights, z > 0)
        np.testing.assert_allclose(found.product, np.maximum(z, 0), atol=1e-6)
        np.testing.assert_allclose(found.near_one, (z > 0).mean((0, 1)))
    # The same function, as a layer of another class.
    inputs = keras.Input((None, None, 1))
    outputs = keras.layers.Activation("relu", name="other")(inputs)
    found = activation_maps(keras.Model(inputs, outputs), image[..., :1])["other"]
    np.testing.assert_array_equal(found.weights, image[..., :1] > 0)


@pytest.mark.parametrize("form", ["dense", "slim"])
def test_every_form_of_the_unit(form):
    inputs = keras.Input((None, None, 3))
    outputs = xunit_keras.XUnit(3, form=form, name="unit")(inputs)
    model = as_trained(keras.Model(inputs, outputs))
    image = noisy(8, 9, 3)
    found = activation_maps(model, image)["unit"]
    unit = references.XUnit(weights_of(model.get_layer("unit")), form=form)
    np.testing.assert_allclose(found.product, unit(image[None])[0], atol=1e-4)


@pytest.mark.parametrize("scale", [None, 2])
def test_windows_give_the_statistics_of_the_whole_image(scale, xnet):
    model = xnet
    if scale:
        model = as_trained(xunit_keras.xsrcnn_f(scale=scale, kernel_size=3))
    image = noisy(70, 61, 1)
    whole = activation_maps(model, image, crop=None, tile=0)
    tiled = activation_maps(model, image, crop=21, tile=7)
    for name, ours in tiled.items():
        theirs = whole[name]
        for statistic in ("mean_weight", "near_one", "activity"):
            np.testing.assert_allclose(
                getattr(ours, statistic), getattr(theirs, statistic), atol=1e-5
            )
        assert ours.effective_channels == pytest.approx(
            theirs.effective_channels, rel=1e-5
        )
        # The maps are of the center alone.
        assert ours.crop == (slice(24, 45), slice(20, 41))
        factor = scale or 1
        rows, columns = (slice(s.start * factor, s.stop * factor) for s in ours.crop)
        for kind in ("features", "weights"):
            np.testing.assert_allclose(
                getattr(ours, kind), getattr(theirs, kind)[rows, columns], atol=1e-5
            )


def test_the_maps_are_of_the_rows_and_columns_asked_for(xnet):
    image = noisy(20, 18, 1)
    part = (slice(3, 9), slice(10, 30))
    found = activation_maps(xnet, image, "xunit_1", crop=part)["xunit_1"]
    whole = activation_maps(xnet, image, "xunit_1", crop=None)["xunit_1"]
    assert found.crop == (slice(3, 9), slice(10, 18))
    np.testing.assert_array_equal(found.features, whole.features[3:9, 10:18])
    np.testing.assert_array_equal(found.weights, whole.weights[3:9, 10:18])
    np.testing.assert_array_equal(found.activity, whole.activity)


def test_integers_of_numpy(xnet):
    image = noisy(12, 10, 1)
    found = activation_maps(xnet, image, crop=np.int64(4), tile=np.int32(5))
    expected = activation_maps(xnet, image, crop=4, tile=5)
    for name, maps in found.items():
        assert maps.crop == expected[name].crop == (slice(4, 8), slice(3, 7))
        np.testing.assert_array_equal(maps.features, expected[name].features)


def test_effective_channels_counts_equals_and_ignores_the_rest():
    image = noisy(32, 32, 1)
    inputs = keras.Input((None, None, 1))
    x = keras.layers.Conv2D(4, 1, use_bias=False, name="conv")(inputs)
    x = keras.layers.ReLU(name="relu")(x)
    model = keras.Model(inputs, keras.layers.Conv2D(1, 1)(x))
    for kernel, count in (([1, 1, 1, 1], 4.0), ([2, 2, 0, 0], 2.0), ([0] * 4, 0.0)):
        model.get_layer("conv").set_weights([np.float32(kernel).reshape(1, 1, 1, 4)])
        # The weights are the model's own, and not those of an earlier call.
        found = activation_maps(model, image)["relu"]
        assert found.effective_channels == pytest.approx(count, rel=1e-4)


def test_one_layer_of_a_model_by_name_on_eight_bits(xnet, tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (12, 12), dtype=np.uint8)
    xnet.save(tmp_path / "xnet.keras")
    (found,) = activation_maps(tmp_path / "xnet.keras", image, "xunit_2").values()
    expected = activation_maps(xnet, image / 255.0)["xunit_2"]
    np.testing.assert_allclose(found.weights, expected.weights, atol=1e-5)


NAMES = {
    "lists": ["relu"],
    "dictionaries": ["relu"],
    "sequential": ["relu"],
    "nested": ["inner.relu", "inner.relu#2", "row.relu", "relu"],
    "keywords": ["relu"],
    "blocks": ["block.activation", "block_of_xunit.unit"],
    "subclassed": ["first.activation", "second.unit"],
    "closed block": ["relu"],
    "bilinear": ["relu"],
    "bicubic": ["relu"],
    "channel norms": ["relu"],
}


@pytest.mark.parametrize("name", NAMES)
def test_models_as_people_write_them(name):
    model = user_models.build(name)
    images = [noisy(*size, 3) for size in ((9, 8), (12, 11))]
    assert activations(model) == NAMES[name]
    for image in images:  # The second of a size that is not the first's.
        found = activation_maps(model, image, crop=None, tile_overlap=3)
        assert list(found) == NAMES[name]
        last = found[NAMES[name][-1]]
        if name in ("blocks", "subclassed", "nested", "keywords"):
            continue  # The activation is not what comes before the last layer.
        (conv,) = [x for x in sublayers(model) if x.name == "last"]
        result = conv(last.product[None])
        np.testing.assert_allclose(
            result, user_models.restored(model, image[None]), atol=1e-5
        )


def test_uses_of_a_shared_activation_are_told_apart():
    """The second sees what the first and the layers behind it made."""
    model = user_models.build("nested")
    image = noisy(9, 8, 3)
    found = activation_maps(model, image)
    inner = model.get_layer("inner")
    once = keras.ops.convert_to_numpy(inner(image[None], training=False))[0]
    twice = keras.ops.convert_to_numpy(inner(once[None], training=False))[0]
    np.testing.assert_allclose(found["inner.relu"].product, once, atol=1e-5)
    np.testing.assert_allclose(found["inner.relu#2"].product, twice, atol=1e-5)
    (one,) = activation_maps(model, image, "inner.relu#2").values()
    np.testing.assert_array_equal(one.features, found["inner.relu#2"].features)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"layer": "relu_9"}, "one of xunit_1, xunit_2. Received: layer='relu_9'"),
        ({"crop": 0}, "`crop` must be rows and columns"),
        ({"crop": -4}, "`crop` must be rows and columns.*crop=-4"),
        ({"crop": 2.5}, "`crop` must be rows and columns.*crop=2.5"),
        ({"crop": "all"}, "`crop` must be rows and columns.*crop='all'"),
        ({"crop": (slice(0, 4),)}, "`crop` must be rows and columns"),
        ({"crop": (4, 4)}, r"`crop` must be rows and columns.*crop=\(4, 4\)"),
        ({"crop": (slice(0, 4, 2), slice(0, 4))}, "`crop` must be rows and columns"),
        ({"tile_overlap": -2}, "`tile_overlap` must be an integer of at least 0"),
        ({"model": keras.layers.ReLU()}, "`model` must be a Keras model"),
        ({"crop": (slice(4, 4), slice(0, 4))}, r"crop=\(slice\(4, 4.*for 8x8"),
        ({"tile": -1}, "Received: tile=-1"),
        ({"image": noisy(8, 8, 3)}, r"of 1 channels. Received.*\(8, 8, 3\)"),
        ({"image": noisy(8)}, r"shape \(8,\)"),
        ({"model": "nobody"}, "no model 'nobody'"),
    ],
)
def test_errors_are_sentences(xnet, arguments, message):
    with pytest.raises(ValueError, match=message):
        activation_maps(**{"model": xnet, "image": noisy(8, 8, 1), **arguments})


def test_a_network_without_such_activations_is_refused():
    inputs = keras.Input((None, None, 1))
    model = keras.Model(inputs, keras.layers.ReLU(negative_slope=0.1)(inputs))
    with pytest.raises(ValueError, match="has no XUnit and no plain ReLU"):
        activation_maps(model, noisy(8, 8, 1))


def test_an_activation_on_a_smaller_image_is_refused():
    inputs = keras.Input((None, None, 1))
    x = keras.layers.ReLU(name="small")(keras.layers.AveragePooling2D(2)(inputs))
    model = keras.Model(inputs, keras.layers.UpSampling2D(2)(x))
    with pytest.raises(ValueError, match="'small' has 4x4 pixels for 8x8"):
        activation_maps(model, noisy(8, 8, 1))
