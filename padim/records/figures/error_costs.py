"""What the errors of a threshold cost, from the typed share of defects, volume and prices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
import numpy.typing as npt
from pydantic import Field

from padim.decision.operating_points import Costs
from padim.records.workspace_settings import StoredSetting

__all__ = [
    "CheapestThreshold",
    "ErrorCostSettings",
    "PredictiveValues",
    "cheapest_threshold",
    "predictive_values",
]

Levels = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


class ErrorCostSettings(StoredSetting):
    """What a model's errors cost; typed once.

    Attributes:
        defective: share of defective parts in the production.
        parts_per_day: parts inspected a day.
        false_reject: cost of rejecting a good part, in any one unit of money.
        missed_defect: cost of accepting a defective part, in the same unit.
    """

    stored_as = "error_costs"
    defective: Annotated[float, Field(gt=0, lt=1)] = 0.01
    parts_per_day: Annotated[int, Field(ge=1, le=100_000_000)] = 1_000
    false_reject: Annotated[float, Field(ge=0, le=1e9)] = 1.0
    missed_defect: Annotated[float, Field(ge=0, le=1e9)] = 100.0

    def costs(self) -> Costs:
        """Return the costs of the two errors; ValueError if both are 0."""
        return Costs(self.missed_defect, self.false_reject, self.defective)


@dataclass(frozen=True)
class PredictiveValues:
    """What a verdict says about a part.

    Attributes:
        positive: share of defective parts among the rejected (PPV); None if nothing is rejected.
        negative: share of good parts among the accepted (NPV); None if nothing is accepted.
        rejected: share of all parts that are rejected.
    """

    positive: float | None
    negative: float | None
    rejected: float


def predictive_values(defective: float, false_rejects: float, misses: float) -> PredictiveValues:
    """Return predictive values by Bayes' theorem (Altman and Bland, 1994, BMJ 309:102).

    Args:
        defective: share of defective parts, between 0 and 1.
        false_rejects: share of the good parts that are rejected.
        misses: share of the defective parts that are accepted.
    """
    caught = defective * (1 - misses)
    rejected = caught + (1 - defective) * false_rejects
    passed = (1 - defective) * (1 - false_rejects)
    accepted = passed + defective * misses
    return PredictiveValues(
        caught / rejected if rejected else None, passed / accepted if accepted else None, rejected
    )


@dataclass(frozen=True, eq=False)
class CheapestThreshold:
    """The threshold with the lowest expected cost, beside the one in use; costs are of one part.

    Attributes:
        levels: thresholds tried, rising, int64 ``(t,)``.
        cost: expected cost of one part at each.
        level: the cheapest; of several, the middle of the range that costs the same.
        misses, false_rejects: shares of defective and of good parts at it.
        lowest: cost at it.
        in_use: cost at the threshold in use.
        misses_in_use, false_rejects_in_use: the same shares at the threshold in use.
        saving: 95 % bootstrap interval of ``in_use`` - ``lowest``, both thresholds held fixed.
        good, defects: numbers of scores that it rests on.
        passed: of the defects, those that the threshold in use accepts.
    """

    levels: Levels
    cost: Floats
    level: int
    misses: float
    false_rejects: float
    lowest: float
    in_use: float
    misses_in_use: float
    false_rejects_in_use: float
    saving: tuple[float, float]
    good: int
    defects: int
    passed: int


def cheapest_threshold(
    good: Levels, defects: Levels, weights: Floats, costs: Costs, in_use: int, *, seed: int = 0
) -> CheapestThreshold:
    """Find the threshold with the lowest expected cost, from held-out scores and confirmed defects.

    The cost of a part at threshold T is π c_m P(defect scores at most T) + (1 - π) c_f P(good part scores
    above T): the expected cost of Provost and Fawcett (2001, "Robust classification for imprecise
    environments"). The first share is weighted, because defects that were accepted are known from the audit
    alone and each stands for many (:func:`padim.records.figures.defect_weights.confirmed_defects`); the
    second is (k + 1) / (n + 1) as in the promise, so that no threshold is taken to reject no good part.

    The threshold was chosen on the scores that rate it, so the saving is optimistic. Its interval comes from
    500 resamples of good parts and defects (Efron and Tibshirani, 1993, "An Introduction to the Bootstrap",
    chapter 13); it cannot know of defects of a kind that nobody has found.

    Args:
        good: levels of good parts, held out, ``(n,)``.
        defects: levels of confirmed defects, ``(m,)``, n and m >= 1.
        weights: how many defects each of them stands for, above 0.
        costs: what errors cost, and the share of defective parts.
        in_use: the level of the threshold in use.
        seed: of the resampling.

    Raises:
        ValueError: there are no scores, or weights are not above 0.
    """
    good = np.sort(np.asarray(good, np.int64))
    order = np.argsort(defects, kind="stable")
    defects, weights = np.asarray(defects, np.int64)[order], np.asarray(weights, np.float64)[order]
    if not len(good) or not len(defects):
        raise ValueError("the cheapest threshold needs scores of good parts and of defects")
    if not (np.isfinite(weights) & (weights > 0)).all():
        raise ValueError("weights of defects must be above 0")
    levels = np.unique(np.concatenate([good, defects, [in_use, 0]]))

    def misses_at(at: Levels, weight: Floats) -> Floats:
        summed = np.concatenate([[0.0], np.cumsum(weight)])
        return np.asarray(summed[np.searchsorted(defects, at, side="right")] / summed[-1])

    def rejects_at(at: Levels) -> Floats:
        above = len(good) - np.searchsorted(good, at, side="right")
        return np.asarray((above + 1) / (len(good) + 1), np.float64)

    misses, rejects = misses_at(levels, weights), rejects_at(levels)
    cost = costs.per_part(misses, rejects)
    best = int(np.argmin(cost))
    # All thresholds up to the next score decide the same.
    end = int(levels[best + 1]) - 1 if best + 1 < len(levels) else int(levels[best])
    level = (int(levels[best]) + end) // 2
    used = int(np.searchsorted(levels, in_use))

    rng = np.random.default_rng(seed)
    saved = []
    at = np.array([in_use, level], np.int64)
    above = (good[:, None] > at).mean(axis=0)
    together = (good > at.min()) & (good <= at.max())
    # The counts of good parts below, between and above the two thresholds are multinomial.
    between = float(together.mean())
    high = float(above.min())
    drawn = rng.multinomial(len(good), [max(0.0, 1 - between - high), between, high], 500)
    few = drawn[:, 2]
    many = few + drawn[:, 1]
    passes = defects[:, None] <= at
    for i in range(500):
        picked = rng.integers(0, len(defects), len(defects))
        weight = weights[picked]
        missed = (weight[:, None] * passes[picked]).sum(axis=0) / weight.sum()
        counts = np.array([many[i], few[i]] if in_use <= level else [few[i], many[i]])
        in_use_cost, lowest_cost = costs.per_part(missed, (counts + 1) / (len(good) + 1))
        saved.append(in_use_cost - lowest_cost)
    low, upper = np.percentile(saved, (2.5, 97.5))
    return CheapestThreshold(
        levels=levels,
        cost=cost,
        level=level,
        misses=float(misses[best]),
        false_rejects=float(rejects[best]),
        lowest=float(cost[best]),
        in_use=float(cost[used]),
        misses_in_use=float(misses[used]),
        false_rejects_in_use=float(rejects[used]),
        saving=(float(low), float(upper)),
        good=len(good),
        defects=len(defects),
        passed=int(np.count_nonzero(defects <= in_use)),
    )
