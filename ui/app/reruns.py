"""Runs of the whole page that nobody has clicked for, without the loss of a click at the same moment."""

from __future__ import annotations

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx


def run_page() -> None:
    """Run the whole page again, unless this run answers a click; then return.

    What the browser asks while a run is under way, Streamlit answers by one run after it: the fragments that
    timers ask for, and that of a button that was clicked. ``st.rerun`` ends such a run, and the click is lost
    if its button's turn has not come yet. So a fragment with a timer calls this instead, draws what it has,
    and asks again when its timer next fires.
    """
    if not _is_answering_a_click():
        st.rerun()


def _is_answering_a_click() -> bool:
    context = get_script_run_ctx()
    if context is None:
        return False
    # Streamlit forgets a click at the end of the run that it belongs to.
    return any(widget.trigger_value for widget in context.session_state.get_widget_states())
