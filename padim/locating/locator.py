"""Locate the part in an image: the interface of the methods, the limits, and the choice of the method.

reference image + settings -- freeze --> Locator -- locate(image) --> Pose, or PartNotFound
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Protocol

import numpy as np
import numpy.typing as npt

from padim.locating.errors import LocatingError, PartNotFound
from padim.locating.frame import Frame
from padim.locating.pose import Pose
from padim.locating.settings import Align

__all__ = ["Finder", "LocatingError", "Locator", "PartNotFound", "freeze"]

RGB = npt.NDArray[np.uint8]

# Module and function that prepare a method's finder from settings, reference image and, if it is already
# known, its frame. Imported when needed.
_METHODS = {
    "outline": ("padim.locating.outline", "outline_finder"),
    "template": ("padim.locating.template", "template_finder"),
    "features": ("padim.locating.features", "features_finder"),
}


class Finder(Protocol):
    """A method, prepared with its reference part."""

    @property
    def frame(self) -> Frame:
        """The window of the reference part that becomes the model input."""

    def find(self, rgb: RGB) -> Pose:
        """Find the part in an image of the reference's size, whatever the limits of the settings.

        Args:
            rgb: uint8 ``(h, w, 3)``.

        Raises:
            PartNotFound: nothing was found; the error says why.
        """


class Locator:
    """A locating method with its reference part and limits; it does not change and may be used by threads.

    Attributes:
        align: the settings.
        reference: the reference image, uint8 ``(h, w, 3)``.
    """

    def __init__(self, align: Align, reference: RGB, finder: Finder) -> None:
        self.align = align
        self.reference = reference
        self._finder = finder

    @property
    def frame(self) -> Frame:
        """The window of the reference part that becomes the model input."""
        return self._finder.frame

    def locate(self, rgb: RGB) -> Pose:
        """Find the part in an image of the reference's size, within the limits of the settings.

        Args:
            rgb: uint8 ``(h, w, 3)``.

        Raises:
            PartNotFound: nothing was found, the match is weak or a limit is exceeded; the error says which.
        """
        if rgb.shape[:2] != self.frame.image_size:
            raise PartNotFound(
                f"the image has {_size(rgb.shape[:2])} pixels, the reference {_size(self.frame.image_size)}"
            )
        pose = self._finder.find(rgb)
        align = self.align
        if pose.match < align.min_match:
            raise PartNotFound(
                f"the match with the reference is {_beyond(pose.match, align.min_match)}, below the limit of "
                f"{align.min_match:g}"
            )
        percent = 100 * pose.shift / max(self.frame.image_size)
        if percent > align.max_shift:
            raise PartNotFound(
                f"it would be shifted by {_beyond(percent, align.max_shift, 0)} % of the image, beyond the "
                f"limit of {align.max_shift:g} %"
            )
        if abs(pose.turn) > align.max_turn:
            raise PartNotFound(
                f"it would be turned by {_beyond(abs(pose.turn), align.max_turn, 1)}°, beyond the limit of "
                f"{align.max_turn:g}°"
            )
        size, most = 100 * pose.scale, 100 + align.max_scale
        if 100 * max(pose.scale, 1 / pose.scale) > most:
            limit = most if size > 100 else 10_000 / most
            raise PartNotFound(
                f"its size would be {_beyond(size, limit, 0)} % of the reference's, beyond the limit of "
                f"{limit:.4g} %"
            )
        return pose


def _size(shape: tuple[int, ...]) -> str:
    return f"{shape[1]} x {shape[0]}"


def _beyond(value: float, limit: float, digits: int = 2) -> str:
    """Format a number with as many more digits as show that it is not the limit."""
    while f"{value:.{digits}f}" == f"{limit:.{digits}f}" and digits < 6:
        digits += 1
    return f"{value:.{digits}f}"


def freeze(align: Align, reference: RGB, frame: Frame | None = None) -> Locator:
    """Prepare a locating method with its reference part.

    The locator's settings hold the marks in use: for a template without marks, those proposed.

    Args:
        align: the settings.
        reference: the reference image, uint8 ``(h, w, 3)``.
        frame: the frame, as saved with a model; None: determined from the reference image.

    Raises:
        LocatingError: the reference or a mark on it cannot be used; the error says why.
    """
    reference = np.ascontiguousarray(reference)
    if align.method == "template" and not align.marks:
        # Imported by name: an exported model has its marks, and its folder no module to propose them.
        align = import_module("padim.locating.propose").with_marks(align, reference)
    module, name = _METHODS[align.method]
    prepare: Callable[[Align, RGB, Frame | None], Finder] = getattr(import_module(module), name)
    return Locator(align, reference, prepare(align, reference, frame))
