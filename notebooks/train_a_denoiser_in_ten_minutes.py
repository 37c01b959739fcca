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
# # Train a denoiser in ten minutes
#
# **What you get:** a network of 100,000 parameters that takes noise off photographs, as
# a folder that restores without Keras, and that can be given to others.
#
# In a program of its own this is `python pipelines/train.py --task denoise`, which also
# resumes, draws curves and reads the published sets. Here it is in a few cells, on
# TensorFlow, JAX or PyTorch (`KERAS_BACKEND`), for photographs in a folder of yours.

# %%
import tempfile
import time
from pathlib import Path

import keras
import numpy as np

import xunit_keras
from xunit_keras.imaging import files
from xunit_keras.imaging.metrics import psnr
from xunit_keras.imaging.samples import sample_photographs

# %% [markdown]
# ## What to train on, and for how long

# %% tags=["parameters"]
PHOTOGRAPHS = None  # a folder; None takes those that come with scikit-image
STEPS = 1_000
BATCH, SIDE = 8, 64
SIGMA = 25.0  # of the noise, in levels of 0 to 255
EVERY = 250  # steps between two lines

# %% [markdown]
# ## Photographs
#
# In gray: a gray denoiser restores R, G and B one by one.

# %%
if PHOTOGRAPHS is None:
    photographs = list(sample_photographs().values())
else:
    paths = sorted(p for p in Path(PHOTOGRAPHS).rglob("*") if p.is_file())
    photographs = [np.atleast_3d(files.read(path).pixels) for path in paths]
gray = [p.mean(axis=2, keepdims=True) / 255 for p in photographs]
test, training = gray[0], gray[1:] or gray
print(f"{len(training)} photographs to train on, and one to try")

# %% [markdown]
# ## Patches without end
#
# Turned and flipped, each with noise of its own. A `PyDataset` makes a batch of its
# number alone, so that a training can be repeated.


# %%
class Patches(keras.utils.PyDataset):
    def __len__(self):
        return STEPS

    def __getitem__(self, index):
        random = np.random.default_rng(index)
        clean = np.stack([self.patch(random) for _ in range(BATCH)])
        noise = random.normal(0, SIGMA / 255, clean.shape)
        return (clean + noise).astype("float32"), clean.astype("float32")

    def patch(self, random):
        photograph = training[random.integers(len(training))]
        top, left = (random.integers(0, size - SIDE) for size in photograph.shape[:2])
        square = photograph[top : top + SIDE, left : left + SIDE]
        turned = np.rot90(square, random.integers(4))
        return turned[:, ::-1] if random.integers(2) else turned


# %% [markdown]
# ## The network, and its training
#
# Four convolutions with three `XUnit`. The kernels learn with Muon, at a rate that
# falls along a cosine; what is kept is the moving average of the weights.

# %%
keras.utils.set_random_seed(0)
model = xunit_keras.xnet(depth=4, filters=67)
print(f"{xunit_keras.count_parameters(model).total:,} parameters")
rate = keras.optimizers.schedules.CosineDecay(0.01, STEPS, warmup_steps=STEPS // 20)
optimizer = xunit_keras.ConvolutionMuon(rate, use_ema=True, ema_momentum=0.99)
model.compile(optimizer, "mse")

start = time.perf_counter()
report = keras.callbacks.LambdaCallback(
    on_train_batch_end=lambda step, logs: (
        (step + 1) % EVERY
        or print(f"step {step + 1}: {-10 * np.log10(logs['loss']):.2f} dB", flush=True)
    )
)
model.fit(Patches(), epochs=1, verbose=0, callbacks=[report])
optimizer.finalize_variable_values(model.trainable_variables)
print(f"{(time.perf_counter() - start) / 60:.1f} minutes")

# %% [markdown]
# ## What it makes of a photograph that it has not seen

# %%
noisy = test + np.random.default_rng(0).normal(0, SIGMA / 255, test.shape)
noisy = noisy.astype("float32")
restored = xunit_keras.restore(noisy, model)
before, after = psnr(noisy.clip(0, 1), test), psnr(restored, test)
print(f"noisy: {before:.2f} dB; restored: {after:.2f} dB")

# %% [markdown]
# ## A folder to keep, and to give to others
#
# With a ready file, which was compared with the model: `xunit-keras restore -i
# photo.png -o clean.png -m FOLDER` needs neither Keras nor TensorFlow.
# `xunit_keras.upload(folder, "hf://user/name")` puts it on Hugging Face. The ready file
# is written by TensorFlow; on another backend the model is saved as Keras does.

# %%
folder = Path(tempfile.mkdtemp()) / "my-denoiser"
if keras.config.backend() == "tensorflow":
    card = xunit_keras.save_to_preset(model, folder, task="denoise", sigma=(SIGMA,))
else:
    folder = folder.with_suffix(".keras")
    model.save(folder)
again = xunit_keras.restore(noisy, folder)
print(folder.name, f"{np.abs(again - restored).max():.1e}")
