"""Whether one configuration is really better than another, on the images that both have judged.

Both see the same images, and an image that is hard for one is mostly hard for the other: differences are
far surer than the two intervals side by side suggest. AUROCs are compared by DeLong's test (DeLong, DeLong
and Clarke-Pearson, 1988) in the form of Sun and Xu (2014), which sorts instead of comparing every pair;
other figures by drawing the images anew, the same draw for both (paired bootstrap).

What is tested against the best of many is tested as often as there are others; Holm's correction keeps the
chance of a single false difference among them at what it says. That the best was picked on these very
images is not corrected for: its lead is a little flattered, as that of every winner.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy.stats import norm, rankdata

__all__ = ["SIGNIFICANCE", "Difference", "Paired", "against", "delong", "holm", "resampled"]

Numbers = npt.NDArray[np.float64]

# A difference that chance explains less often than this counts as one.
SIGNIFICANCE = 0.05
# Of a variance, relative to that of a coin: below it there is none but rounding.
_NO_VARIANCE = 1e-14


@dataclass(frozen=True)
class Difference:
    """One figure minus the best one.

    Attributes:
        value: the difference; None where it was not tested.
        low, high: its 95 % interval, for this pair alone.
        p: how often chance alone gives at least this difference, either way; corrected where several are
            tested (:func:`holm`). None where it was not tested.
        why: why not; empty where it was.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    why: str = ""

    @property
    def real(self) -> bool:
        """Whether chance is an unlikely explanation."""
        return self.p is not None and self.p < SIGNIFICANCE


@dataclass(frozen=True)
class Paired:
    """The AUROCs of k scores of the same images.

    Attributes:
        auroc: float64 ``(k,)``, ties counting half.
        covariance: float64 ``(k, k)``, of their estimates.
    """

    auroc: Numbers
    covariance: Numbers


def delong(good: npt.ArrayLike, defect: npt.ArrayLike) -> Paired:
    """AUROCs and the covariance of their estimates.

    Args:
        good: ``(k, n)``, k scores of each of n good images.
        defect: ``(k, m)``, of each of m defects.

    Raises:
        ValueError: fewer than two images of a class, or other shapes.
    """
    below, above = np.asarray(good, np.float64), np.asarray(defect, np.float64)
    if below.ndim != 2 or above.ndim != 2 or len(below) != len(above):
        raise ValueError(f"scores must be (k, n) and (k, m), got {below.shape} and {above.shape}")
    n, m = below.shape[1], above.shape[1]
    if n < 2 or m < 2:
        raise ValueError(f"it takes two images of each class, got {n} good and {m} with a defect")
    together = rankdata(np.concatenate([above, below], axis=1), axis=1)
    # Of each defect the share of good images below it, and of each good image that of defects above.
    of_defects = (together[:, :m] - rankdata(above, axis=1)) / n
    of_good = 1 - (together[:, m:] - rankdata(below, axis=1)) / m
    covariance = np.cov(of_defects).reshape(len(above), -1) / m + np.cov(of_good).reshape(len(above), -1) / n
    return Paired(of_defects.mean(axis=1), np.asarray(covariance))


def against(values: npt.ArrayLike, covariance: npt.ArrayLike) -> tuple[int, list[Difference]]:
    """Every figure against the largest, by the normal approximation.

    Args:
        values: ``(k,)``.
        covariance: ``(k, k)``, of their estimates.

    Returns:
        Which is the largest (the first of several), and k differences with corrected p; that of the largest
        to itself is 0 with p 1.
    """
    means, spread = np.asarray(values, np.float64), np.asarray(covariance, np.float64)
    best = int(np.argmax(means))
    found = []
    for other, value in enumerate(means - means[best]):
        variance = spread[other, other] + spread[best, best] - 2 * spread[other, best]
        error = math.sqrt(variance) if variance > _NO_VARIANCE else 0.0
        # Without variance they are equal to rounding, or different on every image alike.
        certain = 1.0 if abs(value) < 1e-12 else 0.0
        p = float(2 * norm.sf(abs(value) / error)) if error else certain
        reach = float(norm.ppf(0.975)) * error
        found.append(Difference(float(value), float(value) - reach, float(value) + reach, p))
    return best, _corrected(found, best)


def resampled(values: Sequence[float], draws: Sequence[Numbers]) -> tuple[int, list[Difference]]:
    """Every figure against the largest, by draws of the images that all figures share.

    Args:
        values: of the k figures, on all images.
        draws: ``(b,)`` each: the figure of the same b draws; NaN where a draw has none.

    Returns:
        As :func:`against`. The least p that b draws can give is 2 / (b + 1).
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


def holm(p: Sequence[float]) -> list[float]:
    """Holm's step-down correction (1979): each p as if it were the only one tested."""
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
