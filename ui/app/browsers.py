"""What the server keeps for a browser beyond the session of one page: states, and the owner of its jobs.

A page that is loaded again is a new session for Streamlit. The cookie (``ui.app.cookie``) tells that it comes
from the same browser, which finds its lists, its draft of a threshold and its jobs as it left them.

A browser whose last page was closed is forgotten after ``PADIM_KEEP_HOURS`` (12), and earlier when more than
``AWAY`` of them are away, or when they hold more than ``AWAY_BYTES`` of memory together: the one that has
been away for longest goes first. A server that is started again has forgotten all of them.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar, cast, runtime_checkable

from padim import settings

S = TypeVar("S")

# Number of browsers without an open page that are remembered.
AWAY = 32
# Bytes of memory, and of temporary files, that the states of all of them may hold.
AWAY_BYTES = 2**30
# States of one class that sessions which have ended have left behind in one browser.
_MOST_LEFT = 4


@runtime_checkable
class Weighty(Protocol):
    """A state that holds images: it tells how many bytes, and releases them when the browser is forgotten."""

    def held_bytes(self) -> int: ...
    def release(self) -> None: ...


@runtime_checkable
class OfOnePage(Protocol):
    """A state with something that belongs to one page alone, as the serial numbers of its components."""

    def begin_page(self) -> None: ...


def keep_hours() -> float:
    """Return for how many hours a browser without an open page is remembered: PADIM_KEEP_HOURS, or 12."""
    return settings.current().keep_hours


@dataclass(eq=False)
class Browser:
    """One browser.

    Attributes:
        owner: random identifier of the browser, which owns its jobs; unlike the cookie it is no secret.
        sessions: ids of the sessions that have run a page and have not ended.
        seen: when its last session ended, or a page of it has last run, on the registry's clock.
        restarted: the server was started again since this browser last loaded a page.
        shared: states that all its sessions share, by class.
        owned: states by class, each with the id of the session that has it, the latest last.
    """

    seen: float
    owner: str = field(default_factory=lambda: uuid.uuid4().hex)
    sessions: set[str] = field(default_factory=set)
    restarted: bool = False
    shared: dict[type, Any] = field(default_factory=dict)
    owned: dict[type, list[tuple[str, Any]]] = field(default_factory=dict)

    @property
    def states(self) -> list[Any]:
        """Return all its states."""
        return [*self.shared.values(), *(one for found in self.owned.values() for _, one in found)]

    def held_bytes(self) -> int:
        """Return the bytes that its states hold."""
        return sum(one.held_bytes() for one in self.states if isinstance(one, Weighty))


class Browsers:
    """The browsers that a server remembers (thread-safe).

    Attributes:
        active: returns whether the page of a session (by its id) is connected.
        at_end: callbacks, called with the owner id of a browser that is forgotten.
    """

    def __init__(
        self,
        active: Callable[[str], bool],
        hours: float,
        *,
        away: int = AWAY,
        away_bytes: int = AWAY_BYTES,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.active = active
        self.at_end: list[Callable[[str], None]] = []
        self._hours, self._away, self._away_bytes, self._clock = hours, away, away_bytes, clock
        self._lock = threading.RLock()
        self._browsers: dict[str, Browser] = {}

    def __len__(self) -> int:
        with self._lock:
            return len(self._browsers)

    def get(self, name: str, session: str, *, restarted: bool = False) -> Browser:
        """Return the browser with this secret name, created at first use.

        Args:
            name: the name in its cookie.
            session: id of the session that asks.
            restarted: whether the server was started again since the browser got its cookie.
        """
        with self._lock:
            browser = self._browsers.get(name)
            if browser is None:
                browser = self._browsers[name] = Browser(self._clock(), restarted=restarted)
            browser.sessions.add(session)
            browser.seen = self._clock()
            return browser

    def shared(self, browser: Browser, kind: type[S]) -> S:
        """Return the instance of a class that all sessions of a browser share."""
        with self._lock:
            if kind not in browser.shared:
                browser.shared[kind] = kind()
            return cast(S, browser.shared[kind])

    def owned(self, browser: Browser, kind: type[S], session: str) -> S:
        """Return a session's own instance of a class: one that a closed page has left, or else a new one."""
        with self._lock:
            found = browser.owned.setdefault(kind, [])
            left = [pair for pair in found if pair[0] == session]
            mine = left or [pair for pair in found if not self.active(pair[0])][-1:]
            if mine and mine[0][0] == session:
                return cast(S, mine[0][1])
            state = mine[0][1] if mine else kind()
            found[:] = [pair for pair in found if pair[1] is not state]
            found.append((session, state))
            gone = [pair for pair in found if not self.active(pair[0]) and pair[0] != session]
            dropped = [one for _, one in gone[: max(0, len(gone) - _MOST_LEFT)]]
            found[:] = [pair for pair in found if not any(pair[1] is one for one in dropped)]
        for one in dropped:
            if isinstance(one, Weighty):
                one.release()
        if mine and isinstance(state, OfOnePage):
            state.begin_page()
        return cast(S, state)

    def leave(self, session: str) -> None:
        """Record that a session has ended."""
        with self._lock:
            for browser in self._browsers.values():
                if session in browser.sessions:
                    browser.sessions.discard(session)
                    browser.seen = self._clock()

    def forget_expired(self) -> int:
        """Forget the browsers that have been away for too long, or hold too much; return how many."""
        now = self._clock()
        with self._lock:
            away = sorted(
                ((name, one) for name, one in self._browsers.items() if not one.sessions),
                key=lambda pair: pair[1].seen,
                reverse=True,
            )
            held, gone = 0, []
            for place, (name, one) in enumerate(away):
                held += one.held_bytes()
                late = now - one.seen >= self._hours * 3600
                if late or place >= self._away or held > self._away_bytes:
                    gone.append(self._browsers.pop(name))
        for browser in gone:
            for callback in self.at_end:
                callback(browser.owner)
            for state in browser.states:
                if isinstance(state, Weighty):
                    state.release()
        return len(gone)
