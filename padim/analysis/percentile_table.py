"""Thresholds at common percentiles with their false-reject rates, and the percentile for a desired rate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from padim.decision.calibration import Choice, Threshold
from padim.decision.verdicts import VerdictRates
from padim.errors import BeyondScaleError

if TYPE_CHECKING:
    from padim.model import Padim

__all__ = ["USUAL", "PercentileRow", "lowest_percentile", "percentile_table"]

# Common percentiles, in tenths of a percent.
USUAL = (800, 900, 950, 975, 980, 990, 995, 999)


@dataclass(frozen=True)
class PercentileRow:
    """A threshold and the shares of good parts to expect at it, with the model's guard band around it.

    Attributes:
        threshold: the threshold and its origin.
        rates: the expected shares rejected, and rejected or in review.
        chosen: whether it is the threshold in use.
    """

    threshold: Threshold
    rates: VerdictRates
    chosen: bool


def percentile_table(model: Padim, basis: Literal["image", "pixel"]) -> list[PercentileRow]:
    """Return the thresholds at common percentiles and the one in use, the lowest threshold first.

    Args:
        model: a calibrated model.
        basis: whether percentiles are taken over images or pixels. A manual threshold has a row of its own.

    Raises:
        CalibrationError: the model has no held-out scores.
    """
    chosen = model.decision.choice
    here = chosen if chosen.basis == "manual" else Choice(basis, chosen.permille)
    rows = []
    for choice in {*(Choice(basis, permille) for permille in USUAL), here}:
        try:
            threshold = model.state.threshold(choice, model.config.min_area)
        except BeyondScaleError:
            continue
        rates = model.state.verdict_rates(model.verdict_limits(threshold.level), model.config.min_area)
        rows.append(PercentileRow(threshold, rates, choice == here))
    return sorted(rows, key=lambda row: (row.threshold.level, row.threshold.permille or 0))


def lowest_percentile(model: Padim, basis: Literal["image", "pixel"], share: float) -> int | None:
    """Return the lowest percentile at which the expected share of good parts rejected is at most a given one.

    With a guard band these are the parts above the band; those in review are not counted.

    Args:
        model: a calibrated model.
        basis: whether percentiles are taken over images or pixels.
        share: the largest acceptable rate, between 0 and 1.

    Returns:
        The percentile in tenths of a percent; None if the number of parts is too small for the rate.

    Raises:
        CalibrationError: the model has no held-out scores.
    """
    for permille in range(1, 1000):
        threshold = model.state.threshold(Choice(basis, permille), model.config.min_area)
        limits = model.verdict_limits(threshold.level)
        rate = model.state.verdict_rates(limits, model.config.min_area).rejected
        if rate.expected * 100 <= share * 100 + 1e-9:
            return permille
    return None
