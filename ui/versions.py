"""State of the tab Versions: what can be undone, and comparisons of two versions in the background."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, ClassVar, cast

from padim.errors import PadimError
from ui.app import opened, person, state, workspace
from ui.jobs.runs import Runs

if TYPE_CHECKING:
    from collections.abc import Callable

    from padim.records.version import ModelVersion
    from padim.records.version_comparison import VersionComparison
    from padim.records.versions import ModelVersions
    from padim.storage.model_folders import Entry
    from ui.jobs.jobs import Job

# Seconds that a page waits for a change of the model to end before it shows the versions as they are.
_PATIENCE = 0.5


@dataclass
class ComparisonRuns(Runs):
    """A session's comparisons of versions."""

    sort: ClassVar[str] = "versions"


@dataclass
class VersionActions:
    """What this browser did last to each model's versions, by model id: words, and what undoes it."""

    last: dict[str, tuple[str, Callable[[], object]]] = field(default_factory=dict)


def of(entry: Entry) -> ModelVersions:
    """Return a model's versions."""
    from padim.records.versions import ModelVersions

    return ModelVersions(workspace.root(), entry.id)


def listed(entry: Entry) -> tuple[list[ModelVersion], str]:
    """Return a model's versions, the newest first, and why the saved model has none yet; empty if it has."""
    versions = of(entry)
    why = ""
    try:
        versions.catch_up(_PATIENCE)
    except (PadimError, OSError) as error:
        why = str(error)
    return versions.all()[::-1], why


def actions() -> VersionActions:
    """Return what this browser did last."""
    return state.of_browser(VersionActions)


def approve(entry: Entry, number: int) -> None:
    """Approve a version; approving an older one is how to roll back."""
    versions, who = of(entry), person.name()
    before = versions.approved()
    versions.approve(number, who)
    back = before is not None and number < before.number
    words = f"Rolled back to version {number}." if back else f"Version {number} is approved."
    if before is not None and before.number != number:
        undo: Callable[[], object] = partial(versions.approve, before.number, who, "undone")
        actions().last[entry.id] = (words, undo)


def retire(entry: Entry, number: int) -> None:
    """Mark a version as no longer to be used."""
    versions, who = of(entry), person.name()
    versions.retire(number, who)
    undo = partial(versions.reopen, number, who, "undone")
    actions().last[entry.id] = (f"Version {number} is retired.", undo)


def reopen(entry: Entry, number: int) -> None:
    """Make a retired version a draft again."""
    versions, who = of(entry), person.name()
    versions.reopen(number, who)
    undo = partial(versions.retire, number, who, "undone")
    actions().last[entry.id] = (f"Version {number} is a draft again.", undo)


def restore(entry: Entry, number: int) -> None:
    """Make a version the model that the other pages show and change.

    Raises:
        ChangedSinceOpenedError: somebody else has saved the model since the page showed it.
        PadimError: the version's files are gone, or the model is being changed.
    """
    versions, who = of(entry), person.name()
    before = versions.head()
    versions.restore(number, who, revision=opened.seen_revision(entry))
    now = workspace.store().get(entry.id)
    opened.saved(now, now.revision)
    if before is not None:
        actions().last[entry.id] = (
            f"Further changes start from version {number}.",
            partial(_restore_again, entry.id, before.number, who),
        )


def _restore_again(model_id: str, number: int, who: str) -> None:
    entry = workspace.store().get(model_id)
    of(entry).restore(number, who, "undone", revision=entry.revision)
    now = workspace.store().get(model_id)
    opened.saved(now, now.revision)


def undo(entry: Entry) -> None:
    """Take back what this browser did last to this model's versions."""
    words_and_undo = actions().last.pop(entry.id, None)
    if words_and_undo is not None:
        words_and_undo[1]()


def approval(entry: Entry) -> str:
    """Return when changes of a model take effect: "at_once" or "by_hand"."""
    from padim.records.workspace_settings import ApprovalSettings, WorkspaceSettings

    return WorkspaceSettings(workspace.root(), entry.id).get(ApprovalSettings).approval


def set_approval(entry: Entry, at_once: bool) -> None:
    """Say when changes of a model take effect."""
    from padim.records.workspace_settings import ApprovalSettings, WorkspaceSettings

    value = ApprovalSettings(approval="at_once" if at_once else "by_hand")
    WorkspaceSettings(workspace.root(), entry.id).set(value, person.name())


def runs() -> ComparisonRuns:
    """Return this browser's comparisons."""
    return state.of_browser(ComparisonRuns)


def start(entry: Entry, one: int, other: int) -> None:
    """Compare two versions on the model's library in the background."""

    def work(job: Job[VersionComparison]) -> VersionComparison:
        from padim.records.library import ImageLibrary
        from padim.records.version_comparison import compare

        library = ImageLibrary(workspace.root(), entry.id)
        return compare(of(entry), one, other, library, progress=job.progress, cancel=job.cancelled)

    runs().start(entry, f"Comparing versions {one} and {other} of {entry.name}", work)


def compared(entry: Entry) -> VersionComparison | None:
    """Return the comparison made last; None if there is none, or it is not ready."""
    job = runs().job(entry)
    return cast("VersionComparison", job.result) if job is not None and job.state == "done" else None
