"""Trains a restoration network.

    python pipelines/train.py --task sr --scale 3

Everything of a run lies in one folder: the configuration, the log, the curves,
sample images, the last checkpoint, and the trained model laid out like a released
one. The same command with --resume goes on where an interrupted run stood, and
ends where an uninterrupted one ends.
"""

import dataclasses
import inspect
import json
import os
import platform
import shlex
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # As the package, before Keras.

import keras
import tyro

import xunit_keras
from pipelines import datasets, scoring
from pipelines.callbacks import (
    Checkpoint,
    Curves,
    DivergenceError,
    History,
    Pictures,
    Samples,
    StopOnDivergence,
    Validation,
    averaged_weights,
)
from pipelines.optimizers import ConvolutionMuon
from pipelines.patches import PatchSource, Recipe
from xunit_keras import zoo
from xunit_keras.layers import BatchNormalization, XUnit
from xunit_keras.resize import imresize

# Batches over which the statistics of normalizations are estimated.
_STATISTICS_BATCHES = 50

# Each with the peak of its learning rate.
OPTIMIZERS = {"muon": (ConvolutionMuon, 1e-2), "adam": (keras.optimizers.Adam, 1e-3)}

# What each task trains when nothing else is said: recipes for processors, with which
# the released models were trained.
DEFAULTS = {
    "denoise": {
        "model": "xdncnn",
        "data": ("bsds500-train", "bsds500-test"),
        "validation": "set12",
        "shrink": (1.0,),
        "steps": 3_000,
        "batch_size": 8,
        "patch_size": 64,
    },
    "derain": {
        "model": "xderain",
        "data": ("bsds500-train-rainless", "bsds500-test-rainless"),
        "validation": "rain12",
        "shrink": (1.0,),
        "steps": 3_000,
        "batch_size": 8,
        "patch_size": 64,
    },
    "sr": {
        "model": "xsrcnn_f",
        "data": ("t91", "bsds500-train"),
        "validation": "set5",
        "shrink": (1.0, 0.8, 0.6, 0.5, 0.4),
        "steps": 5_000,
        "batch_size": 8,
        "patch_size": 96,
    },
}


@dataclass(frozen=True)
class Config:
    """Configuration of a training; saved as `training.json` beside the weights."""

    task: Literal["denoise", "derain", "sr"]
    """What to learn."""

    scale: int = 3
    """Factor of the super resolution: 2, 3 or 4."""

    sigma: tuple[float, ...] = (25.0,)
    """Noise level in 0..255: one value, or the two ends of a range (blind)."""

    channels: int = 1
    """1 for grey, 3 for RGB. Rain is always RGB; super resolution works on Y."""

    model: str | None = None
    """Network, by the name of its builder. By task: xdncnn, xderain, xsrcnn_f."""

    depth: int | None = None
    """Number of convolutions, of networks that come in several depths. Default: the
    builder's."""

    filters: int | None = None
    """Filters of all convolutions but the last, of the same networks. Default: the
    builder's."""

    init: str | None = None
    """Start from these weights: a released model, or a .weights.h5 file."""

    data: tuple[str, ...] = ()
    """Published sets, folders, TensorFlow Datasets names, or sample."""

    shrink: tuple[float, ...] | None = None
    """Factors, at most 1: patches come from copies of the photographs made smaller by
    each of them. Smaller ones are sharper. By task: 1; 1; 1 0.8 0.6 0.5 0.4."""

    streaks: str | None = None
    """Streak masks for rain: a name or a folder. Default: streaks."""

    data_root: Path | None = None
    """Folder of the published sets. Default: $XUNIT_KERAS_DATA, or data."""

    validation: str | None = None
    """Test set to score while training. By task: set12, rain12, set5; or sample."""

    validation_images: int = 12
    """How many of its images to score."""

    steps: int | None = None
    """Batches in all. By task: 3000, 3000, 5000."""

    batch_size: int | None = None
    """Patches in a batch. Default: 8."""

    patch_size: int | None = None
    """Side of a clean patch. By task: 64, 64, 96."""

    optimizer: Literal["muon", "adam"] = "muon"
    """Muon makes the steps of a convolution's kernel orthogonal and learns several
    times faster (see docs/training.md); all else then learns with Adam, at a tenth of
    the learning rate."""

    learning_rate: float | None = None
    """Peak of the learning rate; it falls to a hundredth along a cosine. By optimizer:
    0.01, 0.001."""

    warmup: int = 100
    """Batches over which the learning rate rises."""

    average: float = 0.999
    """Momentum of the moving average of the weights, which is what is kept."""

    margin: int = 0
    """Pixels at the border of a patch that the loss leaves out, where the network
    sees zeros in place of the photograph. Photographs end too, and what is left out
    is not learned: end a training with 0 (see docs/training.md)."""

    fix_statistics: bool = False
    """Estimate the statistics of the normalizations at the start, and train with them
    fixed: for the end of a training, where those of small batches are noise. Needs
    --init."""

    residual: bool = True
    """Super resolution: predict only what the interpolation lost."""

    precision: Literal["float32", "mixed_bfloat16", "mixed_float16"] = "float32"
    """Keras dtype policy of the training; the trained model is in float32."""

    every: int | None = None
    """Batches between validations and checkpoints; steps are rounded up to whole
    rounds. Default: a twentieth of all, at least 50."""

    seed: int = 0
    """Seed of the weights, the patches and the noise."""

    out: Path | None = None
    """Folder of the run. Default: runs/<task>-<model>-<x3, s25 or rain>."""


def resolve(config: Config) -> Config:
    """Fills in what was left to the task, and checks the rest.

    Raises:
        ValueError: An argument is out of range, or data is missing.
    """
    defaults = dict(DEFAULTS[config.task])
    absent = [
        name
        for name in (*defaults["data"], defaults["validation"], "streaks")
        if not datasets.is_present(name, config.data_root)
    ]
    if not config.data and set(absent) & set(defaults["data"]):
        print(
            f"No {', '.join(defaults['data'])} in "
            f"{datasets.data_root(config.data_root)}: training on the sample "
            "photographs. See --data and --data-root."
        )
        defaults["data"] = (datasets.SAMPLE,)
    if defaults["validation"] in absent:
        defaults["validation"] = datasets.SAMPLE
    given = {k: v for k, v in vars(config).items() if v is not None}
    if not config.data:
        del given["data"]
    filled = {**defaults, **given}
    filled.setdefault("every", min(filled["steps"], max(filled["steps"] // 20, 50)))
    filled.setdefault("learning_rate", OPTIMIZERS[config.optimizer][1])
    # Whole rounds, so that the checkpoint after the last one is the end.
    filled["steps"] = -(-filled["steps"] // max(filled["every"], 1)) * filled["every"]
    if config.task == "derain":
        drawn = "streaks" in absent
        filled.setdefault("streaks", datasets.SAMPLE if drawn else "streaks")
        filled["channels"] = 3
    if config.task == "sr":
        filled["channels"] = 1
        filled["patch_size"] -= filled["patch_size"] % config.scale
        label = f"x{config.scale}"
    else:
        filled["scale"] = 1
        sigma = "-".join(f"{level:g}" for level in config.sigma)
        label = f"s{sigma}" if config.task == "denoise" else "rain"
    filled.setdefault("out", Path("runs") / f"{config.task}-{filled['model']}-{label}")
    config = Config(**filled)
    _check(config)
    return config


def _check(config: Config) -> None:
    for name in ("steps", "batch_size", "patch_size", "every", *_size(config)):
        if getattr(config, name) < 1:
            raise ValueError(
                f"`{name}` must be positive. Received: {getattr(config, name)}"
            )
    if not 1 <= len(config.sigma) <= 2 or min(config.sigma) < 0:
        raise ValueError(
            "`sigma` must be one level or the two ends of a range. "
            f"Received: {config.sigma}"
        )
    if not config.shrink or not all(0 < factor <= 1 for factor in config.shrink):
        raise ValueError(
            "`shrink` must be one or more factors above 0 and at most 1. "
            f"Received: {config.shrink}"
        )
    if config.fix_statistics and not config.init:
        raise ValueError(
            "`fix_statistics` is for networks that have learned something: give --init."
        )
    if not 0 <= 2 * config.margin < config.patch_size:
        raise ValueError(
            "`margin` must leave something of a patch. "
            f"Received: margin={config.margin}, patch_size={config.patch_size}"
        )
    if config.model not in xunit_keras.models.__all__:
        raise ValueError(
            f"`model` must be one of {', '.join(xunit_keras.models.__all__)}. "
            f"Received: {config.model!r}"
        )
    accepted = inspect.signature(getattr(xunit_keras, config.model)).parameters
    for name, value in _size(config).items():
        if name not in accepted:
            raise ValueError(
                f"The size of {config.model!r} is fixed. Received: {name}={value}"
            )
    test_sets = [
        name
        for name in config.data
        if name in datasets.PUBLISHED and datasets.PUBLISHED[name].test_set
    ]
    if test_sets:
        raise ValueError(
            f"{', '.join(test_sets)} are test sets: a model trained on them could not "
            "be scored. Give other --data."
        )


def network(config: Config) -> keras.Model:
    """The network of a configuration."""
    builder = getattr(xunit_keras, config.model)
    arguments = {"weights": config.init, **_size(config)}
    if config.task == "sr":
        arguments.update(scale=config.scale, residual=config.residual)
    elif config.model not in ("derainnet", "xderain"):
        arguments.update(channels=config.channels)
    return builder(**arguments)


def _size(config: Config) -> dict[str, int]:
    """What a configuration says of the size of its network."""
    size = {"depth": config.depth, "filters": config.filters}
    return {name: value for name, value in size.items() if value is not None}


def build(
    config: Config, builder: Callable[[Config], keras.Model] = network
) -> keras.Model:
    """The network that `builder` makes of a configuration, compiled."""
    model = builder(config)
    for norm in normalizations(model):
        norm.statistics_fixed = config.fix_statistics
    warmup = min(config.warmup, config.steps // 10)
    schedule = keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=config.learning_rate / max(warmup, 1),
        warmup_target=config.learning_rate,
        warmup_steps=warmup,
        decay_steps=config.steps - warmup,
        alpha=0.01,
    )
    # A short run cannot afford to average over the last thousand steps.
    average = min(config.average, max(0.0, 1.0 - 20.0 / config.steps))
    optimizer, _ = OPTIMIZERS[config.optimizer]
    model.compile(
        optimizer(schedule, epsilon=1e-8, use_ema=True, ema_momentum=average),
        loss=CentreMeanSquaredError(config.margin),
        # XLA's convolutions on a CPU are slower than TensorFlow's own.
        jit_compile=False if keras.config.backend() == "tensorflow" else "auto",
    )
    return model


def normalizations(model: keras.Model) -> list[BatchNormalization]:
    """The batch normalizations of a model, those inside the activations too."""
    found = []
    for layer in model.layers:
        if isinstance(layer, XUnit):
            found += layer.norms
        elif isinstance(layer, BatchNormalization):
            found.append(layer)
    return found


def estimate_statistics(model: keras.Model, batches: Iterable) -> None:
    """Sets the moving averages of a model to the plain mean over batches."""
    norms = normalizations(model)
    settings = [(norm.momentum, norm.statistics_fixed) for norm in norms]
    for count, (degraded, _) in enumerate(batches):
        for norm in norms:
            norm.momentum, norm.statistics_fixed = count / (count + 1), False
        model(degraded, training=True)
    for norm, setting in zip(norms, settings, strict=True):
        norm.momentum, norm.statistics_fixed = setting


class CentreMeanSquaredError(keras.losses.Loss):
    """Mean squared error without `margin` pixels at the borders of a patch."""

    def __init__(self, margin: int = 0, name="mse", **kwargs):
        super().__init__(name=name, **kwargs)
        self.margin = margin

    def call(self, y_true, y_pred):
        inside = slice(self.margin, -self.margin or None)
        error = (y_true - y_pred)[:, inside, inside, :]
        return keras.ops.mean(keras.ops.square(error), axis=-1)


def patch_source(config: Config) -> PatchSource:
    """Reads the training data of a configuration into memory."""
    recipe = Recipe(
        task=config.task,
        patch_size=config.patch_size,
        batch_size=config.batch_size,
        channels=config.channels,
        sigma=config.sigma,
        scale=config.scale,
        seed=config.seed,
    )
    photographs, rainy, streaks = [], None, []
    if config.task == "derain" and all(map(datasets.has_pairs, config.data)):
        rainy = []
        for name in config.data:
            for before, after in datasets.rainy_pairs(name, config.data_root):
                rainy.append(before.pixels)
                photographs.append(after.pixels)
    else:
        photographs = _pixels(config.data, config.data_root)
        if config.task == "derain":
            streaks = datasets.streak_masks(config.streaks, config.data_root)
    photographs = _shrunk(photographs, config.shrink)
    if rainy is not None:
        rainy = _shrunk(rainy, config.shrink)
    source = PatchSource(photographs, recipe, rainy, streaks)
    if source.skipped:
        print(
            f"{source.skipped} of {len(photographs)} images, copies by --shrink "
            "included, are smaller than a patch and were left out."
        )
    return source


def _pixels(names, root):
    return [
        photograph.pixels
        for name in names
        for photograph in datasets.photographs(name, root)
    ]


def _shrunk(images, factors):
    return [
        image
        if factor == 1
        else imresize(image, Fraction(factor).limit_denominator(100))
        for factor in factors
        for image in images
    ]


def protocol(config: Config) -> scoring.Protocol:
    """How a run is scored while it trains: a blind model at the middle level."""
    sigma = sum(config.sigma) / len(config.sigma)
    return scoring.Protocol(config.task, config.channels, sigma, config.scale)


def train(
    config: Config,
    resume: bool = False,
    builder: Callable[[Config], keras.Model] = network,
) -> keras.Model:
    """Trains as configured, into the folder `config.out`.

    Args:
        config: A resolved configuration.
        resume: Go on from the last checkpoint, if there is one.
        builder: Makes the network to train.

    Returns:
        The trained model, with the averaged weights.

    Raises:
        ValueError: The folder holds another run.
        DivergenceError: The loss became NaN or infinite.
    """
    out = config.out
    _claim(config, resume)
    keras.utils.set_random_seed(config.seed)
    keras.config.set_dtype_policy(config.precision)
    source = patch_source(config)
    model = build(config, builder)
    model.optimizer.build(model.trainable_variables)
    keras.config.set_dtype_policy("float32")
    kept = builder(config)  # Computes in float32, however it was trained.

    checkpoint = Checkpoint(out / "checkpoint.npz")
    epochs = config.steps // config.every
    epoch = checkpoint.restore(model) if resume else 0
    if config.fix_statistics and not epoch:
        estimate_statistics(model, source.batches(stop=_STATISTICS_BATCHES))
    if epoch:
        print(f"Going on from step {epoch * config.every} of {config.steps}.")
    test_images = scoring.first_examples(
        config.validation, protocol(config), config.data_root, config.validation_images
    )
    print(f"Validation: {config.validation}, {protocol(config)}")
    model.fit(
        source.batches(start=epoch * config.every),
        initial_epoch=epoch,
        epochs=epochs,
        steps_per_epoch=config.every,
        shuffle=False,
        # A bar of progress is for a terminal; a file gets a line a round.
        verbose="auto" if sys.stdout.isatty() else 2,
        callbacks=[
            StopOnDivergence(),
            Validation(test_images, protocol(config)),
            History(out / "log.csv", epoch),
            Curves(out / "log.csv", out / "curves.png"),
            Samples(out / "samples", test_images[0]),
            keras.callbacks.TensorBoard(out / "tensorboard"),
            Pictures(
                out / "tensorboard" / "pictures", test_images[0], protocol(config)
            ),
            checkpoint,
            Keep(kept, out / "model", config),
        ],
    )
    print(f"The trained model is in {out / 'model'}.")
    return model


def _claim(config: Config, resume: bool) -> None:
    """Takes the folder of a run, or refuses where another run would be lost."""
    path = config.out / "training.json"
    now = _as_saved(config)
    if path.exists():
        if not resume:
            raise ValueError(
                f"{config.out} holds a run already. Go on with --resume, or give "
                "another --out."
            )
        # An option that is younger than the run had its default there.
        before = {**_as_saved(Config(config.task)), **json.loads(path.read_text())}
        changed = [name for name in now if now[name] != before[name]]
        if changed:
            raise ValueError(
                f"{config.out} holds a run with another configuration: "
                + ", ".join(f"{n} was {before[n]}, is {now[n]}" for n in changed)
                + "."
            )
    config.out.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(now, indent=2) + "\n", encoding="utf-8")


def _as_saved(config: Config) -> dict:
    """A configuration as JSON holds it."""
    return json.loads(json.dumps(dataclasses.asdict(config), default=str))


class Keep(keras.callbacks.Callback):
    """Keeps the averaged model after every round, laid out like a released one.

    So a training that was cut short has a model too, whose card says how far it got.

    Args:
        kept: A network like the one that is trained, which takes its weights.
        folder: Where it is written.
        config: The configuration of the training.
    """

    def __init__(self, kept: keras.Model, folder: Path, config: Config):
        super().__init__()
        self.kept = kept
        self.folder = folder
        self.config = config

    def on_epoch_end(self, epoch, logs=None):
        steps = int(self.model.optimizer.iterations)
        with averaged_weights(self.model):
            self.kept.set_weights(self.model.get_weights())
        zoo.save(self.kept, self.folder, card(self.config, steps))


def card(config: Config, steps: int) -> dict:
    """What is known of a model after so many steps of its training.

    `stages` lists the trainings that it went through, where it started from the
    weights of another one.
    """
    stage = {
        "command": shlex.join(["python", *sys.argv]),
        "recipe": {
            name: value
            for name, value in _as_saved(config).items()
            if name not in ("data_root", "out")  # of no use to others
        },
        "steps": steps,
        "seconds": round(History.seconds(config.out / "log.csv")),
        "machine": f"{machine()}, {keras.config.backend()} backend",
    }
    before = []
    if config.init and not config.init.endswith(".weights.h5"):
        before = zoo.card(config.init)["stages"]
    model_card = {
        "task": config.task,
        "network": config.model,
        "scale": config.scale,
        "channels": config.channels,
        "data": list(config.data),
        "stages": [*before, stage],
        "licence": "Apache-2.0",
    }
    if config.task == "denoise":
        model_card["sigma"] = list(config.sigma)
    return model_card


def machine() -> str:
    """Processor and number of cores."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if "model name" in line]
    return f"{names[0] if names else platform.processor()}, {os.cpu_count()} cores"


def profile(config: Config, rounds: int = 10) -> None:
    """Prints how fast patches are made, and how fast training steps take them."""
    source = patch_source(config)
    model = build(config)
    batch = next(iter(source.batches()))
    model.train_on_batch(*batch)
    started = time.perf_counter()
    for _ in range(rounds):
        model.train_on_batch(*batch)
    step = (time.perf_counter() - started) / rounds
    batches = iter(source.batches())
    next(batches)
    started = time.perf_counter()
    for _ in range(5 * rounds):
        next(batches)
    delivery = (time.perf_counter() - started) / (5 * rounds)
    print(
        f"patches: {config.batch_size / delivery:,.0f} a second delivered, "
        f"{config.batch_size / step:,.0f} a second trained on: "
        f"{step / delivery:.1f} times as fast as needed"
    )


def main() -> None:
    """Reads the command line and trains, or measures."""

    @dataclass(frozen=True)
    class Command:
        config: tyro.conf.OmitArgPrefixes[Config]
        resume: bool = False
        """Go on from the last checkpoint in the folder of the run."""
        profile: bool = False
        """Only measure how fast patches are made and trained on."""

    command = tyro.cli(
        Command, description=__doc__, config=(tyro.conf.FlagCreatePairsOff,)
    )
    try:
        config = resolve(command.config)
        if command.profile:
            profile(config)
        else:
            train(config, resume=command.resume)
    except (ValueError, DivergenceError) as error:
        sys.exit(f"train.py: {error}")


if __name__ == "__main__":
    main()
