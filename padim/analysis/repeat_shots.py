"""Repeatability from repeated shots of parts: the scatter of their scores, and the resulting guard band."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from padim.decision.guard_band import Guard, Repeatability, pooled, verdict_limits

if TYPE_CHECKING:
    from padim.model import Padim

__all__ = ["Band", "Shots", "UnderReview", "band_of", "shots_in_fit", "under_review"]


@dataclass(frozen=True)
class Shots:
    """The shots of one part.

    Attributes:
        part: a name for the part.
        names: the names of the images.
        values: the scores of the images in map units.
    """

    part: str
    names: tuple[str, ...]
    values: tuple[float, ...]


@dataclass(frozen=True)
class Band:
    """A proposed guard band.

    Attributes:
        repeatability: the repeatability it is derived from.
        guard: the guard band.
        mean: the mean score of the shots, in map units.
    """

    repeatability: Repeatability
    guard: Guard
    mean: float


@dataclass(frozen=True)
class UnderReview:
    """The number of good parts with held-out scores in a guard band around the threshold in use.

    Attributes:
        count: the parts in the guard band.
        above: the parts in the guard band that are above the threshold.
        of: all good parts.
    """

    count: int
    above: int
    of: int


def shots_in_fit(model: Padim) -> list[Shots]:
    """Return the good parts with several shots, with their held-out scores.

    Whole parts are held out, so that no shot of a part influences the score of another. Copies of a file
    count as one shot.

    Args:
        model: a fitted model; without calibration the result is empty.
    """
    if model.state.fitted.calibration == "none":
        return []
    parts: dict[str, dict[str, tuple[str, float]]] = {}
    for normal, level in zip(model.normals_, model.state.image_levels(model.config.min_area), strict=False):
        if normal.in_calibration and not normal.lost:
            shot = normal.name, model.state.fitted.quantizer.to_value(int(level))
            parts.setdefault(normal.group, {}).setdefault(normal.sha256, shot)
    return [
        Shots(
            next(iter(shots.values()))[0],
            tuple(name for name, _ in shots.values()),
            tuple(value for _, value in shots.values()),
        )
        for shots in parts.values()
        if len(shots) > 1
    ]


def band_of(shots: Iterable[Shots]) -> Band | None:
    """Return the guard band derived from shots; None if no part has two shots."""
    counted = [part.values for part in shots if len(part.values) > 1]
    found = pooled(counted)
    if found is None:
        return None
    mean = math.fsum(value for values in counted for value in values) / found.shots
    return Band(found, Guard.of(found), mean)


def under_review(model: Padim, guard: Guard) -> UnderReview | None:
    """Return how many good parts a guard band sends to review; None without threshold or held-out scores."""
    threshold = model.current_threshold
    if threshold is None or model.state.fitted.calibration == "none":
        return None
    parts = model.state.parts(model.config.min_area)
    limits = verdict_limits(threshold.level, guard, model.state.fitted.quantizer)
    scores = parts.scores
    inside = scores[(scores > limits.accept_up_to) & ~parts.rejected(limits)]
    return UnderReview(len(inside), int(np.count_nonzero(inside > threshold.level)), len(scores))
