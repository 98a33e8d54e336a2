"""The processes of a workspace's watched folders: one runs for each that is wanted, and is started again.

A watch that is to stop is told so by its row (:meth:`padim.records.watches.Watches.set_wanted`), which
its process looks at; only one that does not obey is terminated. Processes that something else has started
(a shell, a service of the system, the same server before it was killed) are left alone.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from padim.errors import PadimError
from padim.records.watches import WatchedFolder, Watches
from padim.service.watch_status import read_status

__all__ = ["EndedProcess", "WatchProcesses"]

_LOGGER = logging.getLogger(__name__)
# Seconds between two looks, unless somebody asks for one.
_PACE = 2.0
# Seconds that a process which is no longer wanted has to end by itself, and to end when it is terminated.
_TO_OBEY, _TO_END = 30.0, 15.0
# Seconds until the next start after an early end, doubled each time; a process of that age has started.
_FIRST_WAIT, _LONGEST_WAIT, _STARTED = 2.0, 60.0, 60.0
# Bytes of output that are kept of former starts.
_LARGEST_LOG = 1_000_000
_TAIL = 4096
# What stands around a message, and columns enough that none is broken into lines.
_FRAME, _COLUMNS = " \t│╭╮╰╯─", 1000


@dataclass(frozen=True)
class EndedProcess:
    """How a process ended that should have gone on.

    Attributes:
        code: its exit code; negative: the signal that ended it.
        message: the last line that it wrote; empty if it wrote none.
        log: the file with all that it wrote.
    """

    code: int
    message: str
    log: Path


@dataclass
class _Attempts:
    """What is known of the starts of one watch."""

    wait: float = _FIRST_WAIT
    next_start: float = 0.0
    ended: EndedProcess | None = None


@dataclass
class _Running:
    """A process that this object has started."""

    process: subprocess.Popen[bytes]
    started: float
    unwanted_since: float | None = None
    terminated: bool = False


class WatchProcesses:
    """Keeps one process for each watch of a workspace that the app is to start and that is wanted.

    Args:
        root: the workspace's folder.
        command: the program that understands ``watch``; default: this one.
        clock: returns seconds; tests replace it.
    """

    def __init__(
        self,
        root: str | Path,
        *,
        command: Sequence[str] = (sys.executable, "-m", "padim"),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._root = Path(root).absolute()
        self._clock = clock
        self._command = tuple(command)
        self._watches = Watches(self._root)
        self._running: dict[str, _Running] = {}
        self._attempts: dict[str, _Attempts] = {}
        self._look = threading.Event()
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._problem = ""

    def start(self) -> None:
        """Begin to look after the processes, in a thread."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._go_on, name="watched folders", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """End the thread and every process that it has started; watches that are wanted stay so."""
        self._stopping.set()
        self._look.set()
        if self._thread is not None:
            self._thread.join()
        with self._lock:
            for running in self._running.values():
                running.process.terminate()
            deadline = time.monotonic() + _TO_END
            for running in self._running.values():
                try:
                    running.process.wait(max(0.1, deadline - time.monotonic()))
                except subprocess.TimeoutExpired:
                    running.process.kill()
                    running.process.wait()
            self._running.clear()

    def look_now(self, uid: str = "") -> None:
        """Look at once, because a watch has changed.

        Args:
            uid: a watch whose next start waits no longer because of former ends.
        """
        with self._lock:
            self._attempts.pop(uid, None)
        self._look.set()

    def ended(self, uid: str) -> EndedProcess | None:
        """Return how the last process of a watch ended; None if none did, or another has run well since."""
        with self._lock:
            return self._attempts[uid].ended if uid in self._attempts else None

    def runs(self, uid: str) -> bool:
        """Return whether a process of this watch runs that this object has started."""
        with self._lock:
            return uid in self._running

    def look(self) -> None:
        """Look once: note what has ended, and start or end what should run or should not."""
        try:
            watches = {one.uid: one for one in self._watches.all() if one.starter == "app"}
        except (PadimError, OSError) as error:
            # The database may be away for a while; what runs goes on. Once in the log is enough.
            if str(error) != self._problem:
                _LOGGER.warning("Watched folders cannot be looked up: %s", error)
            self._problem = str(error)
            return
        self._problem = ""
        now = self._clock()
        with self._lock:
            for uid, running in list(self._running.items()):
                self._look_at(uid, running, watches.get(uid), now)
            for uid, watch in watches.items():
                if not watch.wanted:
                    self._attempts.pop(uid, None)
                elif uid not in self._running and not self._stopping.is_set():
                    self._start(watch, now)

    def _go_on(self) -> None:
        while not self._stopping.is_set():
            self._look.clear()
            try:
                self.look()
            except Exception:
                # The thread must live as long as the server, whatever one look meets.
                _LOGGER.exception("Watched folders could not be looked after")
            self._look.wait(_PACE)

    def _look_at(self, uid: str, running: _Running, watch: WatchedFolder | None, now: float) -> None:
        """Note that a process has ended, or end one that is not wanted and does not obey."""
        wanted = watch is not None and watch.wanted
        code = running.process.poll()
        if code is not None:
            del self._running[uid]
            if not wanted:
                return
            attempts = self._attempts.setdefault(uid, _Attempts())
            log = self._log(uid)
            attempts.ended = EndedProcess(code, _last_line(log), log)
            attempts.next_start = now + attempts.wait
            attempts.wait = min(2 * attempts.wait, _LONGEST_WAIT)
            _LOGGER.warning("The watched folder %s has ended (%d): %s", uid, code, attempts.ended.message)
        elif wanted:
            running.unwanted_since = None
            if now - running.started >= _STARTED:
                self._attempts.pop(uid, None)
        elif running.unwanted_since is None:
            running.unwanted_since = now
        elif now - running.unwanted_since > _TO_OBEY + _TO_END:
            running.process.kill()
        elif now - running.unwanted_since > _TO_OBEY and not running.terminated:
            running.terminated = True
            running.process.terminate()

    def _start(self, watch: WatchedFolder, now: float) -> None:
        attempts = self._attempts.setdefault(watch.uid, _Attempts())
        if now < attempts.next_start:
            return
        status = read_status(watch.output)
        if status is not None and status.running:
            self._attempts.pop(watch.uid)
            return
        try:
            log = self._log(watch.uid)
            log.parent.mkdir(exist_ok=True)
            with _opened(log) as output:
                process = subprocess.Popen(
                    [*self._command, *watch.arguments],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    # Not the terminal's Ctrl-C, but this object ends it: what it has begun is finished.
                    start_new_session=True,
                    creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
                    env=self._environment(),
                )
        except OSError as error:
            attempts.ended = EndedProcess(-1, f"cannot be started: {error}", self._log(watch.uid))
            attempts.next_start = now + attempts.wait
            attempts.wait = min(2 * attempts.wait, _LONGEST_WAIT)
            return
        self._running[watch.uid] = _Running(process, now)

    def _log(self, uid: str) -> Path:
        return self._root / "logs" / f"watch-{uid}.log"

    def _environment(self) -> dict[str, str]:
        # The app may run from a folder with the source, where nothing is installed.
        here = str(Path(__file__).resolve().parents[2])
        search = os.pathsep.join([here, *filter(None, [os.environ.get("PYTHONPATH")])])
        return {**os.environ, "PYTHONPATH": search, "PADIM_HOME": str(self._root), "COLUMNS": str(_COLUMNS)}


def _opened(log: Path) -> IO[bytes]:
    """Open a log to append to, or anew where it has grown large."""
    large = log.exists() and log.stat().st_size > _LARGEST_LOG
    return log.open("wb" if large else "ab")


def _last_line(log: Path) -> str:
    """Return the last line of a text file that says something; empty if none does."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - _TAIL))
            lines = file.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return ""
    said = (line.strip(_FRAME).removeprefix("Error: ") for line in reversed(lines))
    return next((line for line in said if any(map(str.isalnum, line))), "")
