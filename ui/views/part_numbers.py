"""The Part numbers tab of the Models page: which model inspects which part, and the history of switches."""

from __future__ import annotations

from functools import partial

import streamlit as st

from padim.errors import PadimError
from ui import part_numbers
from ui.app import clock, person, shell, workspace
from ui.widgets import panels

_MOST_EVENTS = 200
_WORDS = {"set": "recipe set", "removed": "recipe removed", "switched": "switched to", "refused": "refused"}


def draw() -> None:
    """Draw the tab."""
    if failed := st.session_state.pop("part-numbers-failed", None):
        shell.failure("The recipe was not changed.", failed)
    entries = [entry for entry in workspace.store().models() if not entry.broken]
    names = workspace.distinct_names(entries)
    try:
        recipes = part_numbers.recipes().all()
        events = part_numbers.recipes().events(_MOST_EVENTS)
    except (PadimError, OSError) as error:
        shell.failure("The part numbers cannot be read.", error)
        return
    st.subheader("Which model inspects which part")
    st.caption(
        "On Inspect, a part number that is typed, scanned or read from file names switches to its model; one "
        "that is not in this list is refused, and nothing is scored by the model used last."
    )
    if recipes:
        for number, recipe in enumerate(recipes):
            with st.container(horizontal=True, vertical_alignment="center"):
                called = names.get(recipe.model_id)
                model = "a model that is not there" if called is None else panels.plain(called)
                st.markdown(
                    f"**{panels.plain(recipe.part_number)}** → {model}"
                    f"{' :material/warning:' if called is None else ''}",
                    width="content",
                )
                st.caption(f"{panels.plain(recipe.who)}, {clock.when(recipe.changed)}", width="content")
                st.button(
                    "Remove",
                    key=f"part-number-remove-{number}",
                    icon=":material/delete:",
                    type="tertiary",
                    help=f"{panels.plain(recipe.part_number)} is refused from then on.",
                    on_click=partial(_remove, recipe.part_number),
                )
    else:
        shell.empty("No part numbers yet", "Give a part number its model below.")
    if not entries:
        st.caption("Fit a model first.")
    else:
        _form(names)
    st.subheader("History of switches")
    if not events:
        st.caption("Nothing yet.")
        return
    st.dataframe(
        {
            "When": [clock.when(event.at) for event in events],
            "Who": [event.who for event in events],
            "What": [_WORDS.get(event.kind, event.kind) for event in events],
            "Part number": [event.part_number for event in events],
            "Model": [names.get(event.model_id, event.model_id) for event in events],
            "Station": [event.station for event in events],
            "Given": [event.how for event in events],
        },
        key="part-numbers-history",
        hide_index=True,
    )
    if len(events) == _MOST_EVENTS:
        st.caption(f"The latest {_MOST_EVENTS}.")


def _form(names: dict[str, str]) -> None:
    with st.form("part-number-form", clear_on_submit=True):
        left, middle, right = st.columns([2, 3, 1], vertical_alignment="bottom")
        left.text_input("Part number", key="part-number-new", placeholder="Type or scan")
        middle.selectbox(
            "Model", list(names), format_func=lambda one: names.get(one, one), key="part-number-model"
        )
        right.form_submit_button("Set", key="part-number-set", type="primary", on_click=_set)


def _set() -> None:
    number, model_id = st.session_state["part-number-new"], st.session_state["part-number-model"]
    try:
        part_numbers.recipes().set(number, model_id, person.name())
    except (PadimError, OSError) as error:
        st.session_state["part-numbers-failed"] = error


def _remove(part_number: str) -> None:
    try:
        part_numbers.recipes().remove(part_number, person.name())
    except (PadimError, OSError) as error:
        st.session_state["part-numbers-failed"] = error
