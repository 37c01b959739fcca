"""Classes that were renamed, and that saved models know by their first name."""

from collections.abc import Callable

import keras


def saved_as(name: str) -> Callable[[type], type]:
    """Registers a class with Keras under an older name.

    Files hold the name of a class twice: in the configuration, and in the paths of the
    weights, which Keras makes of `__name__`. So that is kept as well.

    Args:
        name: What the class is called in files.
    """

    def register(cls: type) -> type:
        cls.__name__ = name
        return keras.saving.register_keras_serializable("xunit_keras", name)(cls)

    return register
