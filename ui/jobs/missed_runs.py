"""A timer that detects when the browser has missed a run of the page, and runs the page again.

While a page follows a job, the browser polls a fragment of it; when the job has ended, the whole page runs
once more, and that run makes the browser stop polling. If the messages of that run are lost (a server busy
with the first visit after its start), the browser goes on polling fragments that the server no longer knows,
and the page would show "0 %" until the user clicks. The timer here is registered in every run, at the same
position, so that the server always knows it: if it fires although no job is being followed, the page runs
again.
"""

from __future__ import annotations

from typing import Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator
from streamlit.runtime.scriptrunner import get_script_run_ctx

from ui.app import reruns, sessions
from ui.jobs.jobs import Job

_EVERY_S = 2.0
_PLACE = "_missed-runs-place"


def place() -> None:
    """Register the timer without starting it; ``shell.begin`` calls this in every run of every page."""
    # A slot for one element: a fragment written to it twice in a run has one position, hence one identity.
    st.session_state[_PLACE] = st.empty()
    with st.session_state[_PLACE]:
        st.fragment(_ask)(None, [])


def watch_for(job: Job[Any]) -> None:
    """Start the timer, which polls every few seconds as long as this page follows the job."""
    spot: DeltaGenerator | None = st.session_state.get(_PLACE)
    context = get_script_run_ctx()
    # When only a fragment runs, keep the timer of the last full run of the page.
    if spot is not None and context is not None and not context.fragment_ids_this_run:
        with spot:
            st.fragment(_ask, run_every=sessions.paced(_EVERY_S))(job, [])


def _ask(job: Job[Any] | None, calls: list[None]) -> None:
    # Called once when the page draws it, then by the browser's timer. One request may have been on its way
    # when the page ran; a second one means that the browser missed that run.
    calls.append(None)
    if len(calls) > 2 and (job is None or not job.running):
        reruns.run_page()
