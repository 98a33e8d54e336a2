"""A p-chart of the reject rate, with limits that follow from the promise of the threshold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.stats import betabinom

from padim.decision.operating_points import Rate

__all__ = ["RejectChart", "RejectChartPoint", "promised_count", "reject_chart", "reject_limits"]

# Probability beyond each limit, that of three standard deviations of a normal distribution.
TAIL = 0.00135


@dataclass(frozen=True)
class RejectChartPoint:
    """One subgroup: how many of its parts were rejected, and between which counts that would be expected.

    Attributes:
        label: the day or shift.
        rate: rejected of inspected, with its exact interval.
        low, high: smallest and largest count within the limits.
    """

    label: str
    rate: Rate
    low: int
    high: int

    @property
    def side(self) -> int:
        """1 if more were rejected than expected, -1 if fewer, else 0."""
        return (self.rate.count > self.high) - (self.rate.count < self.low)


@dataclass(frozen=True)
class RejectChart:
    """The subgroups in order, and the share (k + 1) / (n + 1) that the promise expects."""

    expected: float
    points: tuple[RejectChartPoint, ...]


def reject_chart(above: int, n: int, subgroups: Sequence[tuple[str, int, int]]) -> RejectChart:
    """Draw up a p-chart against the promise "k of n held-out scores above the threshold".

    What is known of the reject rate of good parts is Beta(k + 1, n - k) (see :func:`reject_limits`). The
    chart counts all rejected parts, good and defective, because which of them are good is not known when they
    are counted: a point above the limit means more defects, or good parts that look different from those of
    the fit.

    Args:
        above: k, held-out scores above the threshold.
        n: number of held-out scores.
        subgroups: label, number rejected and number inspected of each; those without a part are left out.
    """
    points = []
    for label, rejected, inspected in subgroups:
        if inspected:
            low, high = reject_limits(above, n, inspected)
            points.append(RejectChartPoint(label, Rate.counted(rejected, inspected), low, high))
    return RejectChart((above + 1) / (n + 1), tuple(points))


@lru_cache(maxsize=4096)
def reject_limits(above: int, n: int, size: int, tail: float = TAIL) -> tuple[int, int]:
    """Return the smallest and the largest count of rejects that a subgroup of good parts is expected to have.

    The rate of good parts above the k + 1st largest of n held-out scores is distributed as Beta(k + 1, n - k)
    (order statistics of i.i.d. scores: David and Nagaraja, 2003, "Order Statistics", chapter 2), so the count
    in a subgroup of m parts is beta-binomial (m, k + 1, n - k). Probability limits instead of three sigma, as
    Montgomery (2013, "Introduction to Statistical Quality Control", chapter 7) advises for rare events. With
    k = n every rate is possible.

    Returns:
        (low, high): counts below low, and counts above high, each have a probability of at most ``tail``.
    """
    if not 0 <= above <= n or size < 1:
        raise ValueError(f"need 0 <= k <= n and a size of at least 1, got {above}, {n}, {size}")
    if above == n:
        return 0, size
    # SciPy's quantile sums the probabilities anew for every guess.
    cumulated = np.cumsum(betabinom.pmf(np.arange(size + 1), size, above + 1, n - above))
    low = int(np.searchsorted(cumulated, tail, side="right"))
    high = int(np.searchsorted(cumulated, 1 - tail, side="left"))
    return low, min(high, size)


def promised_count(expected: float, n: int) -> int:
    """Return k, the held-out scores above the threshold, from the expected share (k + 1) / (n + 1)."""
    return min(n, max(0, round(expected * (n + 1)) - 1))
