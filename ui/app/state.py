"""What one browser session remembers from page to page.

Two kinds of value, each living in one place:

* what a widget shows lives in that widget's own key, with ``persist_state="session"`` where it must survive a
  change of page;
* everything else (surveys, scored images, which job is running) lives in a plain dataclass, one instance
  per session, fetched with :func:`of`.

The model in use is neither: it is named in the URL (``ui.app.shell``), so that a link always opens it.
"""

from __future__ import annotations

import uuid
from typing import TypeVar, cast

import streamlit as st

S = TypeVar("S")


def of(kind: type[S]) -> S:
    """This session's instance of a state class, made with no arguments at first use."""
    key = f"padim:{kind.__module__}.{kind.__qualname__}"
    if key not in st.session_state:
        st.session_state[key] = kind()
    return cast(S, st.session_state[key])


def session_id() -> str:
    """A random name for this session, used to keep its jobs apart from others'."""
    if "padim:session" not in st.session_state:
        st.session_state["padim:session"] = uuid.uuid4().hex
    return cast(str, st.session_state["padim:session"])
