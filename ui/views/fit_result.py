"""The Result tab of the Fit page: the good parts, how they lie, and whether there are enough of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from ui.app import preload, shell
from ui.views import alignment, good_parts, health, learning_curve

if TYPE_CHECKING:
    from padim.storage.model_folders import Entry


def draw(entry: Entry) -> None:
    """Draw the tab for a model."""
    model = shell.opened(entry, here=True)
    if model is None:
        return
    health.draw(entry)
    st.divider()
    good_parts.draw(entry, model)
    st.divider()
    alignment.draw(model)
    st.divider()
    learning_curve.draw(entry, model)
    preload.up(preload.FIT)
