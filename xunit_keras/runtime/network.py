"""A network that is ready to run on images."""

from dataclasses import dataclass

from xunit_keras.runtime.engines.base import Runner
from xunit_keras.runtime.tiles import ReceptiveField


@dataclass(frozen=True, eq=False)
class Network:
    """A network on an engine, and what is to be known of it to run it on tiles.

    Attributes:
        name: For messages.
        run: `(batch, height, width, channels)` float32 to the restored array.
        channels: Of its images, 1 or 3.
        field: Its scale, and how far an output pixel looks.
    """

    name: str
    run: Runner
    channels: int
    field: ReceptiveField
