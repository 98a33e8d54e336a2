"""The tabs of a page: only the open one is drawn and computed, and the address names it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from html import escape

import streamlit as st

from ui.app import state
from ui.app.pages import AppPage, PageTab

PARAMETER = "tab"


@dataclass
class _OpenTabs:
    """The tab last open on each page of a session, by the page's file."""

    of: dict[str, str] = field(default_factory=dict)


def draw(page: AppPage) -> tuple[str, AbstractContextManager[object]]:
    """Draw the tabs of a page.

    Returns:
        The key of the open tab, and the container to draw its contents in.
    """
    current = open_tab(page)
    key = f"tab-{page.path.rpartition('/')[2].removesuffix('.py')}"
    # The address decides which tab is open; the control only shows it and reports clicks. A request that is
    # on its way when the control first appears does not contain it, and would reset it to its first tab.
    st.session_state[key] = current.label
    drawn: Sequence[AbstractContextManager[object]] = st.tabs(
        [tab.label for tab in page.tabs], key=key, on_change=_clicked, args=(page, key)
    )
    place = drawn[page.tabs.index(current)]
    with place:
        heading(current.label)
    return current.key, place


def heading(text: str) -> None:
    """Draw a heading for assistive technology alone: the level between a page's heading and its sections."""
    st.html(f'<h2 class="pv-heading" aria-label="{escape(text, quote=True)}"></h2>')


def open_tab(page: AppPage) -> PageTab:
    """Return the open tab: the one in the address, else the one last open in this session, else the first."""
    last = state.of(_OpenTabs).of
    for wanted in (st.query_params.get(PARAMETER), last.get(page.path)):
        found = next((tab for tab in page.tabs if tab.key == wanted), None)
        if found is not None:
            show(page, found.key)
            return found
    return page.tabs[0]


def show(page: AppPage, key: str) -> None:
    """Open a tab of the page that is being drawn."""
    state.of(_OpenTabs).of[page.path] = key
    if st.query_params.get(PARAMETER) != key:
        st.query_params[PARAMETER] = key


def _clicked(page: AppPage, key: str) -> None:
    label = st.session_state[key]
    show(page, next((tab.key for tab in page.tabs if tab.label == label), page.tabs[0].key))
