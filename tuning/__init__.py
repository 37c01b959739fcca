"""The search for the best split of a parameter budget."""

from pipelines import program  # noqa: F401  (before Keras, which KerasTuner imports)
from xunit_keras.packages import require

require("keras_tuner", "tune")
