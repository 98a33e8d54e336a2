"""The browser sessions of this server: what ends with one of them, and giving its memory back.

Streamlit keeps a session whose connection was lost for two minutes, for a network that comes back, but it
drops an expired one only when another loses its connection: the last to leave would stay for ever, with its
uploads. So a thread looks after those that have left, closes each a little before the two minutes are over,
and then stops and forgets whatever was the session's alone.
"""

from __future__ import annotations

import gc
import logging
import os
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

from padim.network.allocation import return_freed_memory

_LOGGER = logging.getLogger(__name__)
# Seconds for which a session is kept whose connection was lost. Streamlit itself keeps none for over 120.
GRACE = 90.0
# Seconds between two looks.
PACE = 5.0


def grace() -> float:
    """``PADIM_SESSION_GRACE`` seconds, or 90: how long a session is kept whose browser has gone."""
    given = os.environ.get("PADIM_SESSION_GRACE", "").strip()
    try:
        return min(115.0, max(0.0, float(given))) if given else GRACE
    except ValueError:
        _LOGGER.warning("PADIM_SESSION_GRACE=%r is no number of seconds; it is %g", given, GRACE)
        return GRACE


@dataclass
class Sessions:
    """The sessions that have something to lose, and who is to be told when one of them has ended.

    Attributes:
        active: whether a session's browser is connected.
        close: has Streamlit forget a session that is not.
        grace: seconds for which a session without a connection is kept.
        clock: seconds.
    """

    active: Callable[[str], bool]
    close: Callable[[str], None]
    grace: float
    clock: Callable[[], float] = time.monotonic
    at_end: list[Callable[[str], None]] = field(default_factory=list)
    _seen: dict[str, float] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def here(self, session: str) -> None:
        """This session is at work."""
        with self._lock:
            self._seen[session] = self.clock()

    def look(self) -> list[str]:
        """End the sessions that have been without a connection for too long; returns which these are."""
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


def _active(session: str) -> bool:
    return runtime.exists() and runtime.get_instance().is_active_session(session)


def _close(session: str) -> None:
    """Have Streamlit drop what it keeps of a session: its state, uploads, media files and caches."""
    if not runtime.exists():
        return
    server = runtime.get_instance()

    def close() -> None:
        if server.is_active_session(session):  # it has come back meanwhile
            return
        left = server._session_mgr.get_session_info(session)
        server.close_session(session)
        if left is not None:
            # Streamlit's loop still holds the last session it has served, until it serves another: what that
            # holds goes now. Its widgets' and fragments' functions hold all that they were drawn from.
            left.session._session_state = SessionState()
            left.session._fragment_storage.clear()

    try:
        # Sessions are closed in the server's own thread. Streamlit has no public way there, nor to one that
        # has lost its connection (1.67).
        server._get_async_objs().eventloop.call_soon_threadsafe(close)
    except RuntimeError:  # the server is being stopped
        _LOGGER.debug("session %s is not closed: the server ends", session)


_SESSIONS = Sessions(_active, _close, grace())
_BUSY: list[Callable[[], bool]] = []
_GUARD = threading.Lock()
_watching = False


def at_end(callback: Callable[[str], None]) -> None:
    """Have ``callback`` called with a session's id when it has ended."""
    _SESSIONS.at_end.append(callback)


def busy_while(asked: Callable[[], bool]) -> None:
    """While ``asked`` says yes, freed memory is kept for the work that is going on."""
    _BUSY.append(asked)


def current() -> str | None:
    """The id of the session whose page is running; None outside a page. Its end is looked for from now on."""
    context = get_script_run_ctx()
    if context is None:
        return None
    _SESSIONS.here(context.session_id)
    _watch()
    return context.session_id


def _watch() -> None:
    global _watching
    # Tests drive pages without a server; their sessions end with them.
    if not runtime.exists() or not isinstance(runtime.get_instance(), Runtime):
        return
    with _GUARD:
        if _watching:
            return
        _watching = True
    threading.Thread(target=_keep_looking, name="sessions", daemon=True).start()


def _keep_looking() -> None:
    # Looks at which there is still something to give back. Several: Streamlit closes a session in a thread of
    # its own, and work that was stopped takes a moment to end.
    untidy = 0
    while True:
        time.sleep(min(PACE, max(0.2, _SESSIONS.grace / 4)))
        try:
            if untidy and not any(asked() for asked in _BUSY):
                untidy -= 1
                tidy_up(alone=not len(_SESSIONS))
            if _SESSIONS.look():
                untidy = 3
        except Exception:
            # One session that cannot be ended must not keep the others for ever.
            _LOGGER.exception("sessions that have left are not all tidied up")


def tidy_up(*, alone: bool) -> None:
    """Give memory back.

    Args:
        alone: nobody is here: opened models and drawn images are let go, too.
    """
    if alone:
        st.cache_resource.clear()
        st.cache_data.clear()
        if (
            "padim.network.extractor" in sys.modules
        ):  # else none has been opened, and nothing is imported for it
            from padim.network.extractor import forget_extractors

            forget_extractors()
    gc.collect()
    return_freed_memory()
