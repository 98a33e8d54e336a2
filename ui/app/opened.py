"""The revision of each model that this session's page shows, so that a change is made to that one only.

Every run of a page reads the saved models anew, but a click refers to what the run before has shown. If
somebody else has saved the model in between, the change is refused rather than made to something unseen.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from streamlit.runtime.scriptrunner import get_script_run_ctx

from ui.app import state

if TYPE_CHECKING:
    from padim.storage.model_folders import Entry


@dataclass
class OpenedModels:
    """The models of one session, as its pages show and showed them.

    Attributes:
        shown: each model as the latest run of a page shows it.
        before: each model as it was shown when that run began.
        own: revisions that this session has saved.
        notices: by model id, what somebody else has changed, until the user has read it.
        rows: each model as the list on the home page has shown it.
    """

    shown: dict[str, Entry] = field(default_factory=dict)
    before: dict[str, Entry] = field(default_factory=dict)
    own: set[str] = field(default_factory=set)
    notices: dict[str, str] = field(default_factory=dict)
    rows: dict[str, Entry] = field(default_factory=dict)


def models() -> OpenedModels:
    """Return this session's models."""
    return state.of(OpenedModels)


def begin(entry: Entry, *, changing: bool) -> None:
    """Record that a run of a page begins to show a model, and note what somebody else has changed.

    Args:
        entry: the model in use, as saved now.
        changing: whether a change by this session is running; it may have saved the model already.
    """
    now = models()
    former = now.shown.get(entry.id, entry)
    now.before[entry.id] = former
    if changing:
        return
    if entry.revision in now.own:
        now.before[entry.id] = entry
    elif former.revision != entry.revision:
        now.notices[entry.id] = changes(former, entry)
    now.shown[entry.id] = entry


def seen(entry: Entry) -> Entry:
    """Return a model as the browser shows it while the present run is carried out."""
    context = get_script_run_ctx()
    if context is None:
        return entry
    if context.fragment_ids_this_run:
        return models().shown.get(entry.id, entry)
    return models().before.get(entry.id, entry)


def seen_revision(entry: Entry) -> str | None:
    """Return the revision that the browser shows; None outside of a page, where nothing is shown."""
    return (seen(entry).revision or None) if get_script_run_ctx() is not None else None


def saved(entry: Entry, revision: str) -> None:
    """Record that this session has saved a model.

    Args:
        entry: the model as it is now.
        revision: the revision that was saved, which somebody else may have replaced already.
    """
    now = models()
    now.own.add(revision)
    now.notices.pop(entry.id, None)
    if entry.revision == revision:
        now.shown[entry.id] = now.before[entry.id] = entry


def changes(before: Entry, now: Entry) -> str:
    """Describe what differs between two states of a model; empty if it is unknown."""
    from padim.storage.revisions import what_changed

    return what_changed(before.manifest, now.manifest)
