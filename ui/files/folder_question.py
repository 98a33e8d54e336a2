"""The question which folder of labelled data holds the good parts, asked before anything is fitted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import streamlit as st

from ui.app.text import count
from ui.widgets.panels import plain

if TYPE_CHECKING:
    from padim.errors import LabeledInputError

# From this number of folders on, they are in a list that opens.
_MANY = 9
_EVERYTHING = "."


@dataclass(frozen=True)
class Answer:
    """The user's answer.

    Attributes:
        folder: the folder to use, relative to what was chosen; ``.`` for all of it.
        other: whether other images are to be chosen instead.
    """

    folder: str = ""
    other: bool = False


def ask(name: str, question: LabeledInputError, *, all_of_it: bool = True) -> Answer | None:
    """Draw the question; return the answer, or None until there is one.

    Args:
        name: distinguishes several such questions on a page.
        question: the folders to choose from.
        all_of_it: whether all images may be declared to be good parts.
    """
    signs = list(question.signs[:4])
    more = len(question.signs) - len(signs)
    with st.container(border=True, key=f"{name}-folders"):
        st.markdown(f"**Which folder of “{plain(question.given)}” holds the good parts?**")
        st.caption(
            f"Not all of these images seem to be good parts: {plain('; '.join(signs))}"
            f"{f' and {more} more' if more > 0 else ''}. A model that is fitted on defects or masks accepts "
            "such defects."
        )
        images = dict(question.folders)
        options = [folder for folder, _ in question.folders if folder != _EVERYTHING]
        texts = {folder: f"{plain(folder)} · {count(images[folder], 'image')}" for folder in options}
        if all_of_it:
            options.append(_EVERYTHING)
            texts[_EVERYTHING] = (
                f"All of it · {count(sum(images.values()), 'image')}, each of which shows a good part"
            )
        index = options.index(question.proposed) if question.proposed in options else None
        if len(options) > _MANY:
            folder = st.selectbox(
                "Folder",
                options,
                index=index,
                format_func=lambda one: texts.get(one, one),
                placeholder="Choose a folder",
                key=f"{name}-folder",
                label_visibility="collapsed",
            )
        else:
            folder = st.radio(
                "Folder",
                options,
                index=index,
                format_func=lambda one: texts.get(one, one),
                key=f"{name}-folder",
                label_visibility="collapsed",
            )
        with st.container(horizontal=True):
            use = st.button(
                "Use these images", type="primary", key=f"{name}-folder-use", disabled=folder is None
            )
            other = st.button("Choose other images", key=f"{name}-folder-other", icon=":material/undo:")
    if other:
        return Answer(other=True)
    return Answer(folder) if use and folder is not None else None
