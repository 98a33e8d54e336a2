"""Examples of a robustness measurement: one image under every change, as it was scored.

They are kept while the measurement is made, reduced so that their memory does not grow with the cameras'
resolution; nothing is altered or scored a second time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from padim.data.loading import RGB
from padim.data.preprocess import Box

__all__ = ["PIXEL_FOR_PIXEL", "SIDE", "ChangedExample", "ChangedExampleKeeper", "ChangedExamples"]

# Longest side in pixels of what is kept of an image.
SIDE = 256
# Changes seen only pixel for pixel: of these a piece of the middle is kept, of others the whole image.
PIXEL_FOR_PIXEL = frozenset({"blur", "noise", "jpeg"})


@dataclass(frozen=True, eq=False)
class ChangedExample:
    """One image under one change.

    Attributes:
        severity: of the change; 0 is the image as it is.
        score: level.
        rgb: uint8 ``(h, w, 3)``, at most 256 pixels a side: the whole image reduced, or a piece of its middle
            pixel for pixel.
        whole: which of the two.
        map: uint16 ``(S, S)``, the level map.
        content_box: where the image lies in the map; None: it fills it.
    """

    severity: float
    score: int
    rgb: RGB
    whole: bool
    map: npt.NDArray[np.uint16]
    content_box: Box | None


@dataclass(frozen=True, eq=False)
class ChangedExamples:
    """One image under all changes.

    Attributes:
        name: of the image.
        label: ``good``, or what is wrong with it.
        by_change: for each kind of change every severity, growing from 0.
    """

    name: str
    label: str
    by_change: Mapping[str, tuple[ChangedExample, ...]]


class ChangedExampleKeeper:
    """Keeps the first good image of a running measurement, or the first defective one while there is none."""

    def __init__(self, good: str) -> None:
        """
        Args:
            good: the label of good images.
        """
        self._good = good
        self._name = self._label = ""
        self._box: Box | None = None
        self._reduced: list[tuple[str, float, RGB, RGB | None]] = []
        self._scored: list[tuple[int, npt.NDArray[np.uint16]]] = []
        self._keeping = False

    def begin(self, name: str, label: str, box: Box | None) -> None:
        """The images from now on are alterations of this one, until the next is begun."""
        self._keeping = not self._name or (label == self._good != self._label)
        if self._keeping:
            self._name, self._label, self._box = name, label, box
            self._reduced, self._scored = [], []

    def altered(self, kind: str, severity: float, rgb: RGB) -> None:
        """The image under the next change; severity 0 of any kind stands for all kinds."""
        if self._keeping:
            fine = kind in PIXEL_FOR_PIXEL
            first = _middle(rgb) if fine else _whole(rgb)
            other = None if severity else _whole(rgb) if fine else _middle(rgb)
            self._reduced.append((kind, severity, first, other))

    def scored(self, score: int, q: npt.NDArray[np.uint16]) -> None:
        """Score and level map of the next altered image, in the order they were altered in."""
        if self._keeping:
            self._scored.append((score, q.copy()))

    def examples(self, kinds: Sequence[str]) -> ChangedExamples | None:
        """What was kept; None where no image was judged."""
        if not self._name:
            return None
        pairs = list(zip(self._reduced, self._scored, strict=True))
        (first_kind, _, *plain), as_it_is = pairs[0]
        by_change = {}
        for kind in kinds:
            fine = kind in PIXEL_FOR_PIXEL
            same_sort = fine == (first_kind in PIXEL_FOR_PIXEL)
            rgb = plain[0] if same_sort else plain[1]
            assert rgb is not None  # of the image as it is, both are kept
            found = [self._example(0.0, rgb, as_it_is, whole=not fine)]
            found += [
                self._example(severity, rgb, scored, whole=not fine)
                for (of, severity, rgb, _), scored in pairs[1:]
                if of == kind
            ]
            by_change[kind] = tuple(found)
        return ChangedExamples(self._name, self._label, by_change)

    def _example(
        self, severity: float, rgb: RGB, scored: tuple[int, npt.NDArray[np.uint16]], *, whole: bool
    ) -> ChangedExample:
        score, q = scored
        return ChangedExample(severity, score, rgb, whole, q, self._box)


def _whole(rgb: RGB) -> RGB:
    """The whole image, reduced; averaged over areas, as thumbnails are."""
    height, width = rgb.shape[:2]
    scale = min(1.0, SIDE / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return rgb.copy() if scale == 1 else np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA))


def _middle(rgb: RGB) -> RGB:
    """The middle of an image, pixel for pixel."""
    height, width = rgb.shape[:2]
    side = min(height, width, SIDE)
    top, left = (height - side) // 2, (width - side) // 2
    return rgb[top : top + side, left : left + side].copy()
