"""The pose of a part in an image: how it is shifted, turned and scaled relative to the reference part."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from padim.locating.frame import Frame, Matrix, rotation
from padim.locating.settings import Displacement

__all__ = ["STEPS", "Pose"]

# Steps in which displacements are judged: map pixels, degrees, and the natural logarithm of the scale.
# Finer differences are below what the locating methods measure.
STEPS: dict[Displacement, float] = {"shift": 0.1, "turn": 0.05, "scale": 0.001}


@dataclass(frozen=True)
class Pose:
    """Similarity that brings the reference part to the place of the part in an image.

    A point p of the reference image, relative to the frame's center c, is at
    ``c + (dx, dy) + scale * R(turn) (p - c)`` in the image.

    Attributes:
        dx, dy: shift of the frame's center to the right and down, in pixels of the reference image.
        turn: degrees counterclockwise on the screen, above -180 and at most 180.
        scale: size relative to the reference part.
        match: how well the part matches the reference, from 0 to 1.
    """

    dx: float
    dy: float
    turn: float
    scale: float
    match: float

    def __post_init__(self) -> None:
        if not all(math.isfinite(value) for value in (self.dx, self.dy, self.turn, self.scale, self.match)):
            raise ValueError("a number of the pose is not finite")
        if self.scale <= 0:
            raise ValueError(f"the scale must be above 0, got {self.scale}")

    @property
    def shift(self) -> float:
        """Length of the shift, in pixels of the reference image."""
        return math.hypot(self.dx, self.dy)

    def to_image(self, frame: Frame, shape: tuple[int, int], *, resize: bool) -> Matrix:
        """Return the affine map from map pixels to pixels of an image: float64 ``(2, 3)``.

        The image has the resolution of the reference image.

        Args:
            frame: the frame of the reference part.
            shape: (height, width) of the map.
            resize: whether parts are brought to the size of the reference.
        """
        linear = rotation(self.turn) * (self.scale if resize else 1.0)
        center = np.array([frame.center_x, frame.center_y])
        reference = frame.to_reference(shape)
        matrix = linear @ reference
        matrix[:, 2] += center + np.array([self.dx, self.dy]) - linear @ center
        return matrix

    def levels(self, frame: Frame, shape: tuple[int, int]) -> dict[Displacement, int]:
        """Return the sizes of shift, turn and change of scale as whole numbers of :data:`STEPS`.

        Args:
            frame: the frame of the reference part.
            shape: (height, width) of the map, in whose pixels the shift is measured.
        """
        shift = self.shift / frame.pixels_per_map_pixel(shape)
        sizes = {"shift": shift, "turn": abs(self.turn), "scale": abs(math.log(self.scale))}
        return {name: round(sizes[name] / step) for name, step in STEPS.items()}

    def to_json(self) -> dict[str, float]:
        """Return the pose as plain JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Any) -> Pose:
        """Create a pose from the result of :meth:`to_json`.

        Raises:
            ValueError: the data is not a pose.
        """
        try:
            return cls(*(float(data[name]) for name in ("dx", "dy", "turn", "scale", "match")))
        except (KeyError, OverflowError, TypeError) as error:
            raise ValueError(f"not a pose: {error}") from error
