"""The review desk: a component of our own that shows one inspection large, and takes decisions by keyboard.

Its ES modules are in ``modules/desk``; there is nothing to build and nothing to fetch from elsewhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ui.components import assets

if TYPE_CHECKING:
    from streamlit.components.v2.types import ComponentRenderer


def component() -> ComponentRenderer:
    """The registered component; call it to mount."""
    return assets.component("desk", html="desk/desk.html", css="desk/desk.css", module="desk/desk.js")
