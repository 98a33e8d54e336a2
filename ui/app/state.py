"""The state that one browser session keeps from page to page.

There are two kinds of values, each stored in one place:

* the value of a widget is stored under that widget's own key, with ``persist_state="session"`` if it must
  survive a change of page;
* everything else (surveys, scored images, which job is running) is stored in a plain dataclass, one instance
  per session, which :func:`of` returns.

The model in use is neither: it is named in the URL (``ui.app.shell``), so that a link always opens it.
"""

from __future__ import annotations

import uuid
from typing import TypeVar, cast

import streamlit as st

S = TypeVar("S")


def of(kind: type[S]) -> S:
    """Return this session's instance of a state class, created without arguments at first use."""
    key = f"padim:{kind.__module__}.{kind.__qualname__}"
    if key not in st.session_state:
        st.session_state[key] = kind()
    return cast(S, st.session_state[key])


def session_id() -> str:
    """Return a random identifier of this session, which keeps its jobs apart from those of others."""
    if "padim:session" not in st.session_state:
        st.session_state["padim:session"] = uuid.uuid4().hex
    return cast(str, st.session_state["padim:session"])
