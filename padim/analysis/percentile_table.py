"""What thresholds at the usual percentiles promise, and which percentile a wanted false-reject rate takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from padim.decision.calibration import Choice, FalseRejectRate, Threshold
from padim.errors import BeyondScaleError

if TYPE_CHECKING:
    from padim.model import Padim

__all__ = ["USUAL", "PercentileRow", "lowest_percentile", "percentile_table"]

# In tenths of a percent.
USUAL = (800, 900, 950, 975, 980, 990, 995, 999)


@dataclass(frozen=True)
class PercentileRow:
    """A threshold and what it promises.

    Attributes:
        threshold: and where it comes from.
        rate: of false rejects to expect.
        chosen: it is the one in use.
    """

    threshold: Threshold
    rate: FalseRejectRate
    chosen: bool


def percentile_table(model: Padim, basis: Literal["image", "pixel"]) -> list[PercentileRow]:
    """The usual percentiles, and the choice in use in its place among them; the lowest threshold first.

    Args:
        model: calibrated.
        basis: what percentiles are taken over. A choice by hand has a row of its own.

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
    """The lowest percentile, in tenths, at which at most that share of good parts is expected to be rejected.

    Args:
        model: calibrated.
        basis: what percentiles are taken over.
        share: between 0 and 1.

    Returns:
        None where so many parts cannot promise so little.

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
