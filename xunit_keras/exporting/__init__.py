"""A Keras model into files that other engines open, each verified."""

import lazy_loader

# The formats are looked at without Keras, as the command line does.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
