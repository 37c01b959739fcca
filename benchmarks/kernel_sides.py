"""What the sides of the depthwise kernels of `XUnit` bring, and what they cost.

    python benchmarks/kernel_sides.py --task denoise --sigma 25 --steps 600

Trains networks that differ in these sides alone, with several seeds, and prints a line
for each: the validation PSNR of every seed at the end, with the moving average of the
weights, and the time on the engines, all in one run. Trainings lie in runs/kernel-sides
and are not repeated.
"""

import dataclasses
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from pipelines import program

# isort: split
import keras
import tyro

from pipelines import building, history, train
from pipelines.building import Blueprint
from pipelines.configuration import Config, Resolved, resolve
from xunit_keras import benchmark
from xunit_keras.graphs.counting import count_parameters
from xunit_keras.layers import XUnit
from xunit_keras.runtime.engines import EngineName

DEFAULT_SIDES = ("9", "7", "5", "9-9-9-9-5-5-5-5", "5-5-5-5-9-9-9-9")


@dataclasses.dataclass(frozen=True)
class Command:
    """What the command line says."""

    config: tyro.conf.OmitArgPrefixes[Config]

    sides: tuple[str, ...] = DEFAULT_SIDES
    """Sides to compare: one for all activations, or one for each from the first to the
    last, with hyphens between."""

    seeds: int = 2
    """Trainings of each, with the seeds from --seed on."""

    engines: tuple[EngineName, ...] = benchmark.DEFAULT_ENGINES
    """What the networks are timed on."""

    size: int = 256
    """Side of the image that is timed, in pixels of the input."""

    rounds: int = 10
    """How often each network is timed."""


def sided(network: Blueprint, sides: str) -> Blueprint:
    """A network whose activations have kernels of other sides."""
    return dataclasses.replace(network, build=lambda: _sided(network.build(), sides))


def _sided(model: keras.Model, text: str) -> keras.Model:
    units = [layer.name for layer in model.layers if isinstance(layer, XUnit)]
    sides = text.split("-")
    if len(sides) not in (1, len(units)) or not all(map(str.isdecimal, sides)):
        raise ValueError(
            f"`sides` must be one number, or {len(units)} with hyphens between. "
            f"Received: {text!r}"
        )
    if len(sides) == 1:
        sides *= len(units)
    by_name = dict(zip(units, map(int, sides), strict=True))

    def clone(layer):
        config = layer.get_config()
        if layer.name in by_name:
            config["kernel_size"] = by_name[layer.name]
        return layer.from_config(config)

    return keras.models.clone_model(model, clone_function=clone)


def trained(config: Resolved, sides: str, seed: int) -> tuple[Path, float]:
    """The folder of the trained network, and its PSNR in dB."""
    out = Path("runs/kernel-sides")
    out /= f"{config.out.name}-{config.steps}-{sides}-seed{seed}"
    run = dataclasses.replace(config, seed=seed, out=out)
    train.train(run, resume=True, network=sided(building.blueprint(run), sides))
    return out / "model", float(history.read(out / "log.csv")[-1]["val_psnr"])


def main() -> None:
    """Trains the networks, times them and prints the table."""
    command = tyro.cli(Command, description=__doc__)
    config = resolve(command.config)
    parameters = {
        sides: count_parameters(sided(building.blueprint(config), sides).build()).total
        for sides in command.sides
    }
    seeds = range(config.seed, config.seed + command.seeds)
    runs = {
        sides: [trained(config, sides, seed) for seed in seeds]
        for sides in command.sides
    }
    networks = {sides: str(runs[sides][0][0]) for sides in runs}
    measured = benchmark.benchmark(
        list(networks.values()),
        command.engines,
        command.size,
        rounds=command.rounds,
        progress=print,
    )
    headings = (
        *("sides", "parameters"),
        *(f"seed {seed}" for seed in seeds),
        *(f"{engine}, ms/MP (to twin)" for engine in command.engines),
    )
    print(f"| {' | '.join(headings)} |")
    print("|---" * len(headings) + "|")
    for sides, name in networks.items():
        cells = [sides, f"{parameters[sides]:,}"]
        cells += [f"{psnr:.2f}" for _, psnr in runs[sides]]
        cells += [
            f"{found.ms_per_megapixel:.0f} ({found.ratio_to_twin:.2f})"
            for found in measured
            if found.model == name
        ]
        print(f"| {' | '.join(cells)} |")


if __name__ == "__main__":
    program.run(main, "kernel_sides.py")
