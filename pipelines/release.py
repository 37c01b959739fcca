"""Releases a trained model: scores it and puts it into the zoo with its card.

    python pipelines/release.py --run runs/sr-xsrcnn_f-x3 --name xsrcnn-f-x3

It is scored on the test sets of its task, and on the sample photographs, on which
every later change of the package must reach the same score.
"""

import os
import sys
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # As the package, before Keras.

import tyro

from pipelines import datasets, evaluate
from xunit_keras import count_parameters, zoo

ZOO = Path(__file__).resolve().parent.parent / "saved_models"
_TEST_SETS = {
    ("denoise", 1): ("bsd68",),
    ("denoise", 3): ("cbsd68",),
    ("derain", 3): ("rain12",),
    ("sr", 1): ("set5", "set14", "bsd100"),
}


@dataclass(frozen=True)
class Config:
    """What to release, under what name, and on what to score it."""

    run: Path
    """Folder of a finished training."""

    name: str
    """Name in the zoo."""

    data: tuple[str, ...] = ()
    """Test sets to score. By task and channels: bsd68, cbsd68; rain12; or set5,
    set14 and bsd100."""

    sigma: tuple[float, ...] = ()
    """Noise levels to score. Default: the one of the training."""

    data_root: Path | None = None
    """Folder of the published sets. Default: $XUNIT_KERAS_DATA, or data."""


def release(config: Config) -> None:
    """Scores a trained model and writes it into the zoo.

    Raises:
        ValueError: The run has no finished model, or a test set is missing.
    """
    folder = config.run / "model"
    model = zoo.load(folder)
    card = zoo.card(folder)
    card["parameters"] = count_parameters(model).total
    card["scores"] = []
    for sigma in config.sigma or (None,):
        score = evaluate.Config(str(folder), (), sigma=sigma)
        protocol = evaluate.find_protocol(score, model)
        test_sets = config.data or _TEST_SETS[protocol.task, protocol.channels]
        for data in (*test_sets, datasets.SAMPLE):
            rows = evaluate.evaluate(model, data, protocol, config.data_root)
            evaluate.print_table(data, protocol, rows)
            card["scores"].append(
                {
                    "data": data,
                    "protocol": str(protocol),
                    **({"sigma": protocol.sigma} if protocol.task == "denoise" else {}),
                    "images": len(rows),
                    **{k: round(v, 4) for k, v in evaluate.means(rows).items()},
                }
            )
    zoo.save(model, ZOO / config.name, card)
    print(f"Released {config.name} in {ZOO / config.name}.")


def main() -> None:
    """Reads the command line and releases."""
    try:
        release(tyro.cli(Config, description=__doc__))
    except ValueError as error:
        sys.exit(f"release.py: {error}")


if __name__ == "__main__":
    main()
