"""Background jobs: progress, time left, cancellation, errors, and the registry, without Streamlit."""

from __future__ import annotations

import gc
import threading
import weakref
from typing import Any

import pytest

from padim.errors import Cancelled, PadimError
from ui.jobs.jobs import Job, JobProgress, JobRegistry, spoken_duration

WAIT = 120


class Clock:
    """A clock in seconds that the test sets."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_job_runs_in_the_background_and_gives_its_result() -> None:
    gate, registry = threading.Event(), JobRegistry()

    def work(job: Job[int]) -> int:
        job.progress(1, 4, "Reading")
        assert gate.wait(WAIT)
        return 42

    job = registry.start("a", "Work", work)
    assert job.running
    assert registry.running() == [job]
    with pytest.raises(RuntimeError, match="no result"):
        _ = job.result
    gate.set()
    assert job.wait(WAIT)
    assert job.state == "done"
    assert job.result == 42
    assert registry.running() == []
    assert registry.get("a") is job  # found again by another page
    assert job.current == JobProgress(1, 4, "Reading")


def test_the_same_key_is_not_started_twice_while_it_runs() -> None:
    gate, registry, calls = threading.Event(), JobRegistry(), []

    def work(_: Job[None]) -> None:
        calls.append(1)
        assert gate.wait(WAIT)

    first = registry.start("a", "Work", work)
    assert registry.start("a", "Work", work) is first
    gate.set()
    assert first.wait(WAIT)
    second = registry.start("a", "Work", work)
    assert second is not first
    assert second.wait(WAIT)
    assert len(calls) == 2


def test_cancel_reaches_the_work_and_is_no_failure() -> None:
    started, registry = threading.Event(), JobRegistry()

    def work(job: Job[None]) -> None:
        started.set()
        while not job.cancelled():
            threading.Event().wait(0.001)
        raise Cancelled("stopped")

    job = registry.start("a", "Work", work)
    assert started.wait(WAIT)
    job.cancel()
    assert job.wait(WAIT)
    assert job.state == "cancelled"
    assert job.error is None


@pytest.mark.parametrize("error", [PadimError("no images"), ZeroDivisionError("oops")])
def test_an_error_is_kept_for_the_page(error: Exception) -> None:
    def work(_: Job[None]) -> None:
        raise error

    job = JobRegistry().start("a", "Work", work)
    assert job.wait(WAIT)
    assert job.state == "failed"
    assert job.error is error


def test_discarding_a_running_job_stops_it() -> None:
    registry = JobRegistry()

    def work(job: Job[None]) -> None:
        while not job.cancelled():
            threading.Event().wait(0.001)
        raise Cancelled("stopped")

    job = registry.start("a", "Work", work)
    registry.discard("a")
    assert job.wait(WAIT)
    assert registry.get("a") is None


def test_only_the_latest_finished_jobs_are_kept() -> None:
    registry = JobRegistry(keep=3)
    for i in range(6):
        job = registry.start(str(i), "Work", lambda _: None)
        assert job.wait(WAIT)
    assert [registry.get(str(i)) is not None for i in range(6)] == [False, False, True, True, True, True]


def test_time_left_goes_by_the_pace_of_the_stage() -> None:
    clock = Clock()
    job: Job[None] = Job("a", "Work", lambda _: None, clock=clock)
    assert job.seconds_left is None
    job.progress(0, 10, "Reading")
    clock.now = 4.0
    job.progress(2, 10, "Reading")
    assert job.seconds_left == pytest.approx(16.0)
    clock.now = 5.0
    job.progress(0, 100, "Learning")  # a new stage, for which the old pace does not count
    assert job.seconds_left is None
    clock.now = 6.0
    job.progress(50, 100, "Learning")
    assert job.seconds_left == pytest.approx(1.0)
    job.progress(60, None, "Saving")
    assert job.seconds_left is None


def test_a_stage_that_begins_counted_is_timed_from_there() -> None:
    clock = Clock()
    job: Job[None] = Job("a", "Work", lambda _: None, clock=clock)
    job.progress(90, 100, "Reading")
    assert job.seconds_left is None
    clock.now = 5.0
    job.progress(95, 100, "Reading")
    assert job.seconds_left == pytest.approx(5.0)


def test_elapsed_stops_at_the_end() -> None:
    clock = Clock()
    job: Job[None] = Job("a", "Work", lambda _: None, clock=clock)
    clock.now = 2.0
    assert job.elapsed == 2.0
    job.run()
    clock.now = 9.0
    assert job.elapsed == 2.0


@pytest.mark.parametrize(
    ("progress", "fraction"),
    [
        (JobProgress(), 0.0),
        (JobProgress(1, 4), 0.25),
        (JobProgress(9, 4), 1.0),
        (JobProgress(3, None), 0.0),
        (JobProgress(0, 0), 0.0),
    ],
)
def test_fraction(progress: JobProgress, fraction: float) -> None:
    assert progress.fraction == fraction


@pytest.mark.parametrize(
    ("seconds", "spoken"),
    [(1, "a few seconds"), (42, "40 s"), (89, "90 s"), (180, "3 min"), (4800, "1 h 20 min")],
)
def test_durations_are_readable(seconds: float, spoken: str) -> None:
    assert spoken_duration(seconds) == spoken


# -- memory and owners of a job --------------------------------------------------------------------------


class Heavy:
    """An object that must be released."""


def test_the_work_and_all_it_held_goes_with_its_end() -> None:
    registry = JobRegistry()

    def started(fails: bool) -> tuple[Job[None], weakref.ref[Heavy]]:
        held = Heavy()

        def work(_: Job[None]) -> None:
            assert held
            if fails:
                raise PadimError("it does not work")

        return registry.start(f"fails {fails}", "Work", work), weakref.ref(held)

    for fails in (False, True):
        job, held = started(fails)
        assert job.wait(WAIT)
        for thread in threading.enumerate():
            if thread.name == f"job {job.key}":
                thread.join(WAIT)
        gc.collect()
        assert held() is None, "kept by the job, or by its error's traceback"
        assert registry.get(job.key) is job


def ended(registry: JobRegistry, key: str, **about: Any) -> Job[Any]:
    job = registry.start(key, "Work", lambda _: 1, **about)
    assert job.wait(WAIT)
    return job


def test_what_only_one_session_sees_goes_with_it() -> None:
    registry = JobRegistry()
    for key, owner in (("a", "me"), ("b", "you"), ("c", None)):
        ended(registry, key, owner=owner)
    both = ended(registry, "d", owner="me")
    assert registry.get("d", "you") is both  # another session sees it from now on
    registry.leave("me")
    assert [key for key in "abcd" if registry.get(key)] == ["b", "c", "d"]
    registry.leave("you")
    assert [key for key in "abcd" if registry.get(key)] == ["c"]


def test_work_for_one_session_stops_with_it_and_what_is_saved_goes_on() -> None:
    gate, registry = threading.Event(), JobRegistry()

    def work(job: Job[int]) -> int:
        assert gate.wait(WAIT)
        if job.cancelled():
            raise Cancelled("stopped")
        return 1

    scoring = registry.start("scoring", "Work", work, owner="me")
    fit = registry.start("fit", "Work", work, owner="me", goes_on=True)
    registry.leave("me")
    assert registry.get("scoring") is None
    assert registry.get("fit") is fit
    gate.set()
    assert scoring.wait(WAIT)
    assert fit.wait(WAIT)
    assert (scoring.state, fit.state) == ("cancelled", "done")
    for thread in threading.enumerate():
        if thread.name == "job fit":
            thread.join(WAIT)
    assert registry.get("fit") is None, "no session is left to read it"


def test_a_callback_for_cancellation_is_called_once() -> None:
    job: Job[None] = Job("a", "Work", lambda _: None)
    report: list[str] = []
    job.on_cancel(lambda: report.append("first"))
    job.cancel()
    job.cancel()
    job.on_cancel(lambda: report.append("too late"))
    assert report == ["first", "too late"]
