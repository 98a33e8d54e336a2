"""Whether the scores of accepted parts drift away from the calibration, and what else has changed."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.signal import lfilter

__all__ = ["LookChange", "ScoreEwma", "drift_sentence", "ewma_of", "look_changes"]

Floats = npt.NDArray[np.float64]

WEIGHT = 0.2
WIDTH = 3.0
# Images of a period that are compared with those of another: so many, or a fifth of all if that is less.
_PERIOD = 200
_FEWEST = 20
# A mean has moved if it did so by this many standard deviations of a single image, and of the means.
_MOVED = 0.5
_CLEAR = 3.0
_OF_IMAGE = (("brightness", "Brightness"), ("sharpness", "Sharpness"))
_OF_PLACE = (("shift_x", "Position to the right"), ("shift_y", "Position down"))


@dataclass(frozen=True, eq=False)
class ScoreEwma:
    """An exponentially weighted moving average of scores, with its limits.

    Attributes:
        mean, deviation: mean and standard deviation of the calibration's held-out scores.
        held_out: how many these were.
        average: the average after each score, ``(m,)``.
        low, high: the limits at each, ``(m,)``.
    """

    mean: float
    deviation: float
    held_out: int
    average: Floats
    low: Floats
    high: Floats

    @property
    def beyond(self) -> npt.NDArray[np.int64]:
        """1 where the average is above its limit, -1 where it is below, else 0."""
        return (self.average > self.high).astype(np.int64) - (self.average < self.low)

    @property
    def since(self) -> int | None:
        """Where the average left its limits for the last time, if it is still outside on that side."""
        beyond = self.beyond
        if not len(beyond) or not beyond[-1]:
            return None
        other = np.flatnonzero(beyond != beyond[-1])
        return int(other[-1]) + 1 if len(other) else 0


def ewma_of(scores: Floats, held_out: Floats, *, weight: float = WEIGHT, width: float = WIDTH) -> ScoreEwma:
    """Average scores exponentially, against the calibration.

    z_t = λ x_t + (1 - λ) z_(t-1), z_0 = μ, with limits μ ± L σ sqrt(λ / (2 - λ) (1 - (1 - λ)^(2 t)))
    (Roberts, 1959; Montgomery, 2013, "Introduction to Statistical Quality Control", section 9.2). With
    λ = 0.2, L = 3 and independent normal scores the first average outside comes after some 560 scores, on
    average, although nothing has changed (Lucas and Saccucci, 1990, "Exponentially weighted moving average
    control schemes"); μ and σ are estimates from few parts, so it comes sooner.

    Args:
        scores: scores of accepted parts in order of time, ``(m,)``.
        held_out: the calibration's held-out scores at or below the threshold, ``(n,)``, n >= 2 and not all
            equal.
        weight: λ, above 0 and at most 1.
        width: L.

    Raises:
        ValueError: fewer than two different held-out scores, or λ is out of range.
    """
    held_out = np.asarray(held_out, np.float64)
    if len(held_out) < 2 or np.ptp(held_out) == 0:
        raise ValueError("limits need at least two different held-out scores at or below the threshold")
    if not 0 < weight <= 1:
        raise ValueError(f"the weight must be above 0 and at most 1, got {weight}")
    mean, deviation = float(held_out.mean()), float(held_out.std(ddof=1))
    scores = np.asarray(scores, np.float64)
    average = mean + lfilter([weight], [1, weight - 1], scores - mean) if len(scores) else scores
    steps = 2 * np.arange(1, len(scores) + 1)
    reach = width * deviation * np.sqrt(weight / (2 - weight) * (1 - (1 - weight) ** steps))
    return ScoreEwma(mean, deviation, len(held_out), average, mean - reach, mean + reach)


@dataclass(frozen=True)
class LookChange:
    """How something about the images differs between the first and the last period.

    Attributes:
        column: name of the column.
        name: what it is, for people.
        first, last: means of the two periods.
        images: number of images in each.
        deviations: difference of the means in standard deviations of single images of the first period;
            infinite if these were all equal.
        moved: whether the difference is more than half a standard deviation and clear of chance.
    """

    column: str
    name: str
    first: float
    last: float
    images: int
    deviations: float
    moved: bool


def look_changes(columns: object) -> list[LookChange]:
    """Compare brightness, sharpness and position of the last images with those of the first.

    Each period has 200 images, or a fifth of them if that is less, and at least 20. The difference of the
    means is given in standard deviations of the first period (Glass's delta: Glass, 1976); "moved" is a
    difference above 0.5 of them that is also above 3 standard errors (Welch, 1947).

    Args:
        columns: accepted inspections in order of time, with the attributes ``brightness``, ``sharpness``,
            ``shift_x`` and ``shift_y``; NaN where it is not known.

    Returns:
        One entry for each that enough images have; empty if there are too few.
    """
    found = []
    for column, name in (*_OF_IMAGE, *_OF_PLACE):
        values = np.asarray(getattr(columns, column), np.float64)
        values = values[np.isfinite(values)]
        size = max(_FEWEST, min(_PERIOD, len(values) // 5))
        if len(values) < 2 * size:
            continue
        first, last = values[:size], values[-size:]
        difference = float(last.mean() - first.mean())
        spread = float(first.std(ddof=1))
        error = math.sqrt(float(first.var(ddof=1) + last.var(ddof=1)) / size)
        deviations = difference / spread if spread else math.copysign(math.inf, difference) * bool(difference)
        found.append(
            LookChange(
                column,
                name,
                float(first.mean()),
                float(last.mean()),
                size,
                0.0 if math.isnan(deviations) else deviations,
                bool(difference) and abs(deviations) > _MOVED and abs(difference) > _CLEAR * error,
            )
        )
    return found


def drift_sentence(changes: list[LookChange]) -> str:
    """Say what has moved between the first and the last images, and what has not.

    For example "Between the first and the last 200 accepted images brightness rose by 1.2 standard deviations
    (from 120 to 126). Sharpness has not moved."
    """
    if not changes:
        return (
            f"What may have changed in the images cannot be said: that takes at least {2 * _FEWEST} of them."
        )
    moved = [change for change in changes if change.moved]
    still = [change.name.lower() for change in changes if not change.moved]
    sentences = []
    if moved:
        told = []
        for change in moved:
            by = (
                f" by {abs(change.deviations):.1f} standard deviations"
                if math.isfinite(change.deviations)
                else ""
            )
            way = "rose" if change.last > change.first else "fell"
            unit = " px" if change.column in dict(_OF_PLACE) else ""
            told.append(
                f"{change.name.lower()} {way}{by} (from {change.first:.3g} to {change.last:.3g}{unit})"
            )
        images = sorted({change.images for change in moved})
        sentences.append(
            f"Between the first and the last {' or '.join(f'{one:,}' for one in images)} accepted images "
            f"{_listed(told)}."
        )
    if still:
        verb = "has" if len(still) == 1 else "have"
        sentences.append(f"{_listed(still).capitalize()} {verb} not moved.")
    return " ".join(sentences)


def _listed(texts: list[str]) -> str:
    return texts[0] if len(texts) == 1 else f"{', '.join(texts[:-1])} and {texts[-1]}"
