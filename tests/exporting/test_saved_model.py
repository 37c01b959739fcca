"""A SavedModel runs where this package is not."""

import keras
import numpy as np
from networks import noisy

from xunit_keras import export


def run(model, x):
    return keras.ops.convert_to_numpy(model(x, training=False))


def test_saved_model_runs_without_this_package(denoiser, tmp_path, run_python):
    export(denoiser, tmp_path / "model")
    x = noisy(2, 7, 5, 1)
    pixels = np.random.default_rng(0).integers(256, size=x.shape, dtype=np.uint8)
    np.savez(tmp_path / "in.npz", x=x, pixels=pixels)
    script = tmp_path / "script.py"
    script.write_text(
        f"""
import sys
import numpy as np, tensorflow as tf
model = tf.saved_model.load({str(tmp_path / "model")!r})
given = np.load({str(tmp_path / "in.npz")!r})
results = {{
    key: model.signatures[name](image=tf.constant(given[key]))["restored"].numpy()
    for key, name in (("x", "serving_default"), ("pixels", "uint8"))
}}
np.savez({str(tmp_path / "out.npz")!r}, **results)
assert "xunit_keras" not in sys.modules
"""
    )
    run_python(script, PYTHONPATH="")
    results = np.load(tmp_path / "out.npz")
    np.testing.assert_allclose(results["x"], run(denoiser, x), atol=1e-5)
    expected = run(denoiser, (pixels / 255).astype("float32")).clip(0, 1) * 255
    assert results["pixels"].dtype == np.uint8
    assert np.abs(results["pixels"] - expected).max() <= 0.5 + 1e-2
