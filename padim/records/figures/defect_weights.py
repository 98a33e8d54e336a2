"""How many defects each confirmed one stands for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from padim.records.figures.inspection_columns import InspectionColumns

__all__ = ["WeightedDefects", "confirmed_defects"]


@dataclass(frozen=True, eq=False)
class WeightedDefects:
    """Inspections that people rejected, with what each stands for.

    Attributes:
        rows: their places in the columns, ``(m,)``.
        weights: how many defects each stands for, at least 1.
        missed: which of them the model accepted, boolean ``(m,)``.
    """

    rows: npt.NDArray[np.int64]
    weights: npt.NDArray[np.float64]
    missed: npt.NDArray[np.bool_]

    @property
    def miss_rate(self) -> float | None:
        """Estimated share of defective parts that the model accepts; None without a defect."""
        total = float(self.weights.sum())
        return float(self.weights[self.missed].sum()) / total if total else None


def confirmed_defects(columns: InspectionColumns) -> WeightedDefects:
    """Return the confirmed defects, each weighted by what it stands for.

    A class is all rejects, all reviews, or all accepted ones of one audit probability; each of its m decided
    inspections stands for N / m of the N in it (weighting classes: Särndal, Swensson and Wretman, 1992,
    "Model Assisted Survey Sampling", chapter 15). Of the accepted, only audits count. So it takes for
    granted that those which wait are like those that are decided.
    """
    decided = np.isin(columns.decision, ("accept", "reject"))
    accepted = columns.verdict == "accept"
    probability = np.round(np.nan_to_num(columns.audit_probability, nan=0.0), 12)
    classes = [(columns.verdict == "reject", decided), (columns.verdict == "review", decided)]
    drawn = accepted & columns.audited & decided & (probability > 0)
    classes += [
        (accepted & (probability == value), drawn) for value in np.unique(probability[drawn]).tolist()
    ]
    weights = np.zeros(len(columns))
    for members, known in classes:
        counted = members & known
        if counted.any():
            weights[counted] = np.count_nonzero(members) / np.count_nonzero(counted)
    rows = np.flatnonzero((weights > 0) & (columns.decision == "reject"))
    return WeightedDefects(rows, weights[rows], accepted[rows])
