"""Helper processes that decode, so that a decoding can be stopped: at its deadline, or when nobody waits.

They are started when first needed, stay for the next file, and are ended when idle. Bytes go in and pixels
come out through pipes (``padim.data.decode_worker``); nothing is pickled.
"""

from __future__ import annotations

import atexit
import os
import subprocess
import sys
import threading
import time
from contextlib import AbstractContextManager
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt

from padim.data.decode_budget import POLL_S, Budget, Cancel
from padim.data.decode_protocol import ANSWER, READY, REQUEST
from padim.errors import Cancelled, PadimError

Rgb = npt.NDArray[np.uint8]

# An idle helper keeps some 60 MB.
IDLE_S = 60.0
# A process has this long to start, which on a cold disk or a busy machine is not short.
_START_S = 120.0
_PIPE_BYTES = 1024 * 1024


class TooSlow(Exception):
    """The decoding was stopped at its deadline."""


class WorkerDied(Exception):
    """The helper process ended while it decoded, as on a crash of the decoder or for lack of memory."""


class _Worker:
    """One helper process; used by one thread at a time."""

    def __init__(self) -> None:
        root = str(Path(__file__).resolve().parents[2])
        path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH", ""))))
        self._process = subprocess.Popen(
            [sys.executable, "-m", "padim.data.decode_worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            # libtiff prints a line for every oddity; what matters of them is in the answer.
            stderr=subprocess.DEVNULL,
            # One thread is all it needs, and arenas and thread pools would count as its memory.
            env={
                **os.environ,
                "PYTHONPATH": path,
                "PYTHONSAFEPATH": "1",
                "OPENBLAS_NUM_THREADS": "1",
                "OMP_NUM_THREADS": "1",
                "MALLOC_ARENA_MAX": "1",
            },
            # Apart from the terminal's signals: Ctrl-C is for the process that asked.
            start_new_session=True,
        )
        for stream in (self._process.stdin, self._process.stdout):
            _widen(stream)
        self._ready = False
        self.used = False
        self.idle_since = 0.0
        # When the request at hand was sent; None while the process is still starting.
        self.began: float | None = None

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def ask(self, data: bytes, pixels: int, memory: int, seconds: float) -> Rgb | str:
        """The decoded image, or why not. Blocks; :meth:`end` from another thread makes it raise.

        Raises:
            OSError, EOFError: the process has ended.
            PadimError: the process did not come up.
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
        stdin.write(REQUEST.pack(len(data), pixels, memory, seconds))
        stdin.write(data)
        stdin.flush()
        head = stdout.read(ANSWER.size)
        if len(head) < ANSWER.size:
            raise EOFError
        decoded, height, width, length = ANSWER.unpack(head)
        if not decoded:
            return stdout.read(length).decode()
        if height * width > pixels:
            raise EOFError  # it does not answer what it was asked
        rgb = np.empty((height, width, 3), np.uint8)
        into = rgb.data.cast("B")
        while into and (count := stdout.readinto(into)):  # type: ignore[attr-defined]
            into = into[count:]
        if into:
            raise EOFError
        return rgb

    def end(self) -> None:
        """End the process at once and have the system forget it."""
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        """Close its pipes, once nobody reads them any more."""
        for stream in (self._process.stdin, self._process.stdout):
            try:
                if stream is not None:
                    stream.close()
            except OSError:
                pass  # bytes that were not sent to a process that is gone


def _widen(stream: IO[bytes] | None) -> None:
    """A pipe that holds a megabyte, where the system offers it: fewer turns between the two processes."""
    try:
        import fcntl

        if stream is not None:
            fcntl.fcntl(stream.fileno(), fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
    except (ImportError, AttributeError, OSError):
        pass  # another system, or its share of pipes is used up: slower, no more


class _Exchange(threading.Thread):
    """A request to a helper process, in a thread of its own, so that whoever waits can give up."""

    def __init__(self, worker: _Worker, data: bytes, pixels: int, memory: int, seconds: float) -> None:
        super().__init__(name="decode", daemon=True)
        self._worker = worker
        self._request = data, pixels, memory, seconds
        self.finished = threading.Event()
        self.answer: Rgb | str | None = None
        self.error: Exception | None = None

    def run(self) -> None:
        try:
            self.answer = self._worker.ask(*self._request)
        except Exception as error:
            # Handed to the thread that waits, whatever it is: here nobody would see it.
            self.error = error
        finally:
            self.finished.set()


class DecodePool:
    """A few helper processes, shared by all threads of this one."""

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
        """The helper processes that this pool keeps."""
        with self._lock:
            return [worker.pid for worker in (*self._idle, *self._busy)]

    def slot(self, cancel: Cancel | None = None) -> AbstractContextManager[None]:
        """A place to decode, waited for; :meth:`decode` is to be called inside.

        Memory is reserved inside it, never around it: a reservation must not wait for a place.

        Raises:
            Cancelled: ``cancel`` returned True while waiting.
        """
        return self._slots.holding(1, cancel)

    def decode(
        self, data: bytes, *, pixels: int, memory: int, seconds: float, cancel: Cancel | None = None
    ) -> Rgb | str:
        """Decode a file in a helper process.

        Args:
            data: the file's bytes.
            pixels: largest width x height.
            memory: bytes that the helper may take for it.
            seconds: after which it is stopped.
            cancel: asked all the time; True stops it at once.

        Returns:
            uint8 ``(h, w, 3)``, or the reason why the file cannot be used.

        Raises:
            TooSlow: it was stopped at its deadline.
            WorkerDied: the helper process ended by itself.
            Cancelled: ``cancel`` returned True.
        """
        while True:
            worker = self._take()
            again = worker.used
            try:
                return self._exchange(worker, _Exchange(worker, data, pixels, memory, seconds), cancel)
            except WorkerDied:
                # One that had waited may have been ended from outside: that is not this file's doing.
                if not again:
                    raise

    def close(self) -> None:
        """End all helper processes; the pool starts new ones when asked again."""
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
            worker.end()  # whoever waits for it closes it

    def _exchange(self, worker: _Worker, exchange: _Exchange, cancel: Cancel | None) -> Rgb | str:
        *_, seconds = exchange._request
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
    """The one pool of this process."""
    global _pool
    with _lock:
        if _pool is None:
            _pool = DecodePool()
            atexit.register(_pool.close)
        return _pool


def _forget() -> None:
    """A forked process starts helpers of its own; those of its parent are not its to end."""
    global _lock, _pool
    _lock = threading.Lock()
    if _pool is not None:
        atexit.unregister(_pool.close)
        _pool = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
