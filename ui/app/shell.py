"""The frame of every page: style, navigation, the model in use. Each page calls :func:`begin` first."""

from __future__ import annotations

import os
from functools import cache
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import streamlit as st

from padim.errors import PadimError, StorageError
from padim.storage.atomic import explain_os_error, refuses_writing
from ui import model_changes
from ui.app import (
    model_header,
    person,
    progress,
    refusals,
    restarts,
    server,
    sessions,
    tabs,
    tour,
    work,
    workspace,
)
from ui.app import opened as opened_models
from ui.app.pages import PAGES, AppPage, page_of
from ui.app.text import count
from ui.files import media
from ui.jobs import missed_runs
from ui.widgets import panels, resolution

if TYPE_CHECKING:
    from padim.model import Padim
    from padim.storage.model_folders import Entry

PRODUCT = "PaDiM Inspection"
READ_ONLY = (
    "This workspace is read-only: its models can be used as they are, but changes cannot be saved. "
    "Whoever runs the server can make its folder writable."
)
_STYLE = Path(__file__).with_name("style.css")
_LANDMARKS = Path(__file__).with_name("landmarks.js")
_CHOICE = "model-in-use"

# The product's mark: a grid of patches, one of them anomalous. A file of our own, because Streamlit would
# fetch an icon named ":material/..." for the browser's tab from the network.
_MARK = Path(__file__).with_name("mark.svg")


def begin(path: str) -> tuple[AppPage, Entry | None]:
    """Set up a page: the browser tab's title, style, sidebar, heading.

    Args:
        path: the page's file, as in :data:`ui.app.pages.PAGES`.

    Returns:
        The page, and the model in use, which the URL names, or None.
    """
    page = page_of(path)
    media.new_run()
    sessions.current()
    st.set_page_config(
        page_title=f"{page.label} · {PRODUCT}",
        page_icon=_MARK,
        layout="wide",
        initial_sidebar_state="auto",
        menu_items={"About": f"**{PRODUCT}** finds defects from images of good parts alone (PaDiM)."},
    )
    st.html(_STYLE)
    # Sent first: the heading is on its way to the browser while the rest is imported and read.
    st.html(f'<h1 class="pv-title">{escape(page.label)}</h1><p class="pv-lead">{escape(page.lead)}</p>')
    st.html(_landmarks(), unsafe_allow_javascript=True)
    if not page.tabs:
        tabs.heading(page.label)
    entries = workspace.store().models()
    asked = st.query_params.get(workspace.PARAMETER)
    entry = workspace.in_use(entries)
    if asked is None:
        # Most visits concern the newest model; naming it in the URL makes the link complete.
        entry = next((e for e in entries if not e.broken), None)
        if entry is not None:
            workspace.use(entry.id)
    if entry is not None:
        change = model_changes.job(entry)
        mine = change is not None and change.running and model_changes.is_mine(entry, change)
        opened_models.begin(entry, changing=mine)
        model_changes.collect_refused(entry)
    now = None if entry is None else progress.of(entry)
    if entry is not None and now is not None:
        model_header.draw(entry, now)
    tour.draw(page, entries, entry)
    with st.sidebar:
        _sidebar(entries, entry, page, now)
    with st.container():
        restarts.draw()
    if asked is not None and entry is None:
        _not_here(asked, entries)
    if entry is not None:
        _others(entry)
    if entry is not None and workspace.random_weights(entry):
        st.warning(
            f"The network of “{panels.plain(entry.name)}” has random weights: it is for trials only, and its "
            "verdicts mean nothing.",
            icon=":material/warning:",
        )
    return page, entry


def _not_here(asked: str, entries: list[Entry]) -> None:
    """Say why there is no model to show: it cannot be opened, was deleted meanwhile, or was never here."""
    broken = next((e for e in entries if e.id == asked), None)
    if broken is not None:
        st.error(
            f"The model in this link cannot be opened. {panels.plain(broken.broken or '')}",
            icon=":material/error:",
        )
        return
    remedy = "Choose another in the sidebar." if any(not e.broken for e in entries) else "Fit a new one."
    shown = opened_models.models().shown.get(asked)
    if shown is not None:
        st.warning(
            f"**Someone else deleted “{panels.plain(shown.name)}” since you opened it.** A change of it made "
            f"just before was not saved. {remedy}",
            icon=":material/group:",
        )
        return
    st.warning(
        f"The model “{panels.literal(asked)}” in this link is not on this server. {remedy}",
        icon=":material/link_off:",
    )


def _changing(entry: Entry) -> bool:
    """Return whether a session of this server is changing a model."""
    change = model_changes.job(entry)
    return change is not None and change.running


def _others(entry: Entry) -> None:
    """Show what others have changed in a model, and the changes of this session that they have prevented."""
    change = model_changes.job(entry)
    # A container, because elements that come and go would make the browser rebuild what is below.
    with st.container():
        refusals.draw(entry, failure, change if change is not None and change.running else None)


def _sidebar(
    entries: list[Entry], entry: Entry | None, page: AppPage, now: progress.StepsDone | None
) -> None:
    st.html(f'<div class="pv-brand"><img src="{_mark_uri()}" alt=""><div>{PRODUCT}</div></div>')
    group = ""
    for one in PAGES:
        if one.group != group:
            group = one.group
            st.html(f'<div class="pv-group">{escape(group)}</div>')
        done = None if now is None else now.done(one.path)
        # The style draws the tick, so that the link's words stay the page's name.
        place = st.container(key=f"nav-{_slug(one)}-{'open' if done is None else 'done'}")
        place.page_link(one.path, label=one.label, icon=one.icon, help=done, query_params=workspace.link())
    st.divider()
    usable = [e for e in entries if not e.broken]
    if not usable:
        st.caption("No model yet. Fit one on images of good parts.")
    else:
        names = workspace.distinct_names(usable)
        # The URL determines the model in use; the box only shows it, so its value is set before it is drawn.
        st.session_state[_CHOICE] = entry.id if entry is not None else None
        st.selectbox(
            "Model in use",
            list(names),
            format_func=lambda entry_id: names.get(entry_id, entry_id),
            key=_CHOICE,
            on_change=_choose,
            placeholder="Choose a model",
        )
        if entry is not None:
            threshold = workspace.threshold_value(entry)
            at = "no threshold yet" if threshold is None else f"threshold {threshold:.2f}"
            st.caption(f"{count(entry.n_parts, 'part')} · {at}")
            if workspace.calibration(entry) == "stale":
                st.caption(":material/warning: Calibration out of date")
            if workspace.random_weights(entry):
                st.caption(":material/warning: Random weights, for trials only")
    missed_runs.place()
    work.draw(page, entry)
    holder = None if entry is None or _changing(entry) else workspace.store().holder(entry.id)
    if holder is not None:
        # Work of a shell command, a script, or another server.
        st.caption(f":material/group: {panels.plain(holder.text)} is changing this model")
    person.draw()
    tour.button()
    if server.reachable_from_elsewhere():
        st.caption(":material/lan: This server can be reached from other machines and has no accounts.")


def _slug(page: AppPage) -> str:
    return page.path.rpartition("/")[2].removesuffix(".py")


@cache
def _landmarks() -> str:
    return f"<script>{_LANDMARKS.read_text(encoding='utf-8')}</script>"


@cache
def _mark_uri() -> str:
    return "data:image/svg+xml," + quote(_MARK.read_text(encoding="utf-8"))


def _choose() -> None:
    workspace.use(st.session_state[_CHOICE])


def out_of_date(entry: Entry, *, here: bool = False) -> None:
    """Warn if the calibration does not belong to the model as it is now, and name the remedy.

    Args:
        entry: the model in use.
        here: whether the remedy is on this page.
    """
    if workspace.calibration(entry) != "stale":
        return
    where = "Give" if here else "On the Fit page, give"
    st.warning(
        "**The calibration is out of date:** images were added after the working features had been "
        "deleted, so threshold and false-reject rate are still those of the model before. "
        f"{where} all its images again, the added ones too, and it is calibrated anew.",
        icon=":material/warning:",
    )
    if not here and st.button("Open the Fit page", key="stale-fit", icon=":material/arrow_forward:"):
        go_to("pages/fit.py", "result")


def empty(heading: str, text: str) -> None:
    """Show an empty state that says what to do next; put the control that does it right below."""
    st.html(f'<div class="pv-empty"><h3>{escape(heading)}</h3><p>{escape(text)}</p></div>')


def opened(entry: Entry, *, here: bool = False) -> Padim | None:
    """Open a page's model and show its warnings; if it cannot be opened, show the reason and return None.

    Args:
        entry: the model in use.
        here: whether the remedy of a calibration that is out of date is on this page.
    """
    try:
        # A container, because the spinner of the first run would move what is below it in that run, and the
        # browser would rebuild it in the next.
        with st.container():
            model = workspace.open_model(entry)
    except PadimError as error:
        failure("The model cannot be opened.", error)
        return None
    with st.container():
        out_of_date(entry, here=here)
    how_finely = resolution.of(model)
    if how_finely is not None:
        help_text = " ".join((*how_finely.sentences, *how_finely.warnings))
        st.sidebar.caption(resolution.line(how_finely), help=panels.plain(help_text))
    return model


def failure(what: str, error: BaseException | None, *, in_view: bool = False) -> None:
    """Show that something failed and why; the message of a PadimError is shown as it is.

    Args:
        what: what failed, a sentence.
        error: why.
        in_view: show it over the page too, because the place of the message may be out of sight.
    """
    if isinstance(error, OSError) and refuses_writing(error):
        error = explain_os_error(error)
    icon = ":material/error:"
    if isinstance(error, StorageError) and error.read_only:
        why, icon = READ_ONLY, ":material/lock:"
    elif isinstance(error, PadimError):
        why = panels.plain(_sentence(str(error)))
    elif isinstance(error, OSError) and error.strerror:
        why = f"The server reports: {panels.plain(error.strerror)}."
    else:
        kind = type(error).__name__ if error is not None else "no reason given"
        why = f"This is a fault of the app ({kind}); the server's log has the details."
    st.error(f"{what} {why}", icon=icon)
    if in_view:
        st.toast(f"{what} {why}", icon=icon, duration="long")


def _sentence(text: str) -> str:
    # Users need the name of the file, not its location on the server.
    text = text.strip().replace(f"{workspace.store().folder}{os.sep}", "")
    # Do not capitalize the name of a file.
    first = text.partition(" ")[0]
    plain_word = first.isalpha()
    return (text[:1].upper() if plain_word else text[:1]) + text[1:] + ("" if text[-1:] in ".!?" else ".")


def needs_model() -> None:
    """Show the empty state of a page that works on a model when none is in use."""
    empty(
        "No model in use",
        "Fit a model on images of good parts first, or choose a saved one in the sidebar.",
    )
    st.page_link(
        "pages/fit.py", label="Fit a model", icon=":material/arrow_forward:", query_params=workspace.link()
    )


def go_to(path: str, tab: str | None = None) -> None:
    """Open another page with the model in use, at one of its tabs or at the one last open there."""
    st.switch_page(path, query_params={**workspace.link(), **({tabs.PARAMETER: tab} if tab else {})})
