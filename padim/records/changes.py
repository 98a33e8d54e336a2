"""The history of what users changed in a library, so that each action can be undone and redone as a whole."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Connection, func, insert, select, update

from padim.records import labels
from padim.records.labels import LabelValue
from padim.records.schema import CHANGED_ITEMS, CHANGES, IMAGES

LibraryChangeKind = Literal["label", "remove"]


@dataclass(frozen=True)
class LibraryChange:
    """One action of a user.

    Attributes:
        kind: "label" or "remove".
        images: the number of images that it changed.
        skipped: after undo or redo, how many of them stayed as they are, because they were changed since.
    """

    kind: LibraryChangeKind
    images: int
    skipped: int = 0


def relabel(connection: Connection, model_id: str, wanted: Mapping[str, LabelValue], now: str) -> int:
    """Set labels, by SHA-256, and record those that differ from the present ones; return their number."""
    before = labels.stored(connection, model_id, wanted)
    new = {sha: value for sha, value in wanted.items() if before.get(sha, labels.UNKNOWN) != value}
    if not new:
        return 0
    change = _begin(connection, model_id, "label", now)
    rows = [
        {
            "change_id": change,
            "sha256": sha256,
            "label_before": before.get(sha256, labels.UNKNOWN).label,
            "type_before": before.get(sha256, labels.UNKNOWN).type_id,
            "label_after": value.label,
            "type_after": value.type_id,
        }
        for sha256, value in new.items()
    ]
    connection.execute(insert(CHANGED_ITEMS), rows)
    labels.write(connection, model_id, new, now)
    return len(new)


def record_removal(connection: Connection, model_id: str, sha256s: Iterable[str], now: str) -> None:
    """Record that users have removed images."""
    change = _begin(connection, model_id, "remove", now)
    connection.execute(insert(CHANGED_ITEMS), [{"change_id": change, "sha256": sha256} for sha256 in sha256s])


def _begin(connection: Connection, model_id: str, kind: LibraryChangeKind, now: str) -> int:
    done = connection.execute(insert(CHANGES).values(model_id=model_id, made=now, kind=kind))
    assert done.inserted_primary_key is not None
    return int(done.inserted_primary_key[0])


def to_undo(connection: Connection, model_id: str) -> LibraryChange | None:
    """Return the action that :func:`undo` would undo: the latest one; None if there is none."""
    return _described(connection, _latest(connection, model_id))


def to_redo(connection: Connection, model_id: str) -> LibraryChange | None:
    """Return the action that :func:`redo` would redo; None after a new action, or if nothing was undone."""
    return _described(connection, _undone(connection, model_id))


def undo(connection: Connection, model_id: str, now: str) -> LibraryChange | None:
    """Undo the latest action, except where images were changed since; None if there is none."""
    change = _latest(connection, model_id)
    if change is None:
        return None
    connection.execute(update(CHANGES).where(CHANGES.c.id == change.id).values(undone=now))
    return _applied(connection, model_id, change, now, back=True)


def redo(connection: Connection, model_id: str, now: str) -> LibraryChange | None:
    """Redo the action that was undone last, except where images were changed since; None if there is none."""
    change = _undone(connection, model_id)
    if change is None:
        return None
    connection.execute(update(CHANGES).where(CHANGES.c.id == change.id).values(undone=None))
    return _applied(connection, model_id, change, now, back=False)


# The type parameters of rows differ between versions of SQLAlchemy.
_Row = Any


def _latest(connection: Connection, model_id: str) -> _Row | None:
    query = select(CHANGES.c.id, CHANGES.c.kind).where(
        CHANGES.c.model_id == model_id, CHANGES.c.undone.is_(None)
    )
    return connection.execute(query.order_by(CHANGES.c.id.desc()).limit(1)).first()


def _undone(connection: Connection, model_id: str) -> _Row | None:
    # Those undone after the latest action that counts: a new action ends what can be redone.
    latest = _latest(connection, model_id)
    query = select(CHANGES.c.id, CHANGES.c.kind).where(
        CHANGES.c.model_id == model_id,
        CHANGES.c.undone.is_not(None),
        CHANGES.c.id > (0 if latest is None else latest.id),
    )
    return connection.execute(query.order_by(CHANGES.c.id).limit(1)).first()


def _described(connection: Connection, change: _Row | None) -> LibraryChange | None:
    if change is None:
        return None
    query = select(func.count()).where(CHANGED_ITEMS.c.change_id == change.id)
    return LibraryChange(change.kind, connection.execute(query).scalar_one())


def _applied(connection: Connection, model_id: str, change: _Row, now: str, *, back: bool) -> LibraryChange:
    items = connection.execute(select(CHANGED_ITEMS).where(CHANGED_ITEMS.c.change_id == change.id)).all()
    sha256s = [item.sha256 for item in items]
    if change.kind == "remove":
        # Where the file has gone already, or another action has brought the image back, nothing is done.
        there = (
            IMAGES.c.removed.is_not(None) & IMAGES.c.purged.is_(None) if back else IMAGES.c.removed.is_(None)
        )
        done = connection.execute(
            update(IMAGES)
            .where(IMAGES.c.model_id == model_id, IMAGES.c.sha256.in_(labels.listed(sha256s)), there)
            .values(removed=None if back else now)
        )
        return LibraryChange("remove", done.rowcount, len(items) - done.rowcount)
    present = labels.stored(connection, model_id, sha256s)
    new = {}
    for item in items:
        before = LabelValue(item.label_before, item.type_before)
        after = LabelValue(item.label_after, item.type_after)
        expected, wanted = (after, before) if back else (before, after)
        if present.get(item.sha256, labels.UNKNOWN) == expected:
            new[item.sha256] = wanted
    labels.write(connection, model_id, new, now)
    return LibraryChange("label", len(new), len(items) - len(new))
