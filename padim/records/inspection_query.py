"""Which inspections are asked for, in which order, and page by page.

A page continues after the last row of the one before (keyset pagination), so that a late page costs as much
as the first, and rows that come in meanwhile shift nothing.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, get_args

from sqlalchemy import ColumnElement, Select, and_, or_, select

from padim.errors import PadimError
from padim.records import labels
from padim.records.inspection import InspectionVerdict, ReviewDecision
from padim.records.schema import INSPECTIONS, VERSIONS

InspectionOrder = Literal["newest", "oldest", "worst", "nearest"]
# Columns whose values lists of filters show.
InspectionColumn = Literal[
    "model_id",
    "version_id",
    "part_number",
    "serial",
    "lot",
    "station",
    "shift",
    "verdict",
    "decision",
    "defect_type",
    "decided_by",
    "who",
    "source",
]
_ROW = INSPECTIONS.c


@dataclass(frozen=True)
class InspectionQuery:
    """Which inspections are asked for; all of them by default.

    Attributes:
        model_id, version_id: only of this model, of this version (its row).
        verdicts: only with one of these verdicts of the model.
        decision: only with this decision of a person; "" for those that nobody has decided.
        waits: only those that await a person, or only others.
        audited: only those drawn at random from the accepted, or only others.
        disagrees: only those on which two people contradict each other, or only others.
        defect_type: only with this type of defect; "" for those of no type.
        since, before: only those scored from the first time on, and before the second.
        part_number, serial, lot, station, shift: only with exactly this text; "" for those without.
        who, decided_by: only those that this person has had inspected, or decided.
        contains: only with this text in their name or serial number, in any case.
        sha256s, ids, uids: only these images, only these rows, only these inspections.
        second_for: only those on which this person can give a second opinion: somebody else has decided, and
            nobody has given one.
    """

    model_id: str | None = None
    version_id: int | None = None
    verdicts: Collection[InspectionVerdict] | None = None
    decision: ReviewDecision | Literal[""] | None = None
    waits: bool | None = None
    audited: bool | None = None
    disagrees: bool | None = None
    defect_type: str | None = None
    since: datetime | None = None
    before: datetime | None = None
    part_number: str | None = None
    serial: str | None = None
    lot: str | None = None
    station: str | None = None
    shift: str | None = None
    who: str | None = None
    decided_by: str | None = None
    contains: str = ""
    sha256s: Collection[str] | None = None
    ids: Collection[int] | None = None
    uids: Collection[str] | None = None
    second_for: str | None = None

    def conditions(self) -> list[ColumnElement[bool]]:
        """Return the conditions on the table of inspections."""
        found: list[ColumnElement[bool]] = []
        for name in (
            *("model_id", "version_id", "waits", "audited", "disagrees", "defect_type"),
            *("part_number", "serial", "lot", "station", "shift", "who", "decided_by"),
        ):
            if (value := getattr(self, name)) is not None:
                found.append(_ROW[name] == value)
        if self.verdicts is not None:
            found.append(_ROW.verdict.in_(list(self.verdicts)))
        if self.decision is not None:
            found.append(_ROW.decision.is_(None) if self.decision == "" else _ROW.decision == self.decision)
        if self.since is not None:
            found.append(_ROW.judged >= stamp(self.since))
        if self.before is not None:
            found.append(_ROW.judged < stamp(self.before))
        if text := self.contains.strip():
            # Without regard to case, which SQLite knows of ASCII letters only.
            found.append(
                or_(*(column.icontains(text, autoescape=True) for column in (_ROW.name, _ROW.serial)))
            )
        if self.sha256s is not None:
            found.append(_ROW.sha256.in_(labels.listed(self.sha256s, "sha256s")))
        if self.ids is not None:
            found.append(_ROW.id.in_(labels.listed(self.ids, "ids")))
        if self.uids is not None:
            found.append(_ROW.uid.in_(labels.listed(self.uids, "uids")))
        if self.second_for is not None:
            found += [
                _ROW.decision.is_not(None),
                _ROW.second_decision.is_(None),
                _ROW.decided_by != self.second_for,
            ]
        return found

    @property
    def scans(self) -> bool:
        """Whether rows are best found in the index of all filters, as no other index leads to few of them."""
        few = any(one is not None for one in (self.ids, self.uids, self.sha256s)) or bool(self.serial)
        return not few and self not in (InspectionQuery(), InspectionQuery(waits=True))


def stamp(time: datetime) -> str:
    """Return a time as the database has it; texts of times are in the order of the times."""
    return time.astimezone(UTC).isoformat(timespec="microseconds")


def joined(query: InspectionQuery, *columns: Any) -> Select[Any]:
    """Return the selection of a query's inspections, with number and model name of their versions.

    Args:
        query: which ones.
        *columns: which columns; default: all.
    """
    wanted = columns or (
        INSPECTIONS,
        VERSIONS.c.number.label("version_number"),
        VERSIONS.c.model_name,
    )
    selected = select(*wanted)
    if not columns:
        selected = selected.select_from(INSPECTIONS.outerjoin(VERSIONS, VERSIONS.c.id == _ROW.version_id))
    return selected.where(*query.conditions())


def ordered(selected: Select[Any], order: InspectionOrder, after: str | None) -> Select[Any]:
    """Return a selection in an order, from behind a place that :func:`place_after` has described.

    Raises:
        PadimError: the place is not one of this order.
    """
    column, down = _ORDERS[order]
    if column is None:
        if after is not None:
            number = _place(order, after, 1)[0]
            selected = selected.where(_ROW.id < number if down else _ROW.id > number)
        return selected.order_by(_ROW.id.desc() if down else _ROW.id)
    if after is not None:
        value, number = _place(order, after, 2)
        # The same as (column, id) > (value, number), in a form that indices serve in both directions.
        beyond = column < value if down else column > value
        selected = selected.where(
            column <= value if down else column >= value,
            or_(beyond, and_(column == value, _ROW.id < number if down else _ROW.id > number)),
        )
    return selected.order_by(*((column.desc(), _ROW.id.desc()) if down else (column, _ROW.id)))


def page_of(query: InspectionQuery, order: InspectionOrder, after: str | None, number: int) -> Select[Any]:
    """Return the selection of at most ``number`` inspections in an order, from behind a place.

    Raises:
        PadimError: the place is not one of this order.
    """
    if not query.scans:
        return ordered(joined(query), order, after).limit(number)
    # SQLite would rather walk through the order, and read a row at each step, than sort what it finds.
    ids = indexed(select(_ROW.id)).where(*query.conditions())
    chosen = ordered(ids, order, after).limit(number).correlate(None)
    return ordered(joined(InspectionQuery()).where(_ROW.id.in_(chosen)), order, None)


def indexed(selected: Select[Any]) -> Select[Any]:
    """Let SQLite find inspections in the index of all filters; PostgreSQL knows best."""
    return selected.with_hint(INSPECTIONS, "INDEXED BY ix_inspections_filters", "sqlite")


def place_after(row: Any, order: InspectionOrder) -> str:
    """Return the place behind a row, as text for the next page."""
    column, _ = _ORDERS[order]
    values = [row.id] if column is None else [getattr(row, column.key), row.id]
    return base64.urlsafe_b64encode(json.dumps([order, *values]).encode()).decode()


# The column that decides, before the row; and whether the largest comes first.
_ORDERS: dict[InspectionOrder, tuple[Any, bool]] = {
    "newest": (None, True),
    "oldest": (None, False),
    "worst": (_ROW.severity, True),
    "nearest": (_ROW.nearness, False),
}
assert set(_ORDERS) == set(get_args(InspectionOrder))


def _place(order: InspectionOrder, after: str, number: int) -> list[Any]:
    try:
        name, *values = json.loads(base64.urlsafe_b64decode(after.encode()))
        if name != order or len(values) != number or not all(type(one) in (int, float) for one in values):
            raise ValueError
    except ValueError as error:
        raise PadimError(f"“{after[:40]}” is no place in a list of inspections in this order") from error
    return values
