"""Logistic curves of the detection rate as a function of the size or contrast of defects."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import isotonic_regression, minimize
from scipy.special import expit, logit

from padim.decision.operating_points import Rate

__all__ = ["Curve", "Reach", "curve_of"]

Doubles = npt.NDArray[np.float64]

# The scale of the penalty on the slope, per factor e: it keeps the fit finite where all defects of one size
# and none of the next smaller one are caught.
_STEEPEST = 20.0


@dataclass(frozen=True)
class Reach:
    """The size or contrast needed for a detection rate, or the reason why it cannot be determined.

    Attributes:
        value: the size or contrast; None if it cannot be determined.
        why: the reason if there is no value; else empty.
        below: whether there is no value because even the smallest one tried reaches the rate.
    """

    value: float | None
    why: str = ""
    below: bool = False


@dataclass(frozen=True)
class Curve:
    """The detection rate of defects as a function of their size or contrast.

    Attributes:
        values: sizes in map pixels, or contrasts, in increasing order.
        rates: the share caught at each value, with exact intervals. These assume independent places, which
            holds for places on different images and nearly for places on one image.
        intercept, slope: the parameters of the logistic curve
            ``1 / (1 + exp(-(intercept + slope * ln(value))))``, with a slope of at least 0; None if all
            defects were caught or none.
        at_50, at_90: where the curve passes 50 % and 90 %, or why that cannot be determined.
        smallest: the smallest value tried from which on at least 90 % were caught, by count.
    """

    values: tuple[float, ...]
    rates: tuple[Rate, ...]
    intercept: float | None
    slope: float | None
    at_50: Reach
    at_90: Reach
    smallest: Reach

    def share(self, values: npt.ArrayLike) -> Doubles | None:
        """Return the fitted detection rate at any values, for plotting; None without a fit."""
        if self.intercept is None or self.slope is None:
            return None
        return np.asarray(expit(self.intercept + self.slope * np.log(np.asarray(values, np.float64))))


def curve_of(values: Sequence[float], caught: Sequence[int], tried: Sequence[int]) -> Curve:
    """Fit the detection curve to counts of detections.

    A logistic curve in the logarithm of the value is the usual model of hit-or-miss data (MIL-HDBK-1823A).
    With blind spots the true rate levels off below 1 and the model does not hold. A value read from the curve
    is therefore limited to the interval between the two tried values where the counts, made monotone by
    isotonic regression, pass the rate, and there is no value for a rate that the counts do not reach.

    Args:
        values: sizes or contrasts, increasing, greater than 0.
        caught: the number of defects caught at each value.
        tried: the number of defects tried at each value.

    Raises:
        ValueError: the lists have different lengths, are empty or do not increase, or the
            counts are impossible.
    """
    if not len(values) == len(caught) == len(tried) or not len(values):
        raise ValueError("a curve takes as many counts as values, and at least one")
    if values[0] <= 0 or any(b <= a for a, b in itertools.pairwise(values)):
        raise ValueError("the values of a curve must be greater than 0 and grow")
    rates = tuple(Rate.counted(int(k), int(n)) for k, n in zip(caught, tried, strict=True))
    known = [(value, rate) for value, rate in zip(values, rates, strict=True) if rate.of]
    if not known:
        nothing = Reach(None, "nothing was tried")
        return Curve(tuple(values), rates, None, None, nothing, nothing, nothing)
    x = np.array([value for value, _ in known])
    k, n = np.array([[rate.count, rate.of] for _, rate in known], np.float64).T
    fit = _logistic(np.log(x), k, n)
    shares = np.asarray(isotonic_regression(k / n, weights=n).x)
    good = k >= 0.9 * n - 1e-9
    first = len(x) - int(np.argmin(good[::-1])) if not good.all() else 0
    if first < len(x):
        smallest = Reach(float(x[first]))
    else:
        smallest = Reach(None, f"fewer than 90 % were caught even at {x[-1]:g}")
    at_50, at_90 = (_passes(share, x, shares, fit) for share in (0.5, 0.9))
    return Curve(
        tuple(values), rates, None if fit is None else fit[0], fit and fit[1], at_50, at_90, smallest
    )


def _logistic(x: Doubles, caught: Doubles, tried: Doubles) -> tuple[float, float] | None:
    """Return intercept and slope of maximum penalized likelihood; None if all were caught or none."""
    if not 0 < caught.sum() < tried.sum():
        return None
    center = float(np.average(x, weights=tried))

    def loss(parameters: Doubles) -> tuple[float, Doubles]:
        intercept, slope = parameters
        z = intercept + slope * (x - center)
        off = tried * expit(z) - caught
        value = np.sum(tried * np.logaddexp(0, z) - caught * z) + (slope / _STEEPEST) ** 2 / 2
        gradient = np.array([off.sum(), off @ (x - center) + slope / _STEEPEST**2])
        return float(value), gradient

    start = np.array([float(logit(caught.sum() / tried.sum())), 1.0])
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=[(None, None), (0, None)])
    intercept, slope = map(float, found.x)
    return intercept - slope * center, slope


def _passes(share: float, x: Doubles, shares: Doubles, fit: tuple[float, float] | None) -> Reach:
    """Return where the curve passes a share, limited to the interval in which the counts pass it."""
    # Pooled shares are quotients, so the comparison allows for rounding.
    reached = shares >= share - 1e-9
    if reached[0]:
        return Reach(None, f"{share:.0%} are caught even at {x[0]:g}", below=True)
    if not reached[-1]:
        return Reach(None, f"fewer than {share:.0%} are caught even at {x[-1]:g}")
    assert fit is not None  # the shares differ, so there is a fit
    index = int(np.argmax(reached))
    low, high = math.log(x[index - 1]), math.log(x[index])
    intercept, slope = fit
    place = (float(logit(share)) - intercept) / slope if slope > 0 else high
    return Reach(math.exp(min(max(place, low), high)))
