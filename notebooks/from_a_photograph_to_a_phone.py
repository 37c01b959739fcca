# ---
# jupyter:
#   jupytext:
#     formats: py:percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # From a photograph to a phone
#
# **What you get:** a file for LiteRT, smaller than a photograph, that enlarges
# photographs by 3; what its precision costs in decibels; and how fast it is beside the
# network with ReLU that it replaces.
#
# Exports are written by TensorFlow, so this one runs with `KERAS_BACKEND=tensorflow`.

# %%
import tempfile
import time
from pathlib import Path

import numpy as np
from skimage import data

import xunit_keras
from xunit_keras.imaging.metrics import psnr
from xunit_keras.imaging.resize import imresize
from xunit_keras.runtime import engines

# %% tags=["parameters"]
ROUNDS = 20  # how often each file runs
SIDE = 96  # of the small photograph, in pixels
PRECISIONS = ("float32", "float16", "int8")

# %% [markdown]
# ## A photograph, a third of its size

# %%
truth = data.astronaut()[: 3 * SIDE, 60 : 60 + 3 * SIDE]
small = np.clip(imresize(truth / 255.0, 1 / 3), 0, 1).astype("float32")
bicubic = np.clip(imresize(small, 3), 0, 1)
restored = xunit_keras.restore(small, "xsrcnn-f-x3")
print(f"bicubic: {psnr(bicubic, truth / 255.0):.2f} dB")
print(f"xsrcnn-f-x3: {psnr(restored, truth / 255.0):.2f} dB")

# %% [markdown]
# ## Files for LiteRT
#
# `color=True` makes the network, which restores luminance, one from RGB to RGB. Each
# file runs on photographs, and is compared with the Keras model, before it appears.

# %%
folder = Path(tempfile.mkdtemp())
for precision in PRECISIONS:
    path = folder / f"xsrcnn-{precision}.tflite"
    verification = xunit_keras.export(
        "xsrcnn-f-x3", path, "litert", precision, color=True
    )
    print(
        f"{path.name}: {path.stat().st_size / 1000:.0f} KB, differs by at most "
        f"{verification.difference:.1e}, loses {verification.psnr_lost:.3f} dB"
    )

# %% [markdown]
# ## Run as a phone runs them
#
# The runner is LiteRT's own interpreter, on one thread. On a phone the same file is
# opened by LiteRT for Android, iOS or the browser.

# %%
results = {}
for precision in PRECISIONS:
    path = folder / f"xsrcnn-{precision}.tflite"
    run = engines.open_file(path, "litert", threads=1)
    times = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        enlarged = run(small[None])[0]
        times.append(time.perf_counter() - start)
    results[precision] = psnr(enlarged.clip(0, 1), truth / 255.0)
    print(f"{precision}: {1000 * np.median(times):.1f} ms, {results[precision]:.2f} dB")

# %% [markdown]
# ## A phone with a GPU
#
# Delegates want a fixed size: windows of a photograph that overlap by the receptive
# field, so that no seam is seen.

# %%
path = folder / "window.tflite"
xunit_keras.export("xsrcnn-f-x3", path, "litert", input_shape=(SIDE, SIDE), color=True)
card = xunit_keras.card("xsrcnn-f-x3")
print(f"{path.name}: windows of {SIDE}x{SIDE} that overlap by {card.radius} pixels")
