"""What a training is told: the flags, what they leave to the task, what they refuse."""

import dataclasses
import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

import tyro

from pipelines.data import datasets
from xunit_keras import tasks
from xunit_keras.models import registry
from xunit_keras.tasks import TASKS, Task
from xunit_keras.tasks.base import Training

LEARNING_RATES = {"muon": 1e-2, "adam": 1e-3}
"""The peak of the learning rate by optimizer."""

Loss = Literal["mse", "mae"]
"""What a training makes small."""

Precision = Literal["float32", "mixed_bfloat16", "mixed_float16"]
"""Keras dtype policies to train with."""

_STREAKS = "streaks"
_SEEDS = 2**32  # as many as NumPy takes

# What must be at least 1, where it is said at all.
_COUNTS = (
    *("every", "steps", "batch_size", "patch_size", "validation_images"),
    *("depth", "filters", "kernel_size"),
)

if TYPE_CHECKING:
    TaskName = str
else:
    TaskName = Literal[tuple(TASKS)]


def _by_task(help: str, value: Callable[[Training], object]) -> Any:
    """A flag whose default depends on the task, with these defaults in its help."""
    defaults = []
    for name, task in TASKS.items():
        shown = value(task.training)
        words = map(str, shown) if isinstance(shown, tuple) else [str(shown)]
        defaults.append(f"{' '.join(words)} ({name})")
    return tyro.conf.arg(help=f"{help} Default: {', '.join(defaults)}.")


@dataclass(frozen=True)
class Config:
    """Configuration of a training; saved as `training.json` beside the weights."""

    task: TaskName
    """What to learn."""

    scale: int | None = None
    """Factor of the super resolution, at least 2. Default: 3."""

    sigma: tuple[float, ...] | None = None
    """Noise level in 0..255: one value, or the two ends of a range (blind). Default:
    25."""

    quality: tuple[int, ...] | None = None
    """Quality of JPEG, 1 to 100: one value, or the two ends of a range. Default: 10."""

    channels: int | None = None
    """1 for gray (of super resolution, Y), 3 for RGB. Default: 1; rain is always
    RGB."""

    model: Annotated[
        str | None,
        _by_task("Network, by the name of its builder.", lambda of: of.model),
    ] = None

    depth: int | None = None
    """Number of convolutions, of networks that come in several depths. Default: the
    builder's."""

    filters: int | None = None
    """Filters of all convolutions but the last, of networks that leave them open.
    Default: the builder's."""

    kernel_size: int | None = None
    """Odd side of the depthwise kernels of the activations, of networks with XUnit.
    Default: the builder's."""

    skips: bool = False
    """Each convolution but the first and the last adds to what it gets, in networks
    that may have it so."""

    init: str | None = None
    """Start from these weights: a released model, the model/ of a run, or a .weights.h5
    file. Their shapes must fit: a network for one noise level may start from one for
    another. Of a model, kernels may have another side, and the last convolution other
    outputs, as a pixel shuffle by another factor needs."""

    teacher: str | None = None
    """Learn what this network makes of the degraded patches, in place of the
    photographs: a released model, or the model/ of a run, that is better than the one
    to train, for the same task, factor, channels and levels (see docs/training.md)."""

    data: tuple[str, ...] = ()
    """Published sets, folders, TensorFlow Datasets names, or sample."""

    shrink: Annotated[
        tuple[float, ...] | None,
        _by_task(
            "Factors, at most 1: patches come from copies of the photographs made "
            "smaller by each of them. Smaller ones are sharper.",
            lambda of: of.shrink,
        ),
    ] = None

    streaks: str | None = None
    """Streak masks for rain: a name or a folder. Default: streaks."""

    shuffle_channels: bool = False
    """Give each patch the channels of its photograph in a random order: colors that
    photographs do not have. For RGB."""

    data_root: Path | None = None
    """Folder of the published sets. Default: $XUNIT_KERAS_DATA, or data."""

    validation: Annotated[
        str | None,
        _by_task(
            "Test set to score while training; or sample.", lambda of: of.validation
        ),
    ] = None

    validation_images: int = 12
    """How many of its images to score."""

    steps: Annotated[int | None, _by_task("Batches in all.", lambda of: of.steps)] = (
        None
    )

    batch_size: Annotated[
        int | None, _by_task("Patches in a batch.", lambda of: of.batch_size)
    ] = None

    patch_size: Annotated[
        int | None, _by_task("Side of a clean patch.", lambda of: of.patch_size)
    ] = None

    optimizer: Literal["muon", "adam"] = "muon"
    """Muon makes the steps of a convolution's kernel orthogonal and learns several
    times faster (see docs/training.md); all else then learns with Adam, the last
    convolution too, at a tenth of the learning rate."""

    loss: Annotated[
        Loss | None,
        _by_task(
            "What is made small: the mean squared error, which PSNR is made of, or "
            "the mean absolute one.",
            lambda of: of.loss,
        ),
    ] = None

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
    """Train with the statistics of the normalizations fixed: for the end of a training,
    where those of small batches are noise. They are estimated at the start, unless the
    weights fit those that they came with better. Needs --init."""

    residual: bool = True
    """Super resolution: predict only what the interpolation lost."""

    precision: Precision = "float32"
    """Keras dtype policy of the training; the trained model is in float32."""

    every: int | None = None
    """Batches between validations and checkpoints; steps are rounded up to whole
    rounds. Default: a twentieth of all, at least 50."""

    seed: int = 0
    """Seed of the weights, the patches and the noise."""

    out: Path | None = None
    """Folder of the run. Default: runs/<task>-<model>-<x3, s25 or rain>."""

    @property
    def target(self) -> Task:
        """The task with its settings.

        Raises:
            ValueError: There is no such task, or it has no such settings.
        """
        return tasks.create(self.task, **_settings(self))

    @property
    def arguments(self) -> dict[str, Any]:
        """What the builder of the network is given.

        Raises:
            ValueError: There is no such network, it is for another task, or it has no
                such arguments.
        """
        named = self.target.training.model if self.model is None else self.model
        network = registry.find(named)
        # Its default says something of those networks only that leave it open.
        says_residual = "residual" in network.arguments or not self.residual
        return network.suited(
            self.target,
            depth=self.depth,
            filters=self.filters,
            kernel_size=self.kernel_size,
            skips=self.skips or None,
            residual=self.residual if says_residual else None,
        )


class Resolved(Config):
    """A configuration in which nothing is left open that every training needs."""

    model: str
    shrink: tuple[float, ...]
    validation: str
    steps: int
    batch_size: int
    patch_size: int
    loss: str
    learning_rate: float
    every: int
    out: Path


def _settings(config: Config) -> dict[str, Any]:
    """What a configuration says of its task, by the names that tasks have for it."""
    # A task's own seed is that of its test images, which are always the same.
    known = {name for task in TASKS.values() for name in task.settings()} - {"seed"}
    return {name: value for name, value in vars(config).items() if name in known}


def resolve(config: Config) -> Resolved:
    """Fills in what was left to the task, and checks the rest.

    Raises:
        ValueError: An argument is out of range, or the task or the network has no such
            argument.
    """
    target = config.target
    given = {name: value for name, value in vars(config).items() if value is not None}
    if not config.data:
        del given["data"]
    filled = {**_defaults(config, target), **given}
    for name in _settings(config):
        if name in target.settings():
            filled[name] = getattr(target, name)
    steps = filled["steps"]
    filled.setdefault("every", max(1, min(steps, max(steps // 20, 50))))
    # Whole rounds, so that the checkpoint after the last one is the end.
    filled["steps"] = -(-steps // max(filled["every"], 1)) * filled["every"]
    filled["patch_size"] -= filled["patch_size"] % target.scale
    run = f"{config.task}-{filled['model']}-{target.label}"
    filled.setdefault("out", Path("runs") / run)
    resolved = Resolved(**filled)
    _check(resolved)
    return resolved


def _defaults(config: Config, target: Task) -> dict[str, Any]:
    """What the task trains where nothing else is said, of what is there to train on."""
    training = target.training
    defaults = {
        field.name: getattr(training, field.name)
        for field in dataclasses.fields(training)
    }
    if config.optimizer not in LEARNING_RATES:
        raise ValueError(
            f"`optimizer` must be {' or '.join(LEARNING_RATES)}. Received: "
            f"optimizer={config.optimizer!r}"
        )
    defaults["learning_rate"] = LEARNING_RATES[config.optimizer]
    root = config.data_root
    absent = [name for name in training.data if not datasets.is_present(name, root)]
    if absent:
        defaults["data"] = (datasets.SAMPLE,)
        if not config.data:
            print(
                f"No {', '.join(absent)} in {datasets.data_root(root)}: training on "
                "the sample photographs. See --data and --data-root."
            )
    if not datasets.is_present(training.validation, root):
        defaults["validation"] = datasets.SAMPLE
    if target.needs_overlays:
        present = datasets.is_present(_STREAKS, root)
        defaults["streaks"] = _STREAKS if present else datasets.SAMPLE
    return defaults


def _check(config: Resolved) -> None:
    for name in _COUNTS:
        value = getattr(config, name)
        if value is not None and value < 1:
            raise ValueError(f"`{name}` must be positive. Received: {name}={value}")
    for name, valid, range_ in (
        ("learning_rate", 0 < config.learning_rate < math.inf, "a number above 0"),
        ("average", 0 <= config.average < 1, "at least 0 and below 1"),
        ("warmup", config.warmup >= 0, "at least 0"),
        ("seed", 0 <= config.seed < _SEEDS, f"in 0..{_SEEDS - 1}"),
        (
            "shrink",
            bool(config.shrink) and all(0.01 <= f <= 1 for f in config.shrink),
            "one or more factors of at least 0.01 and at most 1",
        ),
    ):
        if not valid:
            raise ValueError(
                f"`{name}` must be {range_}. Received: {name}={getattr(config, name)}"
            )
    if config.loss not in get_args(Loss):
        raise ValueError(
            f"`loss` must be {' or '.join(get_args(Loss))}. "
            f"Received: loss={config.loss!r}"
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
    target = config.target
    if config.streaks is not None and not target.needs_overlays:
        raise ValueError(
            f"{config.task!r} lays no masks over photographs. "
            f"Received: streaks={config.streaks!r}"
        )
    if config.shuffle_channels and target.photograph_channels != 3:
        raise ValueError(
            "`shuffle_channels` needs photographs of 3 channels: give --channels 3. "
            f"Received: channels={config.channels}"
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
    _ = config.arguments  # The network must have them.


def as_json(config: Config) -> dict[str, Any]:
    """A configuration as JSON holds it."""
    return json.loads(json.dumps(dataclasses.asdict(config), default=str))
