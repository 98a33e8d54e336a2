"""The Checks page: alignment, repeatability, a second session, and how many good parts the model needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from ui.app import preload, shell
from ui.views import alignment, learning_curve, repeatability, second_session

if TYPE_CHECKING:
    from padim.storage.model_folders import Entry


def _page(entry: Entry) -> None:
    model = shell.opened(entry)
    if model is None:
        return
    message = st.session_state.pop(repeatability.MESSAGE, None)
    if message is not None:
        st.toast(message, icon=":material/check:")
    alignment.draw(model)
    st.divider()
    repeatability.draw(entry, model)
    st.divider()
    second_session.draw(entry, model)
    st.divider()
    learning_curve.draw(entry, model)


in_use = shell.begin(
    "Checks",
    "How the parts lie, how repeatable their scores are, whether another day keeps the promise, and how many "
    "good parts it takes.",
)
if in_use is None:
    shell.needs_model()
else:
    _page(in_use)
    preload.up(preload.FIT)
