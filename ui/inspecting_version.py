"""Which version of the model in use inspects: the approved one, which may be older than the saved model."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from padim.errors import PadimError
from ui.app import workspace

if TYPE_CHECKING:
    from padim.model import Padim
    from padim.records.version import ModelVersion
    from padim.storage.model_folders import Entry

__all__ = ["InspectingVersion", "find", "version_id"]


@dataclass(frozen=True, eq=False)
class InspectingVersion:
    """The version that inspects.

    Attributes:
        entry: it, in the form of a saved model.
        model: it, opened.
        version: its row; None if the model has no version on record, or the database is away.
        is_saved: whether it is the model as it is saved.
        newer: the newest draft made after it; None if there is none.
        none_approved: whether there are versions, and none of them is approved.
        problem: why the approved version is not known; None if it is.
    """

    entry: Entry
    model: Padim
    version: ModelVersion | None = None
    is_saved: bool = True
    newer: ModelVersion | None = None
    none_approved: bool = False
    problem: BaseException | None = None

    def superseded(self, entry: Entry) -> bool:
        """Return whether another version has been approved, or made, since."""
        if self.problem is not None:
            return False
        try:
            approved, newer = _looked_up(entry)
        except (PadimError, OSError):
            return False
        here = None if self.version is None or self.none_approved else self.version.id
        drafts = None if self.newer is None else self.newer.id
        return (here, drafts) != (
            None if approved is None else approved.id,
            None if newer is None else newer.id,
        )


def find(entry: Entry, model: Padim) -> InspectingVersion:
    """Return the version that inspects.

    Args:
        entry: the model in use, as it is saved.
        model: the same, opened.

    Raises:
        PadimError: the approved version cannot be opened.
    """
    from padim.records.versions import ModelVersions

    versions = ModelVersions(workspace.root(), entry.id)
    try:
        approved, newer = _looked_up(entry)
        saved = versions.head()
        if approved is not None and saved is None:
            # Saved by something that makes no versions, such as a script with `Padim.save`.
            with suppress(PadimError, OSError):
                saved = versions.catch_up(patience=2.0)
            approved, newer = _looked_up(entry)
    except (PadimError, OSError) as error:
        return InspectingVersion(entry, model, problem=error)
    if approved is None:
        return InspectingVersion(entry, model, saved, newer=newer, none_approved=saved is not None)
    if saved is not None and approved.number == saved.number:
        return InspectingVersion(entry, model, approved, newer=newer)
    return InspectingVersion(
        versions.entry(approved), workspace.open_version(approved), approved, is_saved=False, newer=newer
    )


def _looked_up(entry: Entry) -> tuple[ModelVersion | None, ModelVersion | None]:
    from padim.records.versions import ModelVersions

    versions = ModelVersions(workspace.root(), entry.id)
    return versions.approved(), versions.newer_draft()


def version_id(inspecting: InspectingVersion) -> int | None:
    """Return the row of the version that records name; made now for a model that was saved without one."""
    from padim.records.versions import ModelVersions

    if inspecting.version is not None:
        return inspecting.version.id
    if inspecting.problem is not None:
        return None
    try:
        made = ModelVersions(workspace.root(), inspecting.entry.id).catch_up(patience=2.0)
    except (PadimError, OSError):
        return None  # a record without a version says so
    return None if made is None or made.revision != inspecting.entry.revision else made.id
