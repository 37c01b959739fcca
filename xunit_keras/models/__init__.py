"""The networks of the paper and their ReLU counterparts, one file each."""

from xunit_keras.discovery import modules
from xunit_keras.models.registry import NETWORKS, Network, find

modules(__name__, __path__)
globals().update({name: network.build for name, network in NETWORKS.items()})

# Type checkers find the networks in their files.
__all__ = ["NETWORKS", "Network", "find", *NETWORKS]  # pyright: ignore
