"""The choice of the input size: as the parts are shaped, a square, or a height and width of one's own."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, Literal

import streamlit as st

from padim import presets
from padim.input_size import COARSEST_STRIDE, LARGEST, SMALLEST, InputSize, as_input_size, as_shape
from ui.app.text import size

SizeChoice = Literal["parts", "own"] | int

# Keys of the widgets; presets set the first one.
KEY, _HEIGHT, _WIDTH = "fit-size", "fit-size-height", "fit-size-width"
AS_THE_PARTS: Literal["parts"] = "parts"
_OWN: Literal["own"] = "own"
SQUARES = (128, 192, 256, 320, 384, 448, 512, 640, 768, 1024)


def choose(sizes: Iterable[tuple[int, int]]) -> InputSize:
    """Draw the choice of the input size and return it.

    Args:
        sizes: (height, width) of the images of good parts in pixels.
    """
    from padim.data.input_shape import input_shape_for

    proposed = input_shape_for(sizes)

    def text(choice: SizeChoice) -> str:
        if choice == AS_THE_PARTS:
            return f"As the parts: {size(as_shape(proposed))}"
        return "Own height and width" if choice == _OWN else f"{choice} × {choice}"

    st.session_state.setdefault(KEY, AS_THE_PARTS)
    choice: SizeChoice = st.selectbox(
        "Input size",
        [AS_THE_PARTS, *SQUARES, _OWN],
        format_func=text,
        key=KEY,
        persist_state="session",
        help="Every image is brought to this size, width × height in pixels. *As the parts* is recommended: "
        "near their own shape, so that nothing is squeezed, at about the cost of 256 × 256. Larger shows "
        "smaller defects; time and memory grow with the area: twice both sides is four times both.",
    )
    if choice == AS_THE_PARTS:
        chosen = proposed
    elif choice == _OWN:
        chosen = _own(as_shape(proposed))
    else:
        chosen = choice
    st.caption(_cost(chosen))
    return chosen


def as_the_parts() -> bool:
    """Whether the input size follows the parts' shape, as every preset has it."""
    return bool(st.session_state.get(KEY, AS_THE_PARTS) == AS_THE_PARTS)


def _own(proposed: tuple[int, int]) -> InputSize:
    for key, side in zip((_HEIGHT, _WIDTH), proposed, strict=True):
        st.session_state.setdefault(key, side)
    limits: dict[str, Any] = {"min_value": SMALLEST, "max_value": LARGEST, "step": COARSEST_STRIDE}
    wide, high = st.columns(2)
    with wide:
        width = st.number_input("Width (px)", key=_WIDTH, persist_state="session", **limits)
    with high:
        height = st.number_input("Height (px)", key=_HEIGHT, persist_state="session", **limits)
    sides = [_whole(value) for value in (height, width)]
    if sides != [height, width]:
        st.caption(
            f"Sides are multiples of {COARSEST_STRIDE}: {sides[1]} × {sides[0]} is used.",
        )
    return as_input_size(sides)


def _whole(side: float) -> int:
    """Round to the nearest multiple of the coarsest stride."""
    return min(LARGEST, max(SMALLEST, round(side / COARSEST_STRIDE) * COARSEST_STRIDE))


def _cost(chosen: InputSize) -> str:
    usual = presets.settings("standard")["input_size"]
    ratio = math.prod(as_shape(chosen)) / math.prod(as_shape(usual))
    if 0.95 <= ratio <= 1.05:
        return f"Time and memory of {usual} × {usual}."
    return f"{ratio:.2g} times the time and memory of {usual} × {usual}."
