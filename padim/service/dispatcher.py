"""Deliver the messages of the outbox: a thread for each sink, so that none waits for another.

Any number of programs may run a dispatcher for the same workspace (the app, ``padim serve``, ``padim sinks
run``): a lock for each sink lets one of them deliver to it, and when that one ends, another goes on.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

from filelock import FileLock, Timeout

from padim.errors import PadimError
from padim.records.outbox import UNASSIGNED, Outbox, OutboxMessage
from padim.records.sink_settings import AnySink, SinkConfiguration
from padim.records.sinks_file import SinksFile
from padim.service.sinks.base import Sink, SinkAwayError, SinkBusyError, SinkRefusedError
from padim.service.sinks.making import make_sink
from padim.text import one_line

__all__ = ["SinkDispatcher", "is_delivered_to"]

_LOG = logging.getLogger(__name__)
# What a dispatcher's thread does: it delivers, another program does, or the receiver is away.
DeliveryState = Literal["delivering", "elsewhere", "away"]
SinkMaker = Callable[[AnySink, Path], Sink]

# Seconds between two looks for messages, in a file and in a server; and between two looks at the file of
# sinks, the connection and, where another program delivers, at whether that still does.
_POLL, _POLL_SERVER, _LOOK = 0.05, 0.2, 1.0
# Seconds for which it is looked after the file has changed: a change is seen in the file before it counts.
_SETTLE = 0.25
# Messages that are read at once, and seconds after which delivered ones are deleted at the latest.
_BATCH, _FLUSH = 50, 0.5
# Seconds until the next attempt: doubled with each failure up to the longest; a receiver may ask for more.
_FIRST_PAUSE, _LONGEST_PAUSE, _LONGEST_ASKED = 1.0, 60.0, 600.0
# Attempts after which a message is set aside that fails for a reason that nobody has thought of.
_MOST_SURPRISES = 5
_LONGEST_ERROR = 500


class SinkDispatcher:
    """Delivers to all sinks of a workspace in threads of its own; the file of sinks may change meanwhile.

    Args:
        root: the workspace's folder.
        make: makes a sink from its settings.
        first_pause: seconds until a failed delivery is tried again for the first time.
    """

    def __init__(
        self, root: str | Path, *, make: SinkMaker = make_sink, first_pause: float = _FIRST_PAUSE
    ) -> None:
        self.root = Path(root)
        self._make, self._first_pause = make, first_pause
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._workers: dict[str, _Worker] = {}
        self._ending: list[_Worker] = []
        self._problem = ""

    def start(self) -> None:
        """Start delivering; returns at once, and does nothing if it has started."""
        if self._thread is None:
            self._stopping.clear()
            self._thread = threading.Thread(target=self._run, name="sinks", daemon=True)
            self._thread.start()

    def stop(self, timeout: float = 15.0) -> None:
        """End delivering; a delivery that has begun is finished if that takes no longer than ``timeout``."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(timeout)
            self._thread = None

    def __enter__(self) -> SinkDispatcher:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def is_idle(self) -> bool:
        """Return whether each sink has been tried, and nothing waits for those that are there.

        Raises:
            PadimError: the file of sinks is not valid, or the database cannot be read.
        """
        enabled = {one.name for one in SinksFile(self.root).read().sinks if one.enabled}
        states = self.states()
        if not enabled <= states.keys():
            return False
        there = [name for name in enabled if states[name] != "away"]
        return not Outbox(self.root).with_messages(there)

    def wait_until_idle(self, timeout: float) -> bool:
        """Wait until :meth:`is_idle`, or something cannot be read; return whether it was so in time."""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            try:
                if self.is_idle():
                    return True
            except PadimError:
                return False
            self._stopping.wait(_POLL_SERVER)
        return False

    @property
    def is_running(self) -> bool:
        """Whether it has been started and not stopped."""
        return self._thread is not None and self._thread.is_alive()

    @property
    def problem(self) -> str:
        """Why it cannot see the sinks or their messages, as a sentence; empty as long as it can."""
        return self._problem

    def states(self) -> dict[str, DeliveryState]:
        """Return what the thread of each enabled sink does, by the sink's name."""
        return {name: worker.state for name, worker in list(self._workers.items())}

    # -- the thread that watches the file and the outbox ----------------------------------------------------

    def _run(self) -> None:
        files, outbox = SinksFile(self.root), Outbox(self.root)
        configuration = SinkConfiguration()
        looked = -_LOOK
        seen: tuple[int, ...] | None = None
        changed = looked
        try:
            while not self._stopping.is_set():
                try:
                    mark = outbox.mark()
                    regular = time.monotonic() - looked >= _LOOK
                    if regular:
                        looked = time.monotonic()
                        configuration = files.read()
                        self._follow(configuration)
                    if mark is None or mark != seen:
                        seen, changed = mark, time.monotonic()
                    if configuration.sinks and (regular or time.monotonic() - changed < _SETTLE):
                        found = outbox.with_messages([UNASSIGNED, *self._workers])
                        if UNASSIGNED in found:
                            outbox.assign(configuration)
                        for name in found - {UNASSIGNED}:
                            self._workers[name].wake()
                    self._say("")
                except Exception as error:  # sinks that are known are delivered to meanwhile
                    self._say(_said(error))
                    self._stopping.wait(_LOOK)
                pause = _POLL if seen is not None else _POLL_SERVER
                self._stopping.wait(pause if self._workers else _LOOK)
        finally:
            self._follow(SinkConfiguration())
            for worker in self._ending:
                worker.join()

    def _say(self, problem: str) -> None:
        if problem and problem != self._problem:
            _LOG.error("%s", problem)
        self._problem = problem

    def _follow(self, configuration: SinkConfiguration) -> None:
        """Start and end threads, so that each enabled sink has one with its present settings."""
        wanted = {one.name: one for one in configuration.sinks if one.enabled}
        # One that ends late holds its lock so long: the one that follows it waits for that, and nobody else.
        self._ending = [worker for worker in self._ending if worker.is_alive()]
        for name, worker in list(self._workers.items()):
            if worker.settings != wanted.get(name):
                worker.end()
                self._ending.append(worker)
                del self._workers[name]
        for name, settings in wanted.items():
            if name not in self._workers:
                self._workers[name] = _Worker(self.root, settings, self._make, self._first_pause)
                self._workers[name].start()


class _Worker(threading.Thread):
    """Delivers to one sink, as long as no other program does."""

    def __init__(self, root: Path, settings: AnySink, make: SinkMaker, first_pause: float) -> None:
        super().__init__(name=f"sink {settings.name}", daemon=True)
        self.settings = settings
        self.state: DeliveryState = "elsewhere"
        self._root, self._make, self._first_pause = root, make, first_pause
        self._outbox = Outbox(root)
        self._ending, self._woken = threading.Event(), threading.Event()
        self._sink: Sink | None = None
        self._failures = 0
        # Whether it could be opened last time; a connection whose deliveries fail is away nevertheless.
        self._opened: bool | None = None

    def wake(self) -> None:
        """Say that there may be a message."""
        self._woken.set()

    def end(self) -> None:
        """End after the delivery that has begun."""
        self._ending.set()
        self._woken.set()

    def run(self) -> None:
        """Wait for the sink's lock, then deliver until told to end."""
        lock = _lock(self._root, self.settings.name)
        while not self._ending.is_set():
            try:
                with lock.acquire(timeout=0):
                    self._deliver()
            except Timeout:
                self.state = "elsewhere"
                self._ending.wait(_LOOK)
            except OSError as error:  # a workspace that cannot be written
                self._log("cannot be locked: %s", error)
                self._ending.wait(_LOOK)

    def _deliver(self) -> None:
        self.state = "delivering"
        try:
            while not self._ending.is_set():
                message: OutboxMessage | None = None
                self._woken.clear()
                try:
                    if self._sink is None:
                        self._open()
                    message = self._deliver_due()
                except Exception as error:  # of the database: what is delivered is deleted before
                    self._log("the outbox cannot be read or written: %s", _said(error))
                    self._ending.wait(_LOOK)
                    continue
                if message is not None or self._sink is None:
                    self._wait_for_next_attempt()
                    continue
                while self._sink is not None and not self._woken.wait(_LOOK):
                    if problem := self._sink.health():
                        self._log("%s", problem)
                        self._close()
        finally:
            self._close()

    def _open(self) -> None:
        """Open the sink; a failure is put on record."""
        try:
            self._sink = self._make(self.settings, self._root)
            self._sink.open()
        except Exception as error:  # also what nobody has thought of: the next attempt may go well
            self._opened = False
            self._fail(error)
            head = self._outbox.due(self.settings.name, 1)
            if head:
                self._postpone(head[0], error)
            else:
                self._outbox.unreachable(self.settings.name, _said(error))
            return
        if self._opened is not True:
            self._opened = True
            self.state = "delivering"
            self._outbox.unreachable(self.settings.name, "")

    def _deliver_due(self) -> OutboxMessage | None:
        """Send what is due; return the message that has to be sent again later, None if there is none."""
        sink = self._sink
        if sink is None:
            return None
        sent: list[OutboxMessage] = []
        flushed = time.monotonic()
        due = self._outbox.due(self.settings.name, _BATCH)
        if len(due) == _BATCH:
            self.wake()  # there may be more
        for message in due:
            if self._ending.is_set():
                break
            try:
                sink.send(message)
            except SinkRefusedError as error:
                self._log("refused a message: %s", error)
                self._refuse(message, error)
                continue
            except Exception as error:  # a bug of ours or a reply that nobody has thought of
                self._forget(sent)
                surprise = not isinstance(error, PadimError)
                if surprise and message.attempts + 1 >= _MOST_SURPRISES:
                    self._refuse(message, error)
                    continue
                if isinstance(error, SinkBusyError):
                    self.state = "away"  # it keeps its connection
                else:
                    self._fail(error)
                self._postpone(message, error)
                return message
            sent.append(message)
            if self._failures:
                self._log("is there again")
            self._failures, self.state = 0, "delivering"
            if time.monotonic() - flushed >= _FLUSH:
                self._forget(sent)
                flushed = time.monotonic()
        self._forget(sent)
        return None

    def _forget(self, sent: list[OutboxMessage]) -> None:
        """Delete what was delivered; wait for a database that is away, so that nothing is sent twice."""
        while sent:
            try:
                self._outbox.delivered(sent)
                sent.clear()
            except PadimError as error:
                self._log("delivered messages cannot be deleted: %s", error)
                if self._ending.wait(_LOOK):
                    return

    def _refuse(self, message: OutboxMessage, error: Exception) -> None:
        self._outbox.refuse(message, _said(error))

    def _postpone(self, message: OutboxMessage, error: Exception) -> None:
        asked = error.retry_after if isinstance(error, SinkAwayError) else None
        pause = min(_LONGEST_PAUSE, self._first_pause * 2.0 ** min(self._failures - 1, 16))
        pause *= random.SystemRandom().uniform(0.75, 1.25)  # programs that start together part
        if asked is not None:
            pause = max(pause, min(asked, _LONGEST_ASKED))
        self._outbox.postpone(message, _said(error), datetime.now(UTC) + timedelta(seconds=pause))

    def _wait_for_next_attempt(self) -> None:
        """Wait until a message is due; also a person may have it tried again at once."""
        began = time.monotonic()
        longest = min(_LONGEST_PAUSE, self._first_pause * 2.0 ** min(max(self._failures - 1, 0), 16))
        while not self._ending.wait(min(_LOOK, self._first_pause)):
            with suppress(PadimError):
                if self._outbox.due(self.settings.name, 1):
                    return
                # Without a message, the pause of this thread is all there is.
                waits = self._outbox.with_messages([self.settings.name])
                if not waits and time.monotonic() - began >= longest:
                    return

    def _fail(self, error: Exception) -> None:
        if not self._failures:
            self._log("is away: %s", _said(error))
        self._failures += 1
        self.state = "away"
        self._close()

    def _close(self) -> None:
        sink, self._sink = self._sink, None
        if sink is not None:
            try:
                sink.close()
            except Exception:  # it is given up in any case
                _LOG.exception("sink %s could not be closed", self.settings.name)

    def _log(self, text: str, *values: object) -> None:
        _LOG.warning(f"sink %s: {text}", self.settings.name, *values)


def is_delivered_to(root: str | Path, name: str) -> bool:
    """Return whether a program delivers to a sink at the moment."""
    try:
        with _lock(Path(root), name).acquire(timeout=0):
            return False
    except Timeout:
        return True
    except OSError:
        return False


def _lock(root: Path, name: str) -> FileLock:
    folder = root / ".sinks"
    with suppress(OSError):
        folder.mkdir(exist_ok=True)
    # Names differ in more than the case of letters, which Windows would ignore.
    return FileLock(folder / f"{name.casefold()}.lock", thread_local=False)


def _said(error: Exception) -> str:
    text = str(error) if isinstance(error, PadimError) else f"{type(error).__name__}: {error}"
    return one_line(text, _LONGEST_ERROR)
