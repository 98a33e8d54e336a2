"""Repeatability of the scores of one part from shot to shot, and the guard band derived from it.

A part whose score is near the threshold may be accepted on one shot and rejected on the next. The decision
rule for that is a guard band (JCGM 106:2012, section 8; ISO 14253-1): within a half width w of the threshold
T the verdict is *review*, and only beyond it *accept* or *reject*. With w = t * s, s the standard deviation
between shots of one part and t the one-sided 95 % quantile of Student's distribution with as many degrees of
freedom as s has, a part whose long-run mean score is above T is accepted outright by at most 5 % of its
shots, and one whose mean is not above T is rejected outright by at most 5 %.

This is exact when the scores of a part's shots are normally distributed with the same standard deviation for
all parts. High scores tend to scatter more than low ones, so it should be measured on parts that score near
the threshold.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from scipy.special import stdtrit

from padim.decision.anomaly_map import MAX_LEVEL, Quantizer

__all__ = [
    "Guard",
    "Repeatability",
    "Verdict",
    "VerdictLimits",
    "band_levels",
    "guard_levels",
    "half_width",
    "pooled",
    "verdict_limits",
    "verdict_of",
]

Verdict = Literal["accept", "review", "reject"]

# An empty range, its first level above its last: it contains no score.
_NO_LEVELS = (1, 0)


@dataclass(frozen=True)
class Repeatability:
    """Standard deviation of one part's scores, measured on repeated shots of several parts.

    Attributes:
        sd: standard deviation between shots of one part, in map units.
        dof: its degrees of freedom: shots minus parts.
        shots: number of shots that it was computed from.
        parts: number of parts with at least two shots.
    """

    sd: float
    dof: int
    shots: int
    parts: int


@dataclass(frozen=True)
class Guard:
    """Guard band of a model, with the repeatability that it was derived from.

    It is in map units, not levels, because a new fit changes the scale of the levels.

    Attributes:
        half_width: distance on either side of the threshold in which the verdict is *review*, in map units.
        sd: standard deviation between shots of one part, in map units.
        dof: its degrees of freedom.
        shots: number of shots that it was computed from.
        parts: number of parts that were shot repeatedly.

    Raises:
        ValueError: a value is negative, not finite or not a number, or a count is not an integer.
    """

    half_width: float
    sd: float
    dof: int
    shots: int
    parts: int

    def __post_init__(self) -> None:
        for name in ("half_width", "sd"):
            value = getattr(self, name)
            # Compared, because isfinite() would overflow on an integer beyond the range of float.
            if not _is(value, int, float) or not 0 <= value <= sys.float_info.max:
                raise ValueError(f"guard: {name} must be a finite number of at least 0, got {value!r}")
        for name in ("dof", "shots", "parts"):
            value = getattr(self, name)
            if not _is(value, int) or value < 0:
                raise ValueError(f"guard: {name} must be a whole number of at least 0, got {value!r}")

    @classmethod
    def of(cls, repeatability: Repeatability, confidence: float = 0.95) -> Guard:
        """Create the guard band that follows from a measured repeatability.

        Args:
            repeatability: from :func:`pooled`.
            confidence: as for :func:`half_width`.
        """
        r = repeatability
        return cls(half_width(r, confidence), r.sd, r.dof, r.shots, r.parts)


def _is(value: object, *types: type) -> bool:
    """Return whether the value is a number of one of these types; bool does not count as a number."""
    return isinstance(value, types) and not isinstance(value, bool)


def pooled(groups: Iterable[Sequence[float]]) -> Repeatability | None:
    """Return the pooled standard deviation within parts: sqrt(sum (x - part mean)^2 / sum (shots - 1)).

    Each part is compared with its own mean, so that differences between parts do not contribute.

    Args:
        groups: the scores of each part's shots, in map units; parts with fewer than two shots are ignored.

    Returns:
        The repeatability; None if no part was shot twice.

    Raises:
        ValueError: a score is not finite.
    """
    squares: list[float] = []
    parts = 0
    for group in groups:
        scores = [float(score) for score in group]
        if not all(math.isfinite(score) for score in scores):
            raise ValueError("the score of a shot is not a finite number")
        if len(scores) < 2:
            continue
        # Relative to the first shot: equal shots have a deviation of exactly 0, without cancellation errors.
        shifted = [score - scores[0] for score in scores]
        mean = math.fsum(shifted) / len(shifted)
        squares += [(score - mean) ** 2 for score in shifted]
        parts += 1
    if not parts:
        return None
    dof = len(squares) - parts
    return Repeatability(math.sqrt(math.fsum(squares) / dof), dof, len(squares), parts)


def half_width(r: Repeatability, confidence: float = 0.95) -> float:
    """Return the half width of the guard band in map units: one-sided t-quantile times standard deviation.

    One-sided, because a part is on one side of the threshold and can be wrong in one direction only;
    Student's distribution rather than the normal one, because the standard deviation is itself only
    estimated.

    Args:
        r: the measured repeatability.
        confidence: share of a part's shots, with the part on one side of the threshold, that must not get
            the opposite verdict outright; at least 0.5 and less than 1.

    Raises:
        ValueError: the confidence is out of range, or there are no degrees of freedom.
    """
    if not 0.5 <= confidence < 1:
        raise ValueError(f"confidence must be at least 0.5 and less than 1, got {confidence}")
    if r.dof < 1:
        raise ValueError("a guard band needs a part that was shot at least twice")
    return max(0.0, float(stdtrit(r.dof, confidence))) * r.sd


def band_levels(guard: Guard | None, quantizer: Quantizer) -> int:
    """Return the number of levels on each side of the threshold to review, ``floor(half_width / step)``."""
    # The minimum first: a quotient beyond float is infinite and has no floor.
    return 0 if guard is None else math.floor(min(guard.half_width / quantizer.step, MAX_LEVEL))


def guard_levels(threshold: int, guard: Guard | None, quantizer: Quantizer) -> tuple[int, int]:
    """Return the lowest and highest level that call for review, both inclusive and within 0 to 65535.

    The border belongs to the band: scores at most ``floor(half_width / step)`` levels from the threshold, on
    either side, call for review, that is, scores at most ``half_width`` map units from it. A band of less
    than one level is no band. Without a band the result is ``(1, 0)``, so that ``low <= score <= high`` holds
    for no score and needs no special case.

    Args:
        threshold: integer level T.
        guard: the guard band; None for none.
        quantizer: the scale of the levels.

    Raises:
        ValueError: a threshold that is not a level.
    """
    if not 0 <= threshold <= MAX_LEVEL:
        raise ValueError(f"the threshold must be a level of 0 to {MAX_LEVEL}, got {threshold}")
    band = band_levels(guard, quantizer)
    if band < 1:
        return _NO_LEVELS
    return max(0, threshold - band), min(MAX_LEVEL, threshold + band)


@dataclass(frozen=True)
class VerdictLimits:
    """The levels that divide the scores into accepted, in review and rejected.

    Every count and every rate of verdicts goes by these limits, so that the three words mean the same
    everywhere. Without a guard band all are the threshold, and no score is in review.

    Attributes:
        accept_up_to: highest level that is accepted; -1 if none is.
        reject_above: highest level that is not rejected.
        threshold: highest level of a displacement that is not rejected. The guard band is derived from the
            scores of the map, and displacements have none.
    """

    accept_up_to: int
    reject_above: int
    threshold: int

    @property
    def has_review(self) -> bool:
        """Whether there are levels in review."""
        return self.accept_up_to < self.reject_above

    def verdict(self, score: int, displaced: int = 0) -> Verdict:
        """Return the verdict of an image or part that is found.

        Args:
            score: its score, an integer level.
            displaced: its displacement as a level (:mod:`padim.decision.joint`).
        """
        if score > self.reject_above or displaced > self.threshold:
            return "reject"
        return "review" if score > self.accept_up_to else "accept"


def verdict_limits(threshold: int, guard: Guard | None, quantizer: Quantizer) -> VerdictLimits:
    """Return the limits of the verdicts; arguments and errors as for :func:`guard_levels`."""
    low, high = guard_levels(threshold, guard, quantizer)
    if low > high:
        return VerdictLimits(threshold, threshold, threshold)
    return VerdictLimits(low - 1, high, threshold)


def verdict_of(score: int, threshold: int, guard: Guard | None, quantizer: Quantizer) -> Verdict:
    """Return ``review`` within the guard band, else ``reject`` above the threshold and ``accept`` up to it.

    The mask does not depend on the guard band: it has a pixel exactly when the score is above the threshold,
    under review or not.

    Args:
        score: integer level of the image or part.
        threshold: integer level T.
        guard: the guard band; None for none.
        quantizer: the scale of the levels.

    Raises:
        ValueError: a threshold that is not a level.
    """
    return verdict_limits(threshold, guard, quantizer).verdict(score)
