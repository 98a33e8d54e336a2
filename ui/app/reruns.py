"""Runs of the whole page that nobody has clicked for, without the loss of a click at the same moment."""

from __future__ import annotations

import streamlit as st
from streamlit.runtime.scriptrunner import ScriptRunContext, get_script_run_ctx

_DRAWN = "_page-drawn"


def page_is_drawn(path: str) -> None:
    """Note which page is drawn; ``shell.begin`` calls this in every run of a whole page."""
    context = get_script_run_ctx()
    if context is not None:
        st.session_state[_DRAWN] = context.page_script_hash, path


def run_page() -> None:
    """Run the whole page again, unless this run answers a click; then return.

    What the browser asks while a run is under way, Streamlit answers by one run after it: the fragments that
    timers ask for, and that of a button that was clicked. ``st.rerun`` ends such a run, and the click is lost
    if its button's turn has not come yet. So a fragment with a timer calls this instead, draws what it has,
    and asks again when its timer next fires.

    A timer's question that was on its way while another page was opened names the page before, and a fragment
    that all pages have in one place answers it. The page that runs again is the one that was opened.
    """
    context = get_script_run_ctx()
    if context is not None and _is_answering_a_click(context):
        return
    drawn = st.session_state.get(_DRAWN)
    if context is not None and drawn is not None and drawn[0] != context.page_script_hash:
        st.switch_page(drawn[1], query_params=st.query_params.to_dict())
    st.rerun()


def _is_answering_a_click(context: ScriptRunContext) -> bool:
    # Streamlit forgets a click at the end of the run that it belongs to.
    return any(widget.trigger_value for widget in context.session_state.get_widget_states())
