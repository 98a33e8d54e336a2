"""The columns of inspections in exported tables, with their types: one schema for CSV, Parquet and JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from padim.records.inspection import Inspection

__all__ = ["COLUMNS", "RecordColumn", "cells", "record_values"]

ColumnType = Literal["text", "whole", "number", "truth", "time"]


@dataclass(frozen=True)
class RecordColumn:
    """A column of exported inspections.

    Attributes:
        name: its name; those of the results of ``score`` mean the same here.
        kind: its type; times are UTC.
    """

    name: str
    kind: ColumnType


def _columns(kind: ColumnType, names: str) -> list[RecordColumn]:
    return [RecordColumn(name, kind) for name in names.split()]


COLUMNS: tuple[RecordColumn, ...] = (
    *_columns("whole", "id"),
    *_columns("time", "scored_at taken"),
    *_columns("text", "name serial part_number lot station shift"),
    *_columns("text", "verdict"),
    *_columns("number", "score threshold review_above reject_above"),
    *_columns("text", "reasons"),
    *_columns("whole", "regions"),
    *_columns("text", "regions_json notes"),
    *_columns("truth", "in_fit audited"),
    *_columns("number", "audit_probability"),
    *_columns("truth", "waits"),
    *_columns("text", "decision defect_type decided_by"),
    *_columns("time", "decided_at"),
    *_columns("text", "second_decision second_type second_by"),
    *_columns("time", "second_at"),
    *_columns("truth", "disagrees"),
    *_columns("text", "model model_id"),
    *_columns("whole", "version width height"),
    *_columns("number", "brightness sharpness shift_x shift_y"),
    *_columns("text", "who source sha256 uid"),
)


def record_values(one: Inspection) -> dict[str, Any]:
    """Return the values of an inspection by column name; None where there is none."""
    regions = [asdict(region) for region in one.regions]
    return {
        **{column.name: getattr(one, column.name, None) for column in COLUMNS},
        "scored_at": one.judged,
        "reasons": "; ".join(one.reasons),
        "notes": " ".join(one.notes),
        "regions": len(regions),
        "regions_json": json.dumps(regions, separators=(",", ":")) if regions else "",
        "model": one.model_name,
        "version": one.version_number,
    }


def utc(moment: datetime) -> datetime:
    """Return a time in UTC; one without a time zone, as cameras write it, is taken for UTC."""
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def cells(one: Inspection) -> list[str]:
    """Return an inspection as the cells of a CSV line; missing values are empty."""
    values = record_values(one)
    return [_cell(values[column.name]) for column in COLUMNS]


def plain_values(one: Inspection) -> dict[str, Any]:
    """Return an inspection as plain JSON, with its regions, reasons and notes as lists."""
    values = {
        name: utc(value).isoformat() if isinstance(value, datetime) else value
        for name, value in record_values(one).items()
        if name != "regions_json"
    }
    regions = [asdict(region) for region in one.regions]
    return {**values, "reasons": list(one.reasons), "notes": list(one.notes), "regions": regions}


def header() -> Iterable[str]:
    """Return the names of the columns."""
    return [column.name for column in COLUMNS]


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return utc(value).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    if isinstance(value, float):
        return f"{value:.6g}"
    return str(value)
