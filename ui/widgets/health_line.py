"""The line on Fit, Calibrate and Inspect that says whether the model is fit for use, until it is settled."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from padim.errors import PadimError, StorageError
from ui import health, remedies
from ui.app import shell
from ui.jobs import watch
from ui.widgets import panels

if TYPE_CHECKING:
    from padim.analysis.health import Finding, Health
    from padim.storage.model_folders import Entry

__all__ = ["confirmation", "draw", "remedy"]


def draw(entry: Entry | None, *, on_result: bool = False) -> None:
    """Draw the line for the model in use; nothing if it is green, or confirmed with a reason.

    Args:
        entry: the model; None if there is none.
        on_result: whether the details are on this page, which then say it all.
    """
    if entry is None or entry.n_parts == 0 or on_result:
        return
    # A container, because elements that come and go would make the browser rebuild what is below.
    with st.container(key="health-line"):
        found = health.found(entry)
        if found is None:
            _checking(entry)
        elif found.grade != "green" and health.confirmed(entry, found) is None:
            _line(entry, found)


def _checking(entry: Entry) -> None:
    job = health.job(entry)
    if job.running:
        watch.glance(job)
    elif job.state == "failed":
        st.caption(
            ":material/warning: Whether the model is fit for use could not be checked; see Fit, Result."
        )


def _line(entry: Entry, found: Health) -> None:
    worst = found.open[0]
    more = f" And {len(found.open) - 1} more." if len(found.open) > 1 else ""
    text = f"**{_TITLES[found.grade]}** {panels.plain(worst.sentence)}{more}"
    show = st.error if found.grade == "red" else st.warning
    show(text, icon=":material/dangerous:" if found.grade == "red" else ":material/health_and_safety:")
    with st.container(horizontal=True, vertical_alignment="center"):
        remedy(entry, worst, key="line")
        if st.button("Details", key="health-details", icon=":material/arrow_forward:"):
            shell.go_to("pages/fit.py", "result")
        confirmation(entry, found, key="line")


_TITLES = {
    "red": "This model is not fit for use.",
    "amber": "Look at this before the model is released.",
}


def remedy(entry: Entry, finding: Finding, *, key: str) -> None:
    """Draw the button that does what a finding recommends, if the app can do it."""
    advised = finding.remedy
    if advised is None:
        return
    name = f"health-remedy-{key}"
    if advised.changes is not None:
        if st.button(
            "Fit a second model with the remedy",
            key=name,
            type="primary" if finding.grade == "red" else "secondary",
            icon=":material/healing:",
            help=panels.plain(advised.text),
        ):
            try:
                remedies.start_remedy(entry, finding)
            except PadimError as error:
                shell.failure("The second model cannot be fitted.", error)
            else:
                shell.go_to("pages/fit.py", "images")
        return
    if advised.action == "retrain":
        if st.button(
            "Train again and check", key=name, icon=":material/replay:", help=panels.plain(advised.text)
        ):
            health.check_again(entry, retrain=True)
            st.rerun()
        return
    label, path, tab = _PLACES.get(advised.action or "", ("", "", ""))
    if label and st.button(label, key=name, icon=":material/arrow_forward:", help=panels.plain(advised.text)):
        shell.go_to(path, tab)


# What leads to the place where an action is done: words, page and tab.
_PLACES = {
    "review": ("Look at the good parts", "pages/fit.py", "result"),
    "add good parts": ("Add good parts", "pages/fit.py", "result"),
    "rebuild": ("Give its images again", "pages/fit.py", "result"),
    "group": ("Say which images show one part", "pages/fit.py", "images"),
    "smallest defect": ("Measure the smallest defect", "pages/validate.py", "smallest-defect"),
}


def confirmation(entry: Entry, found: Health, *, key: str) -> None:
    """Draw the control by which a user confirms that the model is used all the same, with a reason."""
    with st.popover("Use it all the same", icon=":material/edit_note:"):
        reason = st.text_input(
            "Why can it be used?",
            key=f"health-reason-{key}-{entry.id}",
            placeholder="Such as: 40 real defects were all caught",
            help="Kept with the model. The line comes back if something else is found.",
        )
        if st.button("Confirm", key=f"health-confirm-{key}", disabled=not reason.strip(), type="primary"):
            try:
                health.confirm(entry, found, reason)
            except (PadimError, StorageError, OSError) as error:
                shell.failure("The confirmation could not be stored.", error)
            else:
                st.rerun()
