"""What the tab Figures shows: which inspections, read once, and texts of shares; no widgets."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import TYPE_CHECKING, Any

from ui.app import clock, state, workspace
from ui.app.text import percent

if TYPE_CHECKING:
    from padim.decision.operating_points import Rate
    from padim.records.figures.inspection_columns import InspectionColumns
    from padim.records.figures.recorded import RecordedFigures, VersionPromise
    from padim.records.inspections import InspectionQuery

PERIODS = {
    "day": "Today",
    "week": "Last 7 days",
    "month": "Last 30 days",
    "all": "All of it",
    "dates": "From … to …",
}
_DAYS = {"day": 1, "week": 7, "month": 30}


@dataclass(frozen=True)
class FigureRun:
    """The inspections that the tab speaks of, and how to read them.

    Attributes:
        model_id: their model.
        columns: the inspections.
        versions: the model's versions by row.
        zone: the reader's time zone.
        recorded: the database, for what is read on demand.
    """

    model_id: str
    columns: InspectionColumns
    versions: dict[int, VersionPromise]
    zone: tzinfo
    recorded: RecordedFigures

    def version_label(self, row: int) -> str:
        """Return the name of a version by its row: "version 7", or "no version"."""
        found = self.versions.get(row)
        return "no version" if found is None else f"version {found.number}"

    def version_labels(self) -> dict[int, str]:
        """Return the names of all versions by row."""
        return {row: self.version_label(row) for row in self.versions}

    def latest_version(self) -> int:
        """Return the row of the version with the most inspections; -1 if they name none."""
        import numpy as np

        rows, counts = np.unique(self.columns.version_id, return_counts=True)
        return int(rows[int(np.argmax(counts))]) if len(rows) else -1


@dataclass
class _Read:
    """The inspections read last in this session, and what they were read for."""

    key: object = None
    run: Any = None


@dataclass(frozen=True)
class FigureFilter:
    """Which inspections are chosen; empty texts choose all."""

    model_id: str
    since: datetime | None = None
    before: datetime | None = None
    lot: str = ""
    station: str = ""
    shift: str = ""
    version_id: int | None = None

    def query(self) -> InspectionQuery:
        """Return the query of these inspections."""
        from padim.records.inspections import InspectionQuery

        return InspectionQuery(
            model_id=self.model_id,
            version_id=self.version_id,
            since=self.since,
            before=self.before,
            lot=self.lot or None,
            station=self.station or None,
            shift=self.shift or None,
        )


def zone() -> tzinfo:
    """Return the reader's time zone; UTC if the browser has not told it."""
    return clock.zone() or UTC


def period(kind: str, dates: Sequence[date] = ()) -> tuple[datetime | None, datetime | None]:
    """Return from when on and before when a period is, by days of the reader's time zone.

    Args:
        kind: a key of :data:`PERIODS`.
        dates: the first and the last day of "dates"; without the last it is the first.
    """
    here = zone()

    def begin(day: date) -> datetime:
        return datetime.combine(day, time.min, here)

    if kind in _DAYS:
        return begin(datetime.now(here).date() - timedelta(days=_DAYS[kind] - 1)), None
    if kind == "dates" and dates:
        return begin(dates[0]), begin(dates[-1] + timedelta(days=1))
    return None, None


def recorded() -> RecordedFigures:
    """Return the inspections on record in the workspace."""
    from padim.records.figures.recorded import RecordedFigures

    return RecordedFigures(workspace.root())


def read(chosen: FigureFilter) -> FigureRun:
    """Return the chosen inspections, from memory if nothing was recorded or reviewed since."""
    source = recorded()
    key = (str(workspace.root()), chosen, source.state(), str(zone()))
    last = state.of(_Read)
    if last.key != key:
        run = FigureRun(
            chosen.model_id,
            source.columns(chosen.query()),
            source.versions(chosen.model_id),
            zone(),
            source,
        )
        last.key, last.run = key, run
    found: FigureRun = last.run
    return found


# -- texts ---------------------------------------------------------------------------------------------


def of(rate: Rate) -> str:
    """Return a counted share with its interval: "2 of 48: 4 % (0.5 to 14.3 %)"; "none" of none."""
    if not rate.of:
        return "none"
    return f"{rate.count:,} of {rate.of:,}: {percent(rate.share)} ({between(rate.low, rate.high)})"


def between(low: float, high: float) -> str:
    """Return an interval of shares: "0.5 to 14.3 %"."""
    return f"{low * 100:.1f} to {high * 100:.1f} %"


@dataclass(frozen=True)
class FigureTable:
    """A table that is shown below its chart and can be downloaded; numbers stay numbers.

    Attributes:
        columns: names of the columns, with units.
        rows: the cells: texts, numbers, or None for nothing.
    """

    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]] = field(default_factory=list)

    @classmethod
    def of(cls, columns: Iterable[str], rows: Iterable[Sequence[Any]]) -> FigureTable:
        """Return a table of rows."""
        return cls(tuple(columns), [tuple(row) for row in rows])

    def csv(self) -> bytes:
        """Return it as CSV, with texts that spreadsheets would take for formulas escaped."""
        from padim.output.results import csv_file

        body = [["" if cell is None else _short(cell) for cell in row] for row in self.rows]
        return csv_file([self.columns, *body])

    def by_column(self) -> dict[str, list[Any]]:
        """Return its columns as lists."""
        return {name: [row[place] for row in self.rows] for place, name in enumerate(self.columns)}


def _short(cell: Any) -> Any:
    return float(f"{cell:.6g}") if isinstance(cell, float) else cell


RATE_COLUMNS = ("share (%)", "from (%)", "to (%)")


def rate_cells(rate: Rate) -> tuple[float | None, float | None, float | None]:
    """Return a share and the ends of its 95 % interval in percent, for a table."""
    if not rate.of:
        return None, None, None
    return round(rate.share * 100, 2), round(rate.low * 100, 2), round(rate.high * 100, 2)
