"""The live viewer: a component of our own that draws images and judged maps in the browser.

Its parts are plain files in this folder. They are joined into one script, in this order, each seeing the
names of those before it; there is nothing to build and nothing to fetch from elsewhere.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

if TYPE_CHECKING:
    from streamlit.components.v2.types import ComponentRenderer

FOLDER = Path(__file__).parent
SCRIPTS = (
    "judge.js",
    "paint.js",
    "words.js",
    "library.js",
    "histogram.js",
    "panes.js",
    "gallery.js",
    "results.js",
    "mask.js",
    "steps.js",
    "viewer.js",
)


def read(name: str) -> str:
    """One of the component's files."""
    return (FOLDER / name).read_text(encoding="utf-8")


@cache
def component() -> ComponentRenderer:
    """The registered component; call it to mount."""
    return st.components.v2.component(
        "padim.viewer", html=read("viewer.html"), css=read("viewer.css"), js="\n".join(map(read, SCRIPTS))
    )
