"""Deleting images and level maps of inspections by age and size; their records stay, and say so."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import Connection, case, func, select, update

from padim import settings as installation
from padim.records.database import RecordsDatabase
from padim.records.evidence import EvidenceFiles
from padim.records.inspection_query import stamp
from padim.records.schema import EVIDENCE, INSPECTIONS
from padim.records.workspace_settings import OriginalsSettings, WorkspaceSettings
from padim.storage.atomic import explain_os_error
from padim.text import count

__all__ = ["EvidenceSizes", "PrunedEvidence", "evidence_sizes", "prune_daily", "prune_evidence"]

_STEP = 500
_GIGA = 1e9
_GONE = "the file of the image is gone"
# A file this young may belong to an inspection that is being recorded.
_SPARED = timedelta(minutes=10)


@dataclass(frozen=True)
class EvidenceSizes:
    """Number and bytes of the images and the level maps that are kept with records."""

    originals: int = 0
    original_bytes: int = 0
    maps: int = 0
    map_bytes: int = 0


@dataclass(frozen=True)
class PrunedEvidence:
    """What was deleted, or would be.

    Attributes:
        deleted: number and bytes of what goes.
        left: number and bytes of what stays.
    """

    deleted: EvidenceSizes
    left: EvidenceSizes


@dataclass(frozen=True)
class _Original:
    sha256: str
    folder: str
    size: int
    judged: str
    waits: bool


def evidence_sizes(root: str | Path) -> EvidenceSizes:
    """Return what is kept with the records of a workspace; a file of several records counts once."""
    with RecordsDatabase(root).reading() as connection:
        if connection is None:
            return EvidenceSizes()
        return _sizes(_originals(connection), _maps(connection))


def prune_evidence(
    root: str | Path,
    settings: OriginalsSettings | None = None,
    *,
    dry_run: bool = False,
    now: datetime | None = None,
    spared: timedelta = _SPARED,
) -> PrunedEvidence:
    """Delete images and level maps that are older or larger together than the settings allow.

    An image is as old as its latest inspection. Age does not take images of inspections that await a person;
    size takes them last. Of level maps the oldest go first.

    Args:
        root: the workspace's folder.
        settings: the limits; default: the workspace's.
        dry_run: whether nothing is deleted.
        now: the present; default: now.
        spared: files written within this time are kept, because they may be of an inspection that is being
            recorded.

    Raises:
        StorageError: the database cannot be written; files may be gone whose records say so the next time.
    """
    settings = _capped(settings or WorkspaceSettings(root).get(OriginalsSettings))
    now = (now or datetime.now(UTC)).astimezone(UTC)
    database = RecordsDatabase(root)
    with database.reading() as connection:
        if connection is None:
            return PrunedEvidence(EvidenceSizes(), EvidenceSizes())
        originals, maps = _originals(connection), _maps(connection)
    reasons = _reasons(originals, settings, now)
    going_maps = _over(maps, settings.map_gigabytes * _GIGA)
    files = EvidenceFiles(root)
    youngest = (datetime.now(UTC) - spared).timestamp()
    # Of a file that somebody else has deleted, no limit of ours is the reason.
    reasons = {
        one: why if files.has_original(one.sha256, one.folder) else _GONE
        for one, why in reasons.items()
        if _older(files.original_path(one.sha256, one.folder), youngest)
    }
    if not dry_run and (reasons or going_maps):
        _delete(database, files, reasons, going_maps)
    gone = set(going_maps)
    left = [one for one in originals if one not in reasons]
    return PrunedEvidence(
        _sizes(list(reasons), going_maps), _sizes(left, [one for one in maps if one not in gone])
    )


def prune_daily(root: str | Path, now: datetime | None = None) -> PrunedEvidence | None:
    """Delete what is beyond the limits, unless that was done within a day; return what went, or None.

    ``<workspace>/evidence/pruned`` is written whenever it is done.

    Raises:
        StorageError: the database or the folder cannot be written.
    """
    now = (now or datetime.now(UTC)).astimezone(UTC)
    folder = EvidenceFiles(root).folder
    done = folder / "pruned"
    if not os.access(folder, os.W_OK) or not _older(done, (now - timedelta(days=1)).timestamp()):
        return None
    try:
        done.touch()
    except OSError as error:
        raise explain_os_error(error, done) from error
    return prune_evidence(root, now=now)


def _capped(settings: OriginalsSettings) -> OriginalsSettings:
    """Return the settings with the longest time that this installation allows."""
    most = installation.current().retention_days
    if most is None or (settings.days is not None and settings.days <= most):
        return settings
    return settings.model_copy(update={"days": most})


def _delete(
    database: RecordsDatabase,
    files: EvidenceFiles,
    reasons: dict[_Original, str],
    maps: Sequence[tuple[int, str, int]],
) -> None:
    with database.writing() as connection:
        files.delete(files.original_path(one.sha256, one.folder) for one in reasons)
        files.delete(files.map_path(uid) for _, uid, _ in maps)
        by_reason: dict[tuple[str, str], list[str]] = {}
        for one, why in reasons.items():
            by_reason.setdefault((one.folder, why), []).append(one.sha256)
        for (folder, why), digests in by_reason.items():
            for some in _chunks(digests):
                rows = select(INSPECTIONS.c.id).where(INSPECTIONS.c.sha256.in_(some))
                connection.execute(
                    update(EVIDENCE)
                    .where(
                        EVIDENCE.c.inspection_id.in_(rows),
                        EVIDENCE.c.original_folder == folder,
                        EVIDENCE.c.original_bytes.is_not(None),
                    )
                    .values(original_bytes=None, original_gone=why)
                )
        for ids in _chunks([row for row, _, _ in maps]):
            connection.execute(
                update(EVIDENCE).where(EVIDENCE.c.inspection_id.in_(ids)).values(map_bytes=None)
            )


def _originals(connection: Connection) -> list[_Original]:
    """Return the image files that are kept, the oldest first."""
    row, kept = INSPECTIONS.c, EVIDENCE.c
    judged = func.max(row.judged)
    selected = (
        select(
            row.sha256,
            kept.original_folder,
            func.max(kept.original_bytes),
            judged,
            func.max(case((row.waits, 1), else_=0)),
        )
        .join(EVIDENCE, kept.inspection_id == row.id)
        .where(kept.original_bytes.is_not(None))
        .group_by(row.sha256, kept.original_folder)
        .order_by(judged, row.sha256)
    )
    return [_Original(*values[:4], bool(values[4])) for values in connection.execute(selected)]


def _maps(connection: Connection) -> list[tuple[int, str, int]]:
    """Return (row, uid, bytes) of the level maps that are kept, the oldest first."""
    selected = (
        select(INSPECTIONS.c.id, INSPECTIONS.c.uid, EVIDENCE.c.map_bytes)
        .join(EVIDENCE, EVIDENCE.c.inspection_id == INSPECTIONS.c.id)
        .where(EVIDENCE.c.map_bytes.is_not(None))
        .order_by(INSPECTIONS.c.id)
    )
    return [(row[0], row[1], row[2]) for row in connection.execute(selected)]


def _reasons(
    originals: Sequence[_Original], settings: OriginalsSettings, now: datetime
) -> dict[_Original, str]:
    """Return why each image goes that does."""
    on = f"deleted on {now:%d %b %Y}"
    if settings.keep == "none":
        return dict.fromkeys(originals, f"{on}: by the settings no images are kept")
    found: dict[_Original, str] = {}
    if settings.days is not None:
        oldest = stamp(now - timedelta(days=settings.days))
        limit = " (PADIM_RETENTION_DAYS)" if settings.days == installation.current().retention_days else ""
        why = f"{on}: images are kept for {count(settings.days, 'day')}{limit}"
        found = {one: why for one in originals if not one.waits and one.judged < oldest}
    room = settings.gigabytes * _GIGA
    left = [one for one in originals if one not in found]
    used = sum(one.size for one in left)
    for one in sorted(left, key=lambda one: one.waits):  # stable: the oldest of each first
        if used <= room:
            break
        found[one] = f"{on}: all images together may take {settings.gigabytes:g} GB"
        used -= one.size
    return found


def _over(maps: Sequence[tuple[int, str, int]], room: float) -> list[tuple[int, str, int]]:
    used = sum(size for _, _, size in maps)
    found = []
    for one in maps:
        if used <= room:
            break
        found.append(one)
        used -= one[2]
    return found


def _sizes(originals: Sequence[_Original], maps: Sequence[tuple[int, str, int]]) -> EvidenceSizes:
    return EvidenceSizes(
        len(originals), sum(one.size for one in originals), len(maps), sum(size for _, _, size in maps)
    )


def _older(path: Path, time: float) -> bool:
    """Return whether a file was last written before a time; True for one that is gone already."""
    try:
        return path.stat().st_mtime <= time
    except OSError:
        return True


def _chunks(items: Sequence[int] | Sequence[str]) -> Iterable[Sequence[int] | Sequence[str]]:
    return (items[start : start + _STEP] for start in range(0, len(items), _STEP))
