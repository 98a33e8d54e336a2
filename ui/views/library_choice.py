"""The controls by which a page uses the image library: its images first, then a way to add more."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import streamlit as st

from ui import library
from ui.app.text import count, megabytes
from ui.views import library_list

if TYPE_CHECKING:
    from padim.storage.model_folders import Entry
    from ui.files.image_input import ImageSet
    from ui.scoring import ScoredUpload


def offer(
    entry: Entry,
    name: str,
    found: ImageSet | None,
    take: Callable[[ImageSet], object],
    what: str,
    *,
    kept: bool = True,
) -> bool:
    """Draw the button that uses images of the library; return whether there are any.

    Args:
        entry: the model.
        name: prefix of the button's key.
        found: the images; None draws nothing.
        take: called with them, after which the page runs again.
        what: describes them, as in "40 labelled images".
        kept: whether images that are added are kept in the library.
    """
    if found is None:
        return False
    with st.container(horizontal=True, vertical_alignment="center"):
        if st.button(
            f"Use the {what} of the library",
            key=f"{name}-library",
            type="primary",
            icon=":material/photo_library:",
        ):
            take(found)
            st.rerun()
        manage(entry, name)
    if kept:
        st.caption("Or add more; they are kept in the library, so that no page asks for them again.")
    return True


def manage(entry: Entry, name: str = "calibrate") -> None:
    """Draw the button that opens the list of the library's images."""
    store = library.library(entry)
    number = store.count()
    if number and st.button(
        f"Image library · {number:,}",
        key=f"{name}-manage-library",
        icon=":material/perm_media:",
        help=f"{count(number, 'image')}, {megabytes(store.size)}: labels, types of defects, removal.",
    ):
        library_list.dialog(entry)


def keep_scored(entry: Entry, name: str, items: Sequence[ScoredUpload]) -> None:
    """Draw the button that adds scored images to the library, without a label; none if all are there."""
    there = library.hashes(entry)
    new = [item for item in items if item.sha256 not in there]
    if not new or not st.button(
        f"Add {len(new):,} to the image library",
        key=f"{name}-keep",
        icon=":material/library_add:",
        help="Kept with the model, to be labelled there and used by Calibrate, Validate and Compare.",
    ):
        return
    if why := library.keep_scored(entry, new):
        st.error(why, icon=":material/error:")
    else:
        st.rerun()


def defect_type(entry: Entry, key: str) -> str:
    """Draw the choice of a type of defect, of the model's catalog or a new one; return it, or ""."""
    chosen = st.selectbox(
        "Type of defect",
        library.library(entry).defect_types(),
        index=None,
        key=key,
        accept_new_options=True,
        placeholder="Such as scratch (optional)",
        help="One for all of these images. It can be changed in the image library.",
        width=320,
    )
    return str(chosen or "").strip()
