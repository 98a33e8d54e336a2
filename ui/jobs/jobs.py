"""Long-running work in a background thread, with progress, time left, cancellation, result and error.

This module does not import Streamlit: a page keeps a job's key, looks the job up in the server-wide registry
at each rerun, and reads its state. The work never touches the page, so it outlives page changes and reruns.

A job and its result belong to the sessions that can see it: when the last of them has ended, the registry
drops both. The function that does the work is released as soon as it has ended, with all that it references.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Generic, Literal, TypeVar, cast

from padim.errors import Cancelled, PadimError

T = TypeVar("T")
JobState = Literal["running", "done", "failed", "cancelled"]

_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True)
class JobProgress:
    """The progress of a job: ``done`` of ``total`` items (None if unknown) of the named stage.

    The items are bytes of a file if ``in_bytes`` is true; otherwise the page knows their unit.
    """

    done: int = 0
    total: int | None = None
    stage: str = ""
    in_bytes: bool = False

    @property
    def fraction(self) -> float:
        """Return the completed share of the present stage, 0 to 1; 0 if the total is unknown."""
        if not self.total:
            return 0.0
        return min(1.0, max(0.0, self.done / self.total))


@dataclass
class Job(Generic[T]):
    """One piece of background work, and its state.

    The work is called with the job itself and reports through :meth:`progress` and :meth:`cancelled`, whose
    signatures are those of ``Padim.fit``'s ``progress`` and ``cancel``, so that they can be passed on as is.

    Attributes:
        key: identifies the job in the registry.
        title: the text above the progress bar.
        work: the function that does the work; None once it has been started.
        tag: any value that the caller wants to find again with the job (a model id, for example).
        goes_on: finish the work even if its session ends, because its result is saved for all sessions.
        model: id of the model that it is about; empty for none.
        who: name of the person who started it; empty if it is not known.
        clock: returns seconds; tests replace it.
        begun: when it was started, in UTC.
    """

    key: str
    title: str
    work: Callable[[Job[T]], T] | None = field(repr=False)
    tag: Any = None
    goes_on: bool = False
    model: str = ""
    who: str = ""
    clock: Callable[[], float] = field(default=time.monotonic, repr=False)
    begun: datetime = field(default_factory=lambda: datetime.now(UTC))

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._progress = JobProgress()
        self._state: JobState = "running"
        self._result: T | None = None
        self._error: Exception | None = None
        self._cancel = threading.Event()
        self._on_cancel: list[Callable[[], None]] = []
        self._finished = threading.Event()
        self._started_at = self.clock()
        self._stage_started_at = self._started_at
        self._stage_base = 0
        self._ended_at: float | None = None

    # -- called by the work ---------------------------------------------------------------------------

    def progress(
        self, done: int, total: int | None = None, stage: str = "", *, in_bytes: bool = False
    ) -> None:
        """Record how far the work has come. A change of stage restarts the estimate of the time left."""
        with self._lock:
            if stage != self._progress.stage or done < self._progress.done:
                # The first report of a stage may already count some items: time only those that follow.
                self._stage_started_at, self._stage_base = self.clock(), done
            self._progress = JobProgress(done, total, stage, in_bytes)

    def cancelled(self) -> bool:
        """Whether the user has asked to stop; if so, the work should raise ``padim.errors.Cancelled``."""
        return self._cancel.is_set()

    def on_cancel(self, call: Callable[[], None]) -> None:
        """Register a function to call when the user asks to stop; call it at once if that has happened.

        For work that blocks and cannot poll :meth:`cancelled`. It is called in the thread that cancels.
        """
        with self._lock:
            if not self._cancel.is_set():
                self._on_cancel.append(call)
                return
        call()

    # -- called by the page ---------------------------------------------------------------------------

    def cancel(self) -> None:
        """Ask the work to stop, which it does when it next checks. A finished job stays as it is."""
        with self._lock:
            self._cancel.set()
            calls, self._on_cancel = self._on_cancel, []
        for call in calls:
            call()

    def wait(self, timeout: float | None = None) -> bool:
        """Block until the job has ended; return False after ``timeout`` seconds. For scripts and tests."""
        return self._finished.wait(timeout)

    @property
    def state(self) -> JobState:
        with self._lock:
            return self._state

    @property
    def running(self) -> bool:
        return self.state == "running"

    @property
    def current(self) -> JobProgress:
        with self._lock:
            return self._progress

    @property
    def error(self) -> Exception | None:
        """Return the exception that ended the job, or None unless its state is "failed"."""
        with self._lock:
            return self._error

    @property
    def result(self) -> T:
        """Return the result of the work.

        Raises:
            RuntimeError: the state is not "done".
        """
        with self._lock:
            if self._state != "done":
                raise RuntimeError(f"job {self.key!r} is {self._state}: it has no result")
            return cast(T, self._result)

    @property
    def elapsed(self) -> float:
        """Return the seconds from the start until now, or until the end of a job that has ended."""
        with self._lock:
            return (self._ended_at if self._ended_at is not None else self.clock()) - self._started_at

    @property
    def seconds_left(self) -> float | None:
        """Return the estimated seconds left in the present stage, from its own pace; None if unknown yet."""
        with self._lock:
            progress, base = self._progress, self._stage_base
            if self._state != "running" or progress.total is None or progress.done <= base:
                return None
            pace = (self.clock() - self._stage_started_at) / (progress.done - base)
            return max(0.0, pace * (progress.total - progress.done))

    def run(self) -> None:
        """Do the work in the calling thread, which the registry starts for it, and record how it ended."""
        state: JobState = "done"
        result: T | None = None
        error: Exception | None = None
        work, self.work = self.work, None
        if work is None:
            raise RuntimeError(f"job {self.key!r} has been run before")
        try:
            result = work(self)
        except Cancelled:
            state = "cancelled"
        except PadimError as problem:
            # The page shows this message to the user as it is: it is not a fault of the program.
            _LOGGER.info("job %s ended: %s", self.key, problem)
            state, error = "failed", _without_frames(problem)
        except Exception as problem:
            # Any failure must reach the page: a job that dies silently looks like one that hangs.
            _LOGGER.exception("job %s failed", self.key)
            state, error = "failed", _without_frames(problem)
        # Release the images and models that the work references now, not when the job is dropped.
        del work
        with self._lock:
            self._state, self._result, self._error = state, result, error
            self._ended_at = self.clock()
            self._on_cancel.clear()
        self._finished.set()


def _without_frames(error: BaseException) -> Any:
    """Return the error without its traceback, whose frames reference every object of the failed work."""
    seen: list[BaseException] = []
    link: BaseException | None = error
    while link is not None and link not in seen:
        seen.append(link.with_traceback(None))
        link = link.__cause__ or link.__context__
    return error


class JobRegistry:
    """The registry of all jobs of the server, by key, with the sessions that see each.

    A finished job stays until it is discarded or its last session ends. Beyond ``keep`` finished jobs, the
    oldest are dropped.
    """

    def __init__(self, keep: int = 64) -> None:
        self._keep = keep
        self._lock = threading.Lock()
        self._jobs: dict[str, Job[Any]] = {}
        self._owners: dict[str, set[str]] = {}

    def start(
        self,
        key: str,
        title: str,
        work: Callable[[Job[T]], T],
        *,
        tag: Any = None,
        owner: str | None = None,
        goes_on: bool = False,
        model: str = "",
        who: str = "",
    ) -> Job[T]:
        """Run ``work`` in a new thread and return its job.

        A job still running under the same key is returned instead, so a double click starts nothing twice.

        Args:
            key: identifies the job.
            title: the text above the progress bar.
            work: the function to run; it is called with the job.
            tag: any value to find again with the job.
            owner: the session that sees the job; None keeps the job until it is discarded.
            goes_on: finish the work even if all its sessions end.
            model: id of the model that it is about; empty for none.
            who: name of the person who starts it.
        """
        with self._lock:
            existing = self._jobs.get(key)
            if existing is not None and existing.running:
                self._own(key, owner)
                return cast("Job[T]", existing)
            job = Job(key, title, work, tag, goes_on, model, who)
            self._forget(key)
            self._jobs[key] = job
            self._own(key, owner)
            self._drop_oldest_finished()
        threading.Thread(target=self._run, args=(job,), name=f"job {key}", daemon=True).start()
        return job

    def _run(self, job: Job[Any]) -> None:
        job.run()
        with self._lock:
            owners = self._owners.get(job.key)
            if owners is not None and not owners and self._jobs.get(job.key) is job:
                self._forget(job.key)

    def get(self, key: str, owner: str | None = None) -> Job[Any] | None:
        """Return the running or finished job with this key, or None.

        Args:
            key: identifies the job.
            owner: a session that sees the job from now on, in addition to those that already do.
        """
        with self._lock:
            job = self._jobs.get(key)
            if job is not None and key in self._owners:
                self._own(key, owner)
            return job

    def running(self, seen_by: str | None = None) -> list[Job[Any]]:
        """Return the jobs still running, oldest first.

        Args:
            seen_by: only those of this owner, and those whose result is saved for all; default: all.
        """
        with self._lock:
            return [
                job
                for key, job in self._jobs.items()
                if job.running and (seen_by is None or job.goes_on or seen_by in self._owners.get(key, ()))
            ]

    def is_of(self, key: str, owner: str | None) -> bool:
        """Return whether a job belongs to this owner."""
        with self._lock:
            return owner in self._owners.get(key, ())

    def discard(self, key: str) -> None:
        """Drop a job; ask it to stop if it is still running."""
        with self._lock:
            job = self._forget(key)
        if job is not None:
            job.cancel()

    def leave(self, owner: str) -> None:
        """Handle the end of a session: stop and drop the jobs that only it could see.

        Running jobs with ``goes_on`` are finished, because their results are saved for all sessions.
        """
        stopped = []
        with self._lock:
            for key in [key for key, owners in self._owners.items() if owner in owners]:
                self._owners[key].discard(owner)
                job = self._jobs[key]
                if self._owners[key] or (job.running and job.goes_on):
                    continue
                self._forget(key)
                stopped.append(job)
        for job in stopped:
            job.cancel()

    def clear(self) -> None:
        """Drop all jobs; ask those still running to stop."""
        with self._lock:
            jobs = list(self._jobs.values())
            self._jobs.clear()
            self._owners.clear()
        for job in jobs:
            job.cancel()

    def _own(self, key: str, owner: str | None) -> None:
        if owner is not None:
            self._owners.setdefault(key, set()).add(owner)

    def _forget(self, key: str) -> Job[Any] | None:
        self._owners.pop(key, None)
        return self._jobs.pop(key, None)

    def _drop_oldest_finished(self) -> None:
        finished = [key for key, job in self._jobs.items() if not job.running]
        for key in finished[: max(0, len(finished) - self._keep)]:
            self._forget(key)


def spoken_duration(seconds: float) -> str:
    """Return a rounded duration for people: "a few seconds", "40 s", "3 min", "1 h 20 min"."""
    if seconds < 5:
        return "a few seconds"
    if seconds < 90:
        return f"{round(seconds / 5) * 5} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60:02d} min"
