"""Networks that learn what another one makes of an image (knowledge distillation).

What a degradation has taken away cannot be known, so photographs are noisy targets.
What a better network makes of the degraded patch is near the mean of all photographs
that it may come from, which is all there is to learn, and has little of that noise.
Better than a network is its mean over the eight orientations of an image: the teacher
sees each patch in one of them, and the student learns the mean.
"""

import keras
from keras import ops

from pipelines import distribution
from xunit_keras import zoo
from xunit_keras.graphs.image_model import image_channel_axis, scale_on
from xunit_keras.runtime.models import find_card
from xunit_keras.tasks import Task

# Height and width of the image that tells by what factor a network enlarges.
_PROBE = (24, 36)

# Together they make the eight orientations of a square. Rain falls: it is mirrored left
# to right, and not turned over.
_REFLECTIONS = (
    lambda patches: ops.flip(patches, 2),
    lambda patches: ops.flip(patches, 1),
    lambda patches: ops.swapaxes(patches, 1, 2),
)
_OF_RAIN = _REFLECTIONS[:1]


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
            factor, number of channels, or level of noise or JPEG.
    """
    # Its weights do not change: every process has them for itself.
    with distribution.alone():
        teacher = zoo.load(source)
    teacher.trainable = False
    _check(teacher, source, task)
    reflections = _OF_RAIN if task.needs_overlays else _REFLECTIONS

    class Student(keras.Model):
        def compute_loss(self, x, y, y_pred, sample_weight=None, training=True):
            seen = teacher(_reflected(x, reflections), training=False)
            y = _reflected(seen, reflections, back=True)
            return super().compute_loss(x, y, y_pred, sample_weight, training)

    return Student(model.input, model.output, name=model.name)


def _reflected(patches, reflections, back=False):
    """Square patches, each by the reflections that its place in the batch says."""
    places = ops.arange(ops.shape(patches)[0])
    steps = list(enumerate(reflections))
    for bit, reflect in reversed(steps) if back else steps:
        chosen = ops.reshape(places // 2**bit % 2 == 1, (-1, 1, 1, 1))
        patches = ops.where(chosen, reflect(patches), patches)
    return patches


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
    for name in task.settings():
        known, asked = getattr(card, name, None), getattr(task, name)
        if not known or not isinstance(asked, tuple):
            continue
        if min(asked) < min(known) or max(asked) > max(known):
            raise ValueError(
                f"The teacher must know every `{name}` of the training, {asked}. "
                f"Received: teacher={source!r}, of {known}"
            )
