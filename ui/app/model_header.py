"""The line below every page's heading: the name of the model in use, its state and its threshold."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

import streamlit as st

from ui.app import progress, workspace
from ui.app.text import count

if TYPE_CHECKING:
    from padim.storage.model_folders import Entry

__all__ = ["draw", "state_of"]


def draw(entry: Entry, now: progress.StepsDone) -> None:
    """Draw the line for the model in use.

    Args:
        entry: the model.
        now: the steps that are done for it.
    """
    words, doubtful = state_of(entry, now)
    threshold = workspace.threshold_value(entry)
    at = "no threshold" if threshold is None else f"threshold {threshold:.2f}"
    mark = f'<span class="pv-tag{" pv-doubtful" if doubtful else ""}">{escape(words)}</span>'
    st.html(
        f'<p class="pv-model"><b>{escape(entry.name)}</b>{mark}'
        f"<span>{at}</span><span>{count(entry.n_parts, 'part')}</span></p>"
    )


def state_of(entry: Entry, now: progress.StepsDone) -> tuple[str, bool]:
    """Return a model's state in a few words, and whether it is one to be careful with."""
    if workspace.random_weights(entry):
        return "for trials only", True
    if workspace.calibration(entry) == "stale":
        return "calibration out of date", True
    if workspace.threshold_value(entry) is None:
        return "fitted, not calibrated", True
    if not now.calibrated:
        return "suggested threshold, not confirmed yet", False
    return ("validated", False) if now.validated else ("calibrated, not validated yet", False)
