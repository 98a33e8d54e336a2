"""The state that the app keeps from page to page, and where it is kept.

There are two kinds of values, each stored in one place:

* the value of a widget is stored under that widget's own key, with ``persist_state="session"`` if it must
  survive a change of page;
* everything else (surveys, scored images, which job is running) is stored in a plain dataclass. :func:`of`
  returns one instance per session, which ends when the page is loaded again; :func:`lasting` one per session
  that the next session of the same browser takes over; :func:`of_browser` one that all pages of a browser
  share.

The model in use is neither: it is named in the URL (``ui.app.shell``), so that a link always opens it.
"""

from __future__ import annotations

import uuid
from typing import TypeVar, cast

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from ui.app import cookie, sessions
from ui.app.browsers import Browser, Browsers, keep_hours

S = TypeVar("S")

_BROWSERS = Browsers(sessions.is_active, keep_hours())
sessions.at_end(_BROWSERS.leave)
sessions.at_check(lambda: bool(_BROWSERS.forget_expired()))


def browsers() -> Browsers:
    """Return the server's only registry of browsers."""
    return _BROWSERS


def of(kind: type[S]) -> S:
    """Return this session's instance of a state class, created without arguments at first use."""
    key = f"padim:{kind.__module__}.{kind.__qualname__}"
    if key not in st.session_state:
        st.session_state[key] = kind()
    return cast(S, st.session_state[key])


def of_browser(kind: type[S]) -> S:
    """Return the instance of a state class that all pages of this browser share, also after a reload.

    Several pages may use it at once, in different threads. Without a cookie it is this session's own.
    """
    browser = _browser()
    return of(kind) if browser is None else _BROWSERS.shared(browser, kind)


def lasting(kind: type[S]) -> S:
    """Return this session's instance of a state class, which outlives the session.

    When the page is loaded again, its new session takes the instance over; a second page that is open at the
    same time has its own. Without a cookie it ends with the session.
    """
    key = f"padim:{kind.__module__}.{kind.__qualname__}"
    if key not in st.session_state:
        browser, context = _browser(), get_script_run_ctx()
        if browser is None or context is None:
            return of(kind)
        st.session_state[key] = _BROWSERS.owned(browser, kind, context.session_id)
    return cast(S, st.session_state[key])


def session_id() -> str:
    """Return a random identifier of this session, which keeps its jobs apart from those of others."""
    if "padim:session" not in st.session_state:
        st.session_state["padim:session"] = uuid.uuid4().hex
    return cast(str, st.session_state["padim:session"])


def owner() -> str | None:
    """Return who owns the jobs that this page starts: its browser, or without a cookie its session."""
    browser = _browser()
    return sessions.current() if browser is None else browser.owner


def restarted() -> bool:
    """Whether the server was started again since this browser loaded a page, and it has not been told."""
    browser = _browser()
    return browser is not None and browser.restarted


def restart_read() -> None:
    """Record that the user has read that the server was started again."""
    browser = _browser()
    if browser is not None:
        browser.restarted = False


def _browser() -> Browser | None:
    """Return the browser whose page is running; None without a cookie, and outside a page."""
    context = get_script_run_ctx()
    if context is None:
        return None
    key = "padim:browser"
    if key not in st.session_state:
        sent = cookie.sent(st.context.cookies)
        # A page that was open when the server went sends the cookie of the server before; a page that was
        # loaded since has a new one, and the middleware has noted that it had come back.
        st.session_state[key] = (
            None if sent is None else (sent.name, sent.start != cookie.START or cookie.came_back(sent.name))
        )
    found = st.session_state[key]
    sessions.current()  # so that the end of this session is noticed
    if found is None:
        return None
    return _BROWSERS.get(found[0], context.session_id, restarted=found[1])
