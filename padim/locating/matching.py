"""Find a patch of a reference image in another image: by correlation, coarse to fine, then by least squares.

Only OpenCV and numpy are used, so that the script in an exported folder repeats the same steps. Coordinates
are continuous: pixel i covers [i, i + 1) and has its center at i + 0.5.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from padim.locating.frame import Matrix, rotation

__all__ = ["Gray", "Patch", "Place", "coarsest", "gray", "pyramid", "sample", "similarity_of"]

Gray = npt.NDArray[np.float32]

# Shorter side of the patch at the coarsest level, in pixels: fewer show too little of it.
_COARSE_SIDE = 8.5
# The largest number of pixels of the patch at the finest level; more do not make the place more exact.
_MOST_PIXELS = 262_144
# Places that the coarse search passes on, and those of them that are followed to the finest level.
_COARSE_PLACES, _FINE_PLACES = 8, 4
# Places that match less well than the best one by more than this are not followed.
_WORSE = 0.25
# Share of the patch that must lie inside the image.
_INSIDE = 0.7
_ITERATIONS, _REWEIGHTS = 8, 2


@dataclass(frozen=True)
class Place:
    """Where the patch lies in an image.

    Attributes:
        x, y: its center, in pixels of the image.
        turn: degrees counterclockwise on the screen.
        scale: size relative to the reference.
        match: normalized cross-correlation with the patch, from -1 to 1.
    """

    x: float
    y: float
    turn: float
    scale: float
    match: float

    @property
    def linear(self) -> Matrix:
        """The matrix that turns and scales the patch: float64 ``(2, 2)``."""
        return rotation(self.turn) * self.scale


def coarsest(side: float) -> int:
    """Return how often a patch whose shorter side has so many pixels can be halved."""
    return max(0, int(math.log2(max(1.0, side / _COARSE_SIDE))))


def gray(rgb: npt.NDArray[np.uint8], channel: int | None = None) -> npt.NDArray[np.uint8]:
    """Return the brightness of an image, or one of its channels: uint8 ``(h, w)``."""
    if channel is None:
        return np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), np.uint8)
    return np.asarray(cv2.extractChannel(rgb, channel), np.uint8)


def pyramid(image: npt.NDArray[np.uint8], levels: int) -> list[npt.NDArray[np.uint8]]:
    """Return the image and its reductions to a half, a quarter and so on: ``levels`` + 1 images.

    Rows and columns that do not fill a pixel of the last one are left out, so that the continuous
    coordinates of level l are those of the image divided by 2 ** l.
    """
    unit = 2**levels
    height, width = (side // unit * unit for side in image.shape)
    images = [image]
    for level in range(1, levels + 1):
        size = (width >> level, height >> level)
        source = image[:height, :width] if level == 1 else images[-1]
        images.append(np.asarray(cv2.resize(source, size, interpolation=cv2.INTER_AREA), np.uint8))
    return images


def sample(
    image: npt.NDArray[np.uint8], center: Sequence[float], linear: Matrix, shape: tuple[int, int]
) -> Gray:
    """Return what lies in the image under a turned and scaled patch, interpolated bilinearly.

    Args:
        image: uint8 ``(h, w)``.
        center: (x, y) of the patch's center in the image.
        linear: float64 ``(2, 2)``, from offsets in the patch to offsets in the image.
        shape: (height, width) of the patch.

    Returns:
        float32 ``shape``; beyond the border the outermost pixels are repeated.
    """
    height, width = shape
    (xx, xy), (yx, yy) = linear.tolist()
    # OpenCV counts pixel centers as whole numbers, here they are at halves.
    x = center[0] + xx * (0.5 - width / 2) + xy * (0.5 - height / 2) - 0.5
    y = center[1] + yx * (0.5 - width / 2) + yy * (0.5 - height / 2) - 0.5
    # Only the part of the image under the patch is converted to floating point.
    left, right = _span(x, xx * width, xy * height, image.shape[1])
    top, bottom = _span(y, yx * width, yy * height, image.shape[0])
    part = image[top:bottom, left:right].astype(np.float32)
    matrix = np.array([[xx, xy, x - left], [yx, yy, y - top]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    patch = cv2.warpAffine(part, matrix, (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(patch, np.float32)


def _span(start: float, along: float, down: float, size: int) -> tuple[int, int]:
    """Return the first pixel and the end of the pixels that a patch needs in one direction, at least one."""
    low = math.floor(start + min(along, 0) + min(down, 0)) - 2
    high = math.ceil(start + max(along, 0) + max(down, 0)) + 3
    low = min(max(low, 0), size - 1)
    return low, max(low + 1, min(high, size))


def similarity_of(a: npt.NDArray[np.float32], b: npt.NDArray[np.float32]) -> float:
    """Return the normalized cross-correlation of two arrays, from -1 to 1; 0 for a constant one."""
    first, second = a.astype(np.float64).ravel(), b.astype(np.float64).ravel()
    if first.size < 2:
        return 0.0
    first, second = first - first.mean(), second - second.mean()
    product = math.sqrt(float(first @ first) * float(second @ second))
    return float(first @ second) / product if product > 1e-6 * first.size else 0.0


class _Level:
    """The patch at one resolution, with what the least squares need."""

    def __init__(
        self,
        image: npt.NDArray[np.uint8],
        center: tuple[float, float],
        shape: tuple[int, int],
        free: Sequence[int],
    ) -> None:
        self.shape = shape
        self.patch = sample(image, center, np.eye(2), shape)
        height, width = shape
        around = sample(image, center, np.eye(2), (height + 2, width + 2))
        dx = (around[1:-1, 2:] - around[1:-1, :-2]) / 2
        dy = (around[2:, 1:-1] - around[:-2, 1:-1]) / 2
        self.x = (np.arange(width) + 0.5 - width / 2)[None, :].astype(np.float32)
        self.y = (np.arange(height) + 0.5 - height / 2)[:, None].astype(np.float32)
        ones = np.ones(shape, np.float32)
        # Columns: brightness factor and offset, shift right and down, turn (radians), logarithm of the scale.
        turned, scaled = dx * self.y - dy * self.x, dx * self.x + dy * self.y
        columns = [np.asarray(column, np.float32) for column in (self.patch, ones, dx, dy, turned, scaled)]
        self.columns = np.stack(columns, axis=-1).reshape(-1, 6)
        # Along edges half a pixel of difference is no defect: it comes from blur and interpolation.
        self.slack = np.asarray(np.hypot(dx, dy) / 2, np.float32).reshape(-1)
        self._inverses: dict[tuple[int, ...], Gray] = {}
        for used in {(2, 3), tuple(free)}:
            design = self.columns[:, [0, 1, *used]].astype(np.float64)
            normal = design.T @ design
            normal[np.diag_indices_from(normal)] *= 1 + 1e-6
            if np.linalg.matrix_rank(normal) == len(normal):
                self._inverses[used] = np.linalg.solve(normal, design.T).astype(np.float32)

    def inside(self, place: Place, image_shape: tuple[int, ...]) -> npt.NDArray[np.bool_] | None:
        """Return which pixels of the patch lie inside the image; None: all."""
        height, width = self.shape
        linear = place.linear
        (xx, xy), (yx, yy) = linear.tolist()
        right = (abs(xx) * width + abs(xy) * height) / 2
        down = (abs(yx) * width + abs(yy) * height) / 2
        if right <= place.x <= image_shape[1] - right and down <= place.y <= image_shape[0] - down:
            return None
        x = linear[0, 0] * self.x + linear[0, 1] * self.y + place.x
        y = linear[1, 0] * self.x + linear[1, 1] * self.y + place.y
        return np.asarray((x >= 0) & (x <= image_shape[1]) & (y >= 0) & (y <= image_shape[0]))

    def matched(self, image: npt.NDArray[np.uint8], place: Place) -> Place:
        """Return the place with its match: that of the pixels inside the image, -1 if too few are inside."""
        found = sample(image, (place.x, place.y), place.linear, self.shape)
        inside = self.inside(place, image.shape)
        if inside is None:
            return replace(place, match=similarity_of(self.patch, found))
        if inside.mean() < _INSIDE:
            return replace(place, match=-1.0)
        return replace(place, match=similarity_of(self.patch[inside], found[inside]))

    def refined(self, image: npt.NDArray[np.uint8], place: Place, free: Sequence[int], robust: bool) -> Place:
        """Move the place so that the image fits the patch best, by inverse compositional Gauss-Newton steps.

        Brightness factor and offset are solved with it. ``robust``: pixels that do not fit, as those of a
        defect, count less.
        """
        used = [0, 1, *free]
        columns = self.columns[:, used]
        limit = 0.25 * max(self.shape)
        accuracy = 0.01 if robust else 0.1
        start, weigh = place, False
        inverse = self._inverses.get(tuple(free))
        for _ in range(_ITERATIONS if robust else _ITERATIONS // 2):
            found = sample(image, (place.x, place.y), place.linear, self.shape).reshape(-1)
            inside = self.inside(place, image.shape)
            if inside is None and not weigh and inverse is not None:
                solution: npt.NDArray[np.float64] | None = (inverse @ found).astype(np.float64)
            else:
                weight = np.ones_like(found) if inside is None else inside.reshape(-1).astype(np.float32)
                solution = _solve(columns, found, weight)
                for _ in range(_REWEIGHTS if weigh else 0):
                    if solution is None:
                        break
                    residual = found - columns @ solution.astype(np.float32)
                    size = np.abs(residual if inside is None else residual[weight > 0])
                    spread = 1.4826 * float(np.partition(size, len(size) // 2)[len(size) // 2]) + 0.5
                    trust = 1 / (1 + np.square(residual / (3 * spread + self.slack)))
                    solution = _solve(columns, found, weight * np.square(trust))
            if solution is None or solution[0] < 0.02:  # nothing like the patch
                return start
            step = np.zeros(6)
            step[used] = solution / solution[0]
            step[5] = min(max(step[5], -0.2), 0.2)
            # The patch moved by the step looks like the image: the place moves by its inverse.
            turn, scale = -math.degrees(step[4]), math.exp(-step[5])
            linear = place.linear @ (rotation(turn) * scale)
            x, y = np.array([place.x, place.y]) - linear @ step[2:4]
            place = Place(float(x), float(y), place.turn + turn, place.scale * scale, 0.0)
            if math.hypot(place.x - start.x, place.y - start.y) > limit or not 0.4 < place.scale < 2.5:
                return start
            moved = math.hypot(step[2], step[3]) + (abs(step[4]) + abs(step[5])) * max(self.shape) / 2
            if moved < (accuracy if weigh or not robust else 10 * accuracy):
                if weigh or not robust:
                    break
                weigh = True
        return place


def _solve(columns: Gray, found: Gray, weight: Gray) -> npt.NDArray[np.float64] | None:
    """Return the weighted least-squares solution, or None if there is none."""
    weighted = columns * weight[:, None]
    normal = (weighted.T @ columns).astype(np.float64)
    normal[np.diag_indices_from(normal)] *= 1 + 1e-6
    try:
        solution = np.linalg.solve(normal, (weighted.T @ found).astype(np.float64))
    except np.linalg.LinAlgError:
        return None
    return np.asarray(solution, np.float64) if np.isfinite(solution).all() else None


class Patch:
    """A rectangle of a reference image that is looked for in other images; it does not change.

    Attributes:
        center: (x, y) of its center, in pixels of the reference.
        size: (width, height) in pixels of the reference.
        channel: the channel of the image that is compared; None: the brightness.
        levels: the coarsest level: images are reduced to 1 / 2 ** levels.
        turns, sizes: whether its place tells the turn and the scale; where not, they stay as searched for.
    """

    def __init__(
        self,
        reference: npt.NDArray[np.uint8],
        box: Sequence[float],
        channel: int | None = None,
        *,
        turns: bool = True,
        sizes: bool = True,
        levels: int | None = None,
    ) -> None:
        x, y, width, height = box
        self.center = (x + width / 2, y + height / 2)
        self.size = (width, height)
        self.channel, self.turns, self.sizes = channel, turns, sizes
        self._free = [2, 3, *([4] if turns else []), *([5] if sizes else [])]
        self.levels = coarsest(min(width, height)) if levels is None else levels
        finest = 0
        while finest < self.levels and width * height / 4**finest > _MOST_PIXELS:
            finest += 1
        images = pyramid(gray(reference, channel), self.levels)
        self._levels: dict[int, _Level] = {}
        for level in range(finest, self.levels + 1):
            unit = 2**level
            shape = (max(2, round(height / unit)), max(2, round(width / unit)))
            center = (self.center[0] / unit, self.center[1] / unit)
            self._levels[level] = _Level(images[level], center, shape, self._free)

    @property
    def coarse(self) -> _Level:
        """The patch at the coarsest level."""
        return self._levels[self.levels]

    def _step(self) -> float:
        """Angle (radians) and relative size by which its corner moves two pixels at the coarsest level."""
        return 2 / (0.5 * math.hypot(*self.coarse.shape))

    def grid(self, max_turn: float, max_scale: float) -> list[tuple[float, float]]:
        """Return the turns (degrees) and scales of the coarse search, a little more than the given limits."""
        step = self._step()
        turn = min(180.0, max_turn)
        n = math.ceil(math.radians(turn) / step)
        turns = [turn * i / n for i in range(-n, n + 1)] if n else [0.0]
        if turn == 180 and n:
            turns = turns[1:]  # -180 is 180
        m = math.ceil(math.log1p(max_scale / 100) / step - 0.5) if max_scale > 0 else 0
        sizes = [math.exp(math.log1p(max_scale / 100) * i / m) for i in range(-m, m + 1)] if m > 0 else [1.0]
        return [(angle, scale) for angle in turns for scale in sizes]

    def search(
        self,
        images: Sequence[npt.NDArray[np.uint8]],
        pivot: tuple[float, float],
        reach: float,
        grid: Iterable[tuple[float, float]],
    ) -> list[Place]:
        """Return the best places in an image, the best first, exact to a fraction of a pixel.

        Args:
            images: :func:`pyramid` of the image with at least ``levels`` levels.
            pivot: (x, y) about which the part turns, in pixels of the reference.
            reach: the largest shift of the pivot, in pixels.
            grid: turns (degrees) and scales to try.
        """
        places = self.coarse_places(images, pivot, reach, grid)
        places = [place for place in places if place.match >= places[0].match - 1.5 * _WORSE]
        for level in range(self.levels, min(self._levels) - 1, -1):
            places = self._distinct(
                (self._better(images[level], level, place) for place in places), _FINE_PLACES
            )
            places = [place for place in places if place.match >= places[0].match - _WORSE]
        return [place for place in places if place.match > -1]

    def followed(self, images: Sequence[npt.NDArray[np.uint8]], place: Place) -> Place:
        """Return a place that is known to a few pixels exactly, and its match."""
        for level in range(min(self.levels, min(self._levels) + 1), min(self._levels) - 1, -1):
            place = self._better(images[level], level, place)
        return place

    def _better(self, image: npt.NDArray[np.uint8], level: int, place: Place) -> Place:
        """Return a place made more exact at one level, with its match there."""
        patch, unit = self._levels[level], 2**level
        here = replace(place, x=place.x / unit, y=place.y / unit)
        moved = patch.refined(image, here, self._free, robust=level == min(self._levels))
        better = patch.matched(image, moved)
        if moved is not here and better.match < 0.5:  # it may have gone astray
            better = max(patch.matched(image, here), better, key=lambda p: p.match)
        return replace(better, x=better.x * unit, y=better.y * unit)

    def settled(self, images: Sequence[npt.NDArray[np.uint8]], place: Place) -> Place:
        """Return a place with its shift alone made exact, at the given turn and scale, and its match."""
        level = min(self._levels)
        patch, image, unit = self._levels[level], images[level], 2**level
        here = replace(place, x=place.x / unit, y=place.y / unit)
        better = patch.matched(image, patch.refined(image, here, [2, 3], robust=True))
        return replace(better, x=better.x * unit, y=better.y * unit)

    def coarse_places(
        self,
        images: Sequence[npt.NDArray[np.uint8]],
        pivot: tuple[float, float],
        reach: float,
        grid: Iterable[tuple[float, float]],
    ) -> list[Place]:
        """Return the best places at the coarsest level, as :meth:`search`, which makes them exact.

        The image is turned, the patch is not.
        """
        image, unit = images[self.levels], 2**self.levels
        patch = self.coarse.patch
        height, width = patch.shape
        arm = (np.array(self.center) - pivot) / unit
        middle = np.array(pivot) / unit
        corners = np.array([[0, 0], [1, 0], [0, 1], [1, 1]]) * (image.shape[1], image.shape[0])
        source = image.astype(np.float32)
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        found: list[Place] = []
        for turn, scale in grid:
            linear = rotation(turn) * scale
            center = middle + linear @ arm
            # The window, in pixels of the patch about its expected center: the reach, inside the image. A
            # quarter of the patch may stick out.
            offsets = (corners - center) @ np.linalg.inv(linear).T
            far = reach / unit / scale + 1
            slack = np.array([width, height]) / 4
            low = np.maximum(offsets.min(axis=0) - slack, -far - np.array([width, height]) / 2)
            high = np.minimum(offsets.max(axis=0) + slack, far + np.array([width, height]) / 2)
            size = np.ceil(high - low).astype(int)
            if size[0] < width or size[1] < height:
                continue
            start = center + linear @ (low + 0.5) - 0.5
            window = cv2.warpAffine(
                source,
                np.column_stack([linear, start]),
                (int(size[0]), int(size[1])),
                flags=flags,
                borderMode=cv2.BORDER_REPLICATE,
            )
            scores = cv2.matchTemplate(window, patch, cv2.TM_CCOEFF_NORMED)
            for x, y, score in _peaks(np.asarray(scores, np.float32), _COARSE_PLACES, min(width, height) / 4):
                at = center + linear @ (low + np.array([x + width / 2, y + height / 2]))
                found.append(Place(float(at[0]) * unit, float(at[1]) * unit, turn, scale, score))
        return self._distinct(found, _COARSE_PLACES)

    def _distinct(self, places: Iterable[Place], most: int) -> list[Place]:
        """Return the best places that do not lie on a better one."""
        near = min(self.size) / 2
        kept: list[Place] = []
        for place in sorted(places, key=lambda p: -p.match):
            if len(kept) == most:
                break
            if all(math.hypot(place.x - other.x, place.y - other.y) >= near for other in kept):
                kept.append(place)
        return kept


def _peaks(scores: Gray, most: int, apart: float) -> list[tuple[int, int, float]]:
    """Return column, row and height of the highest local maxima of a correlation."""
    side = 2 * max(1, int(apart)) + 1
    highest = cv2.dilate(scores, np.ones((side, side), np.uint8))
    rows, columns = np.nonzero((scores >= highest) & np.isfinite(scores))
    order = np.argsort(-scores[rows, columns], kind="stable")[:most]
    return [(int(columns[i]), int(rows[i]), float(scores[rows[i], columns[i]])) for i in order]
