"""Locate the part by one or two distinctive places that are marked on the reference."""

from __future__ import annotations

import cmath
import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import product

import numpy as np
import numpy.typing as npt

from padim.locating.errors import LocatingError, PartNotFound
from padim.locating.frame import Frame, rotation
from padim.locating.marks import examine
from padim.locating.matching import Patch, Place, gray, pyramid
from padim.locating.pose import Pose
from padim.locating.settings import Align, Mark

__all__ = ["template_finder"]

RGB = npt.NDArray[np.uint8]

# A second place that matches this well, relative to the best one, could be the part too.
_AMBIGUOUS = 0.9
# The second mark is not searched for in the whole image if it matches this well where the first one tells.
_CERTAIN = 0.8
# Largest difference between the size that the distance of two marks tells and that which the marks tell.
_DISAGREE = 0.05


def template_finder(align: Align, reference_rgb: RGB, frame: Frame | None = None) -> _TemplateFinder:
    """Prepare locating by the marks of the settings.

    Args:
        align: the settings, with one or two marks.
        reference_rgb: the reference image, uint8 ``(h, w, 3)``.
        frame: the frame, as saved with a model; None: the whole reference image.

    Raises:
        LocatingError: a mark cannot be used; the error names it, the reason and the remedy.
    """
    marks = align.marks
    if not marks:
        raise LocatingError("no place is marked on the reference; mark one or two distinctive places")
    found = [examine(reference_rgb, mark, align, alone=len(marks) == 1) for mark in marks]
    for number, one in enumerate(found, 1):
        if one.patch is None:
            raise LocatingError(f"{_name(number, marks[number - 1])} cannot be used: {one.reason}")
    patches = [one.patch for one in found if one.patch is not None]
    if len(marks) == 2:
        distance = math.dist(patches[0].center, patches[1].center)
        if distance < max(math.hypot(*mark[2:]) for mark in marks) / 2:
            raise LocatingError(
                "the two marks are too near to each other to tell the part's turn: draw them farther apart"
            )
    height, width = reference_rgb.shape[:2]
    return _TemplateFinder(align, frame or Frame.whole((height, width)), patches)


def _name(number: int, mark: Mark) -> str:
    x, y, wide, high = mark
    return f"mark {number} at ({x:.0f}, {y:.0f}) of {wide:.0f} x {high:.0f} pixels"


class _TemplateFinder:
    """Finds the marks in an image; it does not change and may be used by threads."""

    def __init__(self, align: Align, frame: Frame, patches: Sequence[Patch]) -> None:
        self._align = align
        self._frame = frame
        self._patches = patches
        self._pivot = (frame.center_x, frame.center_y)
        # A little more than allowed, so that a part just beyond the limit is reported as such.
        self._reach = 1.05 * align.max_shift / 100 * max(frame.image_size) + 2
        self._grids = [patch.grid(align.max_turn, align.max_scale) for patch in patches]

    @property
    def frame(self) -> Frame:
        """The whole reference image, unless a saved frame was given."""
        return self._frame

    def find(self, rgb: RGB) -> Pose:
        """Find the part in an image of the reference's size: see :class:`padim.locating.locator.Finder`."""
        if rgb.shape[:2] != self._frame.image_size:
            raise ValueError(f"the reference has {self._frame.image_size} pixels, the image {rgb.shape[:2]}")
        deepest = max(patch.levels for patch in self._patches)
        images = {
            channel: pyramid(gray(rgb, channel), deepest)
            for channel in {patch.channel for patch in self._patches}
        }
        found: list[Sequence[Place]] = []
        for patch, grid in zip(self._patches, self._grids, strict=True):
            expected = self._expected(images, found[0]) if found else None
            found.append(
                [expected]
                if expected is not None
                else patch.search(images[patch.channel], self._pivot, self._reach, grid)
            )
        for number, places in enumerate(found, 1):
            if not places or places[0].match <= 0:
                raise PartNotFound(f"nothing in the image looks like mark {number}")
        if len(found) == 1:
            return self._by_one(found[0])
        pyramids = [images[patch.channel] for patch in self._patches]
        return self._by_two(pyramids, found[0], found[1])

    def _expected(
        self, images: dict[int | None, list[npt.NDArray[np.uint8]]], firsts: Sequence[Place]
    ) -> Place | None:
        """Return the place of the second mark if it is where the first one tells, else None."""
        first, patch = self._patches
        if not firsts or not (first.turns and first.sizes) or len(firsts) > 1:
            return None
        best = firsts[0]
        at = np.array(_at(best)) + best.linear @ (np.array(patch.center) - first.center)
        place = patch.followed(images[patch.channel], replace(best, x=float(at[0]), y=float(at[1])))
        return place if place.match >= max(_CERTAIN, self._align.min_match) else None

    def _by_one(self, places: Sequence[Place]) -> Pose:
        """Return the pose that the place of a single mark tells."""
        best = places[0]
        if best.match >= self._align.min_match and len(places) > 1:
            self._refuse_two(best, places[1], best.match, places[1].match)
        return self._pose([best], best.turn, best.scale, best.match)

    def _by_two(
        self, images: Sequence[list[npt.NDArray[np.uint8]]], firsts: Sequence[Place], seconds: Sequence[Place]
    ) -> Pose:
        """Return the pose that the places of two marks tell: turn and scale from the line between them."""
        pairs = []
        for first, second in product(firsts, seconds):
            turn, scale = self._line(first, second)
            if self._allowed(turn, scale):
                pairs.append((min(first.match, second.match), first, second))
        pairs.sort(key=lambda pair: -pair[0])
        if not pairs:
            self._check_matches([firsts[0], seconds[0]])
            raise PartNotFound(self._disagreement(firsts[0], seconds[0]))
        match, *places = pairs[0]
        if match >= self._align.min_match and len(pairs) > 1:
            other = max(pairs[1][1:], key=lambda place: min(math.dist(_at(place), _at(p)) for p in places))
            self._refuse_two(places[0], other, match, pairs[1][0])
        self._check_matches(places)
        self._check_sizes(places)
        turn, scale = self._line(*places)
        for _ in range(2):
            places = [
                patch.settled(levels, replace(place, turn=turn, scale=scale))
                for patch, levels, place in zip(self._patches, images, places, strict=True)
            ]
            turn, scale = self._line(*places)
        self._check_matches(places)
        return self._pose(places, turn, scale, min(place.match for place in places))

    def _line(self, first: Place, second: Place) -> tuple[float, float]:
        """Return turn and scale of the line between two places, relative to that between the marks."""
        a, b = (complex(*patch.center) for patch in self._patches)
        ratio = (complex(second.x, second.y) - complex(first.x, first.y)) / (b - a)
        if ratio == 0:
            return 0.0, 1e-9
        # y points down, so that a counterclockwise turn is a negative angle.
        turn, scale = -math.degrees(cmath.phase(ratio)), abs(ratio)
        if self._align.max_scale == 0 and abs(math.log(scale)) <= self._slack():
            scale = 1.0
        if self._align.max_turn == 0 and abs(math.radians(turn)) <= self._slack():
            turn = 0.0
        return turn, scale

    def _slack(self) -> float:
        """Relative difference in the distance of the marks that is within the accuracy of their places."""
        return 0.01 + 2 / math.dist(self._patches[0].center, self._patches[1].center)

    def _allowed(self, turn: float, scale: float) -> bool:
        limit = math.log1p(self._align.max_scale / 100) + self._slack()
        return abs(math.log(scale)) <= limit and abs(turn) <= self._align.max_turn + 2 + 60 * self._slack()

    def _disagreement(self, first: Place, second: Place) -> str:
        """Return why two places cannot be those of the marks of one part."""
        turn, scale = self._line(first, second)
        if abs(math.log(scale)) > math.log1p(self._align.max_scale / 100) + self._slack():
            return (
                f"the two marks do not agree: their distance is {100 * scale:.0f} % of that on the reference"
            )
        return f"the two marks do not agree: the line between them is turned by {turn:.0f}°"

    def _check_matches(self, places: Sequence[Place]) -> None:
        """Refuse a mark that matches less than the settings ask for, and name it."""
        for number, place in enumerate(places, 1):
            if place.match < self._align.min_match:
                raise PartNotFound(
                    f"mark {number} matches the reference by {max(0.0, place.match):.2f}, below the limit of "
                    f"{self._align.min_match:g}"
                )

    def _check_sizes(self, places: Sequence[Place]) -> None:
        """Refuse marks that lie farther apart, or nearer, than their own size tells."""
        told = [math.log(p.scale) for p, patch in zip(places, self._patches, strict=True) if patch.sizes]
        _, scale = self._line(*places)
        if told and abs(math.log(scale) - sum(told) / len(told)) > _DISAGREE + self._slack():
            own = math.exp(sum(told) / len(told))
            raise PartNotFound(
                f"the two marks do not agree: their distance is {100 * scale:.0f} % of that on the "
                f"reference, their own size {100 * own:.0f} %"
            )

    def _refuse_two(self, best: Place, other: Place, match: float, second: float) -> None:
        if second >= _AMBIGUOUS * match:
            raise PartNotFound(
                f"two places fit equally well, around ({best.x:.0f}, {best.y:.0f}) and ({other.x:.0f}, "
                f"{other.y:.0f}): matches {match:.2f} and {second:.2f}; there may be two parts in the image"
            )

    def _pose(self, places: Sequence[Place], turn: float, scale: float, match: float) -> Pose:
        turn = 180 - (180 - turn) % 360
        linear = rotation(turn) * scale
        center = np.array(self._pivot)
        shifts = [
            np.array(_at(place)) - center - linear @ (np.array(patch.center) - center)
            for place, patch in zip(places, self._patches, strict=True)
        ]
        dx, dy = np.mean(shifts, axis=0)
        return Pose(float(dx), float(dy), turn, scale, min(1.0, max(0.0, match)))


def _at(place: Place) -> tuple[float, float]:
    return place.x, place.y
