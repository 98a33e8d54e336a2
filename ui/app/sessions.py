"""The end of browser sessions: detect disconnected ones, close them and release their memory.

Streamlit keeps a session whose connection was lost for two minutes, in case the browser reconnects, but it
drops an expired one only when another session loses its connection: the last to disconnect would stay for
ever, with its uploads. Therefore a thread watches disconnected sessions, closes each shortly before the two
minutes are over, and stops and drops everything that belonged to that session alone.
"""

from __future__ import annotations

import gc
import logging
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import streamlit as st
from streamlit import runtime
from streamlit.runtime import Runtime
from streamlit.runtime.scriptrunner import get_script_run_ctx
from streamlit.runtime.state import SessionState

from padim import settings
from padim.network.allocation import return_freed_memory

_LOGGER = logging.getLogger(__name__)
# Seconds between two checks of the sessions.
PACE = 5.0
# Seconds between two searches for unused objects that refer to each other, while there are sessions.
_COLLECT_EVERY = 30.0
# Open sessions up to which the timers of pages fire as often as they are meant to.
_AT_FULL_PACE = 4


def grace() -> float:
    """Return for how many seconds a disconnected session is kept: ``PADIM_SESSION_GRACE``, or 90."""
    return settings.current().session_grace


@dataclass
class Sessions:
    """The sessions that own jobs or data, and the callbacks to call when one of them has ended.

    Attributes:
        active: returns whether the browser of a session (by its id) is connected.
        close: makes Streamlit drop a disconnected session.
        grace: seconds for which a disconnected session is kept.
        clock: returns seconds; tests replace it.
        at_end: callbacks, called with the id of a session that has ended.
    """

    active: Callable[[str], bool]
    close: Callable[[str], None]
    grace: float
    clock: Callable[[], float] = time.monotonic
    at_end: list[Callable[[str], None]] = field(default_factory=list)
    _seen: dict[str, float] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def touch(self, session: str) -> None:
        """Record that this session is active now."""
        with self._lock:
            self._seen[session] = self.clock()

    def end_expired(self) -> list[str]:
        """End the sessions that have been disconnected for too long and return their ids."""
        now = self.clock()
        gone = []
        with self._lock:
            for session, seen in list(self._seen.items()):
                if self.active(session):
                    self._seen[session] = now
                elif now - seen >= self.grace:
                    del self._seen[session]
                    gone.append(session)
        for session in gone:
            for callback in self.at_end:
                callback(session)
            self.close(session)
        return gone

    def __len__(self) -> int:
        with self._lock:
            return len(self._seen)


def is_active(session: str) -> bool:
    """Return whether the browser of a session (by its id) is connected."""
    return runtime.exists() and runtime.get_instance().is_active_session(session)


def _close(session: str) -> None:
    """Make Streamlit drop a session's state, uploads, media files and caches."""
    if not runtime.exists():
        return
    server = runtime.get_instance()

    def close() -> None:
        if server.is_active_session(session):  # the browser has reconnected meanwhile
            return
        left = server._session_mgr.get_session_info(session)
        server.close_session(session)
        if left is not None:
            # Streamlit's event loop references the last session that it served until it serves another, and
            # the session's widgets and fragments reference the data they were drawn from: release both now.
            left.session._session_state = SessionState()
            left.session._fragment_storage.clear()

    try:
        # Sessions must be closed in the server's own thread. Streamlit 1.67 has no public access to that
        # thread, nor to a disconnected session.
        server._get_async_objs().eventloop.call_soon_threadsafe(close)
    except RuntimeError:  # the server is being stopped
        _LOGGER.debug("session %s was not closed: the server is stopping", session)


_SESSIONS = Sessions(is_active, _close, grace())
_BUSY: list[Callable[[], bool]] = []
_AT_CHECK: list[Callable[[], bool]] = []
_GUARD = threading.Lock()
_watching = False


def at_end(callback: Callable[[str], None]) -> None:
    """Register a callback that is called with the id of each session that has ended."""
    _SESSIONS.at_end.append(callback)


def paced(seconds: float) -> float:
    """Return the interval of a page's timer: the given one, or a longer one while many sessions are open.

    Each request of a timer takes some ten milliseconds of the interpreter that all sessions share. At full
    pace, those of twenty sessions would leave nothing to draw pages with.
    """
    return seconds * max(1.0, len(_SESSIONS) / _AT_FULL_PACE)


def busy_while(is_busy: Callable[[], bool]) -> None:
    """Register a check that returns True while work is running that will reuse freed memory."""
    _BUSY.append(is_busy)


def at_check(callback: Callable[[], bool]) -> None:
    """Register a function that is called at each check of the sessions; True if it has released memory."""
    _AT_CHECK.append(callback)


def current() -> str | None:
    """Return the id of the session whose page is running, or None outside a page; watch for its end."""
    context = get_script_run_ctx()
    if context is None:
        return None
    _SESSIONS.touch(context.session_id)
    _watch()
    return context.session_id


def _watch() -> None:
    global _watching
    # Tests run pages without a server, and their sessions end with the test. What stands for the server there
    # says that it is an instance of its class.
    if not runtime.exists() or not issubclass(type(runtime.get_instance()), Runtime):
        return
    with _GUARD:
        if _watching:
            return
        _watching = True
    threading.Thread(target=_keep_checking, name="sessions", daemon=True).start()


def _keep_checking() -> None:
    # Checks at which memory is still to be released. Several, because Streamlit closes a session in another
    # thread, and work that was stopped takes a moment to end.
    releases_left = 0
    collected = time.monotonic()
    while True:
        time.sleep(min(PACE, max(0.2, _SESSIONS.grace / 4)))
        try:
            if len(_SESSIONS) and time.monotonic() - collected >= _COLLECT_EVERY:
                # Streamlit does so after every run unless .streamlit/config.toml turns it off, as ours does.
                gc.collect()
                collected = time.monotonic()
            if releases_left and not any(is_busy() for is_busy in _BUSY):
                releases_left -= 1
                release_memory(alone=not len(_SESSIONS))
            if _SESSIONS.end_expired():
                releases_left = 3
            released = [callback() for callback in _AT_CHECK]
            if any(released):
                releases_left = 3
        except Exception:
            # A session that cannot be ended must not keep the others from being ended.
            _LOGGER.exception("some disconnected sessions could not be cleaned up")


def release_memory(*, alone: bool) -> None:
    """Return freed memory to the operating system.

    Args:
        alone: no session is left, so release opened models and drawn images too.
    """
    if alone:
        st.cache_resource.clear()
        st.cache_data.clear()
        if (
            "padim.network.extractor" in sys.modules
        ):  # otherwise no extractor exists, and importing the module would be a waste
            from padim.network.extractor import forget_extractors

            forget_extractors()
    gc.collect()
    return_freed_memory()
