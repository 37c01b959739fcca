"""The space of the search: networks of one size, split differently.

A network here is a row of convolutions, each but the last followed by an `XUnit` or
by batch normalization and ReLU: the paper's xNet and ConvNet with any kernels. Its
filters are not free. They are what the budget leaves after kernels, depth and
activations have been chosen, so that all networks of a search have the same number
of parameters.
"""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import Any, Literal

import keras
import keras_tuner

from pipelines import building
from pipelines.building import Blueprint
from pipelines.configuration import Resolved
from tuning.budget import count_chain, equal_filters, filters_for_budget
from xunit_keras.graphs.counting import ParameterCount
from xunit_keras.layers import BicubicUpsampling, XUnit, ZeroMeanHeNormal
from xunit_keras.layers.xunit import FORMS
from xunit_keras.models.building import (
    Start,
    add_to_image,
    conv,
    finish,
    image_dtype,
    image_input,
    norm,
    small_start,
    super_resolution_start,
)

TOLERANCE = 0.02


@dataclass(frozen=True)
class Architecture:
    """A row of convolutions and activations.

    Attributes:
        kernels: Sides of the convolutions' kernels, first to last.
        filters: Filters of all convolutions but the last.
        xunit_kernel: Side of the activations' depthwise kernels; None for batch
            normalization and ReLU.
        channels: Channels of the image.
        scale: Factor of the super resolution, 1 for the other tasks.
        residual: The last convolution predicts what to add to the (enlarged) image,
            and not the image itself.
        upsampling: Where super resolution enlarges: `"pre"` the image, bicubically,
            before all convolutions, as in `xsrcnn_f`; `"post"` what the last of them
            gives, by a pixel shuffle, as in `xespcn`.
        xunit_form: See `XUnit`.
    """

    kernels: tuple[int, ...]
    filters: tuple[int, ...]
    xunit_kernel: int | None = None
    channels: int = 1
    scale: int = 1
    residual: bool = True
    upsampling: Literal["pre", "post"] = "pre"
    xunit_form: str = "standard"

    @property
    def outputs(self) -> int:
        """Filters of the last convolution."""
        return self.channels * (self.scale**2 if self.upsampling == "post" else 1)

    @property
    def parameters(self) -> ParameterCount:
        """What `count_parameters` gives for the model."""
        return count_chain(
            self.kernels,
            self.filters,
            self.channels,
            self.xunit_kernel,
            self.xunit_form,
            self.outputs,
        )

    @property
    def activation(self) -> str:
        """`"ReLU"`, or XUnit with its kernel and its form."""
        kernel = self.xunit_kernel
        if kernel is None:
            return "ReLU"
        form = "" if self.xunit_form == "standard" else f"{self.xunit_form} "
        return f"{form}XUnit {kernel}x{kernel}"

    def __str__(self) -> str:
        count = self.parameters
        text = (
            f"{count.total:,} parameters, {count.activation_share:.1%} in the "
            f"activations: {len(self.kernels)} convolutions with kernels "
            f"{'-'.join(map(str, self.kernels))}, filters "
            f"{'-'.join(map(str, self.filters))}, {self.activation}"
        )
        if self.upsampling == "post":
            text += ", enlarged last"
        return text if self.residual else text + ", not residual"

    @property
    def blueprint(self) -> Blueprint:
        """What a training takes."""
        return Blueprint("searched", dataclasses.asdict(self), self.build)

    def build(self, name: str = "searched") -> keras.Model:
        """The model: `(batch, height, width, channels)`, values in [0, 1].

        It starts as the networks of the package for the same task do.
        """
        inputs = x = image = image_input(self.channels)
        start = Start(last=small_start() if self.residual else "he_normal")
        if self.scale > 1:
            image = BicubicUpsampling(self.scale, dtype=image_dtype(), name="bicubic")(
                inputs
            )
            if self.upsampling == "pre":
                x = image
                start = super_resolution_start(self.residual)
            elif self.residual:
                start = start._replace(first=ZeroMeanHeNormal())
        units: dict[str, Any] = {**start.xunit, "form": self.xunit_form}
        *hidden, last = self.kernels
        for i, (filters, kernel) in enumerate(
            zip(self.filters, hidden, strict=True), start=1
        ):
            initializer = start.first if i == 1 else "he_normal"
            x = conv(filters, kernel, f"conv_{i}", initializer)(x)
            if self.xunit_kernel is None:
                x = norm(f"norm_{i}")(x)
                x = keras.layers.ReLU(name=f"relu_{i}")(x)
            else:
                x = XUnit(self.xunit_kernel, name=f"xunit_{i}", **units)(x)
        outputs = conv(
            self.outputs,
            last,
            f"conv_{len(self.kernels)}",
            start.last,
            dtype=image_dtype(),
        )(x)
        if self.upsampling == "post":
            data_format = keras.config.image_data_format()
            outputs = keras.ops.depth_to_space(outputs, self.scale, data_format)
        if self.residual:
            outputs = add_to_image(image, outputs)
        return finish(inputs, outputs, name, weights=None)


@dataclass(frozen=True)
class Space:
    """What a search chooses from; one value fixes a choice."""

    budget: tuple[int, ...]
    """Parameters of every network, or several numbers to choose from."""

    depths: tuple[int, ...] = (3, 4, 5, 6, 8)
    """Numbers of convolutions."""

    first_kernels: tuple[int, ...] = (3, 5)
    """Sides of the first convolution's kernel."""

    middle_kernels: tuple[int, ...] = (3,)
    """Sides of the kernels of the convolutions between first and last."""

    last_kernels: tuple[int, ...] = (3, 5)
    """Sides of the last convolution's kernel."""

    activations: tuple[int, ...] = (0, 1, 3, 5, 7, 9, 11)
    """Sides of the kernels of XUnit; 0 is ReLU, which has no parameters."""

    forms: tuple[str, ...] = ("standard",)
    """Forms of XUnit: standard, dense or slim."""

    filter_multiple: int | None = None
    """Give all convolutions the same filters, a multiple of this, as many as the budget
    allows; networks that leave more than a fifth of it are left out. Engines keep
    channels in blocks of 8 or 16. Default: any filters that meet the budget."""

    learning_rates: tuple[float, ...] = ()
    """Learning rates to choose from, where --learning-rate is to be searched too."""

    tune_residual: bool = False
    """Search, too, whether the network predicts the image or what to add to it."""

    upsampling: tuple[Literal["pre", "post"], ...] = ("pre",)
    """Where super resolution enlarges: pre, bicubically before the network, or post,
    by a pixel shuffle after it."""

    def __post_init__(self):
        for name in ("budget", "depths", "first_kernels", "middle_kernels"):
            self._check(name, lowest=1 if name != "depths" else 2)
        self._check("last_kernels", lowest=1)
        if not self.upsampling:
            raise ValueError("`upsampling` must be pre, post or both. Received: ()")
        self._check("activations", lowest=0)
        if self.filter_multiple is not None and self.filter_multiple < 1:
            raise ValueError(
                "`filter_multiple` must be an integer of at least 1. Received: "
                f"filter_multiple={self.filter_multiple}"
            )
        if not self.forms or set(self.forms) - set(FORMS):
            raise ValueError(
                f"`forms` must be of {', '.join(FORMS)}. Received: forms={self.forms}"
            )
        if any(kernel and kernel % 2 == 0 for kernel in self.activations):
            raise ValueError(
                "`activations` must be odd, or 0 for ReLU. "
                f"Received: activations={self.activations}"
            )

    def _check(self, name, lowest):
        values = getattr(self, name)
        if not values or min(values) < lowest:
            raise ValueError(
                f"`{name}` must be integers of at least {lowest}. "
                f"Received: {name}={values}"
            )

    def choices(self) -> dict[str, tuple]:
        """The values of every hyperparameter, by name."""
        choices: dict[str, tuple] = {
            "budget": self.budget,
            "depth": self.depths,
            "first_kernel": self.first_kernels,
            "middle_kernel": self.middle_kernels,
            "last_kernel": self.last_kernels,
            "activation": self.activations,
        }
        if self.forms != ("standard",):
            choices["form"] = self.forms
        if self.learning_rates:
            choices["learning_rate"] = self.learning_rates
        if self.tune_residual:
            choices["residual"] = (True, False)
        if self.upsampling != ("pre",):
            choices["upsampling"] = self.upsampling
        return choices

    def combinations(self) -> list[dict]:
        """All combinations, feasible or not."""
        choices = self.choices()
        return [
            dict(zip(choices, values, strict=True))
            for values in product(*choices.values())
        ]


class BudgetHyperModel(keras_tuner.HyperModel):
    """Networks with the parameters of a budget, to be searched with KerasTuner.

    Args:
        space: What to choose from.
        config: How to train; gives task, channels and scale, and what the space
            leaves open.
        accepts: Whether a network that meets the budget is to be tried.

    Example:
    >>> hypermodel = BudgetHyperModel(Space((30_000,)), config)
    >>> model = hypermodel.build(keras_tuner.HyperParameters())
    """

    def __init__(
        self,
        space: Space,
        config: Resolved,
        accepts: Callable[[Architecture], bool] = lambda architecture: True,
    ):
        super().__init__(name="budget")
        self.space = space
        self.config = config
        self.accepts = accepts

    def declare_hyperparameters(self, hp: keras_tuner.HyperParameters) -> None:
        """Registers all choices of the space."""
        for name, values in self.space.choices().items():
            hp.Choice(name, list(values))

    def architecture(self, values: dict) -> Architecture:
        """The network of some values of the hyperparameters.

        Raises:
            ValueError: They cannot meet the budget.
        """
        task, depth = self.config.target, values["depth"]
        upsampling = values.get("upsampling", self.space.upsampling[0])
        kernels = (
            values["first_kernel"],
            *[values["middle_kernel"]] * (depth - 2),
            values["last_kernel"],
        )
        network = Architecture(
            kernels,
            (1,) * (depth - 1),
            values["activation"] or None,
            task.channels,
            task.scale,
            bool(values.get("residual", self.config.residual)),
            upsampling,
            values.get("form", self.space.forms[0]),
        )
        given: dict[str, Any] = {
            "budget": values["budget"],
            "kernels": kernels,
            "channels": task.channels,
            "xunit_kernel": network.xunit_kernel,
            "xunit_form": network.xunit_form,
            "outputs": network.outputs,
        }
        if self.space.filter_multiple is None:
            filters = filters_for_budget(tolerance=TOLERANCE, **given)
        else:
            filters = equal_filters(multiple=self.space.filter_multiple, **given)
        return dataclasses.replace(network, filters=filters)

    def is_feasible(self, values: dict) -> bool:
        """Whether some number of filters meets the budget, and the network is taken."""
        try:
            return self.accepts(self.architecture(values))
        except ValueError:
            return False

    def training(self, values: dict) -> Resolved:
        """How the network of some values is trained."""
        rate = values.get("learning_rate", self.config.learning_rate)
        # Between machines, KerasTuner sends 32-bit numbers.
        return dataclasses.replace(self.config, learning_rate=float(f"{rate:.6g}"))

    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        """The compiled network of a trial.

        Raises:
            keras_tuner.errors.FailedTrialError: The trial cannot meet the budget.
        """
        self.declare_hyperparameters(hp)
        try:
            architecture = self.architecture(hp.values)
        except ValueError as error:
            raise keras_tuner.errors.FailedTrialError(str(error)) from error
        return building.compiled(self.training(hp.values), architecture.blueprint)
