"""Inspections on record: adding them, finding them page by page, and what is kept to show each."""

from __future__ import annotations

import json
import logging
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from sqlalchemy import Connection, func, insert, select

from padim.errors import PadimError
from padim.records import outbox, workspace_settings
from padim.records.database import RecordsDatabase
from padim.records.evidence import EvidenceFiles
from padim.records.inspection import Inspection, InspectionEvidence, NewInspection
from padim.records.inspection_query import (
    InspectionColumn,
    InspectionOrder,
    InspectionQuery,
    indexed,
    joined,
    page_of,
    place_after,
)
from padim.records.schema import EVIDENCE, INSPECTIONS
from padim.records.workspace_settings import AuditSettings, OriginalsSettings
from padim.storage.atomic import explain_os_error, is_full
from padim.storage.workspace_size import has_room

__all__ = ["InspectionPage", "InspectionQuery", "InspectionRecords"]

_LOGGER = logging.getLogger(__name__)
# Rows that one step of an iteration reads.
_STEP = 500
_NOT_KEPT = "the image was not kept, by the settings of the time"
_WORKSPACE_FULL = "the workspace was full when it was inspected (PADIM_WORKSPACE_LIMIT)"
_DISK_FULL = "the disk was full when it was inspected"


@dataclass(frozen=True)
class InspectionPage:
    """One page of inspections.

    Attributes:
        items: the inspections.
        next: the place of the next page; None if this is the last.
    """

    items: tuple[Inspection, ...]
    next: str | None


class InspectionRecords:
    """The inspections of a workspace; cheap to create.

    Every method sees what other threads and processes have stored. Those that store something raise
    StorageError if the database or the folder cannot be written, and then have stored nothing.
    """

    def __init__(self, root: str | Path, *, draw: Callable[[], float] | None = None) -> None:
        """
        Args:
            root: the workspace's folder.
            draw: returns uniform random numbers in [0, 1), by which accepted ones are drawn for an audit;
                default: unpredictable ones.
        """
        self.files = EvidenceFiles(root)
        self._database = RecordsDatabase(root)
        self.root = Path(root)
        self._draw = draw or random.SystemRandom().random

    # -- adding ------------------------------------------------------------------------------------------

    def add(self, new: Sequence[NewInspection]) -> list[int]:
        """Record inspections: all of them or, if something fails, none; return their rows.

        Rejects, those in review and a random share of the accepted await a person. One that is recorded
        already, by its ``uid``, stays as it is. The messages to sinks are written in the same transaction.

        A disk that is too full for images and level maps does not cost the records: those of these images
        say so, and an alarm is raised when it begins (see also :meth:`lacking_evidence`).

        Raises:
            StorageError: the database or the folder cannot be written.
        """
        if not new:
            return []
        settings = workspace_settings.WorkspaceSettings(self.root)
        originals = settings.get(OriginalsSettings)
        share = settings.get(AuditSettings).share
        entered = [self._entered(one, share) for one in new]
        room = has_room(self.root)
        # Files come first, so that a row always has its files.
        try:
            evidence = [
                self._write_files(one, row, originals, room) for one, row in zip(new, entered, strict=True)
            ]
        except OSError as error:
            raise explain_os_error(error) from error
        full = any(kept["original_gone"] == _DISK_FULL for kept in evidence)
        with self._database.writing() as connection:
            begins = full and not self._was_full(connection)
            there = self._known(connection, [one.uid for one in new])
            seen = set(there)
            before = frozenset(there)
            for row, kept in zip(entered, evidence, strict=True):
                if row["uid"] in seen:
                    continue
                seen.add(row["uid"])
                # Values apart from the statement, which is compiled once: half the time of recording.
                done = connection.execute(insert(INSPECTIONS), row)
                assert done.inserted_primary_key is not None
                there[row["uid"]] = int(done.inserted_primary_key[0])
                connection.execute(insert(EVIDENCE), {"inspection_id": there[row["uid"]], **kept})
            added = {uid: row for uid, row in there.items() if uid not in before}
            outbox.enqueue(connection, self.root, new, added)
        if full:
            _LOGGER.warning("the disk is full: inspections are recorded without images and level maps")
        if begins:
            self._raise_alarm()
        return [there[one.uid] for one in new]

    def _entered(self, new: NewInspection, share: float) -> dict[str, Any]:
        accepted = new.verdict == "accept"
        audited = accepted and self._draw() < share
        return {
            **new.row(),
            "audited": audited,
            "audit_probability": share if accepted else None,
            "waits": audited or new.verdict in ("review", "reject"),
            "defect_type": "",
            "second_type": "",
            "disagrees": False,
        }

    def _write_files(
        self, new: NewInspection, row: Mapping[str, Any], settings: OriginalsSettings, room: bool
    ) -> dict[str, Any]:
        kept: dict[str, Any] = {
            "map_bytes": None,
            "original_bytes": None,
            "original_folder": "",
            "original_gone": _NOT_KEPT,
            "place": json.dumps(dict(new.place)),
            "thumbnail": new.thumbnail or None,
        }
        if not room:
            kept["original_gone"] = _WORKSPACE_FULL
            return kept
        try:
            if row["waits"] and new.levels is not None:
                kept["map_bytes"] = self.files.write_map(new.uid, new.levels)
            if new.original is not None and settings.keeps(waits=row["waits"]):
                folder = settings.folder or ""
                kept["original_bytes"] = self.files.write_original(new.sha256, new.original, folder)
                kept |= {"original_folder": folder, "original_gone": ""}
        except OSError as error:
            if not is_full(error):
                raise
            kept["original_gone"] = _DISK_FULL
        return kept

    @staticmethod
    def _was_full(connection: Connection) -> bool:
        """Return whether the disk was full when the latest inspection was recorded."""
        latest = select(EVIDENCE.c.original_gone).order_by(EVIDENCE.c.inspection_id.desc()).limit(1)
        return bool(connection.execute(latest).scalar() == _DISK_FULL)

    def _raise_alarm(self) -> None:
        text = (
            f"{self.files.folder}: no space left on the disk; images are recorded without their files and "
            "level maps until there is: free some space, for example with padim records prune"
        )
        with suppress(PadimError, OSError):  # the record itself says it
            outbox.Outbox(self.root).alarm("disk full", text)

    def lacking_evidence(self, ids: Sequence[int]) -> int:
        """Return how many of these inspections have no images and level maps because the disk was full."""
        lacking = EVIDENCE.c.inspection_id.in_(ids) & (EVIDENCE.c.original_gone == _DISK_FULL)
        with self._database.reading() as connection:
            if connection is None:
                return 0
            return int(connection.execute(select(func.count()).where(lacking)).scalar_one())

    @staticmethod
    def _known(connection: Connection, uids: Sequence[str]) -> dict[str, int]:
        found: dict[str, int] = {}
        for start in range(0, len(uids), _STEP):
            some = INSPECTIONS.c.uid.in_(uids[start : start + _STEP])
            found |= {
                row.uid: row.id
                for row in connection.execute(select(INSPECTIONS.c.uid, INSPECTIONS.c.id).where(some))
            }
        return found

    # -- finding -----------------------------------------------------------------------------------------

    def get(self, inspection_id: int) -> Inspection | None:
        """Return one inspection, or None if there is no such row."""
        found = self.page(InspectionQuery(ids=(inspection_id,)), number=1).items
        return found[0] if found else None

    def page(
        self,
        query: InspectionQuery | None = None,
        order: InspectionOrder = "newest",
        after: str | None = None,
        number: int = 50,
    ) -> InspectionPage:
        """Return one page of inspections.

        Args:
            query: which ones; default: all.
            order: by time of recording, or by what decides over the threshold: the largest first, or the one
                nearest to the threshold.
            after: ``next`` of the page before; default: the first page.
            number: how many.

        Raises:
            PadimError: ``after`` is of another order.
        """
        selected = page_of(query or InspectionQuery(), order, after, number + 1)
        with self._database.reading() as connection:
            rows = [] if connection is None else connection.execute(selected).all()
        more = len(rows) > number
        rows = rows[:number]
        items = tuple(Inspection.of({**row._mapping}) for row in rows)
        return InspectionPage(items, place_after(rows[-1], order) if more else None)

    def iterate(
        self, query: InspectionQuery | None = None, order: InspectionOrder = "oldest"
    ) -> Iterator[Inspection]:
        """Yield all inspections of a query, a few hundred of them in memory at a time."""
        after: str | None = None
        while True:
            page = self.page(query, order, after, _STEP)
            yield from page.items
            after = page.next
            if after is None:
                return

    def count(self, query: InspectionQuery | None = None) -> int:
        """Return the number of inspections."""
        query = query or InspectionQuery()
        selected = select(func.count()).select_from(INSPECTIONS).where(*query.conditions())
        if query.scans:
            selected = indexed(selected)
        with self._database.reading() as connection:
            return 0 if connection is None else int(connection.execute(selected).scalar_one())

    def counts_by(self, column: InspectionColumn, query: InspectionQuery | None = None) -> dict[Any, int]:
        """Return the number of inspections by the value of a column."""
        named = INSPECTIONS.c[column]
        selected = select(named, func.count()).where(*(query or InspectionQuery()).conditions())
        with self._database.reading() as connection:
            if connection is None:
                return {}
            return {row[0]: row[1] for row in connection.execute(selected.group_by(named))}

    def choices(self, column: InspectionColumn, query: InspectionQuery | None = None) -> list[Any]:
        """Return the different values of a column, sorted, without empty ones."""
        named = INSPECTIONS.c[column]
        selected = select(named).where(*(query or InspectionQuery()).conditions()).distinct()
        with self._database.reading() as connection:
            found = [] if connection is None else connection.execute(selected).scalars().all()
        return sorted(value for value in found if value not in (None, ""))

    def columns(self, query: InspectionQuery | None, names: Sequence[str]) -> dict[str, list[Any]]:
        """Return columns of the table as lists, in the order of recording.

        Args:
            query: which inspections; None for all.
            names: names of columns of :data:`padim.records.schema.INSPECTIONS`; values are as stored: times
                are texts, UTC, and reasons, regions and notes are JSON.
        """
        wanted = [INSPECTIONS.c[name] for name in names]
        selected = joined(query or InspectionQuery(), *wanted).order_by(INSPECTIONS.c.id)
        with self._database.reading() as connection:
            rows = [] if connection is None else connection.execute(selected).all()
        if not rows:
            return {name: [] for name in names}
        return {name: list(values) for name, values in zip(names, zip(*rows, strict=True), strict=True)}

    # -- what shows them ---------------------------------------------------------------------------------

    def evidence(self, inspection_id: int) -> InspectionEvidence:
        """Return what is kept of an inspection's image."""
        row = self._evidence(inspection_id)
        if row is None:
            return InspectionEvidence(False, False, "nothing is on record about its image", {})
        has_map = row.map_bytes is not None and self.files.map_path(row.uid).is_file()
        kept = row.original_bytes is not None
        there = kept and self.files.has_original(row.sha256, row.original_folder)
        gone = "" if there else "the file of the image is gone" if kept else row.original_gone
        return InspectionEvidence(has_map, there, gone, json.loads(row.place))

    def thumbnail(self, inspection_id: int) -> bytes | None:
        """Return the small JPEG of an inspection's image, or None."""
        return self.thumbnails([inspection_id]).get(inspection_id)

    def thumbnails(self, inspection_ids: Sequence[int]) -> dict[int, bytes]:
        """Return the small JPEGs of inspections' images by row; those without one are left out."""
        found: dict[int, bytes] = {}
        row = EVIDENCE.c
        with self._database.reading() as connection:
            if connection is None:
                return found
            for start in range(0, len(inspection_ids), _STEP):
                some = row.inspection_id.in_(inspection_ids[start : start + _STEP])
                selected = select(row.inspection_id, row.thumbnail).where(some, row.thumbnail.is_not(None))
                found.update((id_, small) for id_, small in connection.execute(selected))
        return found

    def levels(self, inspection_id: int) -> npt.NDArray[np.uint16] | None:
        """Return an inspection's level map, uint16 ``(h, w)``; None if it is not kept."""
        row = self._evidence(inspection_id)
        return None if row is None or row.map_bytes is None else self.files.read_map(row.uid)

    def original(self, inspection_id: int) -> bytes | None:
        """Return the file of an inspection's image; None if it is not kept, or damaged."""
        row = self._evidence(inspection_id)
        if row is None or row.original_bytes is None:
            return None
        return self.files.read_original(row.sha256, row.original_folder)

    def _evidence(self, inspection_id: int) -> Any | None:
        columns = [column for column in EVIDENCE.c if column.name != "thumbnail"]
        selected = (
            select(INSPECTIONS.c.uid, INSPECTIONS.c.sha256, *columns)
            .join(EVIDENCE, EVIDENCE.c.inspection_id == INSPECTIONS.c.id)
            .where(INSPECTIONS.c.id == inspection_id)
        )
        with self._database.reading() as connection:
            return None if connection is None else connection.execute(selected).first()
