"""Helper processes that decode images, so that decoding can be stopped at a deadline or on cancellation.

They are started when first needed, reused for the next file, and ended when idle. File bytes go in and pixels
come out through pipes (``padim.data.decode_worker``); nothing is pickled.
"""

from __future__ import annotations

import atexit
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt

from padim.data.bit_depth import Samples
from padim.data.decode_budget import POLL_S, Budget, Cancel
from padim.data.decode_protocol import ANSWER, READY, REQUEST
from padim.errors import Cancelled, PadimError

Rgb = npt.NDArray[np.uint8]
# Pixels, and the file's samples if they are deeper than 8 bits.
_Answer = tuple[Rgb, Samples | None]

# An idle helper process uses about 60 MB.
IDLE_S = 60.0
# Time for a process to start; generous, for a cold disk or a busy machine.
_START_S = 120.0
_PIPE_BYTES = 1024 * 1024


class TooSlow(Exception):
    """Raised when a decoding was stopped at its deadline."""


class WorkerDied(Exception):
    """Raised when a helper process ended while decoding: the decoder crashed, or memory ran out."""


class _Worker:
    """One helper process, used by one thread at a time."""

    def __init__(self) -> None:
        root = str(Path(__file__).resolve().parents[2])
        path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH", ""))))
        self._process = subprocess.Popen(
            [sys.executable, "-m", "padim.data.decode_worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            # libtiff prints a line for every irregularity; the answer contains what matters.
            stderr=subprocess.DEVNULL,
            # It needs one thread only, and arenas and thread pools would count as its memory.
            env={
                **os.environ,
                "PYTHONPATH": path,
                "PYTHONSAFEPATH": "1",
                "OPENBLAS_NUM_THREADS": "1",
                "OMP_NUM_THREADS": "1",
                "MALLOC_ARENA_MAX": "1",
            },
            # A session of its own, so that Ctrl-C in the terminal reaches the parent process only.
            start_new_session=True,
        )
        for stream in (self._process.stdin, self._process.stdout):
            _widen(stream)
        self._ready = False
        self.used = False
        self.idle_since = 0.0
        # Time at which the current request was sent; None while the process is still starting.
        self.began: float | None = None

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def ask(self, data: bytes, pixels: int, memory: int, seconds: float, bit_depth: int) -> _Answer | str:
        """Send a file and return the decoded image, or the reason why there is none.

        Blocks until the answer has arrived; :meth:`end` from another thread makes it raise.

        Raises:
            OSError, EOFError: the process has ended.
            PadimError: the process did not start.
        """
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        if not self._ready:
            if stdout.read(len(READY)) != READY:
                raise PadimError(
                    f"the helper process that decodes images did not start; run {sys.executable} "
                    "-m padim.data.decode_worker in a terminal to see why"
                )
            self._ready = True
        self.began = time.monotonic()
        stdin.write(REQUEST.pack(len(data), pixels, memory, seconds, bit_depth))
        stdin.write(data)
        stdin.flush()
        head = stdout.read(ANSWER.size)
        if len(head) < ANSWER.size:
            raise EOFError
        decoded, height, width, length = ANSWER.unpack(head)
        if not decoded:
            return stdout.read(length).decode()
        note = stdout.read(length)
        if height * width > pixels or len(note) < length:
            raise EOFError  # an image over the requested limit: the answer is not valid
        rgb = np.empty((height, width, 3), np.uint8)
        into = rgb.data.cast("B")
        while into and (count := stdout.readinto(into)):  # type: ignore[attr-defined]
            into = into[count:]
        if into:
            raise EOFError
        return rgb, Samples(**json.loads(note)) if note else None

    def end(self) -> None:
        """Kill the process and wait until it is gone, so that no zombie remains."""
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        """Close the pipes to the process; call it when no thread reads from them."""
        for stream in (self._process.stdin, self._process.stdout):
            try:
                if stream is not None:
                    stream.close()
            except OSError:
                pass  # unsent bytes for a process that has ended


def _widen(stream: IO[bytes] | None) -> None:
    """Enlarge a pipe's buffer to 1 MiB where the system allows it: fewer switches between the processes."""
    try:
        import fcntl

        if stream is not None:
            fcntl.fcntl(stream.fileno(), fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
    except (ImportError, AttributeError, OSError):
        pass  # not Linux, or the user's pipe quota is used up: decoding is only slower


class _Exchange(threading.Thread):
    """Thread that sends one request to a helper process, so that the waiting thread can give up."""

    def __init__(
        self, worker: _Worker, data: bytes, pixels: int, memory: int, seconds: float, bit_depth: int
    ) -> None:
        super().__init__(name="decode", daemon=True)
        self._worker = worker
        self._request = data, pixels, memory, seconds, bit_depth
        self.finished = threading.Event()
        self.answer: _Answer | str | None = None
        self.error: Exception | None = None

    def run(self) -> None:
        try:
            self.answer = self._worker.ask(*self._request)
        except Exception as error:
            # Passed to the waiting thread, whatever it is: in this thread it would go unnoticed.
            self.error = error
        finally:
            self.finished.set()


class DecodePool:
    """Pool of a few helper processes, shared by all threads of this process."""

    def __init__(self, size: int | None = None, idle_seconds: float = IDLE_S) -> None:
        self.size = size or min(4, max(2, os.cpu_count() or 1))
        self._idle_seconds = idle_seconds
        self._slots = Budget(self.size)
        self._lock = threading.Lock()
        self._idle: list[_Worker] = []
        self._busy: set[_Worker] = set()
        self._timer: threading.Timer | None = None

    @property
    def pids(self) -> list[int]:
        """Process ids of the helper processes in this pool."""
        with self._lock:
            return [worker.pid for worker in (*self._idle, *self._busy)]

    def slot(self, cancel: Cancel | None = None) -> AbstractContextManager[None]:
        """Wait for one of the pool's places and hold it during the block, in which :meth:`decode` is called.

        Reserve memory inside the block, never around it: a thread with reserved memory must not wait for a
        place.

        Raises:
            Cancelled: ``cancel`` returned True while waiting.
        """
        return self._slots.holding(1, cancel)

    def decode(
        self,
        data: bytes,
        *,
        pixels: int,
        memory: int,
        seconds: float,
        bit_depth: int | None = None,
        on_samples: Callable[[Samples], None] | None = None,
        cancel: Cancel | None = None,
    ) -> Rgb | str:
        """Decode a file in a helper process.

        Args:
            data: the file's bytes.
            pixels: largest width x height.
            memory: bytes that the helper may use for it.
            seconds: time after which decoding is stopped.
            bit_depth: as for :func:`padim.data.decode.decode`.
            on_samples: called with the samples of an image of 9 to 16 bits.
            cancel: polled throughout; True stops decoding at once.

        Returns:
            uint8 ``(h, w, 3)``, or the reason why the file cannot be used.

        Raises:
            TooSlow: decoding was stopped at its deadline.
            WorkerDied: the helper process ended unexpectedly.
            Cancelled: ``cancel`` returned True.
        """
        while True:
            worker = self._take()
            again = worker.used
            try:
                exchange = _Exchange(worker, data, pixels, memory, seconds, bit_depth or 0)
                answer = self._exchange(worker, exchange, cancel)
            except WorkerDied:
                # A reused helper may have been killed from outside while idle: the file may be good.
                if not again:
                    raise
                continue
            if isinstance(answer, str):
                return answer
            rgb, samples = answer
            if samples is not None and on_samples is not None:
                on_samples(samples)
            return rgb

    def close(self) -> None:
        """End all helper processes; the pool starts new ones for later requests."""
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            idle, busy = self._idle, list(self._busy)
            self._idle = []
        for worker in idle:
            worker.end()
            worker.close()
        for worker in busy:
            worker.end()  # the thread that waits for it closes its pipes

    def _exchange(self, worker: _Worker, exchange: _Exchange, cancel: Cancel | None) -> _Answer | str:
        seconds = exchange._request[3]
        started = time.monotonic()
        intact = False
        exchange.start()
        try:
            while not exchange.finished.wait(POLL_S):
                if cancel is not None and cancel():
                    raise Cancelled("stopped on request; nothing was changed")
                now = time.monotonic()
                if worker.began is None:
                    if now - started > _START_S:
                        raise PadimError(
                            f"the helper process that decodes images did not start within {_START_S:g} s"
                        )
                elif now - worker.began > seconds:
                    raise TooSlow
            if isinstance(exchange.error, (OSError, EOFError)):
                raise WorkerDied from exchange.error
            if exchange.error is not None:
                raise exchange.error
            intact = True
            assert exchange.answer is not None
            return exchange.answer
        finally:
            self._give_back(worker, exchange, intact)

    def _take(self) -> _Worker:
        with self._lock:
            while self._idle:
                worker = self._idle.pop()
                if worker.alive:
                    worker.began = time.monotonic()
                    self._busy.add(worker)
                    return worker
                worker.close()
        worker = _Worker()
        with self._lock:
            self._busy.add(worker)
        return worker

    def _give_back(self, worker: _Worker, exchange: _Exchange, intact: bool) -> None:
        if not intact:
            worker.end()
            exchange.join()
            worker.close()
        with self._lock:
            self._busy.discard(worker)
            if not intact:
                return
            worker.used, worker.began, worker.idle_since = True, None, time.monotonic()
            self._idle.append(worker)
            if self._timer is None:
                self._start_timer()

    def _start_timer(self) -> None:
        self._timer = threading.Timer(self._idle_seconds, self._end_idle)
        self._timer.daemon = True
        self._timer.start()

    def _end_idle(self) -> None:
        """End helpers that have not been needed for a while."""
        now = time.monotonic()
        with self._lock:
            ended = [one for one in self._idle if now - one.idle_since >= self._idle_seconds * 0.99]
            self._idle = [one for one in self._idle if one not in ended]
            self._timer = None
            if self._idle:
                self._start_timer()
        for worker in ended:
            worker.end()
            worker.close()


_lock = threading.Lock()
_pool: DecodePool | None = None


def shared_pool() -> DecodePool:
    """Return the pool of helper processes that this process shares, created at the first call."""
    global _pool
    with _lock:
        if _pool is None:
            _pool = DecodePool()
            atexit.register(_pool.close)
        return _pool


def _forget() -> None:
    """Drop the pool in a forked process, which must not end the helper processes of its parent."""
    global _lock, _pool
    _lock = threading.Lock()
    if _pool is not None:
        atexit.unregister(_pool.close)
        _pool = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
