"""The region editor: a component of our own to draw polygons and brush strokes on the mean good part.

Its ES modules are in ``modules/region``; there is nothing to build and nothing to fetch from elsewhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ui.components import assets

if TYPE_CHECKING:
    from streamlit.components.v2.types import ComponentRenderer


def component() -> ComponentRenderer:
    """The registered component; call it to mount."""
    return assets.component("region", html="roi/region.html", css="roi/region.css", module="region/region.js")
