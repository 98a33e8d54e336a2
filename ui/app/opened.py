"""The revision of each model that this session's page shows, so that a change is made to that one only.

Every run of a page reads the saved models anew, but a click refers to what the run before has shown. If
somebody else has saved the model in between, the change is refused rather than made to something unseen.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from streamlit.runtime.scriptrunner import get_script_run_ctx

from ui.app import clock, state

if TYPE_CHECKING:
    from padim.storage.model_folders import Entry

# How ``padim.storage.revisions`` writes a value that was changed.
_CHANGE = re.compile(r"(.+?) (\S+) → (\S+)")


@dataclass(frozen=True, eq=False)
class Notice:
    """What somebody else has changed in a model, until the user has read it.

    Attributes:
        before: the model as this session's page showed it.
        now: the model as it was then saved.
    """

    before: Entry
    now: Entry

    @property
    def decision(self) -> bool:
        """Whether the threshold or the smallest region was changed, of which one's own can be kept."""
        one, other = self.before.manifest, self.now.manifest
        sizes = [manifest.get("config", {}).get("min_area") for manifest in (one, other)]
        return one.get("choice") != other.get("choice") or sizes[0] != sizes[1]

    def text(self) -> str:
        """Return what was changed, and when: "threshold changed from 3.1 to 2.9 at 14:02"."""
        text = ", ".join(
            f"{what[1]} changed from {what[2]} to {what[3]}" if (what := _CHANGE.fullmatch(one)) else one
            for one in changes(self.before, self.now).split(", ")
        )
        saved = self.now.created
        return text if saved is None else f"{text} at {clock.at(saved)}".strip()


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
    notices: dict[str, Notice] = field(default_factory=dict)
    rows: dict[str, Entry] = field(default_factory=dict)

    def begin_page(self) -> None:
        """A page that was loaded again shows the models as they are now."""
        self.shown.clear()
        self.before.clear()
        self.rows.clear()


def models() -> OpenedModels:
    """Return this session's models."""
    return state.lasting(OpenedModels)


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
        now.notices[entry.id] = Notice(former, entry)
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
