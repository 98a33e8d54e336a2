"""Examples of a robustness measurement: one image under every change, with its score and map.

They are kept during the measurement, reduced in size so that their memory does not grow with the resolution
of the camera; nothing is altered or scored a second time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from padim.data.loading import RGB
from padim.data.preprocess import Box
from padim.locating.placement import Placement

__all__ = ["PIXEL_FOR_PIXEL", "SIDE", "ChangedExample", "ChangedExampleKeeper", "ChangedExamples"]

# The longest side of a kept image in pixels.
SIDE = 256
# Changes that are visible at full resolution only: for these a central crop is kept, for
# others the reduced image.
PIXEL_FOR_PIXEL = frozenset({"blur", "noise", "jpeg"})
# Score, level map and its place of an altered image.
_Scored = tuple[int, npt.NDArray[np.uint16], Placement | None]


@dataclass(frozen=True, eq=False)
class ChangedExample:
    """One image under one change.

    Attributes:
        severity: the severity of the change; 0 is the unaltered image.
        score: the score, a level.
        rgb: uint8 ``(h, w, 3)``, at most 256 pixels on a side: the whole image reduced, or a central
            crop at full resolution.
        whole: whether ``rgb`` is the whole image.
        map: uint16 ``(h, w)``, the level map.
        content_box: the area of the map that the image covers; None if it covers all of it.
        placement: the place of the map on ``rgb``, if the part was located in the whole image.
    """

    severity: float
    score: int
    rgb: RGB
    whole: bool
    map: npt.NDArray[np.uint16]
    content_box: Box | None
    placement: Placement | None = None


@dataclass(frozen=True, eq=False)
class ChangedExamples:
    """One image under all changes.

    Attributes:
        name: the name of the image.
        label: ``good`` or the kind of defect.
        by_change: the examples by kind of change, with severities increasing from 0.
    """

    name: str
    label: str
    by_change: Mapping[str, tuple[ChangedExample, ...]]


class ChangedExampleKeeper:
    """Collects examples during a measurement: of the first good image, or else of the first defective one."""

    def __init__(self, good: str) -> None:
        """Start without examples.

        Args:
            good: the label of good images.
        """
        self._good = good
        self._name = self._label = ""
        self._box: Box | None = None
        self._reduced: list[tuple[str, float, RGB, RGB | None]] = []
        self._size = (0, 0)
        self._scored: list[_Scored] = []
        self._keeping = False

    def begin(self, name: str, label: str, box: Box | None, size: tuple[int, int]) -> None:
        """Begin an image of this (height, width); the altered images that follow belong to it."""
        self._keeping = not self._name or (label == self._good != self._label)
        if self._keeping:
            self._name, self._label, self._box, self._size = name, label, box, size
            self._reduced, self._scored = [], []

    def altered(self, kind: str, severity: float, rgb: RGB) -> None:
        """Add the image under the next change; severity 0 of any kind stands for all kinds."""
        if self._keeping:
            fine = kind in PIXEL_FOR_PIXEL
            first = _middle(rgb) if fine else _whole(rgb)
            other = None if severity else _whole(rgb) if fine else _middle(rgb)
            self._reduced.append((kind, severity, first, other))

    def scored(self, score: int, q: npt.NDArray[np.uint16], placement: Placement | None) -> None:
        """Add score, level map and its place of the next altered image, in the order of :meth:`altered`."""
        if self._keeping:
            self._scored.append((score, q.copy(), placement))

    def examples(self, kinds: Sequence[str]) -> ChangedExamples | None:
        """Return the examples; None if no image was scored."""
        if not self._name:
            return None
        pairs = list(zip(self._reduced, self._scored, strict=True))
        (first_kind, _, *plain), as_it_is = pairs[0]
        by_change = {}
        for kind in kinds:
            fine = kind in PIXEL_FOR_PIXEL
            same_crop = fine == (first_kind in PIXEL_FOR_PIXEL)
            rgb = plain[0] if same_crop else plain[1]
            assert rgb is not None  # both versions of the unaltered image are kept
            found = [self._example(0.0, rgb, as_it_is, whole=not fine)]
            found += [
                self._example(severity, rgb, scored, whole=not fine)
                for (of, severity, rgb, _), scored in pairs[1:]
                if of == kind
            ]
            by_change[kind] = tuple(found)
        return ChangedExamples(self._name, self._label, by_change)

    def _example(self, severity: float, rgb: RGB, scored: _Scored, *, whole: bool) -> ChangedExample:
        score, q, placement = scored
        if placement is not None:
            placement = placement.on(self._size, (rgb.shape[0], rgb.shape[1])) if whole else None
        return ChangedExample(severity, score, rgb, whole, q, self._box, placement)


def _whole(rgb: RGB) -> RGB:
    """Return the whole image, reduced by averaging over areas, as thumbnails are."""
    height, width = rgb.shape[:2]
    scale = min(1.0, SIDE / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return rgb.copy() if scale == 1 else np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA))


def _middle(rgb: RGB) -> RGB:
    """Return the central crop of an image at full resolution."""
    height, width = rgb.shape[:2]
    side = min(height, width, SIDE)
    top, left = (height - side) // 2, (width - side) // 2
    return rgb[top : top + side, left : left + side].copy()
