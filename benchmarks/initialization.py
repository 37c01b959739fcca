"""How `XUnit` should start: equal trainings that differ in the first weights alone.

    python benchmarks/initialization.py --task sr --steps 400
    python benchmarks/initialization.py --task denoise --steps 300 --batch-size 32

Prints a line for each start: the validation PSNR along the way, with the moving
average of the weights. Runs lie in runs/initialization and are not repeated.
"""

import dataclasses
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from pipelines import program

# isort: split
import keras
import tyro

from pipelines import building, history, train
from pipelines.building import Blueprint
from pipelines.configuration import Config, Resolved, resolve
from xunit_keras.layers import CenterImpulse, XUnit, ZeroMeanHeNormal

# Initializers of the depthwise kernels, of the gates' scales and of the first
# convolution. Only the residual networks of super resolution gain from the last.
STARTS = {
    "paper": ("glorot_uniform", 1.0, "he_normal"),
    "paper, zero-mean first convolution": ("glorot_uniform", 1.0, ZeroMeanHeNormal),
    "paper, gate 0.5": ("glorot_uniform", 0.5, "he_normal"),
    "impulse, gate 1": (CenterImpulse, 1.0, "he_normal"),
    "impulse, gate 0.5": (CenterImpulse, 0.5, "he_normal"),
    "impulse, gate 0.5, zero-mean first convolution": (
        *(CenterImpulse, 0.5),
        ZeroMeanHeNormal,
    ),
}


def started(config: Resolved, start: tuple[Any, ...]) -> Blueprint:
    """The network of a configuration with other first weights."""
    network = building.blueprint(config)
    return dataclasses.replace(network, build=lambda: _started(network.build(), start))


def _started(model, start) -> keras.Model:
    depthwise, gate, first = (
        part() if isinstance(part, type) else part for part in start
    )
    units = [layer for layer in model.layers if isinstance(layer, XUnit)]
    kernels = [unit.depthwise.kernel for unit in units]
    for kernel in kernels:
        kernel.assign(keras.initializers.get(depthwise)(kernel.shape))
    for unit in units:
        unit.gate_norm.gamma.assign(keras.ops.full_like(unit.gate_norm.gamma, gate))
    kernel = model.get_layer("conv_1").kernel
    kernel.assign(keras.initializers.get(first)(kernel.shape))
    return model


@dataclasses.dataclass(frozen=True)
class Command:
    """What the command line says."""

    config: tyro.conf.OmitArgPrefixes[Config]
    starts: tuple[str, ...] = tuple(STARTS)
    """Which starts to compare."""


def main() -> None:
    """Trains from every start and prints the table."""
    command = tyro.cli(Command, description=__doc__)
    unknown = [name for name in command.starts if name not in STARTS]
    if unknown:
        raise ValueError(
            f"`starts` must be of {'; '.join(STARTS)}. Received: {'; '.join(unknown)}"
        )
    config, rows = resolve(command.config), {}
    for name in command.starts:
        folder = f"{config.out.name}-{config.steps}-{name.replace(' ', '-')}"
        out = Path("runs/initialization") / folder.replace(",", "")
        run = dataclasses.replace(config, out=out)
        train.train(run, resume=True, network=started(run, STARTS[name]))
        rows[name] = history.read(out / "log.csv")
    steps = [row["step"] for row in next(iter(rows.values()))]
    shown = steps[len(steps) // 4 - 1 :: max(len(steps) // 4, 1)]
    print("| start | " + " | ".join(f"{step} steps" for step in shown) + " |")
    print("|---|" + "---|" * len(shown))
    for name, lines in rows.items():
        psnr = {line["step"]: float(line["val_psnr"]) for line in lines}
        print(f"| {name} | " + " | ".join(f"{psnr[s]:.2f}" for s in shown) + " |")


if __name__ == "__main__":
    program.run(main, "initialization.py")
