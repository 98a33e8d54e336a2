"""The versions of a model: every saved change makes one, numbered and immutable; one of them is approved.

The files of a version are written and flushed before its row (:mod:`padim.storage.version_files`), under the
model's lock. A process that is killed in between leaves files without a row, or a saved model without a
version: whoever looks next gives them their rows, with who and why from the note that the save left.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, insert, select, update

from padim.errors import PadimError
from padim.model import Padim
from padim.records import version_rows
from padim.records.database import RecordsDatabase
from padim.records.schema import INSPECTIONS, VERSION_EVENTS, VERSIONS
from padim.records.version import ModelVersion, VersionChange, VersionEvent, cause_of
from padim.records.workspace_settings import ApprovalSettings, WorkspaceSettings
from padim.storage.model_folders import PATIENCE, Entry, ModelFolders, explained
from padim.storage.revisions import what_changed
from padim.storage.version_files import VersionFiles, same_content
from padim.text import percent

__all__ = ["KEEP_DAYS", "KEEP_NEWEST", "ModelVersions", "PrunedVersions", "of_path"]

KEEP_NEWEST = 10
KEEP_DAYS = 90
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class PrunedVersions:
    """Versions whose files were deleted, or could be.

    Attributes:
        numbers: the versions, oldest first.
        bytes: what this frees on the disk.
    """

    numbers: tuple[int, ...]
    bytes: int


class ModelVersions:
    """The versions of one model of a workspace; cheap to create.

    Methods that read see what others have stored. Those that change something raise StorageError if the
    workspace is read-only, its disk full or the database away, and BusyError while somebody else changes the
    model.
    """

    def __init__(self, root: str | Path, model_id: str) -> None:
        self.root, self.model_id = Path(root), model_id
        self._models = ModelFolders(root)
        self._database = RecordsDatabase(root)
        self.files = VersionFiles(self._models.folder / model_id)

    # -- reading -----------------------------------------------------------------------------------------

    def all(self) -> list[ModelVersion]:
        """Return all versions, oldest first; also of a model that was deleted."""
        with self._database.reading() as connection:
            return [] if connection is None else self._rows(connection)

    def get(self, number: int) -> ModelVersion:
        """Return a version by its number.

        Raises:
            PadimError: there is no such version.
        """
        found = next((one for one in self.all() if one.number == number), None)
        if found is None:
            raise PadimError(f"the model {self.model_id} has no version {number}")
        return found

    def approved(self) -> ModelVersion | None:
        """Return the version that inspects; None if none is approved, or none is on record yet."""
        return next((one for one in self.all() if one.state == "approved"), None)

    def approved_before(self) -> ModelVersion | None:
        """Return the older version that was approved last, to roll back to; None if there is none."""
        found = {one.number: one for one in self.all()}
        present = next((one.number for one in found.values() if one.state == "approved"), None)
        numbers = [event.number for event in self.events() if event.kind == "approved"]
        former = [one for one in numbers if present and one < present and found[one].pruned is None]
        return found[former[-1]] if former else None

    def newest(self) -> ModelVersion | None:
        """Return the version made last."""
        return next(reversed(self.all()), None)

    def newer_draft(self) -> ModelVersion | None:
        """Return the newest draft made after the approved version; None if there is none."""
        found = self.all()
        since = max((one.number for one in found if one.state == "approved"), default=0)
        return next((one for one in reversed(found) if one.state == "draft" and one.number > since), None)

    def head(self) -> ModelVersion | None:
        """Return the version that the saved model is; None if it was saved since, or is not there."""
        try:
            manifest = self._models.get(self.model_id).manifest
        except PadimError:
            return None
        return self._matching(manifest, self.all()) if manifest else None

    def events(self, number: int | None = None) -> list[VersionEvent]:
        """Return what happened to a version, or to all of them, in order."""
        query = (
            select(VERSION_EVENTS, VERSIONS.c.number)
            .join(VERSIONS, VERSIONS.c.id == VERSION_EVENTS.c.version_id)
            .where(VERSIONS.c.model_id == self.model_id)
            .order_by(VERSION_EVENTS.c.id)
        )
        if number is not None:
            query = query.where(VERSIONS.c.number == number)
        with self._database.reading() as connection:
            rows = [] if connection is None else connection.execute(query).all()
        return [
            VersionEvent(row.number, datetime.fromisoformat(row.at), row.who, row.kind, row.comment)
            for row in rows
        ]

    def path(self, version: ModelVersion) -> Path:
        """Return the path from which a version can be opened, by :meth:`padim.Padim.load` too."""
        return self.files.path(version.number)

    def entry(self, version: ModelVersion) -> Entry:
        """Return a version in the form of a saved model, with its manifest.

        Raises:
            PadimError: its files are gone.
        """
        manifest = self.files.manifest(version.number)
        if manifest is None:
            raise PadimError(self._gone(version))
        created = datetime.fromisoformat(str(manifest.get("created"))).astimezone(UTC)
        return Entry(self.model_id, version.model_name, self.path(version), created, manifest, None)

    def open(self, version: ModelVersion) -> Padim:
        """Open a version, to score with it.

        Raises:
            BundleError: a file is damaged; the error names it.
            PadimError: its files were deleted, or the model was.
        """
        path = self.path(version)
        if not path.is_file():
            raise PadimError(self._gone(version))
        return Padim.load(path)

    def _gone(self, version: ModelVersion) -> str:
        called = f"version {version.number} of “{version.model_name}”"
        if version.pruned is not None:
            return f"{called} can no longer be opened: its files were deleted on {version.pruned:%Y-%m-%d}"
        if not self.files.model.is_dir():
            return f"{called} cannot be opened: the model was deleted; restore it from the bin if it is there"
        return f"{called} cannot be opened: {self.path(version)} is missing"

    def own_bytes(self) -> dict[int, int]:
        """Return, by number, the bytes that only this version needs on the disk."""
        return self.files.own_bytes()

    def total_bytes(self) -> int:
        """Return the bytes that all versions take beside the saved model; what they share counts once."""
        return self.files.total_bytes()

    # -- making versions ---------------------------------------------------------------------------------

    def catch_up(self, patience: float = PATIENCE) -> ModelVersion | None:
        """Give the saved model its version if it has none, as after a kill or a save by an older program.

        Args:
            patience: seconds to wait for a change of the model to end.

        Returns:
            The version that the saved model is; None if there is no model to keep.
        """
        found = self.head()
        if found is not None and not self.files.pending():
            return found
        try:
            if not self._models.get(self.model_id).manifest:
                return None
        except PadimError:
            return None
        return self.keep(patience=patience)

    @contextmanager
    def saving(self, change: VersionChange | None = None) -> Iterator[Callable[[Padim], None]]:
        """Make a version of what is saved within the block; call it under the model's lock.

        The yielded function is given the model that was saved, which spares opening it again. The model is
        saved also if its version cannot be put on record, such as when the database is away: then the log
        says so, and whoever looks at the versions next makes it, with the same who and why.

        Args:
            change: who saves it, and why; default: whoever this thread acts for.
        """
        change = change or VersionChange.by_holder()
        saved: list[Padim] = []
        based_on = None
        try:
            before = self.catch_up()  # also what an older program has saved is to be kept
            based_on = None if before is None else before.number
        except PadimError as error:
            _LOG.warning("%s", error)
        with explained():
            self.files.write_pending(
                {
                    "who": change.who,
                    "cause": change.cause,
                    "reason": change.reason,
                    "draft": change.draft,
                    "before": self._revision(),
                    "based_on": based_on,
                }
            )
        try:
            yield saved.append
        except BaseException:
            self.files.forget_pending()
            raise
        try:
            self.keep(change, saved[0] if saved else None)
        except PadimError as error:
            _LOG.warning("the model is saved, its version is put on record later: %s", error)

    def keep(
        self, change: VersionChange | None = None, model: Padim | None = None, patience: float = PATIENCE
    ) -> ModelVersion:
        """Make a version of the saved model, unless it is the same as the version that it was made of.

        Args:
            change: who made it, and why; default: as the save has noted it.
            model: the opened model, if it is at hand.
            patience: seconds to wait for a change of the model to end.

        Raises:
            PadimError: there is no saved model that can be opened.
        """
        with self._models.locked(self.model_id, patience), explained():
            entry = self._models.get(self.model_id)
            if not entry.manifest:
                raise PadimError(entry.broken or f"“{entry.name}” is not saved yet")
            rows = self.all()
            note = self.files.pending()
            if note.get("before") == entry.revision:
                note = {}  # of a save that did not come about
            based_on = note.get("based_on")
            # A change that leads back to an older version is a version of its own: it takes effect as others.
            # The newest may be of this very save, whose process was killed before it removed the note.
            same = [one for one in rows if not note or one.number in (based_on, rows[-1].number)]
            found = self._matching(entry.manifest, same)
            if found is not None:
                self.files.forget_pending()
                return found
            numbers = [one.number for one in rows]
            strays = [number for number in self.files.numbers() if number not in numbers]
            number = max([0, *numbers, *strays]) + 1
            if strays and same_content(self.files.manifest(strays[-1]) or {}, entry.manifest):
                number = strays.pop()  # its process was killed before the row
            self.files.keep(number)
            made = change or version_rows.noted(note)
            based_on = based_on or max([one.number for one in rows], default=None)
            row = self._row(number, entry, made, based_on, model)
            with self._database.writing() as connection:
                for stray in strays:
                    self._adopt(connection, stray, entry.name)
                self._insert(connection, row, made)
            self.files.forget_pending()
        return self.get(number)

    def _matching(self, manifest: dict[str, Any], rows: list[ModelVersion]) -> ModelVersion | None:
        """Return which of these versions a manifest is: by the same save, or else the same content."""
        revision = str(manifest.get("seal", ""))
        for one in reversed(rows):
            if one.revision == revision and (one.pruned is not None or self.path(one).is_file()):
                return one
        for one in reversed(rows):
            kept = self.files.manifest(one.number)
            if kept is not None and same_content(kept, manifest):
                return one
        return None

    def _revision(self) -> str:
        try:
            return self._models.get(self.model_id).revision
        except PadimError:
            return ""

    def _row(
        self, number: int, entry: Entry, change: VersionChange, based_on: int | None, model: Padim | None
    ) -> dict[str, Any]:
        manifest = entry.manifest
        before = None if based_on is None else self.files.manifest(based_on)
        figures = version_rows.figures_of(model or self.files.path(number))
        changed = "first version" if based_on is None else ""
        if before is not None:
            changed = what_changed(before, manifest)
            former = next((one for one in self.all() if one.number == based_on), None)
            if former is not None and former.expected is not None and figures["expected"] is not None:
                one, other = percent(former.expected), percent(figures["expected"])
                if one != other:
                    changed += f"{', ' if changed else ''}expected false rejects {one} → {other}"
        return {
            "model_id": self.model_id,
            "model_name": entry.name,
            "number": number,
            "revision": entry.revision,
            "scoring_identity": version_rows.identity_of(manifest),
            "made": version_rows.now(),
            "who": change.who,
            "cause": change.cause or cause_of(before, manifest),
            "reason": change.reason,
            "changed": changed,
            "based_on": based_on,
            "n_parts": entry.n_parts,
            "bytes": sum(int(one.get("bytes", 0)) for one in manifest["files"].values()),
            **figures,
        }

    def _insert(self, connection: Connection, row: dict[str, Any], change: VersionChange) -> None:
        setting = WorkspaceSettings(self._models.root, self.model_id).get(ApprovalSettings)
        result = connection.execute(insert(VERSIONS).values(state="draft", **row))
        assert result.inserted_primary_key is not None
        version_id = int(result.inserted_primary_key[0])
        version_rows.add_event(connection, version_id, change.who, "made", change.reason)
        if setting.approval == "at_once" and not change.draft:
            version_rows.approve(
                connection, self.model_id, version_id, int(row["number"]), change.who, "when it was made"
            )

    def _adopt(self, connection: Connection, number: int, name: str) -> None:
        """Put a version on record whose row is gone, as when the database was moved away."""
        manifest = self.files.manifest(number) or {}
        row: dict[str, Any] = {
            "model_id": self.model_id,
            "model_name": name,
            "number": number,
            "revision": str(manifest.get("seal", "")),
            "scoring_identity": version_rows.identity_of(manifest),
            "made": str(manifest.get("created") or version_rows.now()),
            "who": "not on record",
            "cause": "other",
            "reason": "",
            "changed": "found again without its record",
            "based_on": None,
            "n_parts": int(manifest.get("counts", {}).get("parts", 0)),
            "bytes": sum(int(one.get("bytes", 0)) for one in manifest.get("files", {}).values()),
            **version_rows.figures_of(self.files.path(number)),
        }
        result = connection.execute(insert(VERSIONS).values(state="retired", **row))
        assert result.inserted_primary_key is not None
        version_rows.add_event(
            connection, int(result.inserted_primary_key[0]), "padim", "made", row["changed"]
        )

    # -- states ------------------------------------------------------------------------------------------

    def approve(self, number: int, who: str, comment: str = "") -> ModelVersion:
        """Make a version the one that inspects; approving an older one is how to roll back.

        The one approved before is retired; if it is newer, it becomes a draft, so that it is not lost sight
        of.

        Raises:
            PadimError: there is no such version, or its files were deleted.
        """
        with self._changing(number) as (connection, version):
            if not self.path(version).is_file():
                raise PadimError(self._gone(version))
            if version.state != "approved":
                version_rows.approve(connection, self.model_id, version.id, number, who, comment)
        return self.get(number)

    def retire(self, number: int, who: str, comment: str = "") -> ModelVersion:
        """Mark a version as no longer to be used.

        Raises:
            PadimError: there is no such version, or it is the approved one.
        """
        with self._changing(number) as (connection, version):
            if version.state == "approved":
                raise PadimError(
                    f"version {number} is the approved one, which inspects; approve another one first"
                )
            version_rows.set_state(connection, version.id, "retired")
            version_rows.add_event(connection, version.id, who, "retired", comment)
        return self.get(number)

    def reopen(self, number: int, who: str, comment: str = "") -> ModelVersion:
        """Make a retired version a draft again; others stay as they are."""
        with self._changing(number) as (connection, version):
            if version.state == "retired":
                version_rows.set_state(connection, version.id, "draft")
                version_rows.add_event(connection, version.id, who, "reopened", comment)
        return self.get(number)

    def restore(
        self, number: int, who: str, comment: str = "", *, revision: str | None = None
    ) -> ModelVersion:
        """Make a version the saved model again, byte for byte, so that further changes start from it.

        Args:
            number: the version.
            who: who does it.
            comment: their words.
            revision: the saved model that may be replaced; default: any. It has its own version.

        Raises:
            ChangedSinceOpenedError: the saved model is another one.
            PadimError: there is no such version, or its files were deleted.
        """
        with self._models.locked(self.model_id), explained():
            if revision is not None:
                self._models.check_revision(self.model_id, revision)
            self.catch_up()
            with self._changing(number) as (connection, version):
                if not self.path(version).is_file():
                    raise PadimError(self._gone(version))
                self.files.restore(number)
                version_rows.add_event(connection, version.id, who, "restored", comment)
        return self.get(number)

    @contextmanager
    def _changing(self, number: int) -> Iterator[tuple[Connection, ModelVersion]]:
        with self._models.locked(self.model_id), self._database.writing() as connection:
            found = next((one for one in self._rows(connection) if one.number == number), None)
            if found is None:
                raise PadimError(f"the model {self.model_id} has no version {number}")
            yield connection, found

    # -- pruning -----------------------------------------------------------------------------------------

    def prunable(self, now: datetime | None = None) -> tuple[int, ...]:
        """Return the versions whose files the rule gives up, oldest first.

        Kept are the approved version, the saved model's, the newest ``KEEP_NEWEST``, all younger than
        ``KEEP_DAYS`` days, and every one that a record names.
        """
        versions = self.all()
        before = (now or datetime.now(UTC)) - timedelta(days=KEEP_DAYS)
        head = self.head()
        with self._database.reading() as connection:
            named = set() if connection is None else self._named(connection)
        return tuple(
            one.number
            for one in versions[:-KEEP_NEWEST]
            if one.pruned is None
            and one.state != "approved"
            and one.made < before
            and one.id not in named
            and (head is None or one.number != head.number)
        )

    def prune(self, who: str, now: datetime | None = None) -> PrunedVersions:
        """Delete the files of the versions that the rule gives up (:meth:`prunable`); their rows stay."""
        with self._models.locked(self.model_id), explained():
            with self._database.writing() as connection:
                # Looked at while nobody can record an inspection.
                numbers = self.prunable(now)
                for one in self._rows(connection):
                    if one.number in numbers:
                        pruned = (
                            update(VERSIONS).where(VERSIONS.c.id == one.id).values(pruned=version_rows.now())
                        )
                        connection.execute(pruned)
                        version_rows.add_event(connection, one.id, who, "pruned", "by rule")
            # Rows first: files without use are swept next time, a version without files is never offered.
            gone = [one.number for one in self.all() if one.pruned is not None]
            return PrunedVersions(numbers, self.files.remove(gone))

    @staticmethod
    def _named(connection: Connection) -> set[int]:
        query = select(INSPECTIONS.c.version_id).where(INSPECTIONS.c.version_id.is_not(None)).distinct()
        return set(connection.execute(query).scalars())

    def _rows(self, connection: Connection) -> list[ModelVersion]:
        query = select(VERSIONS).where(VERSIONS.c.model_id == self.model_id).order_by(VERSIONS.c.number)
        return [version_rows.version_of(row) for row in connection.execute(query).all()]


def of_path(path: Path) -> ModelVersions | None:
    """Return the versions of a saved model by its path; None if it is in no workspace."""
    folder = path.resolve()
    if ModelFolders.is_id(folder.name) and folder.parent.name == "models" and (folder / "name.txt").exists():
        return ModelVersions(folder.parent.parent, folder.name)
    return None
