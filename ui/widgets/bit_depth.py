"""The bit depth of images to fit on: what their files declare, or a question to the user."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from padim.errors import InputError
from ui import fit
from ui.app import shell

if TYPE_CHECKING:
    from padim.data.bit_depth import BitDepthQuestion
    from padim.data.survey import Survey


def choose(survey: Survey, *, disabled: bool = False) -> tuple[bool, int | None]:
    """Draw what is known or asked about the images' bit depth.

    Args:
        survey: the survey of the images.
        disabled: whether the answer can no longer be changed.

    Returns:
        Whether the images can be fitted on, and their bit depth; None if no image is deeper than 8 bits.
    """
    from padim.data.bit_depth import BitDepthQuestion

    try:
        found = survey.bit_depth
    except InputError as error:
        shell.failure("These images cannot be fitted on together.", error)
        return False, None
    if isinstance(found, BitDepthQuestion):
        answer = _ask(found, disabled)
        return answer is not None, answer
    if found is not None:
        st.caption(f":material/exposure: The files declare {_range(found)}." if found < 16 else _FULL)
    return True, found


_FULL = ":material/exposure: The 16-bit images use the full range of 16 bits."


def _ask(question: BitDepthQuestion, disabled: bool) -> int | None:
    key = f"fit-bit-depth-{fit.memory().sets}"
    with st.container(border=True, key="fit-depth"):
        answer: int | None = st.radio(
            f"**{question.text}**",
            question.choices,
            index=None,
            format_func=lambda depth: f"{_range(depth)}{' (proposed)' if depth == question.proposed else ''}",
            key=key,
            persist_state="session",
            on_change=_answered,
            args=(key, question),
            disabled=disabled,
            help="The camera’s data sheet or its pixel format (Mono10, Mono12, Mono14) tells it. With too "
            "large a range faint defects vanish; an image with values above the range is refused.",
        )
        st.caption(
            "Nothing in the files says it, and values alone cannot: dark images of the full range stay low, "
            "too. The answer holds for every image of the model."
        )
    return answer


def _answered(key: str, question: BitDepthQuestion) -> None:
    fit.show_with(st.session_state[key], question)


def _range(depth: int) -> str:
    return f"{depth} bits, up to {(1 << depth) - 1:,}"
