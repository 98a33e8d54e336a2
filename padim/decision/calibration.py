"""Compute a threshold and its false-reject rate from held-out scores (docs/design.md, section 4.5).

Scores are integer levels of the level map, one per *part* (several images of one part count by their
maximum). Percentiles are integers in tenths of a percent (95.0 % is 950), so that ranks are exact.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

import numpy as np
import numpy.typing as npt
from scipy.special import betaincinv

from padim.decision.basis import Basis
from padim.decision.promise import promise

Levels = npt.NDArray[np.integer]

# With fewer parts, a Gaussian fitted without one of them has no covariance.
FEWEST_PARTS = 3


@dataclass(frozen=True)
class Threshold:
    """A threshold and the data that it was derived from.

    Attributes:
        level: integer level T of the level map; an image is rejected when its score is above it.
        basis: the values of which it is a percentile; ``manual`` if set by hand.
        permille: the requested percentile, in tenths of a percent; None if set by hand.
        n: number of scores (parts) or pixels of which it is a percentile.
        supported: False when n is too small for that percentile; ``level`` is then the largest score.
        needed: the smallest n that supports the percentile.
    """

    level: int
    basis: Basis
    permille: int | None = None
    n: int = 0
    supported: bool = True
    needed: int = 0


@dataclass(frozen=True)
class Choice:
    """Rule by which the threshold is chosen: a percentile of a basis, or a value set by hand.

    Attributes:
        basis: the values of which the threshold is a percentile, or ``manual``.
        permille: percentile in tenths of a percent.
        value: threshold set by hand, in map units; not in levels, whose scale a new fit changes.

    Raises:
        ValueError: an unknown basis, a percentile or value out of range, or ``manual`` without a value.
    """

    basis: Basis = "image"
    permille: int = 950
    value: float | None = None

    def __post_init__(self) -> None:
        if self.basis not in get_args(Basis):
            raise ValueError(f"basis must be one of {', '.join(get_args(Basis))}, got '{self.basis}'")
        if isinstance(self.permille, bool) or not isinstance(self.permille, int):
            raise ValueError(f"permille must be a whole number, got {self.permille!r}")
        if not 0 < self.permille < 1000:
            raise ValueError(f"permille must be between 1 and 999, got {self.permille}")
        if self.value is None:
            if self.basis == "manual":
                raise ValueError("basis 'manual' needs a value")
        elif isinstance(self.value, bool) or not (math.isfinite(self.value) and self.value >= 0):
            raise ValueError(f"the threshold must be a number of at least 0, got {self.value}")


@dataclass(frozen=True)
class FalseRejectRate:
    """Expected share of good parts above a threshold, and its upper confidence bound.

    Attributes:
        above: k, number of held-out parts strictly above the threshold.
        n: number of held-out parts.
        expected: (k + 1) / (n + 1).
        upper: 95 % upper bound (:func:`upper_bound`).
    """

    above: int
    n: int
    expected: float
    upper: float

    @classmethod
    def counted(cls, above: int, n: int) -> FalseRejectRate:
        """Create the rate of k parts above the threshold out of n, with its bound."""
        return cls(above, n, (above + 1) / (n + 1), upper_bound(above, n))

    @property
    def sentence(self) -> str:
        """What it promises, such as "Expected false rejects (overkill) 5 %, at most 12 % with ..."."""
        return promise(self)


def to_permille(percentile: float) -> int:
    """Convert a percentile such as 95.0 to tenths of a percent.

    Raises:
        ValueError: the percentile is outside (0, 100) after rounding to one decimal.
    """
    permille = round(percentile * 10) if math.isfinite(percentile) else 0
    if not 0 < permille < 1000:
        raise ValueError(f"percentile must be between 0.1 and 99.9, got {percentile}")
    return permille


def rank(permille: int, n: int) -> int:
    """Return the rank, from 1, of a percentile among n sorted scores: ceil(permille (n + 1) / 1000).

    A new i.i.d. score exceeds the r-th smallest of n with probability (n + 1 - r) / (n + 1).
    """
    return -(-permille * (n + 1) // 1000)


def parts_needed(permille: int, odd: int = 0) -> int:
    """Return the smallest n at which a percentile exists and ``odd`` unusual parts alone do not determine it.

    The threshold is the r-th smallest of n scores, r = :func:`rank`. Parts that score higher than all others
    determine it when it is one of their scores: k of them when r > n - k, one when it is the largest score.
    Now n - r = floor(((1000 - permille) n - permille) / 1000) never falls as n grows, and reaches k at
    n = ceil((1000 k + permille) / (1000 - permille)): for 95 %, 19 parts with k = 0, 39 with 1, 59 with 2.

    Args:
        permille: percentile in tenths of a percent.
        odd: k, number of unusual parts that must not determine the threshold; with 0 it only has to exist.
    """
    return -(-(1000 * odd + permille) // (1000 - permille))


def odd_parts_tolerated(permille: int, n: int) -> int:
    """Return how many of n parts may have any score, however high, without determining the threshold.

    It is n - rank: the threshold is then no higher than the largest score of the other parts. If it is
    negative, n scores do not support that percentile at all, and the largest of them is used instead.
    """
    return n - rank(permille, n)


def image_threshold(scores: Levels, permille: int) -> Threshold:
    """Compute the threshold at a percentile of held-out part scores.

    Args:
        scores: integer levels ``(n,)``, n >= 1.
        permille: percentile in tenths of a percent.
    """
    n = len(scores)
    if n == 0:
        raise ValueError("no held-out scores to take a percentile of")
    r = rank(permille, n)
    level = int(np.partition(scores, min(r, n) - 1)[min(r, n) - 1])
    return Threshold(level, "image", permille, n, r <= n, parts_needed(permille))


def pixel_threshold(histogram: npt.NDArray[np.int64], permille: int) -> Threshold:
    """Compute the threshold at a percentile of the held-out *pixels* of normals.

    Args:
        histogram: int64 ``(65536,)``, pixels per level over all held-out maps.
        permille: percentile in tenths of a percent.
    """
    return pixel_thresholds(histogram, (permille,))[0]


def pixel_thresholds(histogram: npt.NDArray[np.int64], permilles: Sequence[int]) -> list[Threshold]:
    """Compute :func:`pixel_threshold` for many percentiles with one cumulative sum."""
    up_to = np.cumsum(histogram)
    n = int(up_to[-1])
    if n == 0:
        raise ValueError("no held-out pixels to take a percentile of")
    ranks = [rank(permille, n) for permille in permilles]
    levels = np.searchsorted(up_to, np.minimum(ranks, n))
    return [
        Threshold(int(level), "pixel", permille, n, r <= n, parts_needed(permille))
        for permille, r, level in zip(permilles, ranks, levels, strict=True)
    ]


def upper_bound(k: int, n: int, confidence: float = 0.95) -> float:
    """Return the one-sided upper confidence bound of a share, given k of n (Clopper and Pearson, 1934).

    Args:
        k: number of events, 0 to n.
        n: number of trials.
        confidence: between 0 and 1.

    Returns:
        The ``confidence`` quantile of Beta(k + 1, n - k); 1 if k = n.

    Raises:
        ValueError: k is not within 0 to n, or the confidence is out of range.
    """
    if not 0 <= k <= n or not 0 < confidence < 1:
        raise ValueError(f"need 0 <= k <= n and a confidence between 0 and 1, got {k}, {n}, {confidence}")
    return 1.0 if k == n else float(betaincinv(k + 1, n - k, confidence))


def false_reject_rate(scores: Levels, level: int) -> FalseRejectRate:
    """Estimate the share of good parts rejected at ``level``, with its 95 % upper bound.

    The estimate is exact for i.i.d. scores of a fixed scorer, and an approximation (jackknife) for
    leave-one-out scores.

    Args:
        scores: held-out levels ``(n,)`` of n parts.
        level: threshold T.
    """
    return FalseRejectRate.counted(int(np.count_nonzero(np.asarray(scores) > level)), len(scores))
