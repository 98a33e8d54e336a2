"""Reading from the database what figures are computed from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sqlalchemy import func, select

from padim.decision.calibration import upper_bound
from padim.records.database import RecordsDatabase
from padim.records.figures.inspection_columns import COLUMNS, InspectionColumns
from padim.records.figures.reject_chart import promised_count
from padim.records.inspection_query import InspectionQuery
from padim.records.inspections import InspectionRecords
from padim.records.schema import INSPECTIONS, REVIEWS, VERSIONS

__all__ = ["RecordedFigures", "VersionPromise"]

# Rows that one statement asks for by number, below what SQLite and PostgreSQL allow.
_STEP = 500
# Parts kept out of a fit count in its promise; more than so many are not searched for.
_MOST_KEPT_OUT = 2_000
_EQUAL = 1e-9


@dataclass(frozen=True)
class VersionPromise:
    """What figures need to know of a version of a model.

    Attributes:
        id: its row.
        number: its number.
        scoring_identity: versions of the same one give the same scores.
        threshold: in map units; None without one.
        counts: (k, n): k of n held-out scores are above the threshold; None without a promise.
    """

    id: int
    number: int
    scoring_identity: str
    threshold: float | None
    counts: tuple[int, int] | None


class RecordedFigures:
    """The inspections of a workspace as figures need them; cheap to create."""

    def __init__(self, root: str | Path) -> None:
        self._records = InspectionRecords(root)
        self._database = RecordsDatabase(root)

    def state(self) -> tuple[int, ...]:
        """Return numbers that change whenever an inspection or a review is recorded, or a version made."""
        with self._database.reading() as connection:
            if connection is None:
                return ()
            rows = [select(func.max(table.c.id)) for table in (INSPECTIONS, REVIEWS, VERSIONS)]
            count = select(func.count()).select_from(INSPECTIONS)
            return tuple(connection.execute(one).scalar() or 0 for one in (*rows, count))

    def models(self) -> list[str]:
        """Return the ids of all models with inspections, the one with the latest inspection first."""
        last = func.max(INSPECTIONS.c.id)
        selected = select(INSPECTIONS.c.model_id).group_by(INSPECTIONS.c.model_id).order_by(last.desc())
        with self._database.reading() as connection:
            return [] if connection is None else list(connection.execute(selected).scalars())

    def model_name(self, model_id: str) -> str:
        """Return the name that the latest version of a model had; empty if none is on record."""
        selected = select(VERSIONS.c.model_name).where(VERSIONS.c.model_id == model_id)
        with self._database.reading() as connection:
            if connection is None:
                return ""
            return connection.execute(selected.order_by(VERSIONS.c.number.desc())).scalar() or ""

    def columns(self, query: InspectionQuery | None = None) -> InspectionColumns:
        """Return the columns of the inspections asked for, in the order of recording."""
        return InspectionColumns.of(self._records.columns(query, COLUMNS))

    def span(self, model_id: str) -> tuple[datetime, datetime] | None:
        """Return when the first and the last inspection by a model were made; None if there is none."""
        selected = select(func.min(INSPECTIONS.c.judged), func.max(INSPECTIONS.c.judged))
        with self._database.reading() as connection:
            if connection is None:
                return None
            first, last = connection.execute(selected.where(INSPECTIONS.c.model_id == model_id)).one()
        return None if first is None else (datetime.fromisoformat(first), datetime.fromisoformat(last))

    def versions(self, model_id: str) -> dict[int, VersionPromise]:
        """Return what figures need of each version of a model, by its row."""
        names = ("id", "number", "scoring_identity", "threshold", "n_parts", "expected", "upper")
        selected = select(*(VERSIONS.c[name] for name in names)).where(VERSIONS.c.model_id == model_id)
        with self._database.reading() as connection:
            rows = [] if connection is None else connection.execute(selected).all()
        return {
            row.id: VersionPromise(
                row.id,
                row.number,
                row.scoring_identity,
                row.threshold,
                None if row.expected is None else promised_counts(row.expected, row.upper, row.n_parts),
            )
            for row in rows
        }

    def regions(self, ids: Sequence[int]) -> Iterator[tuple[int, int, str]]:
        """Yield height and width in pixels and the regions, as JSON, of inspections by their rows."""
        table = INSPECTIONS.c
        with self._database.reading() as connection:
            if connection is None:
                return
            for start in range(0, len(ids), _STEP):
                chosen = table.id.in_([int(one) for one in ids[start : start + _STEP]])
                for row in connection.execute(select(table.height, table.width, table.regions).where(chosen)):
                    yield row.height, row.width, row.regions


def promised_counts(expected: float, upper: float | None, parts: int) -> tuple[int, int]:
    """Return (k, n) of a promise from its expected share and upper bound.

    The promise also rests on parts that were kept out of the fit, so n may exceed the parts in it; the two
    shares together determine it.

    Args:
        expected: (k + 1) / (n + 1).
        upper: the upper 95 % bound of the share; None if it is not known.
        parts: parts in the fit.
    """
    for n in range(parts, parts + _MOST_KEPT_OUT if upper is not None else parts):
        k = promised_count(expected, n)
        if abs((k + 1) / (n + 1) - expected) < _EQUAL and abs(upper_bound(k, n) - (upper or 0)) < _EQUAL:
            return k, n
    return promised_count(expected, parts), parts
