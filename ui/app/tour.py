"""The tour of two minutes: a panel on every page that says what the page is for, and leads to the next one.

It begins by itself on the Models page of an empty workspace, until somebody has ended it there, and can be
started again from the sidebar. It follows the user: on a page that it speaks of, that is where it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import streamlit as st

from padim.errors import StorageError
from padim.storage.atomic import write_atomic
from ui import fit
from ui.app import state, tabs, workspace
from ui.app.pages import page_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from padim.storage.model_folders import Entry
    from ui.app.pages import AppPage

__all__ = ["STOPS", "TourStop", "button", "draw"]

# In the workspace: that its users have seen the tour.
SEEN = "tour-seen"


@dataclass(frozen=True)
class TourStop:
    """One stop of the tour.

    Attributes:
        path: the page's file.
        tab: the tab's key; None for a page without tabs.
        title: what happens there, in a few words.
        text: what to look at and what to do, in Markdown.
    """

    path: str
    tab: str | None
    title: str
    text: str


STOPS = (
    TourStop(
        "home.py",
        "models",
        "From good parts to verdicts",
        "A model is fitted on images of **good parts alone**. You then set a threshold, validate it, and "
        "inspect. The sidebar has these steps in order, with a tick for each that is done. The tour takes "
        "two minutes and uses a generated part; your own images work in the same way.",
    ),
    TourStop(
        "pages/fit.py",
        "images",
        "Fit on good parts",
        "Here are the good parts. The settings beside them are right for most parts. Press **Fit the "
        "model**: it takes some seconds, and the tour goes on by itself.",
    ),
    TourStop(
        "pages/fit.py",
        "result",
        "Look the good parts over",
        "Each part was scored by a model that does not contain it. Further down stand the most unusual "
        "ones: if one of them is not a good part, exclude it.",
    ),
    TourStop(
        "pages/calibrate.py",
        "threshold",
        "Set the threshold",
        "Move the **percentile**, or drag the line in the histogram: images, counts and the expected "
        "false rejects follow at once. At the end of the page the threshold is put to use.",
    ),
    TourStop(
        "pages/validate.py",
        "test-set",
        "Validate on images it has not seen",
        "**Use the sample** scores labelled good parts and defects, and says how many defects are missed "
        "and how many good parts are rejected.",
    ),
    TourStop(
        "pages/inspect.py",
        "run",
        "Inspect",
        "Drop images, or use the sample's: the worst comes first, with heatmap and mask. Arrow keys lead "
        "from image to image. That is all; **Manage**, on Models, has the scorer for the line.",
    ),
)


@dataclass
class TourState:
    """Where a session is on the tour.

    Attributes:
        at: index of the stop; None while there is no tour.
        ended: whether this session has ended it.
    """

    at: int | None = None
    ended: bool = False


def button() -> None:
    """Draw the button in the sidebar that starts the tour."""
    if st.button("Tour of two minutes", key="tour-start", type="tertiary", icon=":material/tour:"):
        now = state.of(TourState)
        now.at, now.ended = 0, False
        _go(STOPS[0])


def draw(page: AppPage, entries: Sequence[Entry], entry: Entry | None) -> None:
    """Draw the panel, if there is a tour.

    Args:
        page: the page that is being drawn.
        entries: the saved models.
        entry: the model in use.
    """
    now = state.of(TourState)
    if now.at is None and page.path == "home.py" and not entries and not now.ended and not _seen():
        now.at = 0
    if now.at is None:
        return
    tab = tabs.open_tab(page).key if page.tabs else None
    here = next((i for i, stop in enumerate(STOPS) if (stop.path, stop.tab) == (page.path, tab)), None)
    now.at = now.at if here is None else here
    with st.container(border=True, key="tour"):
        _panel(now, now.at, away=here is None, entry=entry)


def _panel(now: TourState, at: int, *, away: bool, entry: Entry | None) -> None:
    stop = STOPS[at]
    last = at == len(STOPS) - 1
    st.markdown(f"**Tour, {at + 1} of {len(STOPS)}: {stop.title}**")
    if away:
        st.caption(f"The tour goes on at {page_of(stop.path).label}.")
    else:
        st.markdown(stop.text)
    with st.container(horizontal=True, vertical_alignment="center"):
        if away:
            if st.button("Back to the tour", key="tour-on", type="primary"):
                _go(stop)
        elif not last:
            waits = at == 1 and entry is None
            sample = at == 0 and fit.sample() is not None
            if st.button(
                "Begin with the sample" if sample else "Next stop",
                key="tour-on",
                type="primary",
                disabled=waits,
                help="Fit the model first." if waits else None,
            ):
                if sample:
                    fit.start_afresh(with_sample=True)
                _go(STOPS[at + 1])
        if at and not away and st.button("Previous stop", key="tour-back"):
            _go(STOPS[at - 1])
        if st.button("End the tour" if last else "Skip the tour", key="tour-end", type="tertiary"):
            now.at, now.ended = None, True
            _remember()
            st.rerun()


def _go(stop: TourStop) -> None:
    tab = {tabs.PARAMETER: stop.tab} if stop.tab else {}
    st.switch_page(stop.path, query_params={**workspace.link(), **tab})


def _seen() -> bool:
    return (workspace.root() / SEEN).exists()


def _remember() -> None:
    try:
        write_atomic(workspace.root() / SEEN, b"")
    except (OSError, StorageError):
        return  # In a read-only workspace the session alone remembers it.
