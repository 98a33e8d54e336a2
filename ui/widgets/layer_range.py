"""The choice of a network's layers: one chip a layer, and a slider from the finest to the coarsest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import streamlit as st

from ui.widgets import preset_control
from ui.widgets.layers import sees, sees_at

if TYPE_CHECKING:
    from padim.network.registry import Backbone

__all__ = ["choose", "within"]


def choose(backbone: Backbone, name: str, standard: Sequence[str]) -> list[str]:
    """Draw chips and slider, which always agree, and return the names of the chosen layers.

    Args:
        backbone: the network.
        name: its name, on which the widgets' keys depend.
        standard: the layers to begin with.
    """
    layers = {layer.name: layer for layer in backbone.layers}
    key = preset_control.layers_key(name)
    st.session_state.setdefault(key, list(standard))
    picked: list[str] = st.pills(
        "Layers",
        list(layers),
        selection_mode="multi",
        wrap=True,
        format_func=lambda key: f"{key} · {sees(layers[key])} · {layers[key].channels} ch",
        key=key,
        persist_state="session",
        help="Each layer by the network’s own name, what it sees best, the distance between two of its "
        "places (its stride) and how many features it gives at each (its channels, ch). Early layers see "
        "texture and scratches, late ones shape and missing parts. A deeper layer makes every image take "
        "longer.",
    )
    strides = sorted({layer.stride for layer in backbone.layers})
    if len(strides) < 2:
        return picked
    ends = sorted(layers[one].stride for one in picked or standard)
    slider = f"{key}-range"
    # The chips decide; the slider shows the range that they span, and sets them when it is moved.
    st.session_state[slider] = (ends[0], ends[-1])
    st.select_slider(
        "From finest to coarsest",
        strides,
        # Makes it a range; what it shows is set above, which the server's settings allow beside it.
        value=(strides[0], strides[-1]),
        format_func=sees_at,
        key=slider,
        on_change=_moved,
        args=(slider, key, backbone),
        help="Chooses one layer of each stride in this range: the network’s usual one, else its deepest. "
        "With the chips above any other choice can be made.",
    )
    return picked


def _moved(slider: str, chips: str, backbone: Backbone) -> None:
    """Choose the layers within the slider's range; a callback that runs before the page."""
    st.session_state[chips] = within(backbone, *st.session_state[slider])


def within(backbone: Backbone, finest: int, coarsest: int) -> list[str]:
    """Return the layers that stand for the strides from one to another in pixels, both included.

    Each stride is represented by the network's usual layers of it; by its deepest if none is usual.
    """
    chosen: list[str] = []
    for stride in range(finest, coarsest + 1):
        of_stride = [layer.name for layer in backbone.layers if layer.stride == stride]
        usual = [name for name in of_stride if name in backbone.default_layers]
        chosen += usual or of_stride[-1:]
    return [layer.name for layer in backbone.layers if layer.name in chosen]
