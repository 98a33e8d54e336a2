"""Examples of a sensitivity measurement: scored trials that are kept for display.

An example is a trial of the measurement itself. Its score and mask are those that were counted, and its image
is painted again with the place, angle and outline that were used, which gives the same pixels. There is no
new random draw, and no image is read or scored again.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from padim.analysis.synthetic_defects import DefectKind, PaintedPlace, paint
from padim.data.loading import RGB
from padim.data.preprocess import Box

__all__ = ["MOST_PLACES", "PaintedExample", "PaintedExampleKeeper", "Unpainted", "typical_place"]

Mask = npt.NDArray[np.bool_]

# Trials at this many places are kept until it is known which of them are typical. This bounds the memory: one
# image at the input size of the network for each place, and one compressed mask for each trial.
MOST_PLACES = 48


@dataclass(frozen=True, eq=False)
class Unpainted:
    """A preprocessed image of a good part before painting.

    Attributes:
        name: the name of the image.
        rgb: uint8 ``(h, w, 3)``.
        content: the area covered by the image; the rest is padding.
        original_size: (height, width) of the original in pixels.
    """

    name: str
    rgb: RGB
    content: Box
    original_size: tuple[int, int]


@dataclass(frozen=True, eq=False)
class PaintedExample:
    """One trial: a defect painted on an image, and the result of the model.

    Attributes:
        unpainted: the image painted on.
        place: the place, with angle and outline.
        kind, size, contrast: the defect; the size in map pixels.
        score: the score of the painted image, a level.
        mask: bool ``(h, w)``, the mask of the painted image at the threshold of the measurement.
        caught: whether a region of the mask overlaps the painted area, and no region of
            the unpainted image does.
    """

    unpainted: Unpainted
    place: PaintedPlace
    kind: DefectKind
    size: float
    contrast: float
    score: int
    mask: Mask
    caught: bool

    @property
    def rgb(self) -> RGB:
        """Return the painted image, uint8 ``(h, w, 3)``: the pixels that were scored."""
        return self._painted()[0]

    @property
    def area(self) -> Mask:
        """Return the painted area, bool ``(h, w)``."""
        return self._painted()[1]

    def _painted(self) -> tuple[RGB, Mask]:
        x, y, look = self.place
        base = self.unpainted
        return paint(base.rgb, self.kind, self.size, self.contrast, look, x, y, base.content)


class _Trial(NamedTuple):
    score: int
    mask: bytes


class PaintedExampleKeeper:
    """Collects trials during a measurement, in order of place, kind, size and contrast."""

    def __init__(
        self, kinds: Sequence[DefectKind], sizes: Sequence[float], contrasts: Sequence[float]
    ) -> None:
        self._kinds, self._sizes, self._contrasts = tuple(kinds), tuple(sizes), tuple(contrasts)
        self._settings = len(self._kinds) * len(self._sizes) * len(self._contrasts)
        self._places: list[tuple[Unpainted, PaintedPlace]] = []
        self._trials: list[_Trial] = []
        self.first: Unpainted | None = None

    def begin(self, image: Unpainted, places: Sequence[PaintedPlace]) -> None:
        """Begin an image; the trials that follow are on it, at these places."""
        self.first = self.first or image
        self._places += [(image, place) for place in places[: MOST_PLACES - len(self._places)]]

    @property
    def wants_more(self) -> bool:
        """Whether the next trial is to be added."""
        return len(self._trials) < len(self._places) * self._settings

    def add(self, score: int, mask: Mask) -> None:
        """Add the next trial.

        Args:
            score: the score of the painted image, a level.
            mask: bool ``(h, w)``, its mask.
        """
        self._trials.append(_Trial(score, zlib.compress(np.packbits(mask).tobytes(), 1)))

    def typical(self, caught: Mask, void: Mask) -> dict[tuple[DefectKind, float], tuple[PaintedExample, ...]]:
        """Return, for each kind and contrast, the trials of all sizes at a typical place.

        Args:
            caught, void: bool ``(R, K, S, C)``, for all trials of the measurement.

        Returns:
            The trials by kind and contrast, without those for which no place is valid.
        """
        found: dict[tuple[DefectKind, float], tuple[PaintedExample, ...]] = {}
        kept = len(self._places)
        for i, kind in enumerate(self._kinds):
            for k, contrast in enumerate(self._contrasts):
                place = typical_place(caught[:kept, i, :, k], void[:kept, i, :, k])
                if place is not None:
                    found[kind, contrast] = tuple(
                        self._example(place, i, j, k, caught=bool(caught[place, i, j, k]))
                        for j in range(len(self._sizes))
                    )
        return found

    def _example(self, place: int, i: int, j: int, k: int, *, caught: bool) -> PaintedExample:
        image, where = self._places[place]
        number = (i * len(self._sizes) + j) * len(self._contrasts) + k
        trial = self._trials[place * self._settings + number]
        shape = image.rgb.shape[:2]
        bits = np.frombuffer(zlib.decompress(trial.mask), np.uint8)
        mask = np.unpackbits(bits, count=math.prod(shape)).astype(np.bool_).reshape(shape)
        kind, size, contrast = self._kinds[i], self._sizes[j], self._contrasts[k]
        return PaintedExample(image, where, kind, size, contrast, trial.score, mask, caught)


def typical_place(caught: Mask, void: Mask) -> int | None:
    """Return the place at which the number of sizes caught is the median over all places.

    Args:
        caught, void: bool ``(R, S)``, by place and size, for one kind and contrast.

    Returns:
        The index of the place; None if every place has a void trial.
    """
    usable = np.flatnonzero(~void.any(axis=1))
    if not len(usable):
        return None
    order = np.argsort(caught[usable].sum(axis=1), kind="stable")
    return int(usable[order[(len(order) - 1) // 2]])
