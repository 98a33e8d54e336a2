"""Repeat shots of parts: how much their scores scatter, and the guard band that follows."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from padim.decision.guard_band import Guard, Repeatability, guard_levels, pooled

if TYPE_CHECKING:
    from padim.model import Padim

__all__ = ["Band", "Shots", "UnderReview", "band_of", "shots_in_fit", "under_review"]


@dataclass(frozen=True)
class Shots:
    """Shots of one part.

    Attributes:
        part: a name for it.
        names: of the images.
        values: their scores in map units.
    """

    part: str
    names: tuple[str, ...]
    values: tuple[float, ...]


@dataclass(frozen=True)
class Band:
    """A guard band that could be used.

    Attributes:
        repeatability: what it comes from.
        guard: the band.
        mean: mean score of the shots, in map units.
    """

    repeatability: Repeatability
    guard: Guard
    mean: float


@dataclass(frozen=True)
class UnderReview:
    """Good parts, by their held-out scores, within a guard band at the threshold in use.

    Attributes:
        count: of them in all.
        above: of those, how many lie above the threshold.
        of: good parts.
    """

    count: int
    above: int
    of: int


def shots_in_fit(model: Padim) -> list[Shots]:
    """The good parts that were photographed more than once, with their held-out scores.

    Held-out by part: no shot vouches for another. Copies of a file are one shot.

    Args:
        model: fitted; one that is not calibrated has none.
    """
    if model.state.fitted.calibration == "none":
        return []
    parts: dict[str, dict[str, tuple[str, float]]] = {}
    for normal, level in zip(model.normals_, model.state.image_levels(model.config.min_area), strict=False):
        if normal.status != "not_good":
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
    """The guard band that these shots give; None if no part was shot twice."""
    counted = [part.values for part in shots if len(part.values) > 1]
    found = pooled(counted)
    if found is None:
        return None
    mean = math.fsum(value for values in counted for value in values) / found.shots
    return Band(found, Guard.of(found), mean)


def under_review(model: Padim, guard: Guard) -> UnderReview | None:
    """How many good parts would be called for review; None without threshold or held-out scores."""
    threshold = model.current_threshold
    if threshold is None or model.state.fitted.calibration == "none":
        return None
    scores = model.state.part_scores(model.config.min_area)
    low, high = guard_levels(threshold.level, guard, model.state.fitted.quantizer)
    inside = scores[(scores >= low) & (scores <= high)]
    return UnderReview(len(inside), int(np.count_nonzero(inside > threshold.level)), len(scores))
