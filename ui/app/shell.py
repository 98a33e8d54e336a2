"""The frame every page shares: style, navigation, the model in use. Each page calls :func:`begin` first."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cache
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import streamlit as st

from padim.errors import PadimError, StorageError
from padim.storage.atomic import explain_os_error, refuses_writing
from ui import fit, model_changes
from ui.app import server, sessions, workspace
from ui.app.text import count
from ui.files import media
from ui.jobs import missed_runs, watch
from ui.widgets import panels

if TYPE_CHECKING:
    from padim.errors import ImageError
    from padim.model import Padim
    from padim.storage.model_folders import Entry

PRODUCT = "PaDiM Inspection"
READ_ONLY = (
    "This workspace is read-only: its models can be used as they are, but changes cannot be saved. "
    "Whoever runs the server can make its folder writable."
)
_STYLE = Path(__file__).with_name("style.css")
_CHOICE = "model-in-use"

# A grid of patches, one of them out of the ordinary. A file of ours, for Streamlit would fetch an icon named
# ":material/..." for the browser's tab from the network.
_MARK = Path(__file__).with_name("mark.svg")

PAGES = (
    ("home.py", "Home", ":material/home:"),
    ("pages/fit.py", "Fit", ":material/deployed_code:"),
    ("pages/region.py", "Region", ":material/polyline:"),
    ("pages/calibrate.py", "Calibrate", ":material/tune:"),
    ("pages/checks.py", "Checks", ":material/rule:"),
    ("pages/inspect.py", "Inspect", ":material/search:"),
    ("pages/evaluate.py", "Evaluate", ":material/leaderboard:"),
    ("pages/compare.py", "Compare", ":material/compare_arrows:"),
    ("pages/sensitivity.py", "Sensitivity", ":material/brush:"),
    ("pages/robustness.py", "Robustness", ":material/wb_sunny:"),
)


def begin(title: str, lead: str) -> Entry | None:
    """Set up a page: tab title, style, sidebar, heading.

    Args:
        title: the page's heading, also in the browser's tab.
        lead: one sentence below it: what this page is for.

    Returns:
        The model in use, which the URL names; None where there is none.
    """
    media.new_run()
    sessions.current()
    st.set_page_config(
        page_title=f"{title} · {PRODUCT}",
        page_icon=_MARK,
        layout="wide",
        initial_sidebar_state="auto",
        menu_items={"About": f"**{PRODUCT}** finds defects from images of good parts alone (PaDiM)."},
    )
    st.html(_STYLE)
    # Sent before anything is read or imported for the rest: what is drawn is on its way to the browser.
    st.html(f'<h1 class="pv-title">{escape(title)}</h1><p class="pv-lead">{escape(lead)}</p>')
    entries = workspace.store().models()
    asked = st.query_params.get(workspace.PARAMETER)
    entry = workspace.in_use(entries)
    if asked is None:
        # The newest model is what most visits are about; naming it in the URL makes the link complete.
        entry = next((e for e in entries if not e.broken), None)
        if entry is not None:
            workspace.use(entry.id)
    with st.sidebar:
        _sidebar(entries, entry, title)
    if asked is not None and entry is None:
        broken = next((e for e in entries if e.id == asked), None)
        if broken is not None:
            st.error(
                f"The model in this link cannot be opened. {panels.plain(broken.broken or '')}",
                icon=":material/error:",
            )
        else:
            st.warning(
                f"The model “{panels.literal(asked)}” in this link is not on this server. "
                "Choose another in the sidebar.",
                icon=":material/link_off:",
            )
    if entry is not None and workspace.random_weights(entry):
        st.warning(
            f"The network of “{panels.plain(entry.name)}” has random weights: it is for trials only, and its "
            "verdicts mean nothing.",
            icon=":material/warning:",
        )
    return entry


def _sidebar(entries: list[Entry], entry: Entry | None, title: str) -> None:
    st.html(f'<div class="pv-brand"><img src="{_mark_uri()}" alt=""><div>{PRODUCT}</div></div>')
    for path, label, icon in PAGES:
        st.page_link(path, label=label, icon=icon, query_params=workspace.link())
    st.divider()
    usable = [e for e in entries if not e.broken]
    if not usable:
        st.caption("No model yet. Fit one on images of good parts.")
    else:
        names = {e.id: e.name for e in usable}
        # The URL says which model is in use; the box only shows it, so its value is set before it is drawn.
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
    if title != "Fit":
        _work_elsewhere(entry)
    if server.reachable_from_elsewhere():
        st.caption(":material/lan: This server can be reached from other machines and has no accounts.")


def _work_elsewhere(entry: Entry | None) -> None:
    """What goes on, on the Fit page, while another one is looked at."""
    job = fit.fit_job()
    if job is not None and job.running:
        watch.glance(job)
    elif job is not None and job.state == "done":
        st.page_link("pages/fit.py", label="The fit has finished", icon=":material/check:")
    if entry is not None:
        change = model_changes.job(entry)
        if change is not None and change.running:
            watch.glance(change)


@cache
def _mark_uri() -> str:
    return "data:image/svg+xml," + quote(_MARK.read_text(encoding="utf-8"))


def _choose() -> None:
    workspace.use(st.session_state[_CHOICE])


def out_of_date(entry: Entry, *, here: bool = False) -> None:
    """Say so where the calibration is not that of the model, and what to do about it.

    Args:
        entry: the model in use.
        here: the remedy is on this very page.
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
        fit.show_normals()
        go_to("pages/fit.py")


def empty(heading: str, text: str) -> None:
    """A place where nothing is yet, saying what to do next. Put the control that does it right below."""
    st.html(f'<div class="pv-empty"><h3>{escape(heading)}</h3><p>{escape(text)}</p></div>')


def opened(entry: Entry) -> Padim | None:
    """A page's model, with what must be said of it; where it cannot be opened, None, and why is said."""
    try:
        model = workspace.open_model(entry)
    except PadimError as error:
        failure("The model cannot be opened.", error)
        return None
    with st.container():
        out_of_date(entry)
    return model


def failure(what: str, error: BaseException | None) -> None:
    """Say that something did not work and why, in the engine's own words where it has some."""
    if isinstance(error, OSError) and refuses_writing(error):
        error = explain_os_error(error)
    if isinstance(error, StorageError) and error.read_only:
        st.error(f"{what} {READ_ONLY}", icon=":material/lock:")
    elif isinstance(error, PadimError):
        st.error(f"{what} {panels.plain(_sentence(str(error)))}", icon=":material/error:")
    elif isinstance(error, OSError) and error.strerror:
        st.error(f"{what} The server reports: {panels.plain(error.strerror)}.", icon=":material/error:")
    else:
        kind = type(error).__name__ if error is not None else "no reason given"
        st.error(
            f"{what} This is a fault of the app ({kind}); the server's log has the details.",
            icon=":material/error:",
        )


def unusable(failed: Sequence[ImageError], *, open_up_to: int = 3) -> None:
    """List files that cannot be used, where there are any; more than so many are folded away."""
    if failed:
        with st.expander(
            f"{count(len(failed), 'file')} cannot be used; the others can",
            icon=":material/warning:",
            expanded=len(failed) <= open_up_to,
        ):
            st.html(panels.problems((error.name, error.reason) for error in failed))


def _sentence(text: str) -> str:
    # Where on the server a file lies is nobody's business here; which one it is, is.
    text = text.strip().replace(f"{workspace.store().folder}{os.sep}", "")
    # A file's name keeps its spelling.
    first = text.partition(" ")[0]
    plain_word = first.isalpha()
    return (text[:1].upper() if plain_word else text[:1]) + text[1:] + ("" if text[-1:] in ".!?" else ".")


def needs_model() -> None:
    """The empty state of a page that works on a model."""
    empty(
        "No model in use",
        "Fit a model on images of good parts first, or choose a saved one in the sidebar.",
    )
    st.page_link(
        "pages/fit.py", label="Fit a model", icon=":material/arrow_forward:", query_params=workspace.link()
    )


def go_to(page: str) -> None:
    """Open another page with the model in use."""
    st.switch_page(page, query_params=workspace.link())
