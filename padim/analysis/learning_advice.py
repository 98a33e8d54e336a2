"""Text conclusions from a learning curve: whether more good parts would help, and how many make it robust.

Robust means that a single unusual part does not determine the threshold.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from padim.decision.calibration import odd_parts_tolerated, parts_needed
from padim.text import count, percent

if TYPE_CHECKING:
    from padim.analysis.learning_figures import LearningCurve, Size
    from padim.model import Padim

__all__ = ["advice", "band_note", "odd_parts", "outlook", "painted_note"]


def odd_parts(permille: int, parts: int) -> str:
    """Describe how many good parts it takes until one unusual part no longer determines the threshold.

    That depends on the percentile and the number of parts only
    (:func:`padim.decision.calibration.parts_needed`).

    Args:
        permille: the percentile in tenths of a percent.
        parts: the number of good parts available.
    """
    at, enough = f"At {permille / 10:g} %", parts_needed(permille, 1)
    tolerated = odd_parts_tolerated(permille, parts)
    if tolerated < 0:
        return (
            f"{at} a threshold takes at least {count(parts_needed(permille), 'good part')}. Of these "
            f"{parts:,} the highest held-out score stands in, so one odd part decides it; from {enough:,} "
            "on, one alone cannot."
        )
    if tolerated == 0:
        return (
            f"{at} one odd part among these {parts:,} still decides the threshold; from {enough:,} good "
            f"parts on, {enough - parts:,} more, one alone cannot."
        )
    return (
        f"{at} it takes {tolerated + 1:,} odd parts among these {parts:,} to decide the threshold; from "
        f"{enough:,} good parts on, one alone cannot."
    )


def outlook(curve: LearningCurve) -> str:
    """Describe whether more good parts would catch more defects, according to the curve."""
    if curve.defects is None:
        return _steadiness(curve)
    what = "labelled" if curve.defects == "labelled" else "painted"
    known = [size for size in curve.sizes if size.recall is not None]
    if curve.defects == "labelled" and _caught_all(known[-1]):
        first = known[-1]
        for size in reversed(known):
            if not _caught_all(size):
                break
            first = size
        return (
            f"From {count(first.parts, 'part')} on every one of the {count(len(curve.names), 'defect')} "
            f"given was caught, so more good parts cannot catch more of these. {_bound(curve)}"
        )
    gain = curve.gain
    if gain is None:
        return (
            f"Whether more good parts would catch more of the {what} defects takes at least two numbers of "
            "parts, and two subsets of the smaller one, to tell."
        )
    points, error = gain.points * 100, gain.standard_error * 100
    moved = "rose" if points >= 0 else "fell"
    text = (
        f"From {gain.low:,} to {gain.high:,} good parts the share of {what} defects caught {moved} by "
        f"{abs(points):.1f} points"
    )
    if gain.trend == "flattened":
        return (
            f"{text}, no more than chance explains (standard error {error:.1f}): the curve has flattened, "
            f"and more good parts would hardly catch more. {_bound(curve)}"
        )
    if gain.trend == "rising":
        return (
            f"{text} (standard error {error:.1f}): it is still rising, so more good parts are likely to "
            "catch more."
        )
    if gain.trend == "perhaps":
        return (
            f"{text} (standard error {error:.1f}): it may still be rising, so more good parts are worth a "
            "try."
        )
    more = "More labelled defects, or more" if curve.defects == "labelled" else "More"
    return (
        f"{text}, but with a standard error of {error:.1f}: too rough to say whether more good parts would "
        f"catch more. {more} subsets of each size, tell more."
    ).replace("More subsets of each size, tell", "More subsets of each size tell")


def painted_note(curve: LearningCurve) -> str:
    """Return the caveat about painted defects; empty for a curve without them."""
    if curve.defects != "painted":
        return ""
    return (
        f"{curve.painted:,} defects painted on {count(len(curve.names), 'good part')} are an indication "
        "only: they rank methods with a correlation of .3 to real defects. Give some labelled defects to "
        "know."
    )


def band_note(model: Padim) -> str:
    """Return what the figures leave out for a model with a guard band; empty for one without."""
    if model.decision.guard is None:
        return ""
    return (
        "The guard band is not applied here: what scores above each fit's threshold counts as rejected or "
        "caught, those that go to review too."
    )


def advice(curve: LearningCurve) -> str:
    """Return all conclusions as one paragraph."""
    parts = (outlook(curve), odd_parts(curve.permille, curve.parts), painted_note(curve))
    return " ".join(part for part in parts if part)


def _caught_all(size: Size) -> bool:
    return size.recall is not None and size.recall.low == 1


def _bound(curve: LearningCurve) -> str:
    upper = curve.sizes[-1].promised_at_most.mean
    return f"They would still narrow what is known of false rejects: now at most {percent(upper, up=True)}."


def _steadiness(curve: LearningCurve) -> str:
    """Describe, for a curve without defects, how much the threshold depends on the selection of parts."""
    text = "Without defects nobody can say whether more good parts would catch more: give some labelled ones."
    several = [size for size in curve.sizes if len(size.trials) > 1]
    if several and several[-1].threshold.mean > 0:
        size = several[-1]
        spread = size.threshold
        share = (spread.high - spread.low) / spread.mean
        text += (
            f" Between subsets of {size.parts:,} parts the threshold differs by {share * 100:.0f} % of its "
            "mean."
        )
    return text
