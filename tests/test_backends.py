"""The same numbers on every backend, each in a process of its own."""

from importlib.util import find_spec

import numpy as np
import one_backend
import pytest
import references

LAYERS = sorted(one_backend.LAYERS)
NETWORKS = sorted(one_backend.NETWORKS)
BACKENDS = [
    pytest.param(
        backend,
        marks=pytest.mark.skipif(
            find_spec(backend) is None, reason=f"{backend} is not installed"
        ),
    )
    for backend in ("tensorflow", "jax", "torch")
]


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """Images, and weights for every layer and network."""
    rng = np.random.default_rng(11)
    images = rng.normal(size=(2, 10, 11, 3)).astype("float32")
    arrays = {"images": images}
    layers = {name: make() for name, make in one_backend.LAYERS.items()}
    for layer in layers.values():
        layer.build(images.shape)
    networks = {name: make() for name, make in one_backend.NETWORKS.items()}
    for name, layer in {**layers, **networks}.items():
        for i, weight in enumerate(layer.weights):
            # In a network, what the layers do multiplies: keep its values near 1.
            fan_in = np.prod(weight.shape[:-1]) if len(weight.shape) == 4 else 1
            scale = fan_in**-0.5 if name in networks and fan_in > 25 else 0.2
            value = rng.normal(scale=scale, size=weight.shape)
            if weight.name == "moving_variance":
                value = 0.5 + np.abs(value)
            arrays[f"{name}/{i}"] = value.astype("float32")
    path = tmp_path_factory.mktemp("backends") / "inputs.npz"
    np.savez(path, **arrays)
    return path


@pytest.fixture(scope="module", params=BACKENDS)
def results(request, inputs, run_python):
    backend = request.param
    path = inputs.with_name(f"{backend}.npz")
    run_python(one_backend.__file__, inputs, path, KERAS_BACKEND=backend)
    results = dict(np.load(path))
    assert results["backend"] == backend
    return results


@pytest.fixture(scope="module")
def expected(inputs):
    """What this process, on its own backend, makes of the same script."""
    data = dict(np.load(inputs))
    return {
        **dict(one_backend.run_layers(data)),
        **dict(one_backend.run_networks(data)),
    }


@pytest.fixture(scope="module")
def by_definition(inputs):
    """The layers in NumPy, for inference."""
    data = dict(np.load(inputs))
    images = data["images"]

    def norm(weights):
        return references.BatchNorm(*weights)

    def xunit(name, gate):
        layer = one_backend.LAYERS[name]()
        layer.build(images.shape)
        weights = one_backend.weights_of(data, name)
        by_path = {
            weight.path.removeprefix(f"{layer.name}/"): value
            for weight, value in zip(layer.weights, weights, strict=True)
        }
        return references.XUnit(by_path, gate)(images)

    def depthwise(name):
        kernel, bias = one_backend.weights_of(data, name)
        return np.tanh(references.depthwise(images, kernel[..., 0]) + bias)

    return {
        "xunit": xunit("xunit", "gaussian"),
        "xunit_sigmoid": xunit("xunit_sigmoid", "sigmoid"),
        **{name: depthwise(name) for name in ("native", "shifts", "blocks")},
        "norm": norm(one_backend.weights_of(data, "norm"))(images, training=False),
        **{
            f"bicubic_{s}": np.stack([references.bicubic(i, s) for i in images])
            for s in (2, 3)
        },
    }


@pytest.mark.parametrize("name", LAYERS)
def test_layers_equal_the_definition(results, by_definition, name):
    for variant in (name, f"{name} channels_first"):
        np.testing.assert_allclose(results[variant], by_definition[name], atol=1e-5)


@pytest.mark.parametrize("name", LAYERS)
def test_layers_agree_between_backends(results, expected, name):
    names = [key for key in expected if key.split()[0] == name and "mixed" not in key]
    assert f"{name} training" in names
    for key in names:
        np.testing.assert_allclose(
            results[key], expected[key], atol=1e-5, rtol=1e-5, err_msg=key
        )
    np.testing.assert_allclose(
        results[f"{name} channels_first training"],
        results[f"{name} training"],
        atol=1e-5,
    )


@pytest.mark.parametrize("name", LAYERS)
def test_layers_in_mixed_precision(results, name):
    exact = results[f"{name} training"]
    scale = np.abs(exact).max()
    for policy, tolerance in (("mixed_bfloat16", 0.04), ("mixed_float16", 0.004)):
        np.testing.assert_allclose(
            results[f"{name} {policy}"], exact, atol=tolerance * scale
        )


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_agree_between_backends(results, expected, name):
    for key in (name, f"{name} smaller", f"{name} losses", f"{name} trained"):
        np.testing.assert_allclose(
            results[key], expected[key], atol=1e-4, rtol=1e-4, err_msg=key
        )


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_learn_and_survive_a_file(results, name):
    losses = results[f"{name} losses"]
    assert losses[-1] < losses[0]
    np.testing.assert_allclose(results[f"{name} loaded"], results[name], atol=1e-6)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_networks_in_mixed_precision(results, policy):
    exact = results["xdncnn"]
    np.testing.assert_allclose(
        results[f"network {policy}"], exact, atol=0.04 * np.abs(exact).max()
    )
    first, second = results[f"network {policy} losses"]
    assert second < first
