"""Compare the part in an image with the reference part: in one direction, or in all at once."""

from __future__ import annotations

import math

import cv2
import numpy as np
import numpy.typing as npt

from padim.locating.contour import Contour, Similarity
from padim.locating.foreground import Foreground
from padim.locating.frame import rotation

__all__ = ["PartPatch", "Rose"]

Array = npt.NDArray[np.float32]
Vector = npt.NDArray[np.float64]

# Longer side of the patch on which one direction is compared.
_SIDE = 80
# Rings and directions of the polar images on which all directions are compared.
_RINGS, _DIRECTIONS = 24, 240
# So many directions are returned: those of a nut and a few more.
_PEAKS = 8
# Gray levels of noise that are no likeness: without it, plain surfaces would be compared by their noise.
_NOISE = 2.0
# Correlations of the colors inside a round part, apart from what is the same in all directions, that show its
# turn: a high one, or a lower one that is much higher than without a turn. Bottoms of bottles without a mark,
# lit from one side, reach 0.6, but nearly as much without a turn; parts with marks 0.8 and more.
_LIKE, _LIKELY, _GAIN = 0.7, 0.35, 0.2
# The weight of the inside of the part beside that of its outline.
_INSIDE = 0.5


class PartPatch:
    """The upright reference part, small."""

    def __init__(self, foreground: Foreground, center: Vector, contour: Contour) -> None:
        low, high = contour.extent(0.0)
        low, high = low - 2, high + 2
        step = float(max(high - low)) / _SIDE
        self._shape = tuple(round(float(side) / step) or 1 for side in (high - low)[::-1])
        v, u = np.mgrid[: self._shape[0], : self._shape[1]] + 0.5
        self._step, self._low = step, low
        self._area = float(foreground.weights.sum())
        self._weights, colors = self._cut(foreground, Similarity(center, 0.0, 1.0))
        self._inside = np.flatnonzero(self._weights > 0.5)
        terms = np.stack([np.ones_like(u), u, v], axis=-1).reshape(-1, 3)[self._inside]
        self._plane = np.linalg.qr(terms)[0].astype(np.float32)
        self._colors = self._centered(colors)
        self._power = self._strength(self._colors)

    def _cut(self, foreground: Foreground, place: Similarity) -> tuple[Array, npt.NDArray[np.uint8]]:
        """Return the weights ``(h, w)`` and colors ``(h, w, 3)`` that lie at a place."""
        linear = rotation(place.turn) * place.scale
        matrix = np.empty((2, 3))
        matrix[:, :2], matrix[:, 2] = linear * self._step, place.center + linear @ self._low
        matrix[:, 2] += matrix[:, :2] @ (0.5, 0.5) - 0.5
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        size = self._shape[::-1]
        weights = cv2.warpAffine(foreground.weights, matrix, size, flags=flags)
        return weights, cv2.warpAffine(foreground.image, matrix, size, flags=flags)

    def _centered(self, colors: npt.NDArray[np.uint8]) -> Array:
        """Return the colors inside the reference's outline without their mean and gradient: the light's."""
        inside = colors.reshape(-1, 3).take(self._inside, axis=0).astype(np.float32)
        return np.asarray(inside - self._plane @ (self._plane.T @ inside))

    @staticmethod
    def _strength(colors: Array) -> float:
        return float(np.vdot(colors, colors)) + _NOISE**2 * colors.size

    def agreement(self, foreground: Foreground, area: float, place: Similarity) -> tuple[float, float]:
        """Compare what lies at a place of an image with the reference.

        Args:
            foreground: the part in the image.
            area: the sum of its weights.
            place: where the reference part may lie in its window.

        Returns:
            The overlap of both outlines relative to their union, 0 to 1, and the correlation of the colors
            inside the reference's outline, -1 to 1.
        """
        covered, colors = self._cut(foreground, place)
        common = float(np.minimum(covered, self._weights).sum()) * self._step**2
        union = self._area + area / place.scale**2 - common
        own = self._centered(colors)
        correlation = float(np.vdot(own, self._colors)) / math.sqrt(self._strength(own) * self._power)
        return common / union, correlation


class Rose:
    """The part in polar coordinates around its center, of which all directions are compared at once."""

    def __init__(self, foreground: Foreground, center: Vector, radius: float) -> None:
        at = (float(center[0]) - 0.5, float(center[1]) - 0.5)
        size = (_RINGS, _DIRECTIONS)
        flags = cv2.INTER_LINEAR | cv2.WARP_FILL_OUTLIERS
        mask = cv2.warpPolar(foreground.weights, size, at, radius, flags)
        colors = cv2.warpPolar(foreground.image, size, at, radius, flags).astype(np.float32)
        # Outer rings are larger.
        area = np.arange(1, _RINGS + 1, dtype=np.float32) - 0.5
        share = mask * area
        # Mean and gradient of the colors are the light's, which does not turn with the part.
        angles = np.arange(_DIRECTIONS, dtype=np.float32)[:, None] * np.float32(2 * np.pi / _DIRECTIONS)
        terms = np.stack([np.ones_like(mask), area * np.cos(angles), area * np.sin(angles)], axis=-1)
        terms, flat = terms.reshape(-1, 3), colors.reshape(-1, 3)
        weighted = (terms * share.reshape(-1, 1)).T
        normal = weighted @ terms + np.float32(1e-3) * np.eye(3, dtype=np.float32)
        plane = np.linalg.solve(normal, weighted @ flat)
        inside = (flat - terms @ plane).reshape(colors.shape) * (mask * np.sqrt(area))[..., None]
        # What is the same in all directions tells none.
        inside -= inside.mean(axis=0)
        outline = (mask - mask.mean(axis=0)) * np.sqrt(area)
        self._spectra = [np.fft.rfft(outline, axis=0), np.fft.rfft(inside.reshape(_DIRECTIONS, -1), axis=0)]
        self._power = [
            float((mask * mask * area).sum()),
            float((inside**2).sum() + 3 * _NOISE**2 * share.sum()),
        ]

    def turns(self, other: Rose, outline_tells: bool) -> list[float]:
        """Return the turns of another part relative to this one that fit best, in degrees.

        Args:
            other: the other part.
            outline_tells: whether the outline tells the turn. Of a round part the inside must tell it, or
                only 0 is returned: such a part looks the same in all directions.
        """
        outline, inside = (
            np.fft.irfft((mine * its.conj()).sum(axis=1), _DIRECTIONS) / math.sqrt(power * power_its + 1e-9)
            for mine, its, power, power_its in zip(
                self._spectra, other._spectra, self._power, other._power, strict=True
            )
        )
        total = outline + _INSIDE * inside
        best = int(total.argmax())
        clear = inside[best] >= _LIKE or inside[best] >= max(_LIKELY, inside[0] + _GAIN)
        if not outline_tells and not clear:
            return [0.0]
        before, after = np.roll(total, 1), np.roll(total, -1)
        peaks = np.flatnonzero((total >= before) & (total > after))
        # What is left of the noise and of other symmetries is far below the best.
        peaks = peaks[total[peaks] >= total[best] - 0.4 * (total[best] - np.median(total))]
        peaks = peaks[np.argsort(-total[peaks])][:_PEAKS]
        curvature = before[peaks] - 2 * total[peaks] + after[peaks]
        offset = 0.5 * (before[peaks] - after[peaks]) / np.minimum(curvature, -1e-12)
        return [float(turn) * 360 / _DIRECTIONS for turn in peaks + offset]
