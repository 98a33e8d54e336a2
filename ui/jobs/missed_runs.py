"""Notice in the browser's own polling that it has missed a run, and run the page again.

A page that watches a job is polled by the browser; when the job has ended, the whole page runs once more,
and that run tells the browser to stop polling. Where its messages do not arrive (a server busy with the
first visit after its start), the browser goes on polling parts that the server no longer knows: the page
would stand at "0 %" until somebody clicks. The timer here is registered in every run, at one place, so the
server always knows it: asked by it although no job is being watched, it runs the page again.
"""

from __future__ import annotations

from typing import Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator
from streamlit.runtime.scriptrunner import get_script_run_ctx

from ui.jobs.jobs import Job

_EVERY_S = 2.0
_PLACE = "_missed-runs-place"


def place() -> None:
    """Register the timer, not running yet; ``shell.begin`` calls this in every run of every page."""
    # A place for one element: what is written there twice in a run has one position, so one identity.
    st.session_state[_PLACE] = st.empty()
    with st.session_state[_PLACE]:
        st.fragment(_ask)(None, [])


def watch_for(job: Job[Any]) -> None:
    """Let the browser ask every few seconds from now on, as long as this page watches the job."""
    spot: DeltaGenerator | None = st.session_state.get(_PLACE)
    context = get_script_run_ctx()
    # Where only a part of the page runs, the timer of the page's last run is the one to keep.
    if spot is not None and context is not None and not context.fragment_ids_this_run:
        with spot:
            st.fragment(_ask, run_every=_EVERY_S)(job, [])


def _ask(job: Job[Any] | None, calls: list[None]) -> None:
    # Called once where the page draws it, then by the browser's timer. One request may have been on its way
    # when the page ran; the second means that the browser does not know of that run.
    calls.append(None)
    if len(calls) > 2 and (job is None or not job.running):
        st.rerun()
