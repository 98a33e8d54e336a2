"""Columns of inspections for the tests of figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from padim.records.figures.inspection_columns import COLUMNS, InspectionColumns

_DEFAULTS: Mapping[str, Any] = {
    "judged": "2026-11-30T10:00:00.000000+00:00",
    "version_id": 1,
    "score_level": 100,
    "audited": False,
    "lot": "",
    "station": "",
    "shift": "",
    "verdict": "accept",
    "decision": None,
    "second_decision": None,
    "defect_type": "",
    "score": 1.0,
    "audit_probability": None,
    "brightness": None,
    "sharpness": None,
    "shift_x": None,
    "shift_y": None,
}


def columns_of(rows: Sequence[Mapping[str, Any]]) -> InspectionColumns:
    """Return columns of rows that say only what differs from an ordinary accepted inspection."""
    full = [{"id": number + 1, **_DEFAULTS, **row} for number, row in enumerate(rows)]
    return InspectionColumns.of({name: [row[name] for row in full] for name in COLUMNS})
