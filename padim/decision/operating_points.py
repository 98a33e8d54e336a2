"""Find useful thresholds from the scores of good and defective parts, with error rates and costs.

A threshold T rejects parts that score above it. Moving T changes a count only when it passes a score, so the
levels form ranges between neighbouring scores, and all levels of one range reject the same of these parts. An
operating point is such a range, given by its middle: as far as possible from the scores on either side.

The thresholds are chosen on the same parts on which the rates are counted, so the rates are optimistic, more
so on few parts than on many. ``evaluate_at`` on parts that did not influence the choice is unbiased.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from scipy.special import betaincinv

from padim.decision.anomaly_map import HIGHEST_THRESHOLD, MAX_LEVEL
from padim.decision.calibration import upper_bound

__all__ = ["Costs", "OperatingPoint", "Rate", "clopper_pearson", "evaluate_at", "operating_points"]

PointKind = Literal["best_f1", "zero_miss", "zero_false_reject", "lowest_cost", "chosen"]
Levels = npt.NDArray[np.integer]
Numbers = npt.NDArray[np.float64]

# The highest threshold that can be set; a part at the top of the scale is rejected by every threshold.
_HIGHEST = HIGHEST_THRESHOLD
# Relative difference below which costs count as equal, so that rounding (0.1 + 0.2 against 0.3) decides
# nothing.
_SAME_COST = 1e-12
# Expected costs are given per this many parts.
_PARTS = 1000


def clopper_pearson(count: int, of: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return the exact two-sided confidence interval of a share (Clopper and Pearson, 1934).

    It covers the true share with at least the given confidence.

    Args:
        count: number of events.
        of: number of trials; with 0 the interval is (0, 1).
        confidence: between 0 and 1.

    Raises:
        ValueError: not 0 <= count <= of, or the confidence is out of range.
    """
    if not 0 <= count <= of:
        raise ValueError(f"there cannot be {count} of {of}")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must be between 0 and 1, got {confidence}")
    tail = (1 - confidence) / 2
    low = 0.0 if count == 0 else float(betaincinv(count, of - count + 1, tail))
    return low, upper_bound(count, of, 1 - tail)


@dataclass(frozen=True)
class Rate:
    """A counted share with its exact 95 % two-sided confidence interval.

    Attributes:
        count: number of events.
        of: number of trials.
        low: lower end of the Clopper-Pearson interval, a share.
        high: upper end.
    """

    count: int
    of: int
    low: float
    high: float

    @classmethod
    def counted(cls, count: int, of: int) -> Rate:
        """Create the rate of ``count`` out of ``of``, with its interval.

        Raises:
            ValueError: not 0 <= count <= of.
        """
        return cls(count, of, *clopper_pearson(count, of))

    @property
    def share(self) -> float:
        """The share ``count / of``; NaN if ``of`` is 0."""
        return self.count / self.of if self.of else math.nan


@dataclass(frozen=True)
class Costs:
    """Costs of the two kinds of error, in any one unit of money, and the share of defective parts.

    Attributes:
        miss: cost of accepting a defective part.
        false_reject: cost of rejecting a good part.
        defective: share of defective parts in production, between 0 and 1; not in the test images, where
            defects are far more frequent than on the line.

    Raises:
        ValueError: a cost is negative or not finite, both are 0, or the share is not between 0 and 1.
    """

    miss: float
    false_reject: float
    defective: float

    def __post_init__(self) -> None:
        for name, cost in (("a miss", self.miss), ("a false reject", self.false_reject)):
            if not (math.isfinite(cost) and cost >= 0):
                raise ValueError(f"the cost of {name} must be a number of at least 0, got {cost}")
        if self.miss == 0 and self.false_reject == 0:
            raise ValueError("a miss and a false reject cannot both cost nothing: every threshold would do")
        if not 0 < self.defective < 1:
            raise ValueError(f"the share of defective parts must be between 0 and 1, got {self.defective}")

    def per_part(self, misses: Numbers, false_rejects: Numbers) -> Numbers:
        """Return the expected cost of one part of the production.

        Args:
            misses: shares of the defective parts that are accepted, any shape.
            false_rejects: shares of the good parts that are rejected, same shape.
        """
        return self.defective * self.miss * misses + (1 - self.defective) * self.false_reject * false_rejects


@dataclass(frozen=True)
class OperatingPoint:
    """A threshold with its error rates, F1 and cost on a set of parts.

    The two rates have exact intervals. The intervals of F1 and cost come from resampling the parts, which
    cannot produce an error that none of them shows: with no miss and no false reject they shrink to a point,
    however few the parts. ``misses.high`` and ``false_rejects.high`` show what is then still possible.

    Attributes:
        kind: the criterion that it optimizes; ``chosen`` for a level given by the caller.
        level: threshold T, an integer level; parts that score above it are rejected.
        misses: defective parts accepted, of all defective ones.
        false_rejects: good parts rejected, of all good ones.
        f1: F1 score of finding defects, 2 TP / (2 TP + FP + FN), 0 to 1.
        f1_interval: 95 % percentile interval (bootstrap), T held fixed.
        cost: expected cost of 1,000 parts of the production, in the unit of the costs; None without costs.
        cost_interval: 95 % percentile interval (bootstrap), T held fixed.
        tied_low: lowest level that rejects the same of these parts.
        tied_high: highest level that does so, at most 65534 unless a higher level was given.
    """

    kind: PointKind
    level: int
    misses: Rate
    false_rejects: Rate
    f1: float
    f1_interval: tuple[float, float]
    cost: float | None
    cost_interval: tuple[float, float] | None
    tied_low: int
    tied_high: int


def operating_points(
    good: Levels, defect: Levels, costs: Costs | None = None, *, seed: int = 0, resamples: int = 2000
) -> tuple[OperatingPoint, ...]:
    """Return the thresholds that are best by each criterion, in a fixed order.

    - ``best_f1``: highest F1; of several, the one with the fewest misses.
    - ``zero_miss``: the highest threshold that misses none of these defects.
    - ``zero_false_reject``: the lowest threshold that rejects none of these good parts.
    - ``lowest_cost``: lowest expected cost; of several, the one with the fewest misses. Only with costs.

    A criterion that no threshold meets is left out: a defect of level 0 is always missed, and a good part of
    level 65535 always rejected.

    Each is the middle of a range of levels that reject the same parts. A range with no score on one side is
    treated as if the next score were as far beyond the last one as that is from its neighbour: a margin
    derived from the data, where the middle of the open range would be at half the scale.

    Args:
        good: integer levels ``(n,)`` of good parts.
        defect: integer levels ``(m,)`` of defective parts.
        costs: costs of the errors.
        seed: seed of the resampling; the same seed gives the same intervals.
        resamples: number of resamples for the intervals.

    Raises:
        ValueError: there are no good or no defective parts, scores are not integers of 0 to 65535, or
            ``resamples`` < 1.
    """
    good, defect, values = _checked(good, defect, resamples)
    lows = np.unique(np.append(values[values <= _HIGHEST], 0))
    misses, false_rejects = _counts(good, defect, lows)
    found: list[tuple[PointKind, int]] = []

    # Quotients of small integers: equal F1 are equal to the last bit, so no tolerance is needed here.
    f1 = _f1(misses, false_rejects, len(defect))
    found.append(("best_f1", int(np.lexsort((false_rejects, misses, -f1))[0])))
    # With a rising threshold misses only grow and false rejects only fall.
    if (without := np.flatnonzero(misses == 0)).size:
        found.append(("zero_miss", int(without[-1])))
    if (without := np.flatnonzero(false_rejects == 0)).size:
        found.append(("zero_false_reject", int(without[0])))
    if costs:
        cost = costs.per_part(misses / len(defect), false_rejects / len(good))
        dearer = cost > cost.min() * (1 + _SAME_COST)
        found.append(("lowest_cost", int(np.lexsort((false_rejects, misses, dearer))[0])))
    return tuple(
        _point(kind, good, defect, values, _middle(values, int(lows[index])), costs, seed, resamples)
        for kind, index in found
    )


def evaluate_at(
    good: Levels,
    defect: Levels,
    level: int,
    costs: Costs | None = None,
    *,
    seed: int = 0,
    resamples: int = 2000,
) -> OperatingPoint:
    """Evaluate one given threshold on a set of parts; ``kind`` of the result is ``chosen``.

    Args:
        level: threshold T, 0 to 65535; the other arguments as for :func:`operating_points`.

    Raises:
        ValueError: as :func:`operating_points`, or the level is out of range.
    """
    if not 0 <= level <= MAX_LEVEL:
        raise ValueError(f"the threshold must be a level of 0 to {MAX_LEVEL}, got {level}")
    good, defect, values = _checked(good, defect, resamples)
    return _point("chosen", good, defect, values, int(level), costs, seed, resamples)


def _checked(good: Levels, defect: Levels, resamples: int) -> tuple[Levels, Levels, Levels]:
    """Return the good and defective scores, sorted int64, and the distinct scores of both."""
    if resamples < 1:
        raise ValueError(f"there must be at least one resample, got {resamples}")
    ordered: list[npt.NDArray[Any]] = []
    for name, given in (("good", good), ("defective", defect)):
        levels = np.asarray(given)
        if levels.size == 0:
            raise ValueError(f"there are no scores of {name} parts")
        if levels.ndim != 1 or not np.issubdtype(levels.dtype, np.integer):
            raise ValueError(f"the scores of {name} parts must be a list of integer levels")
        if levels.min() < 0 or levels.max() > MAX_LEVEL:
            raise ValueError(f"the scores of {name} parts must be levels of 0 to {MAX_LEVEL}")
        ordered.append(np.sort(levels.astype(np.int64)))
    return ordered[0], ordered[1], np.unique(np.concatenate(ordered))


def _counts(good: Levels, defect: Levels, levels: Any) -> tuple[Any, Any]:
    """Count misses and false rejects at one level or several; ``good`` and ``defect`` must be sorted."""
    misses = np.searchsorted(defect, levels, side="right")
    return misses, len(good) - np.searchsorted(good, levels, side="right")


def _f1(misses: Any, false_rejects: Any, defects: int) -> Any:
    """Return F1 from counts; the divisor is ``defects + TP + FP``, never 0."""
    found = defects - misses
    return 2 * found / (2 * found + false_rejects + misses)


def _tied(values: Levels, level: int) -> tuple[int, int]:
    """Return the lowest and highest level that reject the same parts as ``level``: no score is in between."""
    above = int(np.searchsorted(values, level, side="right"))
    low = int(values[above - 1]) if above else 0
    high = int(values[above]) - 1 if above < len(values) else max(level, _HIGHEST)
    return low, high


def _middle(values: Levels, low: int) -> int:
    """Return the middle of the range from ``low`` on, with open ends limited to one spacing of the scores."""
    low, high = _tied(values, low)
    if low == values[-1]:
        spacing = int(values[-1] - values[-2]) if len(values) > 1 else 1
        high = min(high, low + spacing - 1)
    elif low < values[0]:
        spacing = int(values[1] - values[0]) if len(values) > 1 else 1
        low = max(low, high + 1 - spacing)
    return (low + high) // 2


def _point(
    kind: PointKind,
    good: Levels,
    defect: Levels,
    values: Levels,
    level: int,
    costs: Costs | None,
    seed: int,
    resamples: int,
) -> OperatingPoint:
    misses, false_rejects = (int(count) for count in _counts(good, defect, level))
    # Drawing n parts with replacement and counting those beyond a fixed threshold is drawing a binomial
    # count, so this is the bootstrap itself. Good and defective parts are drawn separately, each as many as
    # there are.
    rng = np.random.default_rng(seed)
    drawn_misses = rng.binomial(len(defect), misses / len(defect), resamples)
    drawn_rejects = rng.binomial(len(good), false_rejects / len(good), resamples)

    def cost_of(misses: Any, false_rejects: Any) -> Any:
        assert costs is not None
        return _PARTS * costs.per_part(misses / len(defect), false_rejects / len(good))

    return OperatingPoint(
        kind,
        level,
        Rate.counted(misses, len(defect)),
        Rate.counted(false_rejects, len(good)),
        float(_f1(misses, false_rejects, len(defect))),
        _interval(_f1(drawn_misses, drawn_rejects, len(defect))),
        float(cost_of(misses, false_rejects)) if costs else None,
        _interval(cost_of(drawn_misses, drawn_rejects)) if costs else None,
        *_tied(values, level),
    )


def _interval(drawn: Numbers) -> tuple[float, float]:
    low, high = np.percentile(drawn, (2.5, 97.5))
    return float(low), float(high)
