"""How `XUnit` should start: equal trainings that differ in the first weights alone.

    python benchmarks/initialization.py --task sr --steps 400
    python benchmarks/initialization.py --task denoise --steps 300 --batch-size 32

Prints a line for each start: the validation PSNR along the way, with the moving
average of the weights. Runs lie in runs/initialization and are not repeated.
"""

import csv
import dataclasses
import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # As the package, before Keras.

import keras
import tyro

from pipelines import train
from xunit_keras.layers import CentreImpulse, XUnit, ZeroMeanHeNormal

# Initializers of the depthwise kernels, of the gates' scales and of the first
# convolution. Only the residual networks of super resolution gain from the last.
STARTS = {
    "paper": ("glorot_uniform", 1.0, "he_normal"),
    "paper, zero-mean first convolution": ("glorot_uniform", 1.0, ZeroMeanHeNormal),
    "paper, gate 0.5": ("glorot_uniform", 0.5, "he_normal"),
    "impulse, gate 1": (CentreImpulse, 1.0, "he_normal"),
    "impulse, gate 0.5": (CentreImpulse, 0.5, "he_normal"),
    "impulse, gate 0.5, zero-mean first convolution": (
        *(CentreImpulse, 0.5),
        ZeroMeanHeNormal,
    ),
}


def started(config: train.Config, start: tuple) -> keras.Model:
    """The network of a configuration with other first weights."""
    depthwise, gate, first = (
        part() if isinstance(part, type) else part for part in start
    )
    model = train.network(config)
    units = [layer for layer in model.layers if isinstance(layer, XUnit)]
    kernels = [unit.depthwise.kernel for unit in units]
    for kernel in kernels:
        kernel.assign(keras.initializers.get(depthwise)(kernel.shape))
    for unit in units:
        unit.gate_norm.gamma.assign(keras.ops.full_like(unit.gate_norm.gamma, gate))
    kernel = model.get_layer("conv_1").kernel
    kernel.assign(keras.initializers.get(first)(kernel.shape))
    return model


def main() -> None:
    """Trains from every start and prints the table."""

    @dataclasses.dataclass(frozen=True)
    class Command:
        config: tyro.conf.OmitArgPrefixes[train.Config]
        starts: tuple[str, ...] = tuple(STARTS)
        """Which starts to compare."""

    command = tyro.cli(Command, description=__doc__)
    rows = {}
    try:
        unknown = [name for name in command.starts if name not in STARTS]
        if unknown:
            raise ValueError(
                f"`starts` must be of {'; '.join(STARTS)}. "
                f"Received: {'; '.join(unknown)}"
            )
        for name in command.starts:
            config = train.resolve(command.config)
            folder = f"{config.out.name}-{config.steps}-{name.replace(' ', '-')}"
            out = Path("runs/initialization") / folder.replace(",", "")
            config = dataclasses.replace(config, out=out)
            train.train(
                config, resume=True, builder=lambda c, n=name: started(c, STARTS[n])
            )
            with (out / "log.csv").open(newline="") as log:
                rows[name] = list(csv.DictReader(log))
    except (ValueError, train.DivergenceError) as error:
        sys.exit(f"initialization.py: {error}")
    steps = [row["step"] for row in next(iter(rows.values()))]
    shown = steps[len(steps) // 4 - 1 :: max(len(steps) // 4, 1)]
    print("| start | " + " | ".join(f"{step} steps" for step in shown) + " |")
    print("|---|" + "---|" * len(shown))
    for name, lines in rows.items():
        psnr = {line["step"]: float(line["val_psnr"]) for line in lines}
        print(f"| {name} | " + " | ".join(f"{psnr[s]:.2f}" for s in shown) + " |")


if __name__ == "__main__":
    main()
