"""Efficient image restoration for Keras 3, built on the `XUnit` activation.

Public names are resolved when they are first used, so that importing the package
takes no time: what needs no Keras does not wait for it. The layers, and all else that
saved models name, register themselves with Keras as soon as that is imported, before
this package or after it.
"""

import os

import lazy_loader
import wrapt

# TensorFlow turns oneDNN on by itself only on processors with VNNI or AMX; on the
# others convolutions are two to four times faster with it. It looks when it is first
# imported, so import this package before Keras. Yours wins if set.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

__version__ = "0.2.0"

# The names stand in `__init__.pyi`, where type checkers see them too.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


@wrapt.when_imported("keras")
def _register(keras) -> None:
    """Registers what saved models name, and watches for forks of this process."""
    from xunit_keras import layers, losses, metrics, optimizers  # noqa: F401
    from xunit_keras.runtime.engines import keras as engine  # noqa: F401
