"""The list of what each folder of labelled images was taken for, and the notes on their masks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import streamlit as st

from ui.app.text import count
from ui.widgets.panels import plain
from ui.widgets.tables import Cell, table

if TYPE_CHECKING:
    from padim.data.datasets import FolderUse, MaskAccount

# Largest number of folders that are listed.
_MOST = 200


def draw(folders: Sequence[FolderUse], masks: MaskAccount) -> None:
    """Draw the list, collapsed, and a warning if masks are missing, empty or without an image."""
    if masks.notes:
        st.warning(plain(". ".join(masks.notes)) + ".", icon=":material/warning:")
    if not folders:
        return
    with st.expander("What each folder was taken for", icon=":material/folder:", key="evaluate-folders"):
        st.html(
            table(
                ("Folder", "Taken for", "Files"),
                ((Cell(use.folder), Cell(use.taken_for), Cell(f"{use.files:,}")) for use in folders[:_MOST]),
            )
        )
        if len(folders) > _MOST:
            st.caption(f"And {count(len(folders) - _MOST, 'other folder')}.")
