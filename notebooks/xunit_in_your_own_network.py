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
# # XUnit in your own network
#
# **What you get:** a small network of your own that takes noise off photographs, once
# with ReLU and once with `XUnit`, with equally many parameters, trained and compared.
#
# A ReLU multiplies a pixel of a feature map by 0 or 1, and looks at that pixel alone.
# `XUnit` multiplies it by a weight between 0 and 1 that it learns from the neighborhood
# ([Kligvasser, Rott Shaham, Michaeli, CVPR 2018](https://arxiv.org/abs/1711.06445)). It
# costs 85 parameters a channel, which the convolutions then have to save.
#
# Runs on TensorFlow, JAX and PyTorch: set `KERAS_BACKEND` before the first import.

# %%
import keras
import numpy as np

import xunit_keras
from xunit_keras.imaging.metrics import psnr
from xunit_keras.imaging.samples import sample_photographs

# %% [markdown]
# ## How long
#
# A few minutes on a processor. More steps make both networks better.

# %% tags=["parameters"]
EPOCHS = 8
PATCHES = 2_000
SIDE = 40  # of a patch, in pixels
SIGMA = 25 / 255  # of the noise

# %% [markdown]
# ## Two networks
#
# They differ in the activation, and in the filters that are left for the convolutions.
# The network predicts the noise, and the last layer takes it away.


# %%
def denoiser(filters, activation):
    image = x = keras.Input((None, None, 1))
    for _ in range(4):
        x = keras.layers.Conv2D(filters, 3, padding="same")(x)
        x = activation(x)
    noise = keras.layers.Conv2D(1, 3, padding="same")(x)
    return keras.Model(image, keras.layers.Subtract()([image, noise]))


def relu(x):
    return keras.layers.ReLU()(keras.layers.BatchNormalization()(x))


def xunit(x):
    return xunit_keras.XUnit()(x)


keras.utils.set_random_seed(0)
networks = {"ReLU": denoiser(30, relu), "XUnit": denoiser(25, xunit)}
for name, network in networks.items():
    print(f"{name}: {xunit_keras.count_parameters(network)}")

# %% [markdown]
# ## Patches
#
# Of the photographs that come with scikit-image; one of them is kept back.

# %%
photographs = {
    name: pixels.mean(axis=2, keepdims=True) / 255
    for name, pixels in sample_photographs().items()
}
kept_back = photographs.pop("camera").astype("float32")
random = np.random.default_rng(0)


def patch():
    photograph = photographs[random.choice(list(photographs))]
    top, left = (random.integers(0, size - SIDE) for size in photograph.shape[:2])
    return photograph[top : top + SIDE, left : left + SIDE]


clean = np.stack([patch() for _ in range(PATCHES)]).astype("float32")
noisy = clean + random.normal(0, SIGMA, clean.shape).astype("float32")

# %% [markdown]
# ## Training
#
# `ConvolutionMuon` makes each step of a kernel an orthogonal matrix: it learns several
# times as fast as Adam.

# %%
for network in networks.values():
    schedule = keras.optimizers.schedules.CosineDecay(
        0.01, decay_steps=EPOCHS * -(-PATCHES // 16)
    )
    network.compile(xunit_keras.ConvolutionMuon(schedule), "mse")
    network.fit(noisy, clean, batch_size=16, epochs=EPOCHS, verbose=2)

# %% [markdown]
# ## What they make of a photograph that they have not seen
#
# `restore` takes any Keras model from one image to one image, on images of any size.

# %%
degraded = kept_back + random.normal(0, SIGMA, kept_back.shape).astype("float32")
print(f"noisy: {psnr(degraded.clip(0, 1), kept_back):.2f} dB")
scores = {}
for name, network in networks.items():
    restored = xunit_keras.restore(degraded, network)
    scores[name] = psnr(restored, kept_back)
    print(f"{name}: {scores[name]:.2f} dB")

# %% [markdown]
# ## A network that you have
#
# `replace_activations` clones a functional model with `XUnit` in place of its ReLUs.
# The weights of the convolutions are kept, as a start: it has to be trained on.

# %%
converted = xunit_keras.replace_activations(networks["ReLU"], form="slim")
print(xunit_keras.replacement_report(converted))

# %% [markdown]
# ## What the unit does
#
# The weights that it gives to the pixels of a photograph, channel by channel.

# %%
maps = xunit_keras.activation_maps(networks["XUnit"], kept_back, crop=64)
for name, found in maps.items():
    print(f"{name}: mean weight {found.mean_weight.mean():.2f}")
