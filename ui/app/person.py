"""Who uses this browser: a name that is asked for once, never insisted on, and that goes with all it writes.

There are no accounts. The name is kept in a cookie for a year; a script in the page writes it, because a page
that is already loaded cannot be sent a cookie. What comes back from the browser counts as input.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from urllib.parse import quote, unquote

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from padim.text import one_line
from ui.app import cookie, server, state
from ui.widgets.panels import plain

__all__ = ["COOKIE", "LONGEST", "acting_as", "draw", "given", "name", "set_name"]

COOKIE = "padim_person"
LONGEST = 60
_FIELD = "person-name"
_YEAR = 366 * 24 * 3600


@dataclass
class _Person:
    """The name that a browser has been given since the server started; None: the cookie's counts."""

    name: str | None = None


def given() -> str:
    """Return the name that the user of this browser has given; empty if none, and outside a page."""
    if get_script_run_ctx() is None:
        return ""
    known = state.of_browser(_Person)
    if known.name is None:
        known.name = one_line(unquote(_sent()), LONGEST)
    return known.name


def name() -> str:
    """Return the name that records bear: the given one, or "browser 3f2a", the same for all its pages."""
    return given() or f"browser {_mark()}"


def acting_as() -> str:
    """Return who is changing a model, for others who wait: the given name, or "a browser session"."""
    return given() or "a browser session"


def set_name(text: str) -> None:
    """Give this browser's user a name; an empty one takes it away."""
    state.of_browser(_Person).name = one_line(text, LONGEST)


def draw() -> None:
    """Draw the name in the sidebar, with a field to give or change it."""
    known = given()
    with st.popover(plain(known) or "Your name", icon=":material/person:", key="person", type="tertiary"):
        field()
        until = "" if known else f" Until you give one, it is “{plain(name())}”."
        st.caption(
            "Whatever this browser records or changes bears this name, so that others know whom to ask. "
            f"It is kept in this browser for a year.{until}"
        )
    _keep(known)


def field(label: str = "Your name", key: str = _FIELD) -> None:
    """Draw a text field for the name.

    Args:
        label: the field's label.
        key: tells several such fields of a page apart.
    """
    st.session_state[key] = given()
    st.text_input(
        label,
        key=key,
        max_chars=LONGEST,
        placeholder=name(),
        autocomplete="name",
        on_change=lambda: set_name(st.session_state[key]),
    )


def _keep(known: str) -> None:
    """Have the browser keep the name, or forget it, with a cookie; renewed with every run of a page."""
    value, age = (quote(known, safe=""), _YEAR) if known else ("", 0)
    if not known and not _sent():
        return
    # The value holds no character but letters, digits, "%", "_", ".", "-" and "~".
    text = f"{COOKIE}={value}; Max-Age={age}; Path=/{server.base_path()}; SameSite=Lax"
    script = json.dumps(text).replace("<", "\\u003c")
    st.html(
        f"<script>document.cookie = {script} + (location.protocol === 'https:' ? '; Secure' : '')</script>",
        unsafe_allow_javascript=True,
    )


def _sent() -> str:
    """Return the cookie as the browser has sent it; empty if there is none."""
    sent = st.context.cookies.get(COOKIE)
    # Outside of a server, tests have a stand-in for the cookies.
    return sent if isinstance(sent, str) else ""


def _mark() -> str:
    """Return four hex digits that tell this browser from others, the same after a reload."""
    found = cookie.sent(st.context.cookies) if get_script_run_ctx() is not None else None
    secret = state.session_id() if found is None else found.name
    return hashlib.sha256(f"person {secret}".encode()).hexdigest()[:4]
