"""Long work in a background thread, with progress, time left, cancel, result and error.

Nothing here knows Streamlit: a page keeps a job's key, looks the job up in the server-wide registry at
each rerun, and reads it. The work never touches the page, so it outlives page changes and reruns.

A job belongs to the sessions that can see it, and what it found to them: when the last of them has left, the
registry forgets it. The work itself is forgotten as soon as it has ended, with all that it held.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeVar, cast

from padim.errors import Cancelled, PadimError

T = TypeVar("T")
JobState = Literal["running", "done", "failed", "cancelled"]

_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True)
class JobProgress:
    """How far a job has come: ``done`` of ``total`` items (None where unknown) of the named stage.

    The items are bytes of a file where ``in_bytes`` says so; else the page knows what they are.
    """

    done: int = 0
    total: int | None = None
    stage: str = ""
    in_bytes: bool = False

    @property
    def fraction(self) -> float:
        """Share done of the present stage, 0 to 1; 0 where the total is unknown."""
        if not self.total:
            return 0.0
        return min(1.0, max(0.0, self.done / self.total))


@dataclass
class Job(Generic[T]):
    """One piece of background work.

    The work is called with the job itself and reports through :meth:`progress` and :meth:`cancelled`, whose
    signatures are those of ``Padim.fit``'s ``progress`` and ``cancel``, so they can be handed straight on.

    Attributes:
        key: what the registry knows it by.
        title: what the user reads above the progress bar.
        tag: anything the starter wants to find again with the job (a model id, say).
        goes_on: what it makes is saved where others find it, so it is finished also if its session leaves.
    """

    key: str
    title: str
    work: Callable[[Job[T]], T] | None = field(repr=False)
    tag: Any = None
    goes_on: bool = False
    clock: Callable[[], float] = field(default=time.monotonic, repr=False)

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
        """Say how far the work is. A change of stage restarts the estimate of the time left."""
        with self._lock:
            if stage != self._progress.stage or done < self._progress.done:
                # The first report of a stage may already count some items: only what comes after it is timed.
                self._stage_started_at, self._stage_base = self.clock(), done
            self._progress = JobProgress(done, total, stage, in_bytes)

    def cancelled(self) -> bool:
        """Whether the user has asked to stop; the work should then raise ``padim.errors.Cancelled``."""
        return self._cancel.is_set()

    def on_cancel(self, call: Callable[[], None]) -> None:
        """Have ``call`` called when the user asks to stop, at once where that has happened already.

        For work that waits for something and cannot look; it is called in the thread of whoever cancels.
        """
        with self._lock:
            if not self._cancel.is_set():
                self._on_cancel.append(call)
                return
        call()

    # -- called by the page ---------------------------------------------------------------------------

    def cancel(self) -> None:
        """Ask the work to stop. It stops at its next look; a job already finished stays as it is."""
        with self._lock:
            self._cancel.set()
            calls, self._on_cancel = self._on_cancel, []
        for call in calls:
            call()

    def wait(self, timeout: float | None = None) -> bool:
        """Block until the job has ended; False if ``timeout`` seconds passed first. For scripts and tests."""
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
        """The exception that ended the job, None unless its state is "failed"."""
        with self._lock:
            return self._error

    @property
    def result(self) -> T:
        """What the work returned. Raises RuntimeError unless the state is "done"."""
        with self._lock:
            if self._state != "done":
                raise RuntimeError(f"job {self.key!r} is {self._state}: it has no result")
            return cast(T, self._result)

    @property
    def elapsed(self) -> float:
        """Seconds since the start, up to the end if there was one."""
        with self._lock:
            return (self._ended_at if self._ended_at is not None else self.clock()) - self._started_at

    @property
    def seconds_left(self) -> float | None:
        """Estimate for the present stage from its own pace; None where nothing can be said yet."""
        with self._lock:
            progress, base = self._progress, self._stage_base
            if self._state != "running" or progress.total is None or progress.done <= base:
                return None
            pace = (self.clock() - self._stage_started_at) / (progress.done - base)
            return max(0.0, pace * (progress.total - progress.done))

    def run(self) -> None:
        """Do the work in the calling thread and record how it ended. The registry calls this in its own."""
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
            # Said to the user in these very words: no fault of the program.
            _LOGGER.info("job %s ended: %s", self.key, problem)
            state, error = "failed", _without_frames(problem)
        except Exception as problem:
            # Whatever went wrong must reach the page: a job that dies silently looks like one that hangs.
            _LOGGER.exception("job %s failed", self.key)
            state, error = "failed", _without_frames(problem)
        # Its images, its model: whatever the work held goes now, not when the job is forgotten.
        del work
        with self._lock:
            self._state, self._result, self._error = state, result, error
            self._ended_at = self.clock()
            self._on_cancel.clear()
        self._finished.set()


def _without_frames(error: BaseException) -> Any:
    """The error without its traceback, whose frames hold everything that was being worked on."""
    seen: list[BaseException] = []
    link: BaseException | None = error
    while link is not None and link not in seen:
        seen.append(link.with_traceback(None))
        link = link.__cause__ or link.__context__
    return error


class JobRegistry:
    """Every job of the server, by key, and which sessions see it.

    Finished jobs stay until they are taken or the last of their sessions leaves; the oldest leave beyond
    ``keep``.
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
    ) -> Job[T]:
        """Run ``work`` in a new thread under ``key``.

        A job still running under the same key is returned instead: a double click starts nothing twice.

        Args:
            key: what it is found by.
            title: what the user reads.
            work: what is to be done.
            tag: anything to find with the job.
            owner: the session that sees it; None: it belongs to nobody and stays until it is taken.
            goes_on: also when its sessions have left.
        """
        with self._lock:
            existing = self._jobs.get(key)
            if existing is not None and existing.running:
                self._own(key, owner)
                return cast("Job[T]", existing)
            job = Job(key, title, work, tag, goes_on)
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
        """The job under ``key``, running or finished, or None.

        Args:
            key: the job's.
            owner: a session that sees it from now on, besides those that do already.
        """
        with self._lock:
            job = self._jobs.get(key)
            if job is not None and key in self._owners:
                self._own(key, owner)
            return job

    def running(self) -> list[Job[Any]]:
        """The jobs still at work, oldest first."""
        with self._lock:
            return [job for job in self._jobs.values() if job.running]

    def discard(self, key: str) -> None:
        """Forget a job; one still running is asked to stop."""
        with self._lock:
            job = self._forget(key)
        if job is not None:
            job.cancel()

    def leave(self, owner: str) -> None:
        """A session has ended: what only it could see is stopped and forgotten; what is saved goes on."""
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
        """Forget everything; what still runs is asked to stop."""
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
    """A duration as one would say it: "a few seconds", "40 s", "3 min", "1 h 20 min"."""
    if seconds < 5:
        return "a few seconds"
    if seconds < 90:
        return f"{round(seconds / 5) * 5} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60:02d} min"
