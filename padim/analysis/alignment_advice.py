"""What a trial of locating means: differences with their evidence, and a recommendation in sentences."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from padim.analysis.alignment_trial import AlignmentTrial
from padim.analysis.significance import SIGNIFICANCE, Difference, holm, paired_auroc, paired_shares
from padim.text import count

__all__ = ["Advice", "Comparison", "advise", "compared"]

Recommendation = Literal["helps", "no difference", "worse"]

# Good parts that are not found beyond this share make a station unusable, whatever is gained on defects.
_MOST_LOST = 0.05


@dataclass(frozen=True)
class Comparison:
    """Differences between the two fits, located minus without.

    Attributes:
        auroc: of the images' joint levels; None without two good parts and two defects.
        aurocs: without and with.
        recall: share of defects caught at each fit's own threshold; None without defects.
        recalls: without and with.
        displaced: number of displaced defects, caught without, and caught with.
        hidden: names of displaced defects that are caught without locating and missed with it.
    """

    auroc: Difference | None
    aurocs: tuple[float, float] | None
    recall: Difference | None
    recalls: tuple[float, float] | None
    displaced: tuple[int, int, int]
    hidden: tuple[str, ...]


@dataclass(frozen=True)
class Advice:
    """Whether to locate the part.

    Attributes:
        recommendation: ``helps`` beyond chance, ``no difference`` shown, or makes it ``worse``.
        sentences: the finding, its figures and the remedy, as sentences.
    """

    recommendation: Recommendation
    sentences: tuple[str, ...]

    @property
    def text(self) -> str:
        """All sentences as one text."""
        return " ".join(self.sentences)


def compared(trial: AlignmentTrial) -> Comparison:
    """Compare the two fits of a trial on the same parts and defects."""
    one, other = trial.without, trial.located
    auroc, aurocs = None, None
    if trial.parts >= 2 and len(trial.defects) >= 2:
        good, bad = np.stack([one.good, other.good]), np.stack([one.levels, other.levels])
        auroc = paired_auroc(good, bad)
        aurocs = _auroc(good[0], bad[0]), _auroc(good[1], bad[1])
    recall, recalls = None, None
    if trial.defects:
        recall = paired_shares(one.caught, other.caught)
        recalls = float(one.caught.mean()), float(other.caught.mean())
    moved = [kind in trial.displaced for _, kind in trial.defects]
    pairs = [
        (name, before.caught, after.caught)
        for (name, _), own, before, after in zip(
            trial.defects, moved, one.outcomes, other.outcomes, strict=True
        )
        if own
    ]
    hidden = tuple(name for name, before, after in pairs if before and not after)
    displaced = len(pairs), sum(before for _, before, _ in pairs), sum(after for *_, after in pairs)
    return Comparison(auroc, aurocs, recall, recalls, displaced, hidden)


def _auroc(good: np.ndarray, bad: np.ndarray) -> float:
    above = (bad[:, None] > good[None]).sum() + 0.5 * (bad[:, None] == good[None]).sum()
    return float(above / (len(good) * len(bad)))


def advise(trial: AlignmentTrial) -> Advice:
    """Return what a trial recommends, and why.

    Locating helps if AUROC or recall is better beyond chance (both tested, with Holm's correction), neither
    is worse beyond chance, no fewer displaced parts are caught, and nearly all good parts are found.
    """
    found = compared(trial)
    lost = len(trial.located.lost)
    images = lost + len(trial.located.poses)
    tested = [difference for difference in (found.auroc, found.recall) if difference is not None]
    corrected = holm([1.0 if one.p is None else one.p for one in tested])
    real = [(one.value or 0.0) for one, p in zip(tested, corrected, strict=True) if p < SIGNIFICANCE]
    figures = _figures(trial, found)
    if lost and (trial.located.threshold is None or lost > max(1, _MOST_LOST * images)):
        name, reason = trial.located.lost[0]
        return Advice(
            "worse",
            (
                f"Locating makes it worse: the part is not found in {lost:,} of "
                f"{count(images, 'good image')}, such as {name}: {reason}.",
                *figures,
                "Choose another method, other marks, wider limits or a better reference, or leave it off.",
            ),
        )
    if found.displaced[2] < found.displaced[1]:
        one = found.hidden[0]
        return Advice(
            "worse",
            (
                f"Locating hides defects: {count(len(found.hidden), 'displaced part')} caught without it "
                f"{'is' if len(found.hidden) == 1 else 'are'} accepted with it, such as {one}.",
                *figures,
                "Judge the displacement (a weight for shift and turn), narrow the limits, take a reference "
                "part that lies in the middle of the others, or leave it off.",
            ),
        )
    if any(value < 0 for value in real):
        return Advice(
            "worse",
            (
                "Locating makes it worse, beyond chance.",
                *figures,
                "Leave it off, or choose another method or other marks.",
            ),
        )
    if any(value > 0 for value in real):
        note = ("The defects were painted: confirm it with real ones.",) if trial.source == "painted" else ()
        return Advice("helps", ("Locating helps, beyond chance.", *figures, *note))
    remedy = (
        "Give images of defective parts: good parts alone cannot show a gain."
        if trial.source == "none"
        else "Leave it off, or try it on more defects."
    )
    return Advice("no difference", ("No difference is shown.", *figures, remedy))


def _figures(trial: AlignmentTrial, found: Comparison) -> tuple[str, ...]:
    """Return the figures of a comparison as sentences."""
    sentences = []
    if found.aurocs is not None and found.auroc is not None:
        before, after = found.aurocs
        sentences.append(f"AUROC {before:.3f} without and {after:.3f} with it ({_evidence(found.auroc)}).")
    if found.recalls is not None and found.recall is not None:
        before, after = found.recalls
        noun = "painted defects" if trial.source == "painted" else "defects"
        sentences.append(
            f"Of {len(trial.defects):,} {noun} {before:.0%} are caught without and {after:.0%} with it "
            f"({_evidence(found.recall)})."
        )
    one, other = trial.without.false_rejects, trial.located.false_rejects
    sentences.append(
        f"Good parts rejected: {one.above:,} of {one.n:,} without, {other.above:,} of {other.n:,} with it."
    )
    total, before_caught, after_caught = found.displaced
    if total:
        sentences.append(
            f"Of {count(total, 'displaced part')} {before_caught:,} are caught without and {after_caught:,} "
            "with it."
        )
    return tuple(sentences)


def _evidence(difference: Difference) -> str:
    low, high, p = difference.low, difference.high, difference.p
    if low is None or high is None or p is None:
        return difference.why
    return (
        f"difference {low:+.2f} to {high:+.2f}, p = {p:.2g}"
        if p >= 0.001
        else (f"difference {low:+.2f} to {high:+.2f}, p < 0.001")
    )
