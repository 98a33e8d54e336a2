"""From the scores of good and of defective parts to thresholds worth considering, and what each would cost.

A threshold T rejects what scores above it. Moving T changes a count only when it passes a score, so T falls
into ranges between neighbouring scores, and all levels of one range do the same on these parts. The points
here are such ranges, given by their middle: as far from the scores on either side as can be.

The thresholds are chosen on the very parts their numbers are counted on, so the numbers are somewhat too
good; on few parts more so than on many. ``evaluate_at`` on parts that had no say in the choice is free of
that.
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
# Costs that differ by less than rounding are one cost: 0.3 is not worth more misses than 0.1 + 0.2.
_SAME_COST = 1e-12
# Expected costs are told per this many parts.
_PARTS = 1000


def clopper_pearson(count: int, of: int, confidence: float = 0.95) -> tuple[float, float]:
    """Exact two-sided interval of a share (Clopper and Pearson, 1934); covers at least as often as it says.

    Args:
        count: how many of them.
        of: out of how many; 0 leaves everything open, (0, 1).
        confidence: between 0 and 1.

    Raises:
        ValueError: not 0 <= count <= of, or a confidence out of range.
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
    """A share that was counted, with its exact 95 % two-sided interval.

    Attributes:
        count: how many of them.
        of: out of how many.
        low: lower end of the Clopper-Pearson interval, a share.
        high: upper end.
    """

    count: int
    of: int
    low: float
    high: float

    @classmethod
    def counted(cls, count: int, of: int) -> Rate:
        """``count`` out of ``of``, with the interval.

        Raises:
            ValueError: not 0 <= count <= of.
        """
        return cls(count, of, *clopper_pearson(count, of))

    @property
    def share(self) -> float:
        """``count / of``; NaN of none."""
        return self.count / self.of if self.of else math.nan


@dataclass(frozen=True)
class Costs:
    """What the two kinds of error cost, in any one unit of money.

    Attributes:
        miss: a defective part that is accepted.
        false_reject: a good part that is rejected.
        defective: share of defective parts in production, between 0 and 1; not in the test images, where
            defects are far more frequent than on the line.

    Raises:
        ValueError: a cost that is negative or not finite, both 0, or a share that is not between 0 and 1.
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
        """Expected cost of one part off the line.

        Args:
            misses: shares of the defective parts that are accepted, any shape.
            false_rejects: shares of the good parts that are rejected, same shape.
        """
        return self.defective * self.miss * misses + (1 - self.defective) * self.false_reject * false_rejects


@dataclass(frozen=True)
class OperatingPoint:
    """A threshold and what it does to the parts at hand.

    The two rates carry exact intervals. Those of F1 and cost come from resampling the parts, which cannot
    invent an error that none of them shows: with no miss and no false reject they shrink to a point, however
    few the parts. What is then still possible is in ``misses.high`` and ``false_rejects.high``.

    Attributes:
        kind: what it is best at; ``chosen`` for a level that was asked for.
        level: threshold T, an integer level; rejected is what scores above it.
        misses: defective parts accepted, of all defective ones.
        false_rejects: good parts rejected, of all good ones.
        f1: of finding defects, 2 TP / (2 TP + FP + FN), 0 to 1.
        f1_interval: 95 % percentile interval (bootstrap), T held fixed.
        cost: expected cost of 1,000 parts off the line, in the unit of the costs; None without costs.
        cost_interval: 95 % percentile interval (bootstrap), T held fixed.
        tied_low: lowest level that does the same on these parts.
        tied_high: highest one, at most 65534 unless a higher level was asked for.
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
    """The thresholds worth considering, in this order:

    - ``best_f1``: highest F1; of several, the one with the fewest misses.
    - ``zero_miss``: the highest that misses none of these defects.
    - ``zero_false_reject``: the lowest that rejects none of these good parts.
    - ``lowest_cost``: lowest expected cost; of several, the one with the fewest misses. Only with costs.

    A kind that no threshold attains is left out: a defect of level 0 is always missed, a good part of level
    65535 always rejected.

    Each is the middle of a range of levels that do the same. A range that ends where the scores end, and so
    has no score on one side, is treated as if the next score were as far beyond the last one as that is from
    its neighbour: a margin from the data, where the middle of the open range would lie at half the scale.

    Args:
        good: integer levels ``(n,)`` of good parts.
        defect: integer levels ``(m,)`` of defective parts.
        costs: what errors cost.
        seed: of the resampling; the same seed gives the same intervals.
        resamples: number of resamples behind the intervals.

    Raises:
        ValueError: no good or no defective parts, no integer levels of 0 to 65535, or no resamples.
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
    """What any one threshold does to the parts at hand; ``kind`` is ``chosen``.

    Args:
        level: threshold T, 0 to 65535; the other arguments and errors as :func:`operating_points`.

    Raises:
        ValueError: also a level out of range.
    """
    if not 0 <= level <= MAX_LEVEL:
        raise ValueError(f"the threshold must be a level of 0 to {MAX_LEVEL}, got {level}")
    good, defect, values = _checked(good, defect, resamples)
    return _point("chosen", good, defect, values, int(level), costs, seed, resamples)


def _checked(good: Levels, defect: Levels, resamples: int) -> tuple[Levels, Levels, Levels]:
    """Both sorted, and the distinct scores among them."""
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
    """Misses and false rejects at one level or several; ``good`` and ``defect`` sorted."""
    misses = np.searchsorted(defect, levels, side="right")
    return misses, len(good) - np.searchsorted(good, levels, side="right")


def _f1(misses: Any, false_rejects: Any, defects: int) -> Any:
    """F1 of counts. The divisor is ``defects + TP + FP``, never 0."""
    found = defects - misses
    return 2 * found / (2 * found + false_rejects + misses)


def _tied(values: Levels, level: int) -> tuple[int, int]:
    """Lowest and highest level with no score between it and ``level``: they all reject the same parts."""
    above = int(np.searchsorted(values, level, side="right"))
    low = int(values[above - 1]) if above else 0
    high = int(values[above]) - 1 if above < len(values) else max(level, _HIGHEST)
    return low, high


def _middle(values: Levels, low: int) -> int:
    """Middle of the range that begins at ``low``, open ends brought in to one spacing of the scores there."""
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
    # count: the bootstrap itself, without the parts. Good and defective ones are drawn apart, each as many as
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
