"""Runs the layers and two networks on the backend of this process.

`KERAS_BACKEND=... python one_backend.py INPUTS.npz RESULTS.npz` reads images and
weights, and writes what comes out by name. See test_backends.py.
"""

import functools
import sys
import tempfile
from pathlib import Path

import keras
import numpy as np
from keras import ops

import xunit_keras as xk

LAYERS = {
    "xunit": lambda **kwargs: xk.XUnit(9, **kwargs),
    "xunit_sigmoid": lambda **kwargs: xk.XUnit(5, "sigmoid", **kwargs),
    "native": lambda **kwargs: depthwise("native", **kwargs),
    "shifts": lambda **kwargs: depthwise("shifts", **kwargs),
    "blocks": lambda **kwargs: depthwise("blocks", **kwargs),
    "norm": lambda data_format="channels_last", **kwargs: xk.FusedBatchNormalization(
        axis=-1 if data_format == "channels_last" else 1, **kwargs
    ),
    "bicubic_2": lambda **kwargs: xk.BicubicUpsampling(2, **kwargs),
    "bicubic_3": lambda **kwargs: xk.BicubicUpsampling(3, **kwargs),
}
NETWORKS = {
    "xdncnn": lambda: xk.xdncnn(depth=3, kernel_size=9, filters=4, channels=3),
    "xsrcnn_f": lambda: xk.xsrcnn_f(scale=3, residual=True, kernel_size=5),
}


def depthwise(evaluation, **kwargs):
    return xk.LargeKernelDepthwiseConv2D(
        (9, 6), evaluation, padding="same", activation="tanh", **kwargs
    )


def call(layer, images, training=False):
    """Calls a layer. Uncompiled, JAX would compile each of the shifts for itself."""
    if keras.config.backend() != "jax":
        return layer(images, training=training)
    import jax

    # A layer's own stateless call would leave out the casts of a dtype policy.
    inputs = keras.Input(batch_shape=images.shape)
    model = keras.Model(inputs, layer(inputs))
    outputs, state = jax.jit(
        functools.partial(model.stateless_call, training=training)
    )(
        [variable.value for variable in layer.trainable_variables],
        [variable.value for variable in layer.non_trainable_variables],
        images,
    )
    for variable, value in zip(layer.non_trainable_variables, state, strict=True):
        variable.assign(value)
    return outputs


def numpy(tensor):
    return ops.convert_to_numpy(ops.cast(tensor, "float32"))


def first(images):
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2))


def last(images):
    return images.transpose(0, 2, 3, 1)


def weights_of(data, name):
    """The arrays `name/0`, `name/1`, ... in their order."""
    count = sum(key.startswith(f"{name}/") for key in data)
    return [data[f"{name}/{i}"] for i in range(count)]


def run_layers(data):
    images = data["images"]
    for name, make in LAYERS.items():
        weights = weights_of(data, name)

        def made(shape, make=make, weights=weights, **kwargs):
            layer = make(**kwargs)
            layer.build(shape)
            layer.set_weights(weights)
            return layer

        layer = made(images.shape)
        yield name, numpy(call(layer, images))
        yield f"{name} smaller", numpy(call(layer, images[:, :2, :1]))
        yield f"{name} training", numpy(call(layer, images, training=True))
        for i, weight in enumerate(layer.get_weights()):
            yield f"{name} trained {i}", weight

        turned = first(images)
        layer = made(turned.shape, data_format="channels_first")
        yield f"{name} channels_first", last(numpy(call(layer, turned)))
        yield (
            f"{name} channels_first training",
            last(numpy(call(layer, turned, training=True))),
        )

        for policy in ("mixed_bfloat16", "mixed_float16"):
            layer = made(images.shape, dtype=policy)
            outputs = call(layer, images, training=True)
            assert keras.backend.standardize_dtype(outputs.dtype) == (
                policy.removeprefix("mixed_")
            )
            yield f"{name} {policy}", numpy(outputs)


def run_networks(data):
    for name, make in NETWORKS.items():
        model = make()
        model.set_weights(weights_of(data, name))
        images = data["images"][..., : model.input_shape[-1]]
        outputs = model.predict(images, verbose=0)
        yield name, outputs
        yield f"{name} smaller", model.predict(images[:, :1, :5], verbose=0)

        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.keras"
            model.save(path)
            loaded = keras.models.load_model(path)
            yield f"{name} loaded", loaded.predict(images, verbose=0)

        model.compile(keras.optimizers.SGD(0.01), "mse")
        targets = np.cos(7.0 * outputs)
        losses = [model.train_on_batch(images, targets) for _ in range(3)]
        yield f"{name} losses", np.array(losses)
        yield f"{name} trained", model.predict(images, verbose=0)


def run_precisions(data):
    """A network under each policy, trained for a step."""
    for policy in ("mixed_bfloat16", "mixed_float16"):
        keras.config.set_dtype_policy(policy)
        model = NETWORKS["xdncnn"]()
        keras.config.set_dtype_policy("float32")
        model.set_weights(weights_of(data, "xdncnn"))
        images = data["images"]
        outputs = model.predict(images, verbose=0)
        assert outputs.dtype == np.float32
        yield f"network {policy}", outputs
        model.compile(keras.optimizers.SGD(0.001), "mse")
        losses = [model.train_on_batch(images, 0.5 * images) for _ in range(2)]
        yield f"network {policy} losses", np.array(losses)


def main(source, target):
    data = dict(np.load(source))
    results = {
        **dict(run_layers(data)),
        **dict(run_networks(data)),
        **dict(run_precisions(data)),
        "backend": keras.config.backend(),
    }
    np.savez(target, **results)


if __name__ == "__main__":
    main(*sys.argv[1:])
