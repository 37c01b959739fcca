"""What every layer must do, in one check; after Keras' `run_layer_test`."""

import json

import keras
import numpy as np

TOLERANCES = {"float32": 1e-6, "mixed_bfloat16": 4e-2, "mixed_float16": 4e-3}


def random_images(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def weights_by_path(layer):
    """NumPy values of a layer's weights by their path below the layer."""
    return {
        weight.path.removeprefix(f"{layer.name}/"): keras.ops.convert_to_numpy(weight)
        for weight in layer.weights
    }


def randomize(layer, seed=0):
    """Gives every weight a value of its own; variances stay positive."""
    rng = np.random.default_rng(seed)
    for weight in layer.weights:
        value = rng.normal(scale=0.4, size=weight.shape)
        if weight.name == "moving_variance":
            value = 0.5 + np.abs(value)
        weight.assign(value)


def check_layer(
    layer_class,
    arguments,
    *,
    input_shape,
    output_shape,
    trainable=0,
    non_trainable=0,
    tmp_path,
):
    """Configuration, shapes, weights, precision, a training step, and a file.

    Args:
        layer_class: The layer.
        arguments: Arguments of its constructor; each is also an attribute.
        input_shape: With the batch, all sizes known.
        output_shape: Likewise.
        trainable: Number of trainable parameters.
        non_trainable: Number of the others.
        tmp_path: Folder for the model's file.
    """
    images = random_images(*input_shape)

    # Configuration: complete, and the same after a journey through JSON.
    def configuration(layer):
        return json.loads(json.dumps(layer.get_config()))

    layer = layer_class(**arguments)
    config = configuration(layer)
    assert set(arguments) <= set(config)
    assert all(hasattr(layer, name) for name in arguments)
    assert configuration(layer_class.from_config(config)) == config

    # Shapes, with height and width open.
    channels_first = (
        arguments.get("data_format") == "channels_first" or arguments.get("axis") == 1
    )
    spatial = (2, 3) if channels_first else (1, 2)

    def opened(shape):
        free = (0, *spatial)
        return tuple(None if i in free else n for i, n in enumerate(shape))

    inputs = keras.Input(opened(input_shape)[1:])
    outputs = layer(inputs)
    assert outputs.shape == opened(output_shape)
    assert layer.compute_output_shape(input_shape) == output_shape
    assert layer(images).shape == output_shape

    # Weights.
    assert sum(int(np.prod(w.shape)) for w in layer.trainable_weights) == trainable
    assert (
        sum(int(np.prod(w.shape)) for w in layer.non_trainable_weights) == non_trainable
    )

    # Precision: variables stay in float32 and the result is near.
    randomize(layer)
    expected = keras.ops.convert_to_numpy(layer(images))
    scale = np.abs(expected).max()
    for policy, tolerance in TOLERANCES.items():
        twin = layer_class(**{**arguments, "dtype": policy})
        twin.build(input_shape)
        twin.set_weights(layer.get_weights())
        result = twin(images)
        assert keras.backend.standardize_dtype(result.dtype) == twin.compute_dtype
        assert all(w.dtype == "float32" for w in twin.weights)
        result = keras.ops.convert_to_numpy(keras.ops.cast(result, "float32"))
        np.testing.assert_allclose(result, expected, atol=tolerance * scale, rtol=0)

    # The file gives the same model back.
    model = keras.Model(inputs, outputs)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(
        keras.ops.convert_to_numpy(loaded(images)),
        keras.ops.convert_to_numpy(model(images)),
    )

    # A training step lowers the loss.
    if trainable:
        model.compile(keras.optimizers.SGD(0.01), "mse")
        targets = random_images(*output_shape, seed=1)
        first, second = (model.train_on_batch(images, targets) for _ in range(2))
        assert second < first
