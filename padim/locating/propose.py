"""Propose places on the reference part that are good marks, so that nobody has to draw them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import cv2
import numpy as np
import numpy.typing as npt

from padim.locating.errors import LocatingError
from padim.locating.marks import MOST_ALIKE, Examined, examine
from padim.locating.settings import Align, Mark

__all__ = ["Proposal", "propose_marks", "with_marks"]

RGB = npt.NDArray[np.uint8]

# Places are compared in an image reduced to this longer side, and checked in the image itself.
_LONGEST_SIDE = 400
# Sides of the marks tried, relative to the shorter side of the image, and places tried of each.
_SIDES, _PLACES = (0.3, 0.2, 0.14), 8
_SHORTEST = 16
# Marks keep this distance from the border, relative to the shorter side of the image; farther is better.
_MARGIN, _FAR_FROM_BORDER = 0.03, 0.15
# Pairs checked in the image itself.
_CHECKS = 6


@dataclass(frozen=True)
class Proposal:
    """A place that is a good mark.

    Attributes:
        mark: (x, y, width, height) in pixels of the reference image.
        quality: how well it can be found again, from 0 to 1.
        reason: why it was chosen, as a sentence.
    """

    mark: Mark
    quality: float
    reason: str


@dataclass(frozen=True)
class _Candidate:
    mark: Mark
    value: float

    @property
    def center(self) -> tuple[float, float]:
        x, y, width, height = self.mark
        return x + width / 2, y + height / 2


def with_marks(align: Align, reference: RGB) -> Align:
    """Return the settings with marks: for a template without any, the proposed ones.

    Raises:
        LocatingError: no place of the reference can be proposed.
    """
    if align.method != "template" or align.marks:
        return align
    proposals = propose_marks(reference, align)
    if not proposals:
        raise LocatingError(
            "no place of the reference is distinctive enough to be proposed as a mark: mark one or two "
            "places yourself, or locate by outline or by features instead"
        )
    return align.model_copy(update={"marks": tuple(proposal.mark for proposal in proposals)})


def propose_marks(reference: RGB, align: Align | None = None) -> tuple[Proposal, ...]:
    """Return up to two good marks: distinctive in both directions, unique, and far apart.

    The same image always gives the same marks. One mark is returned where no second place is good enough,
    none where no place is.

    Args:
        reference: uint8 ``(h, w, 3)``.
        align: the limits within which the part is searched for; None: the defaults.
    """
    limits = align or Align(method="template")
    height, width = reference.shape[:2]
    reduction = max(1.0, max(height, width) / _LONGEST_SIDE)
    size = (round(width / reduction), round(height / reduction))
    small = np.asarray(cv2.resize(reference, size, interpolation=cv2.INTER_AREA), np.uint8)
    factor = width / size[0]
    candidates = _ranked(small, limits, factor)
    for first, second in _pairs(candidates, math.hypot(*size))[:_CHECKS]:
        found = [_checked(reference, place.mark, factor, limits, alone=False) for place in (first, second)]
        if all(found):
            return tuple(proposal for proposal in found if proposal)
    for candidate in candidates[:_CHECKS]:
        proposal = _checked(reference, candidate.mark, factor, limits, alone=True)
        if proposal:
            return (proposal,)
    return ()


def _ranked(image: RGB, align: Align, factor: float) -> list[_Candidate]:
    """Return the places of an image that can be marks, the best first."""
    height, width = image.shape[:2]
    shorter = min(height, width)
    candidates = []
    for share in _SIDES:
        side = max(round(share * shorter), math.ceil(_SHORTEST / factor))
        margin = math.ceil(_MARGIN * shorter)
        if side + 2 * margin >= shorter:
            continue
        for x, y in _corners(image, side, margin):
            mark = (float(x), float(y), float(side), float(side))
            found = examine(image, mark, align, alone=False)
            if found.patch is not None:
                border = min(x, y, width - x - side, height - y - side) / (_FAR_FROM_BORDER * shorter)
                candidates.append(_Candidate(mark, found.quality * (0.7 + 0.3 * min(1.0, border))))
    return sorted(candidates, key=lambda candidate: -candidate.value)


def _corners(image: RGB, side: int, margin: int) -> list[tuple[int, int]]:
    """Return left and upper edges of squares whose content changes in both directions, the best first."""
    smooth = cv2.GaussianBlur(image, (0, 0), 1).astype(np.float32)
    dx, dy = cv2.Sobel(smooth, cv2.CV_32F, 1, 0), cv2.Sobel(smooth, cv2.CV_32F, 0, 1)
    products = (dx * dx, dy * dy, dx * dy)
    xx, yy, xy = (cv2.boxFilter(product.sum(axis=2), -1, (side, side)) for product in products)
    # The smaller eigenvalue: the change in the direction of the least.
    least = (xx + yy) / 2 - np.sqrt(np.square((xx - yy) / 2) + np.square(xy))
    half = side // 2
    inside = np.full_like(least, -1)
    rows, columns = (slice(margin + half, length - margin - (side - half) + 1) for length in least.shape)
    inside[rows, columns] = least[rows, columns]
    found = []
    for _ in range(_PLACES):
        row, column = np.unravel_index(int(inside.argmax()), inside.shape)
        if inside[row, column] <= 0:
            break
        found.append((int(column) - half, int(row) - half))
        near = slice(max(0, row - half), row + half + 1), slice(max(0, column - half), column + half + 1)
        inside[near] = -1
    return found


def _pairs(candidates: Sequence[_Candidate], diagonal: float) -> list[tuple[_Candidate, _Candidate]]:
    """Return pairs of places that do not overlap, the best first: good both, and far apart."""
    pairs = []
    for first, second in combinations(candidates, 2):
        distance = math.dist(first.center, second.center)
        if distance >= 0.75 * (first.mark[2] + second.mark[2]):
            value = min(first.value, second.value) * (0.4 + 0.6 * distance / diagonal)
            pairs.append((value, first, second))
    pairs.sort(key=lambda pair: -pair[0])
    return [(first, second) for _, first, second in pairs]


def _checked(reference: RGB, mark: Mark, factor: float, align: Align, *, alone: bool) -> Proposal | None:
    """Return a place of the reduced image as a proposal, if it can be a mark of the image itself."""
    height, width = reference.shape[:2]
    x, y, wide, high = (round(value * factor) for value in mark)
    full = (float(x), float(y), float(min(wide, width - x)), float(min(high, height - y)))
    found = examine(reference, full, align, alone=alone)
    return Proposal(full, round(found.quality, 3), _why(found)) if found.patch is not None else None


def _why(found: Examined) -> str:
    other = "no other place comes near it"
    if found.second > 0:
        other = f"the most similar other place matches by {found.second:.2f}, refused from {MOST_ALIKE:g}"
    return f"Clear (contrast {found.contrast:.0f} gray levels), changes in both directions; {other}."
