"""Examples of a sensitivity measurement: trials that were scored, kept so that they can be looked at.

An example is a trial of the measurement itself. Its score and mask are those that were counted, and its image
is painted again from the very place, angle and outline that were used, which gives the same pixels. Nothing
is drawn at random a second time, and no image is read or scored again.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from padim.analysis.synthetic_defects import DefectKind, Place, paint
from padim.data.loading import RGB
from padim.data.preprocess import Box

__all__ = ["MOST_PLACES", "PaintedExample", "PaintedExampleKeeper", "Unpainted", "typical_place"]

Mask = npt.NDArray[np.bool_]

# Trials at so many places are kept until it is known which of them are typical. It bounds the memory: that
# many images at the network's input size, and a compressed mask a trial.
MOST_PLACES = 48


@dataclass(frozen=True, eq=False)
class Unpainted:
    """An image of a good part as the network sees it, before anything is painted on it.

    Attributes:
        name: as given.
        rgb: uint8 ``(S, S, 3)``.
        content: where the image lies in it; the rest is padding.
        original_size: (height, width) in pixels.
    """

    name: str
    rgb: RGB
    content: Box
    original_size: tuple[int, int]


@dataclass(frozen=True, eq=False)
class PaintedExample:
    """One trial: a defect painted on an image, and what the model made of it.

    Attributes:
        unpainted: what it was painted on.
        place: where, with which angle and outline.
        kind, size, contrast: of the defect; the size in map pixels.
        score: level of the painted image.
        mask: bool ``(S, S)``, of the painted image at the threshold of the measurement.
        caught: a region of the mask lies on the painted area, and of the bare image none did.
    """

    unpainted: Unpainted
    place: Place
    kind: DefectKind
    size: float
    contrast: float
    score: int
    mask: Mask
    caught: bool

    @property
    def rgb(self) -> RGB:
        """The painted image, uint8 ``(S, S, 3)``: the pixels that were scored."""
        return self._painted()[0]

    @property
    def area(self) -> Mask:
        """The painted area, bool ``(S, S)``."""
        return self._painted()[1]

    def _painted(self) -> tuple[RGB, Mask]:
        x, y, look = self.place
        base = self.unpainted
        return paint(base.rgb, self.kind, self.size, self.contrast, look, x, y, base.content)


class _Trial(NamedTuple):
    score: int
    mask: bytes


class PaintedExampleKeeper:
    """Trials of a running measurement, kept in the order they are made: by place, kind, size and contrast."""

    def __init__(
        self, kinds: Sequence[DefectKind], sizes: Sequence[float], contrasts: Sequence[float]
    ) -> None:
        self._kinds, self._sizes, self._contrasts = tuple(kinds), tuple(sizes), tuple(contrasts)
        self._settings = len(self._kinds) * len(self._sizes) * len(self._contrasts)
        self._places: list[tuple[Unpainted, Place]] = []
        self._trials: list[_Trial] = []
        self.first: Unpainted | None = None

    def begin(self, image: Unpainted, places: Sequence[Place]) -> None:
        """The trials added from now on are on this image, at these places."""
        self.first = self.first or image
        self._places += [(image, place) for place in places[: MOST_PLACES - len(self._places)]]

    @property
    def wants_more(self) -> bool:
        """Whether the next trial is kept."""
        return len(self._trials) < len(self._places) * self._settings

    def add(self, score: int, mask: Mask) -> None:
        """Keep the next trial.

        Args:
            score: level of the painted image.
            mask: bool ``(S, S)``.
        """
        self._trials.append(_Trial(score, zlib.compress(np.packbits(mask).tobytes(), 1)))

    def typical(self, caught: Mask, void: Mask) -> dict[tuple[DefectKind, float], tuple[PaintedExample, ...]]:
        """For each kind and contrast all sizes at one place, where about as much is caught as at most others.

        Args:
            caught, void: bool ``(R, K, S, C)``, of all trials of the measurement.

        Returns:
            By kind and contrast; none where nothing can be judged.
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
    """A place where as many sizes are caught as at half of all places.

    Args:
        caught, void: bool ``(R, S)``, of one kind and contrast by place and size.

    Returns:
        Its number; None where at every place some size is void.
    """
    usable = np.flatnonzero(~void.any(axis=1))
    if not len(usable):
        return None
    order = np.argsort(caught[usable].sum(axis=1), kind="stable")
    return int(usable[order[(len(order) - 1) // 2]])
