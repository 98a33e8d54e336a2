"""Input sizes: the rectangle to which a model resizes every image, as a setting and as text.

An input size is a side in pixels, for a square, or a pair (height, width). Both sides are multiples of the
networks' coarsest stride, so that every layer has whole positions.
"""

from __future__ import annotations

import operator
import re
from typing import Any, TypeAlias

__all__ = [
    "COARSEST_STRIDE",
    "LARGEST",
    "SMALLEST",
    "InputSize",
    "about_area",
    "as_input_size",
    "as_shape",
    "as_text",
]

InputSize: TypeAlias = int | tuple[int, int]
"""A side in pixels, or (height, width)."""

Shape: TypeAlias = tuple[int, int]

# The coarsest stride of all networks in the registry, which halve the image five times.
COARSEST_STRIDE = 32
SMALLEST, LARGEST = 64, 2048
_TEXT = re.compile(r"\s*(\d{1,6})\s*(?:[x×*,]\s*(\d{1,6})\s*)?", re.IGNORECASE)


# Of rectangles with multiples of 32 as sides; a model's cost follows the area.
_SMALLEST_AREA, _LARGEST_AREA = 0.8, 1.1


def about_area(pixels: int, wanted: int) -> bool:
    """Whether an area is about the wanted one, as nearly as sides of multiples of 32 allow."""
    return _SMALLEST_AREA <= pixels / wanted <= _LARGEST_AREA


def as_shape(size: InputSize) -> Shape:
    """Return an input size as (height, width)."""
    return (size, size) if isinstance(size, int) else size


def as_text(size: InputSize) -> str:
    """Return an input size as options and files take it: ``256``, or ``160x416`` for height x width."""
    return str(size) if isinstance(size, int) else f"{size[0]}x{size[1]}"


def as_input_size(value: Any) -> InputSize:
    """Return a checked input size from a number, a pair, or a text such as ``256`` or ``160x416``.

    A pair of equal sides is returned as one number, so that a square has one form.

    Raises:
        ValueError: the value is none of these, or a side is out of range or not a multiple of 32.
    """
    if isinstance(value, str):
        found = _TEXT.fullmatch(value)
        if found is None:
            raise ValueError("write a side in pixels, such as 256, or height x width, such as 160x416")
        value = [int(side) for side in found.groups() if side is not None]
        value = value[0] if len(value) == 1 else value
    if isinstance(value, (list, tuple)):
        if len(value) != 2:
            raise ValueError("write one side in pixels, or two: height and width")
        height, width = (_checked(side) for side in value)
        return height if height == width else (height, width)
    return _checked(value)


def _checked(side: Any) -> int:
    if isinstance(side, float) and side.is_integer():
        side = int(side)
    try:
        side = operator.index(side)
    except TypeError:
        raise ValueError("sides are whole numbers of pixels: one for a square, or height and width") from None
    if not SMALLEST <= side <= LARGEST:
        raise ValueError(f"a side must be {SMALLEST} to {LARGEST:,} pixels, not {side}")
    if side % COARSEST_STRIDE:
        below = side // COARSEST_STRIDE * COARSEST_STRIDE
        raise ValueError(
            f"it must be a multiple of {COARSEST_STRIDE}, the networks' coarsest stride; "
            f"the nearest are {below} and {below + COARSEST_STRIDE}"
        )
    return side
