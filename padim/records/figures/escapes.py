"""Missed defects (escapes), from the random audit of the accepted.

Every accepted inspection is drawn for an audit by its own, with a known probability (Poisson sampling:
Särndal, Swensson and Wretman, 1992, "Model Assisted Survey Sampling", section 3.5). Defects that people found
among other accepted ones, which they looked at for a reason, say nothing about the rest and are not counted.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from padim.decision.operating_points import clopper_pearson

__all__ = ["EscapeEstimate", "estimate_escapes"]

Booleans = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class EscapeEstimate:
    """The share of missed defects among the accepted, and what it rests on.

    Attributes:
        accepted: accepted inspections that the estimate speaks of.
        not_covered: accepted ones that it does not speak of: they could not be drawn, or of their probability
            nobody has decided an audited one yet.
        audited: audited and decided (accepted or rejected) by a person.
        waiting: audited, but not decided, or a person was unsure.
        found: defects among the audited.
        share: share of defects among ``accepted``; None without a decided audit.
        low, high: its 95 % confidence interval; (0, 1) without a decided audit.
        probabilities: number of different probabilities; with one of them the interval is exact.
    """

    accepted: int
    not_covered: int
    audited: int
    waiting: int
    found: int
    share: float | None
    low: float
    high: float
    probabilities: int

    @property
    def total(self) -> float | None:
        """Estimated number of missed defects among ``accepted``."""
        return None if self.share is None else self.share * self.accepted


def estimate_escapes(
    probability: Floats, audited: Booleans, decided: Booleans, defect: Booleans, confidence: float = 0.95
) -> EscapeEstimate:
    """Estimate the share of defects among accepted inspections from those audited at random.

    The estimator is Hájek's (Särndal, Swensson and Wretman, 1992, section 5.7): sum(w y) / sum(w) over the
    decided audits, where y is 1 for a defect and w the inverse probability. Horvitz and Thompson's total,
    sum(y / p), would also vary with the number that happened to be drawn, and would be too small by all
    audits that still wait. Inspections of one probability form a class, and w is N / m: N accepted of the
    class for each of its m decided audits (weighting classes, chapter 15: the same as 1 / p, corrected for
    what happened to be drawn and decided). So audits that wait are taken to be like those that are decided.

    With one probability this is the share of defects in the audits, and the interval is Clopper and Pearson's
    (1934). With several, the interval is the weighted sum of exact intervals of the classes, each at
    confidence 1 - (1 - confidence) / classes: by Bonferroni's inequality it covers at least as often as
    stated, at the price of being wide.

    Args:
        probability: the probability with which each accepted inspection could be drawn, ``(n,)``; NaN counts
            as 0.
        audited: whether it was drawn, boolean ``(n,)``.
        decided: whether a person has accepted or rejected it.
        defect: whether the person rejected it.
        confidence: between 0 and 1.
    """
    probability = np.nan_to_num(np.asarray(probability, np.float64), nan=0.0)
    usable = audited & decided & (probability > 0)
    waiting = int(np.count_nonzero(audited & ~decided))
    # Rounded, so that 0.1 + 0.2 is no class of its own.
    classes = np.round(probability, 12)
    known = np.unique(classes[usable])
    covered = np.isin(classes, known)
    total = int(np.count_nonzero(covered))
    missing = len(probability) - total
    if not len(known):
        return EscapeEstimate(0, missing, 0, waiting, 0, None, 0.0, 1.0, 0)
    share = low = high = 0.0
    level = 1 - (1 - confidence) / len(known)
    for value in known:
        members = classes == value
        drawn = members & usable
        number, found = int(np.count_nonzero(drawn)), int(np.count_nonzero(drawn & defect))
        weight = int(np.count_nonzero(members)) / total
        below, above = clopper_pearson(found, number, level)
        share += weight * found / number
        low += weight * below
        high += weight * above
    return EscapeEstimate(
        accepted=total,
        not_covered=missing,
        audited=int(np.count_nonzero(usable)),
        waiting=waiting,
        found=int(np.count_nonzero(usable & defect)),
        share=share,
        low=low,
        high=min(1.0, high),
        probabilities=len(known),
    )
