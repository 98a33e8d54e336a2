"""Long work in a background thread, with progress, time left, cancel, result and error.

Nothing here knows Streamlit: a page keeps a job's key, looks the job up in the server-wide registry at
each rerun, and reads it. The work never touches the page, so it outlives page changes and reruns.
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
class Progress:
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
    """

    key: str
    title: str
    work: Callable[[Job[T]], T] = field(repr=False)
    tag: Any = None
    clock: Callable[[], float] = field(default=time.monotonic, repr=False)

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._progress = Progress()
        self._state: JobState = "running"
        self._result: T | None = None
        self._error: Exception | None = None
        self._cancel = threading.Event()
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
            self._progress = Progress(done, total, stage, in_bytes)

    def cancelled(self) -> bool:
        """Whether the user has asked to stop; the work should then raise ``padim.errors.Cancelled``."""
        return self._cancel.is_set()

    # -- called by the page ---------------------------------------------------------------------------

    def cancel(self) -> None:
        """Ask the work to stop. It stops at its next look; a job already finished stays as it is."""
        self._cancel.set()

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
    def current(self) -> Progress:
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
        try:
            result = self.work(self)
        except Cancelled:
            state = "cancelled"
        except PadimError as problem:
            # Said to the user in these very words: no fault of the program.
            _LOGGER.info("job %s ended: %s", self.key, problem)
            state, error = "failed", problem
        except Exception as problem:
            # Whatever went wrong must reach the page: a job that dies silently looks like one that hangs.
            _LOGGER.exception("job %s failed", self.key)
            state, error = "failed", problem
        with self._lock:
            self._state, self._result, self._error = state, result, error
            self._ended_at = self.clock()
        self._finished.set()


class JobRegistry:
    """Every job of the server, by key. Finished jobs stay until taken, the oldest leaving beyond ``keep``."""

    def __init__(self, keep: int = 64) -> None:
        self._keep = keep
        self._lock = threading.Lock()
        self._jobs: dict[str, Job[Any]] = {}

    def start(self, key: str, title: str, work: Callable[[Job[T]], T], *, tag: Any = None) -> Job[T]:
        """Run ``work`` in a new thread under ``key``.

        A job still running under the same key is returned instead: a double click starts nothing twice.
        """
        with self._lock:
            existing = self._jobs.get(key)
            if existing is not None and existing.running:
                return cast("Job[T]", existing)
            job = Job(key, title, work, tag)
            self._jobs.pop(key, None)
            self._jobs[key] = job
            self._drop_oldest_finished()
        threading.Thread(target=job.run, name=f"job {key}", daemon=True).start()
        return job

    def get(self, key: str) -> Job[Any] | None:
        """The job under ``key``, running or finished, or None."""
        with self._lock:
            return self._jobs.get(key)

    def running(self) -> list[Job[Any]]:
        """The jobs still at work, oldest first."""
        with self._lock:
            return [job for job in self._jobs.values() if job.running]

    def discard(self, key: str) -> None:
        """Forget a job; one still running is asked to stop."""
        with self._lock:
            job = self._jobs.pop(key, None)
        if job is not None:
            job.cancel()

    def _drop_oldest_finished(self) -> None:
        finished = [key for key, job in self._jobs.items() if not job.running]
        for key in finished[: max(0, len(finished) - self._keep)]:
            del self._jobs[key]


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
