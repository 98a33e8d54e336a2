"""Rows of versions and of what happened to them: read as data, written with what a model promises."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Row, insert, select, update

from padim.errors import PadimError
from padim.model import Padim
from padim.records.schema import VERSION_EVENTS, VERSIONS
from padim.records.version import ModelVersion, VersionChange, VersionState
from padim.scoring_identity import of_manifest

__all__ = ["add_event", "approve", "figures_of", "identity_of", "noted", "now", "set_state", "version_of"]


def version_of(row: Row[Any]) -> ModelVersion:
    """Return a row of the table as data."""
    values = dict(row._mapping)
    values["made"] = datetime.fromisoformat(values["made"])
    values["pruned"] = values["pruned"] and datetime.fromisoformat(values["pruned"])
    return ModelVersion(**values)


def noted(note: dict[str, Any]) -> VersionChange:
    """Return the change that a save has noted before it began; of nobody known if it has not."""
    if not note:
        return VersionChange("not on record")
    return VersionChange(
        str(note.get("who")), note.get("cause"), str(note.get("reason", "")), bool(note.get("draft"))
    )


def figures_of(model: Padim | Path) -> dict[str, float | None]:
    """Return threshold, expected false-reject rate and its upper bound of a model; None for none."""
    figures: dict[str, float | None] = {"threshold": None, "expected": None, "upper": None}
    try:
        opened = Padim.load(model) if isinstance(model, Path) else model
        if opened.current_threshold is None:
            return figures
        figures["threshold"] = opened.threshold_
        rate = opened.false_reject_rate_
    except PadimError:
        return figures
    return {**figures, "expected": rate.expected, "upper": rate.upper}


def identity_of(manifest: dict[str, Any]) -> str:
    """Return the scoring identity of a manifest; empty if its settings are not valid."""
    try:
        return of_manifest(manifest)
    except (KeyError, TypeError, ValueError):
        return ""


def set_state(connection: Connection, version_id: int, state: VersionState) -> None:
    """Set the state of a version."""
    connection.execute(update(VERSIONS).where(VERSIONS.c.id == version_id).values(state=state))


def add_event(connection: Connection, version_id: int, who: str, kind: str, comment: str) -> None:
    """Put on record what happened to a version."""
    connection.execute(
        insert(VERSION_EVENTS).values(version_id=version_id, at=now(), who=who, kind=kind, comment=comment)
    )


def now() -> str:
    """Return the present time as the database stores it."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


def approve(
    connection: Connection, model_id: str, version_id: int, number: int, who: str, comment: str
) -> None:
    """Approve a version; the one approved before is retired, or becomes a draft if it is newer."""
    query = select(VERSIONS.c.id, VERSIONS.c.number).where(
        VERSIONS.c.model_id == model_id, VERSIONS.c.state == "approved"
    )
    for other in connection.execute(query).all():
        newer = other.number > number
        set_state(connection, other.id, "draft" if newer else "retired")
        kind = "reopened" if newer else "retired"
        add_event(connection, other.id, who, kind, f"version {number} was approved")
    set_state(connection, version_id, "approved")
    add_event(connection, version_id, who, "approved", comment)
