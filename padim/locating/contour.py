"""Bring the outline of the reference part to the outline in an image, robustly.

Points on the reference's outline are moved until they lie on the outline in the image: their distances from
it are minimized with Tukey's biweight, so that a dent, a burr or a broken-off piece, which are far from it,
have no say.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from padim.locating.foreground import Foreground
from padim.locating.frame import rotation

__all__ = ["Contour", "Field", "Similarity", "turned"]

Array = npt.NDArray[np.float32]
Vector = npt.NDArray[np.float64]

_POINTS = 240
_STEPS = 12
# A point this near to an outline, in pixels, lies on it.
_ON_OUTLINE = 0.5
# Width of the blur, in pixels, from which the outline's place between pixels is read.
_BLUR = 1.2


def turned(degrees: float) -> float:
    """Return the same direction above -180 and at most 180 degrees."""
    return -((-degrees + 180) % 360 - 180)


@dataclass(frozen=True)
class Similarity:
    """Where the reference part lies in an image: its center, degrees counterclockwise, and its scale."""

    center: Vector
    turn: float
    scale: float


class Field:
    """Signed distances from the outline in an image, positive outside, in pixels."""

    def __init__(self, foreground: Foreground) -> None:
        mask = foreground.mask
        outside = cv2.distanceTransform(1 - mask, cv2.DIST_L2, 5)
        inside = cv2.distanceTransform(mask, cv2.DIST_L2, 5)
        far = outside - inside + np.where(mask > 0, np.float32(0.5), np.float32(-0.5))
        # Near the outline the distance follows from how much of the surrounding is covered.
        blurred = cv2.GaussianBlur(foreground.weights, (0, 0), _BLUR)
        near = _LOGIT[np.clip(blurred * 1024, 0, 1024).astype(np.int32)]
        share = np.clip(2.5 - np.abs(far), 0, 1)
        self._distance = far + share * (near - far)

    def at(self, points: Vector) -> tuple[Vector, Vector]:
        """Return distances ``(n,)`` and their gradients ``(n, 2)`` at points ``(n, 2)``, interpolated."""
        height, width = self._distance.shape
        wanted = points - 0.5
        place = np.minimum(np.maximum(wanted, 0), (width - 1.001, height - 1.001))
        whole = place.astype(np.int64)
        x, y = (place - whole).T
        corner = whole[:, 1] * width + whole[:, 0]
        flat = self._distance.reshape(-1)
        a, b, c, d = (flat.take(corner + step) for step in (0, 1, width, width + 1))
        top, low = b - a, d - c
        left = c - a
        # Beyond the image the distance grows by what was cut off.
        value = a + top * x + (left + (low - top) * x) * y + np.abs(wanted - place).sum(axis=1)
        gradient = np.empty_like(points)
        gradient[:, 0], gradient[:, 1] = top + (low - top) * y, left + (low - top) * x
        return value, gradient


def _distances_of_coverage() -> Array:
    """Return the distance from a straight edge for each blurred coverage, in steps of 1/1024."""
    coverage = np.linspace(0, 1, 1025)
    # The pixel itself widens the blur.
    width = math.sqrt(_BLUR**2 + 1 / 12)
    places = np.linspace(-3.5, 3.5, 4001)
    covered = np.array([0.5 * math.erfc(place / math.sqrt(2)) for place in places])
    return np.interp(coverage, covered[::-1], places[::-1] * width).astype(np.float32)


_LOGIT = _distances_of_coverage()
_LOGIT.setflags(write=False)


class Contour:
    """Points on the outline of the reference part, relative to its center, in pixels.

    Attributes:
        radius: distance of the farthest point from the center, in pixels.
        tells_turn: whether the outline shows how far the part is turned; a disc's does not.
    """

    def __init__(self, points: Vector, normals: Vector) -> None:
        self._points = points
        # By how much points leave the outline when it is turned, in pixels a radian.
        leaving = (normals * np.stack([points[:, 1], -points[:, 0]], axis=1)).sum(axis=1)
        self.radius = float(np.linalg.norm(points, axis=1).max())
        # A turn by a degree must move the outline of a part by 0.2 % of its size to be seen on it.
        self.tells_turn = math.radians(1) * float(np.sqrt((leaving**2).mean())) > 0.002 * self.radius

    @classmethod
    def of(cls, foreground: Foreground, center: Vector) -> Contour:
        """Take points in equal distances from the outline of a foreground."""
        contours, _ = cv2.findContours(foreground.mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        pixels = max(contours, key=len)[:, 0].astype(np.float64) + 0.5
        steps = np.linalg.norm(np.diff(pixels, axis=0, append=pixels[:1]), axis=1)
        along = np.concatenate([[0.0], np.cumsum(steps)])
        places = np.linspace(0, along[-1], _POINTS, endpoint=False)
        closed = np.vstack([pixels, pixels[:1]])
        points = np.stack([np.interp(places, along, closed[:, axis]) for axis in (0, 1)], axis=1)
        field = Field(foreground)
        for _ in range(3):  # from pixel centers onto the outline between them
            distance, gradient = field.at(points)
            length = np.maximum((gradient**2).sum(axis=1), 0.25)
            points = points - np.clip(distance / length, -1, 1)[:, None] * gradient
        _, gradient = field.at(points)
        length = np.maximum(np.linalg.norm(gradient, axis=1), 0.5)
        return cls(points - center, gradient / length[:, None])

    def extent(self, turn: float) -> tuple[Vector, Vector]:
        """Return the lowest and highest coordinates in a system turned counterclockwise by degrees."""
        own = self._points @ rotation(turn)
        return own.min(axis=0), own.max(axis=0)

    def share(self, field: Field, place: Similarity) -> float:
        """Return the share of the points that lie on an outline at a place, 0 to 1."""
        distance, _ = field.at(place.center + place.scale * self._points @ rotation(place.turn).T)
        return float((np.abs(distance) < _ON_OUTLINE).mean())

    def fit(self, field: Field, start: Similarity) -> Similarity:
        """Return the similarity that brings the points onto an outline, from one that nearly does.

        A direction that the outline does not tell, as a disc's, stays that of the start.
        """
        center, turn, scale = start.center.astype(np.float64), math.radians(start.turn), start.scale
        for step in range(_STEPS):
            cosine, sine = math.cos(turn), math.sin(turn)
            moved = scale * self._points @ np.array([[cosine, -sine], [sine, cosine]])
            distance, gradient = field.at(center + moved)
            # Tukey's biweight; at first a wide one, as all of the outline may still be off.
            spread = 1.4826 * float(np.partition(np.abs(distance), _POINTS // 2)[_POINTS // 2])
            cutoff = max(4.685 * spread, 2.0 if step < 4 else 1.0)
            weights = np.maximum(1 - (distance / cutoff) ** 2, 0) ** 2
            jacobian = np.empty((len(moved), 4))
            jacobian[:, :2] = gradient
            jacobian[:, 2] = gradient[:, 0] * moved[:, 1] - gradient[:, 1] * moved[:, 0]
            jacobian[:, 3] = (gradient * moved).sum(axis=1)
            if not self.tells_turn:
                jacobian[:, 2] = 0
            weighted = (jacobian * weights[:, None]).T
            normal = weighted @ jacobian
            # The turn is known from the start to about 1.5 degrees, against distances known to 0.3 pixels.
            normal[2, 2] += (0.3 / math.radians(1.5)) ** 2
            right = weighted @ distance
            right[2] += (0.3 / math.radians(1.5)) ** 2 * (turn - math.radians(start.turn))
            change = np.linalg.solve(normal + 1e-9 * np.trace(normal) * np.eye(4), -right)
            center = center + change[:2]
            turn += change[2]
            scale *= math.exp(float(np.clip(change[3], -0.2, 0.2)))
            if max(abs(change[:2])) < 0.01 and max(abs(change[2:])) * self.radius < 0.01:
                break
        return Similarity(center, turned(math.degrees(turn)), scale)
