"""The live viewer: a component of our own that draws images and level maps in the browser.

Its ES modules are in ``modules/viewer``; there is nothing to build and nothing to fetch from elsewhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ui.components import assets

if TYPE_CHECKING:
    from streamlit.components.v2.types import ComponentRenderer


def component() -> ComponentRenderer:
    """The registered component; call it to mount."""
    return assets.component(
        "viewer", html="viewer/viewer.html", css="viewer/viewer.css", module="viewer/viewer.js"
    )
