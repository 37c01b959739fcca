"""The networks of the paper and their ReLU counterparts, one file each."""

from pathlib import Path

from xunit_keras.models.registry import NETWORKS, Network, find, import_all

import_all(__name__, Path(__file__).parent)
globals().update({name: network.build for name, network in NETWORKS.items()})

# Type checkers find the networks in their files.
__all__ = ["NETWORKS", "Network", "find", *NETWORKS]  # pyright: ignore
