"""What happens between rounds of training: score, draw, and stop what went wrong."""

import math
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from PIL import Image

from pipelines import drawing, history
from pipelines.keeping import Averaged, averaged_weights
from pipelines.program import ProgramError
from xunit_keras.atomic import replacing
from xunit_keras.graphs.inspection import activation_maps, activations
from xunit_keras.imaging.pixels import from_float
from xunit_keras.tasks import Example, Task

# Side of what TensorBoard shows of an image, in pixels of the clean one.
_PICTURE = 192

# A training has diverged whose loss is so many times what it began with, and larger
# than any image in [0, 1] makes it.
_GROWTH, _LARGEST_LOSS = 1e3, 1.0
# One in the end whose loss grew so many times, where images differ by less, and whose
# images are worse by so many decibels than the degraded ones were.
_GREW, _LOST_DECIBELS = 10.0, 3.0
# Trainings of so many steps must make images better than they were. Shorter ones are
# tries.
_LONG = 1000


class DivergenceError(ProgramError):
    """A training went the wrong way."""


class StopOnDivergence(keras.callbacks.Callback):
    """Ends a training that went the wrong way, before its result is kept.

    A loss that is no number ends it at once, and one that grew a thousandfold at the
    end of a round. What the validation says counts at the end of the training alone: at
    the peak of the learning rate, scores far below the final one are normal.

    Args:
        images: The name of the validation images.
    """

    def __init__(self, images: str):
        super().__init__()
        self.images = images
        self.first = math.nan

    def on_train_batch_end(self, batch, logs):
        loss = float(logs["loss"])
        if math.isnan(self.first):
            self.first = loss
        if not math.isfinite(loss):
            raise self._error(f"The loss became {loss}")

    def on_epoch_end(self, epoch, logs):
        loss, score, before = (
            float(logs[name]) for name in ("loss", "val_psnr", "val_input_psnr")
        )
        if loss > max(_GROWTH * self.first, _LARGEST_LOSS):
            raise self._error(f"The loss grew from {self.first:.3g} to {loss:.3g}")
        if epoch + 1 < self.params["epochs"] or math.isinf(before):
            return
        is_long = int(self.model.optimizer.iterations) >= _LONG
        # Put so that a score that is no number is caught as well.
        worse = not score >= before
        much_worse = not score >= before - _LOST_DECIBELS
        if (is_long and worse) or (much_worse and loss > _GREW * self.first):
            raise self._error(
                f"The images of {self.images} have {score:.2f} dB after the network "
                f"and {before:.2f} dB before it"
            )

    def _error(self, what) -> DivergenceError:
        return DivergenceError(
            f"{what} at step {int(self.model.optimizer.iterations)}. Lower "
            "--learning-rate, or look for damaged images; the last checkpoint is kept."
        )


class Validation(keras.callbacks.Callback):
    """Scores the averaged weights on test images, as `val_psnr`.

    Args:
        examples: The test images.
        task: How they are scored.
        averaged: What gives the averaged weights.
    """

    def __init__(
        self,
        examples: list[Example],
        task: Task,
        averaged: Averaged = averaged_weights,
    ):
        super().__init__()
        self.examples = examples
        self.task = task
        self.averaged = averaged

    def on_epoch_end(self, epoch, logs):
        rows = []
        with self.averaged(self.model) as model:
            for example in self.examples:
                image = predict(model, example.degraded)
                rows.append(self.task.score(image, example))
        for name in ("psnr", "input_psnr"):
            logs[f"val_{name}"] = float(np.mean([row[name] for row in rows]))
        print(
            f" - validation PSNR {logs['val_psnr']:.3f} dB "
            f"(input {logs['val_input_psnr']:.3f})"
        )


def predict(model: keras.Model, degraded: np.ndarray) -> np.ndarray:
    """One image through a model, clipped to [0, 1]."""
    return np.clip(model.predict_on_batch(degraded[None])[0], 0.0, 1.0)


class Curves(keras.callbacks.Callback):
    """Draws loss and validation PSNR from the log.

    Args:
        log: The log.
        path: The picture.
    """

    def __init__(self, log: history.History, path: Path):
        super().__init__()
        self.log = log
        self.path = path

    def on_epoch_end(self, epoch, logs=None):
        figure = drawing.curves(self.log.rows)
        with replacing(self.path) as partial:
            figure.savefig(partial, dpi=110)


class Samples(keras.callbacks.Callback):
    """Writes the first test image of every round: degraded, restored, clean.

    Args:
        folder: Where the pictures go.
        example: The image.
        averaged: What gives the averaged weights.
    """

    def __init__(
        self, folder: Path, example: Example, averaged: Averaged = averaged_weights
    ):
        super().__init__()
        self.folder = folder
        self.example = example
        self.averaged = averaged

    def on_epoch_end(self, epoch, logs=None):
        with self.averaged(self.model) as model:
            restored = predict(model, self.example.degraded)
        row = [self.example.baseline, restored, self.example.clean]
        sheet = from_float(np.concatenate(row, axis=1), np.uint8)
        step = int(self.model.optimizer.iterations)
        with replacing(self.folder / f"step-{step:06d}.png") as partial:
            Image.fromarray(sheet.squeeze()).save(partial)


class Pictures(keras.callbacks.Callback):
    """Shows TensorBoard what the network does to the center of an image, each round.

    The mean weight map of every activation, how many of its channels are in use and
    how much of its weights is near 1; and the degraded, the restored and the clean
    image with their PSNR.

    Args:
        folder: Where the events go.
        example: The image.
        task: How it is scored.
        averaged: What gives the averaged weights.
    """

    def __init__(
        self,
        folder: Path,
        example: Example,
        task: Task,
        averaged: Averaged = averaged_weights,
    ):
        super().__init__()
        self.example = example.center(_PICTURE)
        self.task = task
        self.averaged = averaged
        self.writer = tf.summary.create_file_writer(str(folder))

    def on_epoch_end(self, epoch, logs=None):
        example = self.example
        with self.averaged(self.model) as model:
            restored = predict(model, example.degraded)
            found = {}
            if activations(model):
                found = activation_maps(model, example.degraded, tile=0)
        score = self.task.score(restored, example)
        sheet = drawing.sheet(
            [self.task.degraded_title, "restored", "clean"],
            [
                [
                    drawing.Panel(example.baseline, f"{score['input_psnr']:.2f} dB"),
                    drawing.Panel(restored, f"{score['psnr']:.2f} dB"),
                    drawing.Panel(example.clean, example.name),
                ]
            ],
        )
        with self.writer.as_default(step=int(self.model.optimizer.iterations)):
            tf.summary.image("images", drawing.pixels(sheet)[None])
            for name, maps in found.items():
                mean = maps.weights.mean(axis=2)[None, ..., None]
                tf.summary.image(f"mean weight map/{name}", mean)
                tf.summary.scalar(f"channels in use/{name}", maps.effective_channels)
                tf.summary.scalar(f"weights near 1/{name}", maps.near_one.mean())
        self.writer.flush()
