"""A page that polls a job and has buttons in fragments: a script for Streamlit, without the product's pages.

The job runs as long as the file ``PADIM_TEST_JOB`` exists, and the button *Wait* keeps the page's script busy
until the job has ended, so that what arrives meanwhile is answered by one run after it.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import streamlit as st

from ui.jobs import watch
from ui.jobs.jobs import Job

_JOB = Path(os.environ["PADIM_TEST_JOB"])


def _work(job: Job[None]) -> None:
    while _JOB.exists():
        time.sleep(0.02)  # between two looks, not instead of one


@st.fragment
def _busy(job: Job[None]) -> None:
    if st.button("Wait"):
        while job.running:
            time.sleep(0.02)


@st.fragment
def _count(name: str) -> None:
    key = f"count-{name}"
    if st.button(f"Count {name}"):
        st.session_state[key] = st.session_state.get(key, 0) + 1
    st.text(f"{name}: {st.session_state.get(key, 0)}")


job = watch.find("polled") or watch.start("polled", "Polled", _work)
with st.container():
    if job.running:
        watch.watch(job)
    else:
        st.text("The job has ended.")
_busy(job)
_count("here")
