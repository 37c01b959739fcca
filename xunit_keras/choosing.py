"""Which released model fits an image."""

from typing import NamedTuple

import numpy as np

from xunit_keras import tasks
from xunit_keras.runtime import models
from xunit_keras.runtime.models import Card
from xunit_keras.runtime.restoring import as_float, check_image

# Where a network for one level is used, in parts of that level: beside a blind one for
# the same channels, and where there is none. Beyond, the blind one is better (measured
# on 8-bit photographs of BSD100, for color a blind one on R, G and B one by one).
_BESIDE_BLIND, _ALONE = (0.9, 1.1), (0.6, 1.35)


_LEAST_SIDE = 5  # Below, there are hardly any differences to measure noise by.


class Choice(NamedTuple):
    """A released model for an image.

    Attributes:
        model: Its name.
        reason: Why this one, for people to read.

    Example:
        >>> photograph = np.full((40, 60, 3), 0.5, np.float32)
        >>> model, reason = xunit_keras.choose_model("derain", photograph)
        >>> reason
        'for RGB images'
    """

    model: str
    reason: str


def choose_model(task: str, image: np.ndarray, scale: float | None = None) -> Choice:
    """Chooses the released model that fits an image.

    By the scale asked for, by the noise that `skimage.restoration.estimate_sigma`
    finds, by the channels of the image, and at last by the PSNR on the model's card.

    Args:
        task: One of `xunit_keras.tasks.TASKS`.
        image: See `xunit_keras.restore`.
        scale: For models that enlarge: by how much at least. None for the least.

    Raises:
        ValueError: There is no such task, or no released model that fits.

    Example:
        >>> photograph = np.full((40, 60), 0.5, np.float32)
        >>> choice = xunit_keras.choose_model("sr", photograph, scale=2.5)
        >>> xunit_keras.card(choice.model).scale
        3
    """
    image = check_image(image)
    channels = 3 if image.ndim == 3 and image.shape[2] == 3 else 1
    cards = released(task)
    reasons = []
    if any(card.scale > 1 for card in cards):
        cards, reason = _by_scale(cards, scale)
        reasons.append(reason)
    elif scale is not None:
        raise ValueError(
            f"The released models for {task!r} do not enlarge: leave out "
            f"the size. Received: scale={scale:g}"
        )
    if any(card.sigma for card in cards):
        cards, reason = _by_noise(cards, estimate_noise(image), channels)
        reasons.append(reason)
    own = [card for card in cards if card.channels == channels]
    best = max(own or cards, key=_psnr)
    return Choice(best.name, ", ".join([*reasons, _way(best, channels)]))


def released(task: str) -> list[Card]:
    """The cards of the released models for a task.

    Raises:
        ValueError: There is no such task, or no model for it.
    """
    known = tasks.get(task).name
    cards = [models.card(name) for name in models.list_models()]
    fitting = [card for card in cards if card.task == known]
    if not fitting:
        others = sorted({card.task for card in cards})
        raise ValueError(
            f"There is no released model for {known!r}: there are some for "
            f"{', '.join(others) or 'no task at all'}, and your own is given by name."
        )
    return fitting


def estimate_noise(image: np.ndarray) -> float:
    """The standard deviation of an image's noise, in levels of 0..255.

    Args:
        image: See `xunit_keras.restore`; of fewer than 5 pixels a side, 0 is given.

    Source: the median of the finest wavelet coefficients, D. L. Donoho, I. M.
    Johnstone, Ideal spatial adaptation by wavelet shrinkage, Biometrika 81, 1994.
    """
    from skimage.restoration import estimate_sigma

    if min(image.shape[:2]) < _LEAST_SIDE:
        return 0.0
    pixels = as_float(image).reshape(*image.shape[:2], -1)
    sigma = estimate_sigma(pixels, average_sigmas=True, channel_axis=-1)
    return 255.0 * float(np.mean(sigma))


def _by_scale(cards: list[Card], scale: float | None) -> tuple[list[Card], str]:
    scales = sorted({card.scale for card in cards})
    if scale is None:
        chosen, reason = scales[0], f"enlarges by {scales[0]}, as no size is asked for"
    elif scale > scales[-1]:
        raise ValueError(
            f"No released model enlarges by {scale:g} at once: there are "
            f"{', '.join(f'x{known}' for known in scales)}."
        )
    else:
        chosen = next(known for known in scales if known >= scale)
        reason = f"enlarges by {chosen}"
    return [card for card in cards if card.scale == chosen], reason


def _by_noise(cards: list[Card], noise: float, channels: int) -> tuple[list[Card], str]:
    found = f"noise of sigma {noise:.0f} found"
    # R, G and B together are restored better than one by one.
    for group in ([card for card in cards if card.channels == channels], cards):
        blind = [c for c in group if len(c.sigma) == 2 and _within(noise, c.sigma)]
        low, high = _BESIDE_BLIND if blind else _ALONE
        near = [
            card
            for card in group
            if len(card.sigma) == 1
            and low * card.sigma[0] <= noise <= high * card.sigma[0]
        ]
        fitting = near or blind
        if fitting:
            sigma = min((c.sigma for c in fitting), key=lambda s: abs(s[0] - noise))
            return (
                [card for card in fitting if card.sigma == sigma],
                f"{found}, trained for {_range(sigma)}",
            )
    strongest = max(card.sigma[-1] for card in cards)
    if noise > strongest:
        chosen = [card for card in cards if card.sigma[-1] == strongest]
        return chosen, f"{found}, trained for {strongest:g}, the most there is"
    raise ValueError(
        f"No released model removes noise of sigma {noise:.0f}: they are trained for "
        f"{', '.join(sorted({_range(card.sigma) for card in cards}))}."
    )


def _way(card: Card, channels: int) -> str:
    """How a network restores an image with so many channels."""
    if card.channels == channels:
        return "for RGB images" if channels == 3 else "for gray images"
    if channels == 1:
        return "which takes the gray image as RGB"
    return "on the luminance" if card.scale > 1 else "on R, G and B one by one"


def _within(noise: float, sigma: tuple[float, ...]) -> bool:
    return sigma[0] <= noise <= sigma[-1]


def _range(sigma: tuple[float, ...]) -> str:
    return " to ".join(f"{level:g}" for level in sigma)


def _psnr(card: Card) -> float:
    """On the test set that the models of one kind share."""
    return card.scores[0]["psnr"] if card.scores else 0.0
