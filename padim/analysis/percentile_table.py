"""Thresholds at common percentiles with their false-reject rates, and the percentile for a desired rate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from padim.decision.calibration import Choice, FalseRejectRate, Threshold
from padim.errors import BeyondScaleError

if TYPE_CHECKING:
    from padim.model import Padim

__all__ = ["USUAL", "PercentileRow", "lowest_percentile", "percentile_table"]

# Common percentiles, in tenths of a percent.
USUAL = (800, 900, 950, 975, 980, 990, 995, 999)


@dataclass(frozen=True)
class PercentileRow:
    """A threshold and its expected false-reject rate.

    Attributes:
        threshold: the threshold and its origin.
        rate: the expected false-reject rate.
        chosen: whether it is the threshold in use.
    """

    threshold: Threshold
    rate: FalseRejectRate
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
        rows.append(
            PercentileRow(
                threshold, model.state.false_rejects(threshold.level, model.config.min_area), choice == here
            )
        )
    return sorted(rows, key=lambda row: (row.threshold.level, row.threshold.permille or 0))


def lowest_percentile(model: Padim, basis: Literal["image", "pixel"], share: float) -> int | None:
    """Return the lowest percentile at which the expected false-reject rate is at most a given share.

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
        if (
            model.state.false_rejects(threshold.level, model.config.min_area).expected * 100
            <= share * 100 + 1e-9
        ):
            return permille
    return None
