"""A change of the model that is made at once, with its error shown on the page."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from padim.errors import BusyError, ChangedSinceOpenedError, PadimError
from ui import model_changes
from ui.app import refusals, shell

if TYPE_CHECKING:
    from collections.abc import Callable

    from padim.storage.model_folders import Entry


def apply_change(
    entry: Entry,
    what: str,
    work: Callable[[Entry], None],
    *,
    failed: str = "Nothing was changed.",
    spinner: str = "Working it out",
    done: Callable[[], None] | None = None,
) -> None:
    """Change the model, show what went wrong if it was not changed, and else run the page again.

    If somebody else has changed the model since the page showed it, or is at work on it, the change is kept,
    and the page offers to repeat it.

    Args:
        entry: the model.
        what: the change in a few words, as in "Your change was not saved: the threshold 2.90".
        work: makes the change to the model that it is called with.
        failed: the text before an error's reason.
        spinner: the text shown meanwhile.
        done: called after success, before the page runs again.
    """
    try:
        with st.spinner(spinner):
            work(entry)
    except (ChangedSinceOpenedError, BusyError) as error:
        refusals.keep(entry, what, error, work)
        st.rerun()
    except (PadimError, OSError, ValueError) as error:
        shell.failure(failed, error, in_view=True)
    else:
        model_changes.acknowledge(entry)
        if done is not None:
            done()
        st.rerun()
