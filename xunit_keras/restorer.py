"""From an image to the networks that it goes through, and to the result."""

import contextlib
import math
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import numpy as np

from xunit_keras.choosing import Choice, choose_model, released
from xunit_keras.imaging.alpha import fill_transparent
from xunit_keras.imaging.files.writing import COMPRESSION
from xunit_keras.imaging.pixels import from_float, to_float
from xunit_keras.runtime import restoring
from xunit_keras.runtime.network import Network
from xunit_keras.runtime.tiles import check_tile
from xunit_keras.sizes import Size, passes, shrink

TOGETHER = 2 * 512 * 512
"""Pixels of the results, in all, that are worked on at once where images are small.

The activations take 1 to 2 kB a pixel. On what is larger, all threads work together.
"""

Progress = Callable[[int, int], None]
"""Called with how much is done, and how much there is in all."""

Tell = Callable[[str, tuple[Choice, ...]], object]
"""Called with the name of an image and the models chosen for it, in their turn."""

Band = tuple[np.ndarray, np.ndarray | None]
"""Some rows, and as many of the transparency, if there is any."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How images are restored and written.

    Attributes:
        tile: See `xunit_keras.restore`.
        self_ensemble: See there.
        strength: See there.
        size: Of the result; None for the factor of the network.
        quality: That of JPEG and AVIF, 1 to 100; None for the default of each.
        compression: That of PNG, 0 to 9.

    Raises:
        ValueError: One is out of range.
    """

    tile: int | Literal["auto"] = "auto"
    self_ensemble: bool = False
    strength: float = 1.0
    size: Size | None = None
    quality: int | None = None
    compression: int = COMPRESSION

    def __post_init__(self):
        check_tile(self.tile)
        restoring.check_strength(self.strength)
        if self.quality is not None and not 1 <= self.quality <= 100:
            raise ValueError(
                f"`quality` must be 1 to 100. Received: quality={self.quality}"
            )
        if not 0 <= self.compression <= 9:
            raise ValueError(
                f"`compression` must be 0 to 9. Received: compression="
                f"{self.compression}"
            )


@dataclass(frozen=True)
class Route:
    """The way of images of one size.

    Attributes:
        networks: One after the other.
        size: Height and width of the result.
        settings: How they run.
        turn: To be entered while they run.
    """

    networks: tuple[Network, ...]
    size: tuple[int, int]
    settings: Settings
    turn: AbstractContextManager

    def bands(
        self,
        pixels: np.ndarray,
        alpha: np.ndarray | None = None,
        progress: Progress | None = None,
    ) -> Iterator[Band]:
        """Restores an image, a band of rows after the other.

        Args:
            pixels: `(H, W)` or `(H, W, 3)`, uint8 or uint16.
            alpha: `(H, W)` of the same type, or None.
            progress: Called with windows done and all windows.
        """
        if alpha is not None:
            # What nobody sees would bleed into the soft edges.
            pixels = fill_transparent(pixels, alpha)
        scale = math.prod(network.field.scale for network in self.networks)
        full = (pixels.shape[0] * scale, pixels.shape[1] * scale)
        # Rounded once, at the end.
        image = pixels
        for number, network in enumerate(self.networks[:-1]):
            bands = self._run(image, network, number, progress, np.float32)
            image = np.concatenate(list(bands))
        dtype = pixels.dtype if full == self.size else np.float32
        bands = self._run(
            image, self.networks[-1], len(self.networks) - 1, progress, dtype
        )
        with_alpha = _with_alpha(bands, alpha, scale)
        if full == self.size:
            return with_alpha
        return _shrunk(with_alpha, full, self.size, pixels.dtype)

    def whole(
        self,
        pixels: np.ndarray,
        alpha: np.ndarray | None = None,
        progress: Progress | None = None,
    ) -> Band:
        """As `bands`, all at once."""
        colors, opacities = zip(*self.bands(pixels, alpha, progress), strict=True)
        return (
            np.concatenate(colors),
            None if alpha is None else np.concatenate(opacities),
        )

    def _run(self, image, network, number, progress, dtype) -> Iterator[np.ndarray]:
        def report(done, total):
            if progress is not None:
                progress(number * total + done, len(self.networks) * total)

        settings = self.settings
        return restoring.restore_bands(
            image,
            network,
            settings.tile,
            settings.self_ensemble,
            report,
            settings.strength,
            dtype,
        )


class Restorer:
    """Finds the route of images: through one model, or the ones that fit them.

    Several threads may ask at once. Each model is opened once, when it is first needed.

    Args:
        open_network: Opens a model; the argument `threads`, where it is given, says
            with how many.
        model: A model for all images; None to choose among the released ones.
        task: What to choose for.
        settings: How images are restored.
        together: How many images are restored at the same time. If more than one, the
            small ones are, with one thread each: for engines that can be told how many
            threads there are.
        tell: Is told once of each choice.

    Raises:
        ValueError: There is no such model or none for such a task, or it does not
            enlarge and a size is asked for.
        ImportError: The package of the engine is missing.
    """

    def __init__(
        self,
        open_network: Callable[..., Network],
        model: str | None = None,
        task: str | None = None,
        settings: Settings | None = None,
        together: int = 1,
        tell: Tell = lambda name, choices: None,
    ):
        self.settings = settings or Settings()
        self.together = together
        self._open_network, self._model, self._task = open_network, model, task or ""
        self._tell = tell
        self._told: set[tuple[str, ...]] = set()
        self._opened: dict[tuple[str, int | None], Network] = {}
        self._lock, self._alone = threading.RLock(), threading.Lock()
        if model is not None:
            scales = [self._known(model).field.scale]
        elif task is not None:
            scales = [card.scale for card in released(task)]
        else:
            raise ValueError("A model or a task must be given. Received: neither")
        self._scales = scales
        if self.settings.size is not None and max(scales) == 1:
            raise ValueError(
                f"{model or task!r} does not enlarge: leave out the size, or take a "
                "model for super resolution."
            )

    def route(self, image: np.ndarray, name: str = "") -> Route:
        """The way of an image, and of all that are like it.

        Args:
            image: `(H, W)` or `(H, W, 3)`.
            name: What `tell` calls it.

        Raises:
            ValueError: No model fits, or the image is larger than it is to become.
        """
        size, target = self.settings.size, None
        height, width = image.shape[:2]
        ratio = None
        if size is not None:
            target = size.of(height, width)
            ratio = max(Fraction(target[0], height), Fraction(target[1], width))
        with self._lock:
            models = self._models(image, ratio, name)
            scale = math.prod(self._known(one).field.scale for one in models)
            target = target or (height * scale, width * scale)
            area = target[0] * target[1]
            small = self.together > 1 and area * self.together <= TOGETHER
            threads = 1 if small else None
            networks = tuple(self._network(one, threads) for one in models)
        turn = contextlib.nullcontext() if small else self._alone
        return Route(networks, target, self.settings, turn)

    def _models(self, image, ratio, name) -> tuple[str, ...]:
        if self._model is not None:
            scale = self._known(self._model).field.scale
            return (self._model,) * len(
                (1,) if ratio is None else passes(ratio, [scale])
            )
        steps = [None] if ratio is None else passes(ratio, self._scales)
        choices = [choose_model(self._task, image, step) for step in steps]
        models = tuple(choice.model for choice in choices)
        if models not in self._told:
            self._told.add(models)
            self._tell(name, tuple(choices))
        return models

    def _known(self, model: str) -> Network:
        """A model with any number of threads, to know what it is."""
        likely, other = (1, None) if self.together > 1 else (None, 1)
        return self._opened.get((model, other)) or self._network(model, likely)

    def _network(self, model: str, threads: int | None) -> Network:
        if (model, threads) not in self._opened:
            given = {} if threads is None else {"threads": threads}
            self._opened[model, threads] = self._open_network(model, **given)
        return self._opened[model, threads]


def _with_alpha(
    bands: Iterable[np.ndarray], alpha: np.ndarray | None, scale: int
) -> Iterator[Band]:
    """Bands of rows with as many rows of the transparency, enlarged as they are."""
    start = 0
    for band in bands:
        stop = start + len(band)
        opacity = None
        if alpha is not None:
            first, last = start // scale, -(-stop // scale)
            opacity = alpha[first:last]
            if scale > 1:
                opacity = restoring.enlarge_rows(alpha, scale, first, last)
            opacity = opacity[start - first * scale : stop - first * scale]
        yield band, opacity
        start = stop


def _shrunk(bands: Iterable[Band], source, target, dtype) -> Iterator[Band]:
    """Bands of float samples, and of the transparency, in another size."""
    has_alpha = is_gray = False

    def joined():
        nonlocal has_alpha, is_gray
        for band, opacity in bands:
            has_alpha, is_gray = opacity is not None, band.ndim == 2
            yield np.dstack([band] if opacity is None else [band, to_float(opacity)])

    for rows in shrink(joined(), source, target):
        samples = from_float(rows, dtype)
        colors = samples[..., :-1] if has_alpha else samples
        yield (
            colors[..., 0] if is_gray else colors,
            samples[..., -1] if has_alpha else None,
        )
