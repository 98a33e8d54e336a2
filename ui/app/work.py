"""The work that is running in the workspace, listed on every page, and word of its end.

Fits and changes of models belong to the workspace: every browser sees them. Scorings and measurements are
seen by the browser that has started them. A page learns within seconds of work that has begun or ended
elsewhere, and of a change of its model, and is then drawn again.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from padim.errors import PadimError
from ui import model_changes
from ui.app import opened, reruns, sessions, state, tabs, workspace
from ui.jobs import missed_runs, watch
from ui.jobs.jobs import spoken_duration
from ui.widgets.panels import plain

if TYPE_CHECKING:
    from padim.storage.model_folders import Entry
    from ui.app.pages import AppPage
    from ui.jobs.jobs import Job

# Seconds between two looks of a page, with work to show and without.
_BUSY_S, _IDLE_S = 1.5, 5.0
# Pieces of ended work that are listed until they have been looked at.
_MOST_ENDED = 4

# Page and tab that show a piece of work, by the prefix of its key.
_PLACES = {
    "survey": ("pages/fit.py", "images"),
    "fit": ("pages/fit.py", "result"),
    "locating": ("pages/fit.py", "images"),
    "locating-trial": ("pages/fit.py", "images"),
    "amend": ("pages/fit.py", "result"),
    "alignment": ("pages/fit.py", "result"),
    "health": ("pages/fit.py", "result"),
    "learning": ("pages/fit.py", "result"),
    "known": ("pages/calibrate.py", "threshold"),
    "repeats": ("pages/calibrate.py", "repeatability"),
    "evaluate": ("pages/validate.py", "test-set"),
    "second": ("pages/validate.py", "second-session"),
    "sensitivity": ("pages/validate.py", "smallest-defect"),
    "robustness": ("pages/validate.py", "light-and-fixture"),
    "inspect": ("pages/inspect.py", "run"),
    "study": ("pages/compare.py", ""),
    "records-export": ("pages/records.py", "records"),
}


@dataclass(frozen=True)
class PieceOfWork:
    """A piece of work as pages mention it.

    Attributes:
        key: key of its job.
        title: what is done, as in "Fitting “Flange”".
        model: id of the model that it is about; empty for none.
        failed: whether it ended without its result.
        why: the reason for that, as a sentence.
    """

    key: str
    title: str
    model: str
    failed: bool = False
    why: str = ""

    @property
    def place(self) -> tuple[str, str] | None:
        """Return the page and the tab that show it; None if there is none."""
        return _PLACES.get(self.key.partition(":")[0])

    def is_shown_by(self, page: AppPage, entry: Entry | None) -> bool:
        """Return whether the page that is open shows this work itself."""
        here = self.place
        if here is None or here[0] != page.path:
            return False
        # While a model is fitted the Fit page shows it on the tab with its images.
        if self.key.startswith("fit:"):
            return True
        tab = tabs.open_tab(page).key if page.tabs else ""
        return here[1] == tab and (not self.model or (entry is not None and entry.id == self.model))


@dataclass
class _Noticed:
    """What a page has listed.

    Attributes:
        running: the work that was running when it was last drawn, by key.
        ended: what has ended since, until it is looked at.
    """

    running: dict[str, PieceOfWork] = field(default_factory=dict)
    ended: list[PieceOfWork] = field(default_factory=list)


def draw(page: AppPage, entry: Entry | None) -> None:
    """List the work that this page does not show itself, and what has ended; in the sidebar."""
    jobs = watch.registry().running(state.owner())
    listed = [job for job in jobs if not _piece(job).is_shown_by(page, entry)]
    _follow(page, entry, jobs)
    if listed:
        missed_runs.watch_for(listed[0])
    keys = tuple(job.key for job in jobs)
    every = sessions.paced(_BUSY_S if jobs else _IDLE_S)
    st.fragment(_look, run_every=every)(entry, keys, [job.key for job in listed])
    for one in list(state.lasting(_Noticed).ended):
        _link(one)


def _follow(page: AppPage, entry: Entry | None, jobs: list[Job[Any]]) -> None:
    """Note what has ended since the page was last drawn, and drop what this page now shows."""
    noticed = state.lasting(_Noticed)
    now = {job.key: _piece(job) for job in jobs}
    for key, one in noticed.running.items():
        if key in now or one.is_shown_by(page, entry):
            continue
        job = watch.registry().get(key)
        if job is None or job.state == "cancelled":
            continue
        failed = job.state == "failed"
        piece = PieceOfWork(key, one.title, one.model, failed, str(job.error) if failed else "")
        noticed.ended.append(piece)
        st.toast(_sentence(piece), icon=":material/error:" if piece.failed else ":material/check:")
    noticed.running = now
    kept = [one for one in noticed.ended if one.key not in now and not one.is_shown_by(page, entry)]
    noticed.ended = kept[-_MOST_ENDED:]


def _sentence(one: PieceOfWork) -> str:
    return f"{'Failed' if one.failed else 'Done'}: {plain(one.title)}"


def _link(one: PieceOfWork) -> None:
    icon = ":material/error:" if one.failed else ":material/check:"
    place = one.place
    if place is None:
        # No page shows this work, so that its reason is here or nowhere.
        st.caption(f"{icon} {_sentence(one)}{f'. {plain(one.why)}' if one.why else ''}")
        return
    page, tab = place
    if one.key.startswith("fit:") and one.failed:
        tab = "images"
    query = {workspace.PARAMETER: one.model} if one.model else workspace.link()
    if tab:
        query[tabs.PARAMETER] = tab
    st.page_link(page, label=_sentence(one), icon=icon, query_params=query)


def _look(entry: Entry | None, keys: tuple[str, ...], listed: list[str]) -> None:
    """List the running work; run the page again if some has begun or ended, or its model was changed."""
    jobs = watch.registry().running(state.owner())
    context = get_script_run_ctx()
    alone = context is not None and bool(context.fragment_ids_this_run)
    if alone and (tuple(job.key for job in jobs) != keys or (entry is not None and _changed(entry))):
        reruns.run_page()
    for job in jobs:
        if job.key in listed:
            _line(job)


def _line(job: Job[Any]) -> None:
    now = job.current
    parts = [plain(job.title)]
    if now.total:
        parts.append(f"{now.fraction:.0%}")
    if (left := job.seconds_left) is not None:
        parts.append(f"{spoken_duration(left)} left")
    icon = ":material/progress_activity:"
    if not watch.registry().is_of(job.key, state.owner()):
        icon, parts[0] = ":material/group:", f"{parts[0]} (another browser)"
    st.caption(f"{icon} {' · '.join(parts)}")


def _changed(entry: Entry) -> bool:
    """Return whether somebody else has changed a model since the page that shows it was drawn."""
    models = opened.models()
    shown = models.shown.get(entry.id)
    change = model_changes.job(entry)
    if shown is None or (change is not None and change.running and model_changes.is_mine(entry, change)):
        return False
    try:
        now = workspace.store().get(entry.id)
    except PadimError:  # it was deleted
        return True
    return now.revision != shown.revision and now.revision not in models.own


def _piece(job: Job[Any]) -> PieceOfWork:
    return PieceOfWork(job.key, job.title, job.model)
