"""What happens between rounds of training: score, log, draw, checkpoint."""

import csv
import math
import time
from contextlib import contextmanager
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from PIL import Image

from pipelines import drawing, scoring
from xunit_keras.inspection import activation_maps, activations

# Side of what TensorBoard shows of an image, in pixels of the clean one.
_PICTURE = 192


class DivergenceError(RuntimeError):
    """The loss is no longer a number."""


class StopOnDivergence(keras.callbacks.Callback):
    """Ends a training whose loss became NaN or infinite, with a sentence."""

    def on_train_batch_end(self, batch, logs=None):
        if not math.isfinite(float(logs["loss"])):
            raise DivergenceError(
                f"The loss became {logs['loss']} at step "
                f"{int(self.model.optimizer.iterations)}. Lower --learning-rate, or "
                "look for damaged images; the last checkpoint is kept."
            )


@contextmanager
def averaged_weights(model: keras.Model):
    """Puts the moving average of the weights in place of the weights themselves.

    Keras' own `SwapEMAWeights` swaps by adding and subtracting, which rounds; here
    the weights come back bit by bit.
    """
    optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)
    variables = optimizer._trainable_variables
    trained = [keras.ops.convert_to_numpy(v) for v in variables]
    averages = optimizer._model_variables_moving_average
    for variable, average in zip(variables, averages, strict=True):
        # A copy: JAX predicts in the memory of the weights, and keeps none of it.
        variable.assign(np.array(keras.ops.convert_to_numpy(average)))
    try:
        yield
    finally:
        for variable, value in zip(variables, trained, strict=True):
            variable.assign(value)


class Validation(keras.callbacks.Callback):
    """Scores the averaged weights on test images, as `val_psnr`."""

    def __init__(self, examples: list[scoring.Example], protocol: scoring.Protocol):
        super().__init__()
        self.examples = examples
        self.protocol = protocol

    def on_epoch_end(self, epoch, logs=None):
        rows = []
        with averaged_weights(self.model):
            for example in self.examples:
                image = predict(self.model, example.degraded)
                rows.append(scoring.score(image, example, self.protocol))
        logs["val_psnr"] = scoring.mean(rows, "psnr")
        logs["val_input_psnr"] = scoring.mean(rows, "input_psnr")
        print(
            f" - validation PSNR {logs['val_psnr']:.3f} dB "
            f"(input {logs['val_input_psnr']:.3f})"
        )


def predict(model: keras.Model, degraded: np.ndarray) -> np.ndarray:
    """One image through a model, clipped to [0, 1]."""
    return np.clip(model.predict_on_batch(degraded[None])[0], 0.0, 1.0)


class History(keras.callbacks.Callback):
    """Writes one line a round to a CSV file.

    Args:
        path: The file.
        epoch: Rounds already trained. Later lines, of a round whose checkpoint was
            never written, are dropped.
    """

    def __init__(self, path: Path, epoch: int):
        super().__init__()
        self.path = path
        self.rows = self.read(path)[:epoch] if path.exists() else []

    @staticmethod
    def read(path: Path) -> list[dict[str, str]]:
        """The lines of a log."""
        with path.open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))

    @staticmethod
    def seconds(path: Path) -> float:
        """Wall time of all rounds of a log."""
        return sum(float(row["seconds"]) for row in History.read(path))

    def on_epoch_begin(self, epoch, logs=None):
        self.started = time.monotonic()

    def on_epoch_end(self, epoch, logs=None):
        optimizer = self.model.optimizer
        self.rows.append(
            {
                "step": int(optimizer.iterations),
                **{name: f"{float(value):.6g}" for name, value in logs.items()},
                "learning_rate": f"{float(optimizer.learning_rate):.4g}",
                "seconds": f"{time.monotonic() - self.started:.1f}",
            }
        )
        partial = self.path.with_name("partial." + self.path.name)
        with partial.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, self.rows[0].keys())
            writer.writeheader()
            writer.writerows(self.rows)
        partial.replace(self.path)


class Curves(keras.callbacks.Callback):
    """Draws loss and validation PSNR from the log."""

    def __init__(self, log: Path, path: Path):
        super().__init__()
        self.log = log
        self.path = path

    def on_epoch_end(self, epoch, logs=None):
        from matplotlib.figure import Figure

        rows = History.read(self.log)
        steps = [int(row["step"]) for row in rows]
        figure = Figure(figsize=(9, 3.5), layout="constrained")
        left, right = figure.subplots(1, 2)
        left.semilogy(steps, [float(row["loss"]) for row in rows], marker=".")
        left.set(xlabel="step", ylabel="mean squared error", title="Training loss")
        right.plot(
            steps, [float(row["val_psnr"]) for row in rows], marker=".", label="model"
        )
        right.plot(
            steps,
            [float(row["val_input_psnr"]) for row in rows],
            linestyle="--",
            label="degraded input",
        )
        right.set(xlabel="step", ylabel="PSNR (dB)", title="Validation")
        right.legend()
        for axes in (left, right):
            axes.grid(alpha=0.3)
        figure.savefig(self.path, dpi=110)


class Samples(keras.callbacks.Callback):
    """Writes the first test image of every round: degraded, restored, clean."""

    def __init__(self, folder: Path, example: scoring.Example):
        super().__init__()
        self.folder = folder
        self.example = example

    def on_epoch_end(self, epoch, logs=None):
        with averaged_weights(self.model):
            restored = predict(self.model, self.example.degraded)
        row = [self.example.baseline, restored, self.example.clean]
        sheet = np.concatenate(row, axis=1)
        sheet = np.rint(np.clip(sheet, 0, 1) * 255).astype(np.uint8)
        sheet = sheet[..., 0] if sheet.shape[2] == 1 else sheet
        self.folder.mkdir(parents=True, exist_ok=True)
        step = int(self.model.optimizer.iterations)
        Image.fromarray(sheet).save(self.folder / f"step-{step:06d}.png")


class Pictures(keras.callbacks.Callback):
    """Shows TensorBoard what the network does to the centre of an image, each round.

    The mean weight map of every activation, how many of its channels are in use and
    how much of its weights is near 1; and the degraded, the restored and the clean
    image with their PSNR.

    Args:
        folder: Where the events go.
        example: The image.
        protocol: How it is scored.
    """

    def __init__(
        self, folder: Path, example: scoring.Example, protocol: scoring.Protocol
    ):
        super().__init__()
        self.example = example.centre(_PICTURE)
        self.protocol = protocol
        self.writer = tf.summary.create_file_writer(str(folder))

    def on_epoch_end(self, epoch, logs=None):
        example = self.example
        with averaged_weights(self.model):
            restored = predict(self.model, example.degraded)
            found = {}
            if activations(self.model):
                found = activation_maps(self.model, example.degraded, tile=0)
        score = scoring.score(restored, example, self.protocol)
        sheet = drawing.sheet(
            ["degraded", "restored", "clean"],
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


class Checkpoint(keras.callbacks.Callback):
    """Keeps everything a training needs to go on, after every round.

    All variables of the model and of the optimizer, its averages among them, as
    plain arrays in one file that is replaced as a whole.
    """

    def __init__(self, path: Path):
        super().__init__()
        self.path = path

    def on_epoch_end(self, epoch, logs=None):
        arrays = {
            f"variable_{i}": keras.ops.convert_to_numpy(variable)
            for i, variable in enumerate(_state(self.model))
        }
        partial = self.path.with_name("partial." + self.path.name)
        np.savez(partial, epoch=epoch + 1, **arrays)
        partial.replace(self.path)

    def restore(self, model: keras.Model) -> int:
        """Puts the kept state into a model; the number of rounds it has trained."""
        if not self.path.exists():
            return 0
        with np.load(self.path) as arrays:
            for i, variable in enumerate(_state(model)):
                variable.assign(arrays[f"variable_{i}"])
            return int(arrays["epoch"])


def _state(model):
    return [*model.variables, *model.optimizer.variables]
