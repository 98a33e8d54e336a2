"""The window of the reference part that becomes the model input."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Frame", "Matrix", "rotation"]

Matrix = npt.NDArray[np.float64]


def rotation(degrees: float) -> Matrix:
    """Return the matrix of a counterclockwise turn on the screen, where y points down: float64 ``(2, 2)``."""
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return np.array([[cosine, sine], [-sine, cosine]])


@dataclass(frozen=True)
class Frame:
    """A rectangle in the reference image, which may be turned; the model input shows its content.

    Coordinates are continuous: pixel i covers [i, i + 1) and has its center at i + 0.5.

    Attributes:
        center_x, center_y: its center, in pixels of the reference image.
        width, height: its sides, in pixels of the reference image.
        turn: degrees counterclockwise on the screen by which its horizontal side is turned.
        image_size: (height, width) of the reference image in pixels.
    """

    center_x: float
    center_y: float
    width: float
    height: float
    turn: float
    image_size: tuple[int, int]

    def __post_init__(self) -> None:
        numbers = (self.center_x, self.center_y, self.width, self.height, self.turn)
        if not all(math.isfinite(number) for number in numbers):
            raise ValueError("a number of the frame is not finite")
        if self.width <= 0 or self.height <= 0 or min(self.image_size) < 1:
            raise ValueError(f"the frame is empty: {self.width} x {self.height} in {self.image_size}")

    @classmethod
    def whole(cls, image_size: tuple[int, int]) -> Frame:
        """Return the frame that is a whole image, given as (height, width)."""
        height, width = image_size
        return cls(width / 2, height / 2, float(width), float(height), 0.0, (height, width))

    def to_reference(self, shape: tuple[int, int]) -> Matrix:
        """Return the affine map from map pixels to pixels of the reference image: float64 ``(2, 3)``.

        Args:
            shape: (height, width) of the map, which shows the whole frame.
        """
        height, width = shape
        linear = rotation(self.turn) @ np.diag([self.width / width, self.height / height])
        center = np.array([self.center_x, self.center_y])
        return np.column_stack([linear, center - linear @ (width / 2, height / 2)])

    def pixels_per_map_pixel(self, shape: tuple[int, int]) -> float:
        """Return how many reference pixels one map pixel is wide: the geometric mean of both directions."""
        height, width = shape
        return math.sqrt(self.width / width * self.height / height)

    def to_json(self) -> dict[str, Any]:
        """Return the frame as plain JSON values."""
        return {**asdict(self), "image_size": list(self.image_size)}

    @classmethod
    def from_json(cls, data: Any) -> Frame:
        """Create a frame from the result of :meth:`to_json`.

        Raises:
            ValueError: the data is not a frame.
        """
        try:
            height, width = map(int, data["image_size"])
            names = ("center_x", "center_y", "width", "height", "turn")
            x, y, wide, high, turn = (float(data[name]) for name in names)
            return cls(x, y, wide, high, turn, (height, width))
        except (KeyError, OverflowError, TypeError) as error:
            raise ValueError(f"not a frame: {error}") from error
