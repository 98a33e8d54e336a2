"""The place of the map on an original image: for masks, regions and drawings on the original."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import cv2
import numpy as np

from padim.locating.frame import Matrix

__all__ = ["Placement"]


@dataclass(frozen=True)
class Placement:
    """Affine map from map pixels to pixels of an original image, in continuous coordinates.

    Attributes:
        rows: the two rows of the matrix, three numbers each; x = a u + b v + c for map column u and row v.
    """

    rows: tuple[tuple[float, float, float], tuple[float, float, float]]

    @classmethod
    def of(cls, matrix: Matrix) -> Placement:
        """Create a placement from a float64 ``(2, 3)`` matrix."""
        first, second = (tuple(float(number) for number in row) for row in matrix)
        return cls((first, second))  # type: ignore[arg-type]

    @cached_property
    def matrix(self) -> Matrix:
        """The matrix from map pixels to original pixels: float64 ``(2, 3)``."""
        return np.array(self.rows, np.float64)

    @cached_property
    def inverse(self) -> Matrix:
        """The matrix from original pixels to map pixels: float64 ``(2, 3)``."""
        return np.asarray(cv2.invertAffineTransform(self.matrix), np.float64)

    def on(self, size: tuple[int, int], other: tuple[int, int]) -> Placement:
        """Return the place of the map on the same image at another size.

        Args:
            size: (height, width) of the image.
            other: (height, width) that the image is resized to.
        """
        return Placement.of(np.diag([other[1] / size[1], other[0] / size[0]]) @ self.matrix)

    def to_json(self) -> list[list[float]]:
        """Return the matrix as plain JSON values."""
        return [list(row) for row in self.rows]

    @classmethod
    def from_json(cls, data: Any) -> Placement:
        """Create a placement from the result of :meth:`to_json`; ValueError for anything else."""
        matrix = np.array(data, np.float64)
        if matrix.shape != (2, 3) or not np.isfinite(matrix).all():
            raise ValueError("a placement has two rows of three numbers")
        return cls.of(matrix)
