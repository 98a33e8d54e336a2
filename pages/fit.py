"""The Fit page: a new model from images of good parts, or the good parts of the model in use."""

from __future__ import annotations

import streamlit as st

from ui import fit
from ui.app import shell
from ui.views import good_parts, new_model
from ui.widgets import panels

_VIEW = "fit-view"


def _choose_view() -> None:
    fit.memory().view = st.session_state[_VIEW]


# Done before anything reads the URL: if the page ran again for the new model instead, a request of the
# browser that is on its way with the former model in its URL could replace that run.
if fit.finish():
    fit.memory().view = "normals"
entry = shell.begin("Fit", "Teach a model what good parts look like, from images of good parts alone.")
if fit.memory().afresh:
    fit.memory().view = "new"
    fit.memory().afresh = False
if fit.memory().sample_asked:
    fit.take_sample()
if entry is None:
    new_model.draw()
else:
    views = {"new": "New model", "normals": f"Normals of “{panels.plain(entry.name)}”"}
    # The page's state decides which view is shown; the control only displays it and reports clicks. A request
    # that is on its way when the control first appears does not contain it, and would reset it to its first
    # option.
    st.session_state[_VIEW] = fit.memory().view
    view = st.segmented_control(
        "View",
        list(views),
        format_func=lambda key: views[key],
        required=True,
        key=_VIEW,
        on_change=_choose_view,
        label_visibility="collapsed",
    )
    if view == "normals":
        good_parts.draw(entry)
    else:
        new_model.draw()
