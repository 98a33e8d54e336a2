"""Showing a background job: progress, time left, cancel. The rest of the page stays usable meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import streamlit as st

from ui.app import sessions
from ui.app.text import count
from ui.jobs import missed_runs
from ui.jobs.jobs import Job, JobProgress, JobRegistry, spoken_duration
from ui.widgets.panels import plain

T = TypeVar("T")

# The server's one job registry, shared by all sessions. No cache of Streamlit's: any browser can have those
# cleared, by the message "clear_cache".
_REGISTRY = JobRegistry()
sessions.at_end(_REGISTRY.leave)
sessions.busy_while(lambda: bool(_REGISTRY.running()))


def registry() -> JobRegistry:
    """The server's one job registry, shared by all sessions."""
    return _REGISTRY


def start(
    key: str, title: str, work: Callable[[Job[T]], T], *, tag: Any = None, goes_on: bool = False
) -> Job[T]:
    """Run ``work`` in the background for this session: when that ends, it is stopped and forgotten.

    Args:
        key: what it is found by; a job still running under it is returned instead.
        title: above the progress bar.
        work: what is to be done.
        tag: anything to find with the job.
        goes_on: its result is saved where others find it, so it is finished also when the session ends.
    """
    return _REGISTRY.start(key, title, work, tag=tag, owner=sessions.current(), goes_on=goes_on)


def find(key: str) -> Job[Any] | None:
    """The job under ``key``, running or ended, which this session sees from now on; None: there is none."""
    return _REGISTRY.get(key, sessions.current())


def watch(job: Job[Any], *, unit: str = "image", cancellable: bool = True) -> None:
    """Show a running job until it ends, then run the page once more, so that it can show the outcome.

    Only this part of the page runs again while the job works. Call it for a running job only: the page
    itself deals with a finished one, which it then does not show here, and so the polling stops.
    """
    missed_runs.watch_for(job)
    _poll(job, unit, cancellable)


@st.fragment(run_every=0.5)
def _poll(job: Job[Any], unit: str, cancellable: bool) -> None:
    if not job.running:
        st.rerun()
    bar(job, unit, cancellable)


def glance(job: Job[Any]) -> None:
    """One line about a running job, for pages about something else; they run once more at its end."""
    missed_runs.watch_for(job)
    _glance(job)


@st.fragment(run_every=1.0)
def _glance(job: Job[Any]) -> None:
    if not job.running:
        st.rerun()
    now = job.current
    share = f" · {now.fraction:.0%}" if now.total else ""
    st.caption(f":material/progress_activity: {plain(job.title)}{share}")


def bar(job: Job[Any], unit: str = "image", cancellable: bool = True) -> None:
    """One drawing of a job's progress, without polling."""
    now = job.current
    stopping = job.cancelled()
    line = [now.stage or "Starting"]
    if text := how_far(now, unit):
        line.append(text)
    left = job.seconds_left
    if stopping:
        line = ["Stopping"]
    elif left is not None:
        line.append(f"{spoken_duration(left)} left")
    with st.container(border=True, key=f"job-{job.key.replace(':', '-')}"):
        with st.container(
            horizontal=True, vertical_alignment="center", horizontal_alignment="distribute", wrap=False
        ):
            st.markdown(f"**{plain(job.title)}**")
            if cancellable:
                # A callback runs before the page does, so the click counts even if the job ends meanwhile.
                st.button(
                    "Cancel",
                    key=f"cancel-{job.key}",
                    on_click=job.cancel,
                    disabled=stopping,
                    icon=":material/close:",
                )
        st.progress(now.fraction, text=" · ".join(line))


def how_far(now: JobProgress, unit: str) -> str:
    """ "3 of 12 images", "12 of 45 MB", "40 %"; empty where nothing is counted."""
    if not now.in_bytes:
        # Only what looks at images counts them; learning and training count steps that mean nothing to
        # anybody.
        if now.total and unit == "image" and "image" not in now.stage.lower():
            return f"{now.fraction:.0%}"
        return f"{now.done:,} of {count(now.total, unit)}" if now.total else ""
    done = f"{now.done / 1e6:.0f}"
    return f"{done} of {now.total / 1e6:.0f} MB" if now.total else f"{done} MB"
