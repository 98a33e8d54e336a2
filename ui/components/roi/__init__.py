"""The region editor: a component of our own to draw polygons and brush strokes on the mean good part.

Three plain files in this folder: there is nothing to build and nothing to fetch from elsewhere.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

if TYPE_CHECKING:
    from streamlit.components.v2.types import ComponentRenderer

FOLDER = Path(__file__).parent


def read(name: str) -> str:
    """One of the component's files."""
    return (FOLDER / name).read_text(encoding="utf-8")


@cache
def component() -> ComponentRenderer:
    """The registered component; call it to mount."""
    return st.components.v2.component(
        "padim.region", html=read("region.html"), css=read("region.css"), js=read("region.js")
    )
