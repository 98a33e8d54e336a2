"""The results of a learning curve: figures of fits on subsets of a model's good parts.

The measurement is in :mod:`padim.analysis.learning_curve`.
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

# The largest standard error of a gain for which a curve can count as flattened, as a share: five points.
ROUGH = 0.05
# The smaller of two sizes to compare has at most this share of the parts of the larger.
_HALF = 0.6

__all__ = ["Defects", "Gain", "LearningCurve", "Size", "Spread", "Trial"]

Defects = Literal["labelled", "painted"]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Spread:
    """The mean and range of a figure over the subsets of one size.

    Attributes:
        mean: the mean over the subsets.
        low, high: the smallest and the largest value.
    """

    mean: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread | None:
        """Summarize values, ignoring NaN; None if there are no others."""
        known = [value for value in values if not math.isnan(value)]
        return cls(math.fsum(known) / len(known), min(known), max(known)) if known else None


@dataclass(frozen=True, eq=False)
class Trial:
    """The results of one fit on a subset.

    Attributes:
        threshold: its own threshold, from its held-out scores, in map units.
        supported: whether the number of parts supports the percentile.
        promise: the expected false-reject rate at that threshold, with its upper bound.
        left_out: the rejected share of the good parts that were not drawn, at that threshold.
        left_out_at_full: the same share at the threshold of the model of all parts.
        caught: float64 ``(defects,)``: 1 where a defect is rejected at that threshold, else 0; for painted
            defects, the share caught on each part painted on, NaN where no trial is valid.
        caught_at_full: the same at the threshold of the model of all parts.
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
    """All fits on subsets of one size.

    Attributes:
        parts: the number of parts in each subset.
        trials: the fits, in the order of their draws.
    """

    parts: int
    trials: tuple[Trial, ...]

    @property
    def threshold(self) -> Spread:
        """Return the spread of the thresholds, in map units."""
        found = Spread.of(trial.threshold for trial in self.trials)
        assert found is not None  # there is at least one trial, and a threshold is finite
        return found

    @property
    def promised(self) -> Spread:
        """Return the spread of the expected false-reject rates."""
        found = Spread.of(trial.promise.expected for trial in self.trials)
        assert found is not None
        return found

    @property
    def promised_at_most(self) -> Spread:
        """Return the spread of the upper 95 % bounds of the false-reject rates."""
        found = Spread.of(trial.promise.upper for trial in self.trials)
        assert found is not None
        return found

    @property
    def left_out(self) -> Spread | None:
        """Return the spread of the rejected shares of good parts left out; None if none was left out."""
        return Spread.of(trial.left_out.share for trial in self.trials)

    @property
    def left_out_at_full(self) -> Spread | None:
        """Return the spread of the rejected shares of good parts left out, at the threshold of all parts."""
        return Spread.of(trial.left_out_at_full.share for trial in self.trials)

    @property
    def recall(self) -> Spread | None:
        """Return the spread of the shares of defects caught at each fit's threshold; None without defects."""
        return Spread.of(_mean(trial.caught) for trial in self.trials)

    @property
    def recall_at_full(self) -> Spread | None:
        """Return the spread of the shares of defects caught at the threshold of all parts."""
        return Spread.of(_mean(trial.caught_at_full) for trial in self.trials)


@dataclass(frozen=True)
class Gain:
    """The gain in recall from about the last doubling of the number of parts.

    Attributes:
        low, high: the numbers of parts compared.
        points: recall at ``high`` minus recall at ``low``, as a share.
        standard_error: the standard error of ``points``.
    """

    low: int
    high: int
    points: float
    standard_error: float

    @property
    def trend(self) -> Literal["rising", "flattened", "perhaps", "too rough"]:
        """Return the conclusion from the gain.

        ``rising`` is a gain of at least two standard errors; ``flattened`` one of at most one standard error
        that is small enough to detect a rise; ``perhaps`` a gain in between; ``too rough`` one with a
        standard error that is too large for a conclusion.
        """
        if self.points >= 2 * self.standard_error and self.points > 0:
            return "rising"
        if self.standard_error > ROUGH:
            return "too rough"
        return "flattened" if self.points <= self.standard_error else "perhaps"


@dataclass(frozen=True)
class LearningCurve:
    """The results of fits on subsets of a model's good parts.

    Attributes:
        parts: the number of all good parts, which is the size of the model itself.
        permille: the percentile of the thresholds, in tenths of a percent.
        seed, draws: the seed of the subsets and their number for each size.
        sizes: the results by size, increasing.
        defects: the kind of defects that recall is computed from; None without defects.
        names: the names of the defects, or of the good parts painted on.
        painted: the number of painted defects.
        passed_over: the number of labelled defects left out because the model has them, by
            content, as good parts.
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
        """Return the gain in recall of the largest size with several subsets over about half that size.

        The standard error has two components: the sample of defects (both sizes are evaluated on the same
        defects, so their differences are used), and the sample of parts drawn. The model itself, of all
        parts, is a single fit and so less precise than the mean over subsets of nearly the same size; it is
        used only if there is no other size, and is then assumed to vary like the subsets of the smaller size.

        None if there are not two sizes with recall, with at least two subsets of the smaller one.
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
    """Return the mean of ``caught`` over the fits, float64 ``(defects,)``; NaN where no fit has a value."""
    caught = np.stack([trial.caught for trial in size.trials])
    known = ~np.isnan(caught)
    total, count = np.where(known, caught, 0.0).sum(axis=0), known.sum(axis=0)
    return np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)
