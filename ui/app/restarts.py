"""Word of a restart of the server, which has forgotten what it kept for a browser."""

from __future__ import annotations

import streamlit as st

from ui.app import clock, cookie, state


def draw() -> None:
    """Say that the server was started again since this browser loaded a page, until the user has read it."""
    if not state.restarted():
        return
    with st.container(key="restarted", horizontal=True, vertical_alignment="center"):
        st.info(
            f"**The server was started again, {clock.at(cookie.STARTED)}.** Models, thresholds and labels "
            "are as they were. Lists of images and measurements that were not saved are gone; a fit that was "
            "stopped is on the Models page.",
            icon=":material/restart_alt:",
        )
        if st.button("Got it", key="restarted-read"):
            state.restart_read()
            st.rerun()
