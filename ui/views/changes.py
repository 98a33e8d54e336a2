"""A change of the model that is made at once, with its error shown on the page."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from padim.errors import PadimError
from ui import model_changes
from ui.app import shell

if TYPE_CHECKING:
    from collections.abc import Callable

    from padim.storage.model_folders import Entry


def apply_change(entry: Entry, work: Callable[[], None]) -> None:
    """Change the model, show what went wrong if it was not changed, and else run the page again."""
    try:
        with st.spinner("Working it out"):
            work()
    except (PadimError, OSError) as error:
        shell.failure("Nothing was changed.", error)
    else:
        model_changes.acknowledge(entry)
        st.rerun()
