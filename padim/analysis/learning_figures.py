"""The figures of a learning curve: what fits on subsets of a model's good parts come to.

How they are measured is in :mod:`padim.analysis.learning_curve`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from padim.decision.calibration import FalseRejectRate
from padim.decision.operating_points import Rate

# A standard error of a gain above which no curve is said to have flattened, as a share: five points.
ROUGH = 0.05
# The smaller of two sizes that are compared has at most so many of the parts of the larger.
_HALF = 0.6

__all__ = ["Defects", "Gain", "LearningCurve", "Size", "Spread", "Trial"]

Defects = Literal["labelled", "painted"]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Spread:
    """A figure over the subsets of one size.

    Attributes:
        mean: over them.
        low, high: the smallest and the largest.
    """

    mean: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread | None:
        """Of these, NaN left out; None of none."""
        known = [value for value in values if not math.isnan(value)]
        return cls(math.fsum(known) / len(known), min(known), max(known)) if known else None


@dataclass(frozen=True, eq=False)
class Trial:
    """One fit on a subset.

    Attributes:
        threshold: its own, from its held-out scores, in map units.
        supported: whether so many parts support the percentile.
        promise: false rejects to expect at that threshold, with their upper bound.
        left_out: of the good parts that were not drawn, how many are rejected at that threshold.
        left_out_at_full: the same at the threshold of all parts.
        caught: float64 ``(defects,)``: 1 where a defect is rejected at that threshold, else 0; for painted
            ones, the share caught on each part painted on, NaN where none can be judged.
        caught_at_full: the same at the threshold of all parts.
    """

    threshold: float
    supported: bool
    promise: FalseRejectRate
    left_out: Rate
    left_out_at_full: Rate
    caught: Floats
    caught_at_full: Floats


def _mean(values: Floats) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else math.nan


@dataclass(frozen=True)
class Size:
    """All fits on so many parts.

    Attributes:
        parts: in each subset.
        trials: the fits, in order of their draws.
    """

    parts: int
    trials: tuple[Trial, ...]

    @property
    def threshold(self) -> Spread:
        """The thresholds, in map units."""
        found = Spread.of(trial.threshold for trial in self.trials)
        assert found is not None  # there is a trial, and a threshold is a number
        return found

    @property
    def promised(self) -> Spread:
        """The false rejects to expect, as shares."""
        found = Spread.of(trial.promise.expected for trial in self.trials)
        assert found is not None
        return found

    @property
    def promised_at_most(self) -> Spread:
        """The upper 95 % bounds of the false rejects, as shares."""
        found = Spread.of(trial.promise.upper for trial in self.trials)
        assert found is not None
        return found

    @property
    def left_out(self) -> Spread | None:
        """Shares rejected of the good parts left out; None where none was."""
        return Spread.of(trial.left_out.share for trial in self.trials)

    @property
    def left_out_at_full(self) -> Spread | None:
        """Shares rejected of the good parts left out, at the threshold of all parts."""
        return Spread.of(trial.left_out_at_full.share for trial in self.trials)

    @property
    def recall(self) -> Spread | None:
        """Shares of defects caught at each fit's own threshold; None without defects."""
        return Spread.of(_mean(trial.caught) for trial in self.trials)

    @property
    def recall_at_full(self) -> Spread | None:
        """Shares of defects caught at the threshold of all parts."""
        return Spread.of(_mean(trial.caught_at_full) for trial in self.trials)


@dataclass(frozen=True)
class Gain:
    """What about the last doubling of the parts has brought in recall.

    Attributes:
        low, high: numbers of parts compared.
        points: recall at ``high`` less recall at ``low``, as a share.
        standard_error: of that.
    """

    low: int
    high: int
    points: float
    standard_error: float

    @property
    def trend(self) -> Literal["rising", "flattened", "perhaps", "too rough"]:
        """What it says: ``rising`` by two standard errors or more; ``flattened``, no more than one, which is
        small enough to see a rise; ``perhaps`` rising, in between; ``too rough`` to say."""
        if self.points >= 2 * self.standard_error and self.points > 0:
            return "rising"
        if self.standard_error > ROUGH:
            return "too rough"
        return "flattened" if self.points <= self.standard_error else "perhaps"


@dataclass(frozen=True)
class LearningCurve:
    """What subsets of a model's good parts come to.

    Attributes:
        parts: good parts in all, by which the last size is fitted: the model itself.
        permille: the percentile that thresholds are taken at, in tenths of a percent.
        seed, draws: of the subsets.
        sizes: growing.
        defects: what kind of defects recall is counted on; None without any.
        names: of the defects, or of the good parts painted on.
        painted: defects painted in all.
        passed_over: labelled defects that are good parts of the model by their content.
    """

    parts: int
    permille: int
    seed: int
    draws: int
    sizes: tuple[Size, ...]
    defects: Defects | None
    names: tuple[str, ...]
    painted: int
    passed_over: int

    @property
    def gain(self) -> Gain | None:
        """Recall at the largest number of parts with several subsets, against about half as many.

        The standard error has two parts: which defects there happen to be (both sizes are asked the same
        ones, so their differences count), and which parts happened to be drawn. The model itself, of all
        parts, is one fit only and so tells less than the mean over subsets of nearly as many; where nothing
        else is there, it is compared, and taken to vary as the subsets of the smaller size do.

        None where fewer than two sizes, or fewer than two subsets of the smaller one, say anything.
        """
        known = [size for size in self.sizes if size.recall is not None]
        several = [size for size in known if len(size.trials) > 1]
        for high in (*several[::-1][:1], *known[::-1][:1]):
            smaller = [size for size in several if size.parts <= _HALF * high.parts]
            if smaller:
                return _gain(min(smaller, key=lambda size: abs(math.log(2 * size.parts / high.parts))), high)
        return None


def _gain(low: Size, high: Size) -> Gain | None:
    difference = _means(high) - _means(low)
    difference = difference[~np.isnan(difference)]
    if not len(difference):
        return None
    variance = float(np.var(difference, ddof=1)) / len(difference) if len(difference) > 1 else 0.0
    of_low = float(np.var([_mean(trial.caught) for trial in low.trials], ddof=1))
    of_high = of_low
    if len(high.trials) > 1:
        of_high = float(np.var([_mean(trial.caught) for trial in high.trials], ddof=1))
    variance += of_low / len(low.trials) + of_high / len(high.trials)
    return Gain(low.parts, high.parts, float(difference.mean()), math.sqrt(variance))


def _means(size: Size) -> Floats:
    """float64 ``(defects,)``: mean over the fits of what each has caught; NaN where none of them can say."""
    caught = np.stack([trial.caught for trial in size.trials])
    known = ~np.isnan(caught)
    total, count = np.where(known, caught, 0.0).sum(axis=0), known.sum(axis=0)
    return np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)
