"""Networks that learn what another one makes of an image (knowledge distillation).

What a degradation has taken away cannot be known, so photographs are noisy targets.
What a better network makes of the degraded patch is near the mean of all photographs
that it may come from, which is all there is to learn, and has little of that noise.
"""

import keras

from pipelines import distribution
from xunit_keras import zoo
from xunit_keras.graphs.image_model import image_channel_axis, scale_on
from xunit_keras.runtime.models import find_card
from xunit_keras.tasks import Task

# Height and width of the image that tells by what factor a network enlarges.
_PROBE = (24, 36)


def taught(model: keras.Model, source: str, task: Task) -> keras.Model:
    """A network that `fit` teaches what another one makes of the degraded images.

    Args:
        model: A functional network.
        source: The other one, see `xunit_keras.load`.
        task: What both are for.

    Returns:
        The network, with the same layers and weights, and no others. The targets that
        it is trained on are of no account.

    Raises:
        ValueError: There is no such source, it is damaged, or it is for another task,
            factor or number of channels.
    """
    # Its weights do not change: every process has them for itself.
    with distribution.alone():
        teacher = zoo.load(source)
    teacher.trainable = False
    _check(teacher, source, task)

    class Student(keras.Model):
        def compute_loss(self, x, y, y_pred, sample_weight=None, training=True):
            y = teacher(x, training=False)
            return super().compute_loss(x, y, y_pred, sample_weight, training)

    return Student(model.input, model.output, name=model.name)


def _check(teacher: keras.Model, source: str, task: Task) -> None:
    card = find_card(source)
    channels = teacher.input_shape[image_channel_axis(teacher)]
    for what, given, wanted in (
        ("task", task.name if card is None else card.task, task.name),
        ("number of channels", channels, task.channels),
        ("scale", scale_on(teacher, *_PROBE), task.scale),
    ):
        if given != wanted:
            raise ValueError(
                f"The teacher must have the {what} of the training, {wanted!r}. "
                f"Received: teacher={source!r}, of {given!r}"
            )
