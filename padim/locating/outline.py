"""Find the part by its outline before a plain background.

foreground -- center and area -- directions in which it resembles the reference -- outlines brought together

The place comes from the outline alone, fitted robustly: a broken-off or added piece, as long as most of the
outline is left, does not move it. What lies inside only decides between directions in which the outline is
the same: the two ends of a bar, the six of a nut, all of a disc.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from padim.locating.contour import Contour, Field, Similarity, turned
from padim.locating.errors import LocatingError, PartNotFound
from padim.locating.foreground import Foreground, Palette, segment
from padim.locating.frame import Frame, rotation
from padim.locating.patch import PartPatch, Rose
from padim.locating.pose import Pose
from padim.locating.settings import Align

__all__ = ["OutlineFinder", "outline_finder"]

Array = npt.NDArray[np.float32]
Vector = npt.NDArray[np.float64]

# Images are reduced by a whole factor to about this length, or so far that the part has _PART pixels.
_IMAGE, _MOST, _PART = 256, 640, 200
# Below this ratio of the axes a part has a principal axis, whose two directions are tried.
_ELONGATED = 0.9
# Below this ratio no other directions than those two need to be tried.
_SLENDER = 0.5
# The weight of the inside of the part beside that of its outline when directions are compared.
_INSIDE = 0.5
# Directions whose agreement differs less look the same: the one nearest to the reference's is taken. Where
# only one of two is within the limits of the settings, it is taken if they look nearly the same.
_ALIKE, _NEARLY_ALIKE = 0.004, 0.02
# A direction whose agreement is worse by more than this before it is fitted is out of the question.
_UNCLEAR = 0.1
# Where this share of the outline is found, nothing is missing that could mislead.
_WHOLE = 0.95
# Below this third moment along its axis, in standard deviations, a part's ends are equally heavy.
_LEAST_SKEWNESS = 0.03
# The foreground is at most so many times as large as the part, once both have the same scale.
_MOST_EXCESS = 1.35


@dataclass(frozen=True)
class _Scene:
    """The part found in a reduced image; lengths are in its pixels, and places in the foreground's window.

    Attributes:
        foreground: the part.
        center: its center of mass.
        area: its area.
        axis: degrees counterclockwise of its principal axis, above -90 and at most 90.
        ratio: its thickness relative to its length, from 0 to 1.
    """

    foreground: Foreground
    center: Vector
    area: float
    axis: float
    ratio: float

    @classmethod
    def of(cls, foreground: Foreground) -> _Scene:
        """Compute the moments of a foreground."""
        moments = cv2.moments(foreground.weights)
        area = moments["m00"]
        center = np.array([moments["m10"], moments["m01"]]) / area + 0.5
        xx, yy, xy = moments["mu20"], moments["mu02"], moments["mu11"]
        spread = math.hypot(2 * xy, xx - yy)
        ratio = math.sqrt(max(xx + yy - spread, 0.0) / (xx + yy + spread))
        return cls(foreground, center, area, math.degrees(0.5 * math.atan2(-2 * xy, xx - yy)), ratio)


def outline_finder(
    align: Align, reference: npt.NDArray[np.uint8], frame: Frame | None = None
) -> OutlineFinder:
    """Prepare finding by outline with a reference part.

    Args:
        align: the settings.
        reference: the reference image, uint8 ``(h, w, 3)``.
        frame: the frame, if it is known; None: an upright rectangle around the part, along its principal
            axis, with ``align.margin``.

    Raises:
        LocatingError: the reference does not show one whole part before a plain background.
    """
    try:
        return OutlineFinder(align, reference, frame)
    except PartNotFound as error:
        raise LocatingError(f"the reference part cannot be told from the background: {error}") from error


def _reduction(size: tuple[int, int], finer: float) -> int:
    """Return the whole factor that reduces an image to about the usual length, or a multiple of it."""
    return max(1, round(max(size) / min(max(finer * _IMAGE, _IMAGE), _MOST)))


def _turned_by_its_inside(place: Similarity, likeness: Callable[[Similarity], float]) -> Similarity:
    """Return a place with the turn near it at which the inside is most like the reference's."""
    here = likeness(place)
    for step in (1.5, 0.6):
        before, after = (likeness(replace(place, turn=place.turn + side)) for side in (-step, step))
        curvature = before - 2 * here + after
        if before == after:
            break
        offset = 0.5 * (before - after) / curvature if curvature < 0 else math.copysign(1, after - before)
        better = replace(place, turn=turned(place.turn + step * min(max(offset, -1.5), 1.5)))
        there = likeness(better)
        if there > here:
            place, here = better, there
    return place


def _heavier_at_the_start(scene: _Scene, along: Vector) -> bool:
    """Whether the end of the part against a direction is the heavier one, or as heavy as the other.

    The heavier end is nearer to the center, so that the other reaches further: the third moment along the
    axis is positive. Of an outline that is symmetric the brighter end counts as heavier.
    """
    rows, columns = np.nonzero(scene.foreground.weights)
    weights = scene.foreground.weights[rows, columns].astype(np.float64)
    place = (np.stack([columns, rows], axis=1) + 0.5 - scene.center) @ along
    spread = math.sqrt(float((weights * place**2).sum()) / scene.area)
    skewness = float((weights * place**3).sum()) / scene.area / spread**3
    if abs(skewness) > _LEAST_SKEWNESS:
        return skewness > 0
    brightness = scene.foreground.image[rows, columns].mean(axis=1)
    brightness -= np.average(brightness, weights=weights)
    slope = float((weights * brightness * place).sum()) / scene.area / spread
    return slope <= 2.0


class OutlineFinder:
    """The outline of the reference part, prepared for comparison; it does not change."""

    def __init__(self, align: Align, reference: npt.NDArray[np.uint8], frame: Frame | None) -> None:
        self._size = (int(reference.shape[0]), int(reference.shape[1]))
        if min(self._size) < 16:
            raise LocatingError(f"the reference image is too small: {self._size[1]} x {self._size[0]} pixels")
        self._align = align
        self._factor = _reduction(self._size, 1.0)
        scene = self._scene(reference, None)
        radius = Contour.of(scene.foreground, scene.center).radius
        finer = _reduction(self._size, _PART / (2 * radius * self._factor / max(self._size) * _IMAGE))
        if finer < self._factor:
            self._factor = finer
            scene = self._scene(reference, None)
        self._center, self._area, self._foreground = scene.center, scene.area, scene.foreground
        self._place = scene.center + scene.foreground.origin  # in the whole reduced image
        self._contour = Contour.of(scene.foreground, scene.center)
        self._elongated = scene.ratio < _ELONGATED
        self._raw_axis, self._ratio = scene.axis, scene.ratio
        self._axis = self._first_direction(scene, align) if self._elongated else 0.0
        self.frame = frame if frame is not None else self._frame()
        self._patch = PartPatch(scene.foreground, scene.center, self._contour)
        self._rose = Rose(scene.foreground, scene.center, self._contour.radius)

    def _reduced(self, rgb: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """Return an image reduced by the whole factor; rows and columns of the remainder are left out."""
        if self._factor == 1:
            return rgb
        height, width = (side // self._factor for side in self._size)
        cut = rgb[: height * self._factor, : width * self._factor]
        return np.asarray(cv2.resize(cut, (width, height), interpolation=cv2.INTER_AREA))

    def _scene(self, rgb: npt.NDArray[np.uint8], usual: Foreground | None) -> _Scene:
        image = self._reduced(rgb)
        if usual is None:
            self._palette = self._drawn_background(image)
        return _Scene.of(segment(image, self._palette, usual))

    def _drawn_background(self, image: npt.NDArray[np.uint8]) -> Palette | None:
        if self._align.background is None:
            return None
        corners = np.array(self._align.background) / self._factor
        inside = np.zeros(image.shape[:2], np.uint8)
        cv2.fillPoly(inside, [np.round((corners - 0.5) * 256).astype(np.int32)], 1, shift=8)
        if int(inside.sum()) < 16:
            raise LocatingError(
                "the area of background drawn on the reference lies outside the image or is too small: draw "
                "a larger one"
            )
        return Palette(image, inside > 0)

    def _first_direction(self, scene: _Scene, align: Align) -> float:
        """Return the turn of the frame: the part's axis, level or upright as it lies, its first end first."""
        upright = abs(((scene.axis + 90) % 180) - 90) > 45
        # The direction from the first end to the last, of the turn by which the frame is read.
        turn = ((scene.axis + 90) % 180) - 90  # from -90 to 90
        if upright:  # the axis is the frame's vertical: a turn from -45 to 45
            turn = turn - 90 if turn > 0 else turn + 90
        along = rotation(turn) @ ((0.0, 1.0) if upright else (1.0, 0.0))
        if align.first_end is not None:
            marked = (np.array(align.first_end) / self._factor - self._place) @ along
            return turn if marked <= 0 else turn + 180
        return turn if _heavier_at_the_start(scene, along) else turn + 180

    def _frame(self) -> Frame:
        """Return the upright rectangle around the reference's outline with the margin."""
        low, high = self._contour.extent(self._axis)
        middle = self._place + rotation(self._axis) @ ((low + high) / 2)
        sides = (high - low) * (1 + 2 * self._align.margin / 100) * self._factor
        x, y = middle * self._factor
        turn = -((-self._axis + 180) % 360 - 180)
        return Frame(float(x), float(y), float(sides[0]), float(sides[1]), turn, self._size)

    def find(self, rgb: npt.NDArray[np.uint8]) -> Pose:
        """Find the part in an image of the reference's size.

        Args:
            rgb: uint8 ``(h, w, 3)``.

        Raises:
            PartNotFound: there is not one whole part before a plain background; the error says why.
            ValueError: the image has another size than the reference.
        """
        if rgb.shape[:2] != self._size:
            raise ValueError(
                f"the image has {rgb.shape[1]} x {rgb.shape[0]} pixels, the reference "
                f"{self._size[1]} x {self._size[0]}"
            )
        scene = self._scene(np.ascontiguousarray(rgb), self._foreground)
        scale = math.sqrt(scene.area / self._area)
        field = Field(scene.foreground)
        found, overlap = self._best(scene, field, scale)
        if scene.area > _MOST_EXCESS * self._area * found.scale**2:
            raise PartNotFound(
                "the foreground is much larger than the part: parts touch, or something else lies beside it"
            )
        found = replace(found, center=found.center + scene.foreground.origin)
        return self._pose(found, overlap)

    def _best(self, scene: _Scene, field: Field, scale: float) -> tuple[Similarity, float]:
        """Return where the part lies and how well its outline overlaps the reference's there."""

        def agreement(place: Similarity) -> tuple[float, float]:
            overlap, likeness = self._patch.agreement(scene.foreground, scene.area, place)
            return overlap + _INSIDE * likeness, overlap

        def inside(place: Similarity) -> float:
            return self._patch.agreement(scene.foreground, scene.area, place)[1]

        def fitted(places: list[Similarity]) -> list[tuple[float, float, Similarity]]:
            ranked = sorted(
                ((*agreement(place), place) for place in places),
                # Of directions that look the same the one nearest to the reference's comes first.
                key=lambda entry: (-round(entry[0] / _ALIKE), abs(entry[2].turn)),
            )
            best = []
            # The best of the rest is fitted too where it is not clearly worse.
            for _, _, place in [entry for entry in ranked[:2] if entry[0] > ranked[0][0] - _UNCLEAR]:
                found = self._fitted(scene, field, place)
                if not self._contour.tells_turn and place.turn != 0:
                    found = _turned_by_its_inside(found, inside)
                best.append((*agreement(found), found))
            return best

        start = Similarity(scene.center, 0.0, scale)
        best = fitted([replace(start, turn=turn) for turn in self._turns(scene, start)])
        _, _, found = max(best, key=lambda entry: entry[0])
        if self._contour.share(field, found) < _WHOLE:
            # Of a damaged part directions are compared again around where its center was.
            best += fitted([replace(found, turn=turn) for turn in self._turns(scene, found)])
        # Directions that look the same count as the one nearest to the reference's.
        most = max(total for total, _, _ in best)
        alike = [entry for entry in best if entry[0] >= most - _ALIKE]
        _, overlap, found = min(alike, key=lambda entry: abs(entry[2].turn))
        if abs(found.turn) > self._align.max_turn:
            # What the settings rule out needs more evidence.
            for total, other_overlap, other in best:
                if abs(other.turn) <= self._align.max_turn and total >= most - _NEARLY_ALIKE:
                    return other, other_overlap
        return found, overlap

    def _fitted(self, scene: _Scene, field: Field, start: Similarity) -> Similarity:
        """Return the place near a start where most of the reference's outline lies on that in the image."""
        found = self._contour.fit(field, start)
        share = self._contour.share(field, found)
        if share > _WHOLE:
            return found
        if (share_start := self._contour.share(field, start)) > share:
            found, share = start, share_start
        # A piece may be missing, or too much be there: center and area are wrong. One side at least, along
        # or across the part, may be where it belongs.
        axes = rotation(start.turn + self._axis)
        outlines, _ = cv2.findContours(scene.foreground.mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        own = (max(outlines, key=len)[:, 0] + 0.5 - scene.center) @ axes
        sides = zip(
            (own.min(axis=0) - 0.5, own.max(axis=0) + 0.5), self._contour.extent(self._axis), strict=True
        )
        differences = np.array([mine - its for mine, its in sides])  # low and high sides, of both axes
        for axis in (0, 1):
            for side in (0, 1):
                offset = differences.mean(axis=0)
                offset[axis] = differences[side, axis]
                beside = Similarity(scene.center + axes @ offset, start.turn, 1.0)
                fitted = self._contour.fit(field, beside)
                if (share_fitted := self._contour.share(field, fitted)) > share + 0.02:
                    found, share = fitted, share_fitted
        return found

    def _turns(self, scene: _Scene, place: Similarity) -> list[float]:
        """Return the turns to try, in degrees, of a part of about known center and size."""
        turns = []
        if self._elongated:
            turns += [scene.axis - self._raw_axis, scene.axis - self._raw_axis + 180]
        if max(self._ratio, scene.ratio) > _SLENDER:
            rose = Rose(scene.foreground, place.center, self._contour.radius * place.scale)
            turns += self._rose.turns(rose, self._contour.tells_turn)
        distinct: list[float] = []
        for turn in turns:
            turn = turned(turn)
            if all(abs(turned(turn - other)) > 8 for other in distinct):
                distinct.append(turn)
        return distinct

    def _pose(self, found: Similarity, overlap: float) -> Pose:
        """Express where the part lies by the frame's center, in pixels of the reference image."""
        frame_center = np.array([self.frame.center_x, self.frame.center_y])
        center = found.center * self._factor
        moved = center + found.scale * rotation(found.turn) @ (frame_center - self._place * self._factor)
        dx, dy = moved - frame_center
        return Pose(float(dx), float(dy), turned(found.turn), found.scale, min(max(overlap, 0.0), 1.0))
