"""The editor of marks: a component of our own to mark places on the reference part at full resolution.

Its ES modules are in ``modules/marks``; there is nothing to build and nothing to fetch from elsewhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ui.components import assets

if TYPE_CHECKING:
    from streamlit.components.v2.types import ComponentRenderer


def component() -> ComponentRenderer:
    """The registered component; call it to mount."""
    return assets.component("marks", html="marks/marks.html", css="marks/marks.css", module="marks/marks.js")
