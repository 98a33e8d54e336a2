"""Detection against size or contrast: the logistic curve through counts of detected defects."""

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

# Steepest slopes believed, per factor e: keeps the fit finite where all of one size and none of the next
# are caught.
_STEEPEST = 20.0


@dataclass(frozen=True)
class Reach:
    """The size or contrast that it takes, or why that cannot be said.

    Attributes:
        value: None where there is none.
        why: why not; empty where there is one.
        below: there is none because the smallest tried is caught as often already.
    """

    value: float | None
    why: str = ""
    below: bool = False


@dataclass(frozen=True)
class Curve:
    """How often defects are caught as one thing about them grows.

    Attributes:
        values: sizes in map pixels or contrasts, growing.
        rates: caught of tried at each, with exact intervals. They take the places as independent, as places
            on different images are and places on one image nearly.
        intercept, slope: of the logistic curve ``1 / (1 + exp(-(intercept + slope * ln(value))))``, slope at
            least 0; None where all were caught or none.
        at_50, at_90: where the curve passes 50 % and 90 %, or why it cannot be said.
        smallest: the smallest value tried from which on at least 90 % were caught, by plain count.
    """

    values: tuple[float, ...]
    rates: tuple[Rate, ...]
    intercept: float | None
    slope: float | None
    at_50: Reach
    at_90: Reach
    smallest: Reach

    def share(self, values: npt.ArrayLike) -> Doubles | None:
        """The fitted share caught at any values, to draw; None without a fit."""
        if self.intercept is None or self.slope is None:
            return None
        return np.asarray(expit(self.intercept + self.slope * np.log(np.asarray(values, np.float64))))


def curve_of(values: Sequence[float], caught: Sequence[int], tried: Sequence[int]) -> Curve:
    """The curve of counted detections.

    The logistic curve in the logarithm of the value is the customary model of hit-or-miss data
    (MIL-HDBK-1823A). Where some places are blind it levels off below 1 and the model does not hold; a value
    it gives is therefore kept between the two tried values where the counts, made monotone by isotonic
    regression, pass that share, and none is given that the counts do not reach.

    Args:
        values: growing, greater than 0.
        caught: how many at each.
        tried: out of how many.

    Raises:
        ValueError: lists of different lengths, empty, not growing, or counts that cannot be.
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
    """Intercept and slope of largest penalised likelihood, slope at least 0; None without any contrast."""
    if not 0 < caught.sum() < tried.sum():
        return None
    centre = float(np.average(x, weights=tried))

    def loss(parameters: Doubles) -> tuple[float, Doubles]:
        intercept, slope = parameters
        z = intercept + slope * (x - centre)
        off = tried * expit(z) - caught
        value = np.sum(tried * np.logaddexp(0, z) - caught * z) + (slope / _STEEPEST) ** 2 / 2
        gradient = np.array([off.sum(), off @ (x - centre) + slope / _STEEPEST**2])
        return float(value), gradient

    start = np.array([float(logit(caught.sum() / tried.sum())), 1.0])
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=[(None, None), (0, None)])
    intercept, slope = map(float, found.x)
    return intercept - slope * centre, slope


def _passes(share: float, x: Doubles, shares: Doubles, fit: tuple[float, float] | None) -> Reach:
    """Where the curve passes a share, between the values where the counts do."""
    # Pooled shares are quotients: a ten-thousandth of a trial decides nothing.
    reached = shares >= share - 1e-9
    if reached[0]:
        return Reach(None, f"{share:.0%} are caught even at {x[0]:g}", below=True)
    if not reached[-1]:
        return Reach(None, f"fewer than {share:.0%} are caught even at {x[-1]:g}")
    assert fit is not None  # the shares differ, so there is a curve
    index = int(np.argmax(reached))
    low, high = math.log(x[index - 1]), math.log(x[index])
    intercept, slope = fit
    place = (float(logit(share)) - intercept) / slope if slope > 0 else high
    return Reach(math.exp(min(max(place, low), high)))
