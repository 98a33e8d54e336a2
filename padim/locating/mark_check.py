"""Check the settings of locating against the reference part, while the user is still choosing them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from padim.locating.errors import LocatingError
from padim.locating.frame import Frame
from padim.locating.locator import freeze
from padim.locating.settings import Align

__all__ = ["MarkCheck", "ReferenceCheck", "check_reference", "corners"]

RGB = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class MarkCheck:
    """Whether one mark of a template can be used.

    Attributes:
        refused: the reason why it cannot be used; empty if it can.
        quality: how distinctive it is, from 0 to 1.
    """

    refused: str
    quality: float


@dataclass(frozen=True)
class ReferenceCheck:
    """Whether a reference part and the marks on it can be used.

    Attributes:
        frame: the window of the reference that would become the model input; None if it cannot be used.
        refused: the reason why it cannot be used; empty if it can.
        marks: one for each mark of a template.
    """

    frame: Frame | None
    refused: str
    marks: tuple[MarkCheck, ...] = ()


def check_reference(align: Align, reference: RGB) -> ReferenceCheck:
    """Return whether locating can be prepared with this reference part, and with each of its marks.

    Args:
        align: the settings.
        reference: the reference image, uint8 ``(h, w, 3)``.
    """
    marks = []
    if align.method == "template":
        from padim.locating.marks import examine

        found = [examine(reference, mark, align, alone=len(align.marks) == 1) for mark in align.marks]
        marks = [MarkCheck(one.reason, one.quality) for one in found]
    try:
        return ReferenceCheck(freeze(align, reference).frame, "", tuple(marks))
    except LocatingError as error:
        return ReferenceCheck(None, str(error), tuple(marks))


def corners(frame: Frame) -> list[tuple[float, float]]:
    """Return the corners of a frame on the reference image as (x, y), clockwise from its upper left."""
    matrix = frame.to_reference((1, 1))
    unit = np.array([[0, 0, 1], [1, 0, 1], [1, 1, 1], [0, 1, 1]], np.float64)
    return [(float(x), float(y)) for x, y in unit @ matrix.T]
