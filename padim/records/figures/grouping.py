"""Grouping inspections by hour, day, shift, lot, station or version, in the time zone of the reader."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from padim.records.figures.inspection_columns import InspectionColumns

__all__ = ["GROUPINGS", "FigureGroup", "FigureGrouping", "grouped"]

FigureGrouping = Literal["hour", "day", "shift", "lot", "station", "version"]
GROUPINGS: tuple[FigureGrouping, ...] = get_args(FigureGrouping)

_HOUR = np.timedelta64(1, "h")


@dataclass(frozen=True, eq=False)
class FigureGroup:
    """Inspections that belong together.

    Attributes:
        label: what they have in common: "2026-11-30", "2026-11-30 14:00", a lot; "" where nothing is known.
        rows: their places in the columns, in order of time.
    """

    label: str
    rows: npt.NDArray[np.int64]


def grouped(
    columns: InspectionColumns, by: FigureGrouping, zone: tzinfo, versions: Mapping[int, str] | None = None
) -> list[FigureGroup]:
    """Return the groups of inspections: by time in order of time, by others in order of their first one.

    A shift is a shift of one day, so that "early" of two days are two groups; the night shift belongs to the
    day on which an inspection was made.

    Args:
        columns: the inspections.
        by: what groups have in common.
        zone: the time zone that hours and days are of.
        versions: labels of versions by row; default: the row.
    """
    if not len(columns):
        return []
    if by in ("hour", "day"):
        keys = local_hours(columns.judged, zone)
        names = np.datetime_as_string(keys, "D" if by == "day" else "h")
        texts = [str(text) if by == "day" else f"{text[:10]} {text[11:13]}:00" for text in names]
        keys = keys.astype("datetime64[D]") if by == "day" else keys
        return _groups(keys, texts, columns.judged)
    if by == "shift":
        days = local_hours(columns.judged, zone).astype("datetime64[D]").astype(str)
        texts = [
            f"{day} {shift}" if shift else str(day) for day, shift in zip(days, columns.shift, strict=True)
        ]
    elif by == "version":
        named = versions or {}
        texts = [
            "" if row < 0 else named.get(row, f"row {row}") for row in map(int, columns.version_id.tolist())
        ]
    else:
        texts = list(getattr(columns, by))
    return _groups(np.array(texts, object), texts, columns.judged)


def local_hours(judged: npt.NDArray[np.datetime64], zone: tzinfo) -> npt.NDArray[np.datetime64]:
    """Return the local hour of each time, ``datetime64[h]``; offsets of a part of an hour are taken exactly.

    The zone is asked once a quarter of an hour, which no change of an offset divides.
    """
    quarters = (judged.astype("datetime64[s]").astype(np.int64) // 900).astype(np.int64)
    different, inverse = np.unique(quarters, return_inverse=True)
    offsets = []
    for quarter in different.tolist():
        offset = datetime.fromtimestamp(quarter * 900, UTC).astimezone(zone).utcoffset()
        offsets.append(0 if offset is None else int(offset.total_seconds()))
    seconds = np.array(offsets, "timedelta64[s]")[inverse]
    return (judged.astype("datetime64[s]") + seconds).astype("datetime64[h]")


def _groups(
    keys: npt.NDArray[np.object_] | npt.NDArray[np.datetime64],
    texts: list[str],
    judged: npt.NDArray[np.datetime64],
) -> list[FigureGroup]:
    order = np.argsort(judged, kind="stable")
    _, first, inverse = np.unique(keys[order], return_index=True, return_inverse=True)
    place = np.empty(len(first), np.int64)
    place[np.argsort(first, kind="stable")] = np.arange(len(first))
    by_place = place[inverse]
    rows = order[np.argsort(by_place, kind="stable")]
    ends = np.cumsum(np.bincount(by_place))
    return [FigureGroup(texts[int(part[0])], part) for part in np.split(rows, ends[:-1])]
