"""The thresholds that are suggested from parts known to be good or defective, and what they rest on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ui.app.text import count, percent
from ui.widgets import labels

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from padim.decision.calibration import FalseRejectRate, Threshold
    from padim.decision.operating_points import Costs, OperatingPoint
    from padim.decision.part_scores import PartScores
    from padim.model import Padim
    from padim.storage.model_folders import Entry
    from ui.viewing import ViewerImage


@dataclass(frozen=True)
class Known:
    """Scores, as levels, of parts and images that are known to be good or defective.

    Attributes:
        good_parts: held-out scores of the good parts, and scores of good test images.
        defects: scores of defect images.
        doubted: indices of normals that a user has labeled as defective; they still count as good.
    """

    good_parts: PartScores
    defects: PartScores
    doubted: tuple[int, ...]

    @property
    def good(self) -> npt.NDArray[np.int64]:
        """Joint levels of what is good, from which thresholds are suggested."""
        return self.good_parts.joint

    @property
    def defect(self) -> npt.NDArray[np.int64]:
        """Joint levels of the defects."""
        return self.defects.joint


def known(entry: Entry, model: Padim, images: Sequence[ViewerImage], min_area: int) -> Known:
    """Return the known scores from which thresholds are suggested.

    Args:
        entry: the saved model, for the users' labels.
        model: the opened model.
        images: the viewer's images, scored with this ``min_area``.
        min_area: the smallest region that counts, in map pixels.
    """
    from padim.decision.part_scores import PartScores

    event = labels.labels(entry)
    good: list[tuple[int, int, bool]] = []
    defect: list[tuple[int, int, bool]] = []
    for one in images:
        # A test image that is in the fit scores lower than a new one.
        if one.item is None or one.in_fit:
            continue
        group = event.get(one.sha256) or one.group
        if group != "unknown":
            scores = one.score, one.item.displaced(model), one.item.to_review(model)
            (good if group == "good" else defect).append(scores)
    if model.state.fitted.calibration != "none":
        parts = model.state.parts(min_area)
        good += zip(parts.scores.tolist(), parts.displaced.tolist(), parts.unsure.tolist(), strict=True)
    doubted = tuple(
        index
        for index, normal in enumerate(model.normals_)
        if normal.in_calibration and event.get(normal.sha256) == "defect"
    )
    return Known(PartScores.of(good), PartScores.of(defect), doubted)


def points(found: Known, costs: Costs | None) -> tuple[OperatingPoint, ...]:
    """Return the suggested operating points; none without both good and defect scores."""
    from padim.decision.operating_points import operating_points

    if not len(found.good) or not len(found.defect):
        return ()
    return operating_points(found.good, found.defect, costs)


def verdict_facts(model: Padim, found: Known, level: int) -> list[tuple[str, str]]:
    """Return the verdicts of the known parts at a threshold with the model's guard band, as facts."""
    from padim.decision.verdicts import count_verdicts

    limits = model.verdict_limits(level)
    counted = (
        ("Defects", count_verdicts(found.defects, limits)),
        ("Good parts", count_verdicts(found.good_parts, limits)),
    )
    return [
        (what, f"{one.accept:,} accepted, {one.review:,} in review, {one.reject:,} rejected")
        for what, one in counted
    ]


def outlook(rate: FalseRejectRate) -> str | None:
    """Describe what more normals would improve if the threshold rests on few; None if there are enough."""
    from padim.analysis.more_parts import bound_with_more_parts

    more = bound_with_more_parts(rate)
    if more is None:
        return None
    return (
        f"From {count(rate.n, 'part')}, false rejects (overkill) may be as many as "
        f"{percent(rate.upper, up=True)}. "
        f"If {more.parts} parts scored alike, that bound would be {percent(more.upper, up=True)}; and a "
        "model that has seen more good parts tells defects apart better."
    )


def unsupported(found: Threshold) -> str | None:
    """Return a warning if the percentile needs more parts or pixels than there are, else None."""
    if found.supported or found.permille is None:
        return None
    unit = "good parts" if found.basis == "image" else "pixels"
    # Imported late, so that the page does not wait for scipy.
    from padim.decision.calibration import parts_needed

    lost = found.needed > parts_needed(found.permille)
    why = ", because the part was not found in some of them" if lost else ""
    return (
        f"{found.permille / 10:g} % asks for at least {found.needed:,} {unit}{why}; there are {found.n:,}. "
        f"The highest score of a good part stands in for it. Fit with more, or choose a lower percentile."
    )
