"""Counts of verdicts, and the rates of good parts that are rejected or not accepted.

With a guard band a good part may be rejected outright, above the upper end of the band, or go to review. So a
threshold has two false-reject rates, and each says what it counts.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from padim.decision.anomaly_map import Quantizer
from padim.decision.calibration import FalseRejectRate
from padim.decision.guard_band import VerdictLimits
from padim.decision.part_scores import PartScores
from padim.decision.promise import promise, promise_by_verdict

__all__ = ["VerdictCounts", "VerdictRates", "count_verdicts", "verdict_rates"]


@dataclass(frozen=True)
class VerdictCounts:
    """Number of images or parts with each verdict.

    Attributes:
        accept: accepted, at most the lower end of the guard band, or the threshold without one.
        review: within the guard band, or not found if that calls for review.
        reject: rejected, above the guard band, or the threshold without one; or displaced too far.
    """

    accept: int = 0
    review: int = 0
    reject: int = 0

    @property
    def total(self) -> int:
        """Number of all of them."""
        return self.accept + self.review + self.reject

    @property
    def not_accepted(self) -> int:
        """Number of those rejected or in review."""
        return self.review + self.reject


def count_verdicts(
    scores: PartScores | Iterable[int] | npt.NDArray[np.integer], limits: VerdictLimits
) -> VerdictCounts:
    """Count the verdicts of images or parts.

    Args:
        scores: their scores and displacements, or their scores alone, as integer levels.
        limits: the limits of the verdicts.
    """
    parts = scores if isinstance(scores, PartScores) else PartScores.of_map(scores)
    reject = parts.rejected(limits)
    not_accepted = reject | parts.unsure | (parts.scores > limits.accept_up_to)
    rejected, others = int(np.count_nonzero(reject)), int(np.count_nonzero(not_accepted & ~reject))
    return VerdictCounts(len(parts) - rejected - others, others, rejected)


@dataclass(frozen=True)
class VerdictRates:
    """Expected shares of good parts by verdict, each with its upper bound.

    Attributes:
        rejected: the share rejected.
        not_accepted: the share rejected or in review; equal to ``rejected`` without a guard band.
        review_above, reject_above: the limits that the two speak of, in map units; equal without a band.
        has_review: whether a guard band sends scores to review, or parts that are not found are reviewed.
    """

    rejected: FalseRejectRate
    not_accepted: FalseRejectRate
    review_above: float
    reject_above: float
    has_review: bool

    @property
    def sentence(self) -> str:
        """What the threshold promises; with a guard band it names both limits (:mod:`.promise`)."""
        if not self.has_review:
            return promise(self.rejected)
        return promise_by_verdict(
            self.rejected,
            self.not_accepted,
            review_above=self.review_above,
            reject_above=self.reject_above,
        )


def verdict_rates(
    scores: PartScores | npt.NDArray[np.integer], limits: VerdictLimits, quantizer: Quantizer
) -> VerdictRates:
    """Estimate the shares of good parts by verdict.

    Args:
        scores: held-out scores and displacements of n parts, or held-out levels ``(n,)`` alone.
        limits: the limits of the verdicts.
        quantizer: the scale of the levels.
    """
    parts = scores if isinstance(scores, PartScores) else PartScores.of_map(scores)
    counts = count_verdicts(parts, limits)
    return VerdictRates(
        FalseRejectRate.counted(counts.reject, counts.total),
        FalseRejectRate.counted(counts.not_accepted, counts.total),
        quantizer.to_value(max(0, limits.accept_up_to)),
        quantizer.to_value(limits.reject_above),
        limits.has_review or bool(parts.unsure.any()),
    )
