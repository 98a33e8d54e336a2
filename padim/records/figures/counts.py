"""What became of inspections: verdicts of the model against decisions of people."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from padim.decision.operating_points import Rate
from padim.records.figures.inspection_columns import InspectionColumns

__all__ = ["DefectTypeShare", "InspectionCounts", "count_inspections", "defect_type_shares"]


@dataclass(frozen=True)
class InspectionCounts:
    """Counts of inspections; the decision of a person is the first one's, or the one that settled it.

    Attributes:
        inspected: all of them.
        undecidable: of them, scored by a model without a threshold.
        rejected: rejected by the model.
        in_review: within the guard band.
        accepted: accepted by the model.
        confirmed: rejects that a person rejected too.
        overkill: rejects that a person accepted: false rejects.
        unsure: rejects about which a person was unsure.
        open: rejects and reviews that nobody has decided.
    """

    inspected: int
    undecidable: int
    rejected: int
    in_review: int
    accepted: int
    confirmed: int
    overkill: int
    unsure: int
    open: int

    @property
    def reject_rate(self) -> Rate:
        """Rejected, of those that the model decided; Clopper and Pearson (1934) for the interval."""
        return Rate.counted(self.rejected, self.inspected - self.undecidable)

    @property
    def review_rate(self) -> Rate:
        """In review, of those that the model decided."""
        return Rate.counted(self.in_review, self.inspected - self.undecidable)

    @property
    def overkill_rate(self) -> Rate:
        """Rejects that a person accepted, of the rejects that a person accepted or rejected."""
        return Rate.counted(self.overkill, self.overkill + self.confirmed)


def count_inspections(columns: InspectionColumns) -> InspectionCounts:
    """Count inspections by verdict and decision."""
    verdict, decision = columns.verdict, columns.decision
    rejected = verdict == "reject"
    review = verdict == "review"

    def number(which: npt.NDArray[np.bool_]) -> int:
        return int(np.count_nonzero(which))

    return InspectionCounts(
        inspected=len(columns),
        undecidable=number(verdict == "none"),
        rejected=number(rejected),
        in_review=number(review),
        accepted=number(verdict == "accept"),
        confirmed=number(rejected & (decision == "reject")),
        overkill=number(rejected & (decision == "accept")),
        unsure=number(rejected & (decision == "unsure")),
        open=number((rejected | review) & (decision == "")),
    )


@dataclass(frozen=True)
class DefectTypeShare:
    """One type of defect, of all inspections that people rejected; an empty name is no type named."""

    name: str
    share: Rate


def defect_type_shares(columns: InspectionColumns) -> list[DefectTypeShare]:
    """Return the types of the defects that people found, the most frequent first."""
    found = Counter(columns.defect_type[columns.decision == "reject"].tolist())
    total = sum(found.values())
    ordered = sorted(found.items(), key=lambda item: (-item[1], item[0]))
    return [DefectTypeShare(name, Rate.counted(number, total)) for name, number in ordered]
