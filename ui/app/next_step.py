"""The button at the end of every page and tab that leads to the next step of the work."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import streamlit as st

from ui.app import progress, shell, tabs

if TYPE_CHECKING:
    from collections.abc import Callable

    from padim.storage.model_folders import Entry
    from ui.app.pages import AppPage

__all__ = ["AFTER", "KEY", "Step", "draw"]

KEY = "next-step"


@dataclass(frozen=True)
class Step:
    """A step of the work.

    Attributes:
        label: what is done next, as on the button.
        path: the page's file.
        tab: the tab's key; None for a page without tabs.
        why: a few words on when to take this one; empty for the usual next step.
    """

    label: str
    path: str
    tab: str | None = None
    why: str = ""


_CALIBRATE = Step("Next: set the threshold", "pages/calibrate.py", "threshold")
_VALIDATE = Step("Next: validate on a test set", "pages/validate.py", "test-set")
_INSPECT = Step("Next: inspect images", "pages/inspect.py", "run")
_BY_PAGE = {step.path: step for step in (_CALIBRATE, _VALIDATE, _INSPECT)} | {
    "pages/fit.py": Step("Next: fit a model", "pages/fit.py", "images")
}

# The first step of each is the usual one; a second one, where there is one, goes deeper.
AFTER: dict[tuple[str, str | None], tuple[Step, ...]] = {
    ("pages/fit.py", "images"): (Step("Next: see the result", "pages/fit.py", "result"),),
    ("pages/fit.py", "result"): (
        _CALIBRATE,
        Step("Draw a region first", "pages/fit.py", "region", "if defects count on some of the part only"),
    ),
    ("pages/fit.py", "region"): (_CALIBRATE,),
    ("pages/calibrate.py", "threshold"): (
        _VALIDATE,
        Step("Measure repeatability", "pages/calibrate.py", "repeatability", "with repeat shots at hand"),
    ),
    ("pages/calibrate.py", "repeatability"): (_VALIDATE,),
    ("pages/validate.py", "test-set"): (
        _INSPECT,
        Step("Second session", "pages/validate.py", "second-session", "with good parts of another day"),
    ),
    ("pages/validate.py", "second-session"): (
        _INSPECT,
        Step("Smallest defect", "pages/validate.py", "smallest-defect", "needs no more images"),
    ),
    ("pages/validate.py", "smallest-defect"): (
        _INSPECT,
        Step("Light and fixture", "pages/validate.py", "light-and-fixture", "needs no more images"),
    ),
    ("pages/validate.py", "light-and-fixture"): (_INSPECT,),
    ("pages/inspect.py", "run"): (
        Step(
            "Next: take the model to the line",
            "pages/line.py",
            "watches",
            "A folder that is watched, or a service",
        ),
        Step("Review", "pages/inspect.py", "review", "what awaits a person"),
    ),
    ("pages/inspect.py", "review"): (Step("Next: learn from the decisions", "pages/inspect.py", "learn"),),
    ("pages/inspect.py", "learn"): (Step("Next: inspect images", "pages/inspect.py", "run"),),
    ("pages/records.py", "records"): (Step("Next: figures", "pages/records.py", "figures"),),
    ("pages/records.py", "figures"): (_INSPECT,),
    ("pages/line.py", "watches"): (
        Step("Next: see what is on record", "pages/records.py", "records"),
        Step("Connections", "pages/line.py", "connections", "to send results to other machines"),
    ),
    ("pages/line.py", "connections"): (Step("Next: see what is on record", "pages/records.py", "records"),),
    ("pages/line.py", "service"): (Step("Next: see what is on record", "pages/records.py", "records"),),
    ("pages/settings.py", "settings"): (Step("Next: make a backup", "pages/settings.py", "backup"),),
    ("pages/settings.py", "backup"): (_INSPECT,),
    ("pages/compare.py", None): (Step("Next: fit a model", "pages/fit.py", "images"),),
}


def draw(
    page: AppPage, tab: str | None, entry: Entry | None, *, first: Callable[[], None] | None = None
) -> None:
    """Draw the buttons for what comes after this page or tab.

    Args:
        page: the page.
        tab: the key of the open tab; None on a page without tabs.
        entry: the model in use.
        first: draws the first button, where it does more than to lead on.
    """
    # Without a model each page offers to fit one, and the form for a new model ends with its own button.
    if entry is None and page.path not in ("pages/compare.py",):
        return
    if page.path == "home.py":
        assert entry is not None
        steps: tuple[Step, ...] = (_BY_PAGE[progress.of(entry).next_path()],)
    else:
        steps = AFTER[page.path, tab]
    with st.container(horizontal=True, vertical_alignment="center", key="next-steps"):
        for number, step in enumerate(steps):
            if first is not None and not number:
                first()
                continue
            here = step.path == page.path
            # A tab of this page is opened before the page runs, by a callback.
            if (
                st.button(
                    step.label,
                    key="next-deeper" if number else KEY,
                    type="secondary" if number else "primary",
                    icon=":material/arrow_forward:",
                    on_click=tabs.show if here else None,
                    args=(page, step.tab) if here else None,
                )
                and not here
            ):
                shell.go_to(step.path, step.tab)
            if step.why:
                st.caption(step.why[:1].upper() + step.why[1:] + ".")
