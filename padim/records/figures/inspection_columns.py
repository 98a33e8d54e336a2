"""The columns of inspections that figures are computed from, as arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["COLUMNS", "InspectionColumns"]

Booleans = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]
Texts = npt.NDArray[np.object_]

_TEXTS = ("lot", "station", "shift", "verdict", "decision", "second_decision", "defect_type")
_NUMBERS = ("score", "audit_probability", "brightness", "sharpness", "shift_x", "shift_y")
# Columns of the table of inspections that figures need, without the regions, which are long.
COLUMNS = ("id", "judged", "version_id", "score_level", "audited", *_TEXTS, *_NUMBERS)


@dataclass(frozen=True, eq=False)
class InspectionColumns:
    """Inspections as arrays of the same length ``(n,)``, in the order of recording.

    Attributes:
        id: rows, int64.
        judged: when each was scored, UTC, ``datetime64[us]``.
        version_id: row of the model's version; -1 where none is known.
        score_level: score as a level, int64.
        audited: drawn at random from the accepted.
        verdict, decision, second_decision: texts; "" where nobody has decided.
        lot, station, shift, defect_type: texts; "" where nothing is known.
        score: score in map units.
        audit_probability, brightness, sharpness, shift_x, shift_y: as of
            :class:`padim.records.inspection.Inspection`; NaN where they are not known.
    """

    id: npt.NDArray[np.int64]
    judged: npt.NDArray[np.datetime64]
    version_id: npt.NDArray[np.int64]
    score_level: npt.NDArray[np.int64]
    audited: Booleans
    lot: Texts
    station: Texts
    shift: Texts
    verdict: Texts
    decision: Texts
    second_decision: Texts
    defect_type: Texts
    score: Floats
    audit_probability: Floats
    brightness: Floats
    sharpness: Floats
    shift_x: Floats
    shift_y: Floats

    def __len__(self) -> int:
        return len(self.id)

    @classmethod
    def of(cls, columns: Mapping[str, Sequence[Any]]) -> InspectionColumns:
        """Return columns as :meth:`padim.records.inspections.InspectionRecords.columns` has them, as arrays.

        Args:
            columns: a list for each name in :data:`COLUMNS`.
        """
        # Texts of times end with "+00:00", which NumPy does not read.
        judged = np.array([text[:26] for text in columns["judged"]], "datetime64[us]")
        versions = np.array([-1 if one is None else one for one in columns["version_id"]], np.int64)
        texts: dict[str, Any] = {
            name: np.array([one or "" for one in columns[name]], object) for name in _TEXTS
        }
        # None becomes NaN.
        numbers: dict[str, Any] = {name: np.array(columns[name], np.float64) for name in _NUMBERS}
        return cls(
            id=np.array(columns["id"], np.int64),
            judged=judged,
            version_id=versions,
            score_level=np.array(columns["score_level"], np.int64),
            audited=np.array(columns["audited"], bool),
            **texts,
            **numbers,
        )

    def where(self, chosen: Booleans | npt.NDArray[np.integer]) -> InspectionColumns:
        """Return the chosen ones: those that are true in a boolean ``(n,)``, or those at these places."""
        return InspectionColumns(**{field.name: getattr(self, field.name)[chosen] for field in fields(self)})
