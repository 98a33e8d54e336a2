"""Display of a background job: progress, time left, cancel button. The rest of the page stays usable."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import streamlit as st

from ui.app import person, reruns, sessions, state
from ui.app.text import count
from ui.jobs import missed_runs
from ui.jobs.jobs import Job, JobProgress, JobRegistry, spoken_duration
from ui.widgets.panels import plain

T = TypeVar("T")

# Not in one of Streamlit's caches: any browser can clear those with the message "clear_cache".
_REGISTRY = JobRegistry()
sessions.at_end(_REGISTRY.leave)
state.browsers().at_end.append(_REGISTRY.leave)
sessions.busy_while(lambda: bool(_REGISTRY.running()))


def registry() -> JobRegistry:
    """Return the server's only job registry, which all sessions share."""
    return _REGISTRY


def start(
    key: str,
    title: str,
    work: Callable[[Job[T]], T],
    *,
    tag: Any = None,
    goes_on: bool = False,
    model: str = "",
) -> Job[T]:
    """Run ``work`` in the background for this browser and return its job.

    It goes on when the page is closed. When the browser is forgotten, the job is stopped and dropped, except
    with ``goes_on``.

    Args:
        key: identifies the job; a job still running under it is returned instead.
        title: the text above the progress bar.
        work: the function to run; it is called with the job.
        tag: any value to find again with the job.
        goes_on: finish the work even if nobody is left, because its result is saved for all sessions.
        model: id of the model that it is about; empty for none.
    """
    return _REGISTRY.start(
        key,
        title,
        work,
        tag=tag,
        owner=state.owner(),
        goes_on=goes_on,
        model=model,
        who=person.name(),
    )


def find(key: str) -> Job[Any] | None:
    """Return the job with this key, running or ended, or None. This browser sees it from now on."""
    return _REGISTRY.get(key, state.owner())


def watch(job: Job[Any], *, unit: str = "image", cancellable: bool = True) -> None:
    """Show a running job until it ends, then run the page once more, so that it can show the outcome.

    While the job runs, only this fragment of the page is repeated. Call it for a running job only: the page
    handles a finished job itself and no longer calls this function, which stops the polling.
    """
    missed_runs.watch_for(job)
    st.fragment(_poll, run_every=sessions.paced(0.5))(job, unit, cancellable)


def _poll(job: Job[Any], unit: str, cancellable: bool) -> None:
    if not job.running:
        reruns.run_page()
    bar(job, unit, cancellable)


def glance(job: Job[Any]) -> None:
    """Show one line about a running job of another page, and run this page once more when it has ended."""
    missed_runs.watch_for(job)
    st.fragment(_glance, run_every=sessions.paced(1.0))(job)


def _glance(job: Job[Any]) -> None:
    if not job.running:
        reruns.run_page()
    now = job.current
    share = f" · {now.fraction:.0%}" if now.total else ""
    st.caption(f":material/progress_activity: {plain(job.title)}{share}")


def bar(job: Job[Any], unit: str = "image", cancellable: bool = True) -> None:
    """Draw a job's progress once, without polling."""
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
    """Return the progress as text: "3 of 12 images", "12 of 45 MB", "40 %"; empty if nothing is counted."""
    if not now.in_bytes:
        # Only stages that read images count images. Fitting and training count steps, which mean nothing to
        # a user, so they are shown as a percentage.
        if now.total and unit == "image" and "image" not in now.stage.lower():
            return f"{now.fraction:.0%}"
        return f"{now.done:,} of {count(now.total, unit)}" if now.total else ""
    done = f"{now.done / 1e6:.0f}"
    return f"{done} of {now.total / 1e6:.0f} MB" if now.total else f"{done} MB"
