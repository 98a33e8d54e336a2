"""Significance of differences between configurations that were evaluated on the same images.

An image that is hard for one configuration is mostly hard for the others, so that differences are far more
certain than a comparison of two separate intervals suggests. AUROCs are compared by DeLong's test (DeLong,
DeLong and Clarke-Pearson, 1988) in the form of Sun and Xu (2014), which sorts instead of comparing every
pair; other figures by a paired bootstrap, which draws the same images for both.

Comparing the best of several configurations with the others is a multiple test; Holm's correction keeps the
probability of any false difference at the stated level. There is no correction for the selection of the best
one on the same images: its lead is slightly optimistic.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy.stats import binomtest, norm, rankdata

__all__ = [
    "SIGNIFICANCE",
    "Difference",
    "Paired",
    "against",
    "delong",
    "holm",
    "paired_auroc",
    "paired_shares",
    "resampled",
]

Numbers = npt.NDArray[np.float64]

# The significance level: a difference with a smaller p-value counts as real.
SIGNIFICANCE = 0.05
# The number of bootstrap draws of an interval.
_DRAWS = 2000
# A variance below this is nothing but rounding; that of a fair coin is 0.25.
_NO_VARIANCE = 1e-14


@dataclass(frozen=True)
class Difference:
    """The difference between a figure and the best one.

    Attributes:
        value: the figure minus the best figure; None if it was not tested.
        low, high: the 95 % interval of the difference, for this pair alone.
        p: the two-sided p-value, corrected for multiple tests (:func:`holm`); None if it was not tested.
        why: the reason if it was not tested; else empty.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    why: str = ""

    @property
    def real(self) -> bool:
        """Whether the difference is significant."""
        return self.p is not None and self.p < SIGNIFICANCE


@dataclass(frozen=True)
class Paired:
    """The AUROCs of k scores of the same images.

    Attributes:
        auroc: float64 ``(k,)``; ties count half.
        covariance: float64 ``(k, k)``, the covariance of the estimates.
    """

    auroc: Numbers
    covariance: Numbers


def delong(good: npt.ArrayLike, defect: npt.ArrayLike) -> Paired:
    """Return AUROCs and the covariance of their estimates, after DeLong.

    Args:
        good: ``(k, n)``, k scores of each of n good images.
        defect: ``(k, m)``, k scores of each of m defects.

    Raises:
        ValueError: a class has fewer than two images, or the shapes do not match.
    """
    below, above = np.asarray(good, np.float64), np.asarray(defect, np.float64)
    if below.ndim != 2 or above.ndim != 2 or len(below) != len(above):
        raise ValueError(f"scores must be (k, n) and (k, m), got {below.shape} and {above.shape}")
    n, m = below.shape[1], above.shape[1]
    if n < 2 or m < 2:
        raise ValueError(f"it takes two images of each class, got {n} good and {m} with a defect")
    together = rankdata(np.concatenate([above, below], axis=1), axis=1)
    # For each defect the share of good images below it; for each good image the share of defects above it.
    of_defects = (together[:, :m] - rankdata(above, axis=1)) / n
    of_good = 1 - (together[:, m:] - rankdata(below, axis=1)) / m
    covariance = np.cov(of_defects).reshape(len(above), -1) / m + np.cov(of_good).reshape(len(above), -1) / n
    return Paired(of_defects.mean(axis=1), np.asarray(covariance))


def against(values: npt.ArrayLike, covariance: npt.ArrayLike) -> tuple[int, list[Difference]]:
    """Compare every figure with the largest one, by the normal approximation.

    Args:
        values: the figures, ``(k,)``.
        covariance: the covariance of their estimates, ``(k, k)``.

    Returns:
        The index of the largest figure (the first of several), and k differences with corrected p-values; the
        difference of the largest to itself is 0 with p = 1.
    """
    means, spread = np.asarray(values, np.float64), np.asarray(covariance, np.float64)
    best = int(np.argmax(means))
    found = []
    for other, value in enumerate(means - means[best]):
        variance = spread[other, other] + spread[best, best] - 2 * spread[other, best]
        error = math.sqrt(variance) if variance > _NO_VARIANCE else 0.0
        # Without variance the figures are equal up to rounding, or differ in the same way on every image.
        certain = 1.0 if abs(value) < 1e-12 else 0.0
        p = float(2 * norm.sf(abs(value) / error)) if error else certain
        reach = float(norm.ppf(0.975)) * error
        found.append(Difference(float(value), float(value) - reach, float(value) + reach, p))
    return best, _corrected(found, best)


def resampled(values: Sequence[float], draws: Sequence[Numbers]) -> tuple[int, list[Difference]]:
    """Compare every figure with the largest one, by bootstrap draws of the images common to all figures.

    Args:
        values: the k figures on all images.
        draws: for each figure its values in the same b draws, ``(b,)``; NaN where a draw has none.

    Returns:
        As :func:`against`. The smallest p-value possible with b draws is 2 / (b + 1).
    """
    best = int(np.argmax(values))
    found = []
    for other, (value, drawn) in enumerate(zip(values, draws, strict=True)):
        gaps = drawn - draws[best]
        gaps = gaps[np.isfinite(gaps)]
        gap = float(value - values[best])
        if other == best:
            found.append(Difference(0.0, 0.0, 0.0, 1.0))
        elif not len(gaps):
            found.append(Difference(gap, why="there are too few images to draw from"))
        else:
            low, high = map(float, np.percentile(gaps, (2.5, 97.5)))
            tail = min(int((gaps <= 0).sum()), int((gaps >= 0).sum()))
            found.append(Difference(gap, low, high, min(1.0, 2 * (tail + 1) / (len(gaps) + 1))))
    return best, _corrected(found, best)


def paired_shares(first: npt.ArrayLike, second: npt.ArrayLike, seed: int = 0) -> Difference:
    """Compare the shares of the same cases in which two procedures succeed: the second minus the first.

    The p-value is that of McNemar's exact test, which looks only at the cases in which they differ; the
    interval is a paired bootstrap's.

    Args:
        first, second: bool ``(n,)`` each, whether the procedure succeeds in each case.
        seed: of the bootstrap.

    Raises:
        ValueError: the arrays have different lengths, or no case.
    """
    one, other = np.asarray(first, np.bool_), np.asarray(second, np.bool_)
    if one.shape != other.shape or one.ndim != 1 or not len(one):
        raise ValueError(f"it takes the same cases of both, at least one, got {one.shape} and {other.shape}")
    gained, lost = int((~one & other).sum()), int((one & ~other).sum())
    p = float(binomtest(gained, gained + lost).pvalue) if gained + lost else 1.0
    gaps = other.astype(np.int64) - one.astype(np.int64)
    drawn = np.random.default_rng(seed).integers(0, len(gaps), (_DRAWS, len(gaps)))
    low, high = map(float, np.percentile(gaps[drawn].mean(axis=1), (2.5, 97.5)))
    return Difference(float(gaps.mean()), low, high, p)


def paired_auroc(good: npt.ArrayLike, defect: npt.ArrayLike) -> Difference:
    """Compare the AUROCs of two scores of the same images, the second minus the first, by DeLong's test.

    Args:
        good: ``(2, n)``, both scores of each of n good images.
        defect: ``(2, m)``, both scores of each of m defects.

    Raises:
        ValueError: as :func:`delong`.
    """
    found = delong(good, defect)
    value = float(found.auroc[1] - found.auroc[0])
    variance = float(found.covariance[0, 0] + found.covariance[1, 1] - 2 * found.covariance[0, 1])
    error = math.sqrt(variance) if variance > _NO_VARIANCE else 0.0
    certain = 1.0 if abs(value) < 1e-12 else 0.0
    p = float(2 * norm.sf(abs(value) / error)) if error else certain
    reach = float(norm.ppf(0.975)) * error
    return Difference(value, value - reach, value + reach, p)


def holm(p: Sequence[float]) -> list[float]:
    """Return p-values with Holm's step-down correction (1979), each to be read like that of a single test."""
    corrected, floor = [0.0] * len(p), 0.0
    for rank, index in enumerate(sorted(range(len(p)), key=lambda index: p[index])):
        floor = max(floor, min(1.0, (len(p) - rank) * p[index]))
        corrected[index] = floor
    return corrected


def _corrected(found: list[Difference], best: int) -> list[Difference]:
    tested = [i for i, one in enumerate(found) if i != best and one.p is not None]
    for i, p in zip(tested, holm([found[i].p or 0.0 for i in tested]), strict=True):
        found[i] = replace(found[i], p=p)
    return found
