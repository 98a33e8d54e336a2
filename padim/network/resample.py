"""Enlarging and smoothing of grids as matrices: a grid G becomes the finer map ``R G C^T``."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import correlate1d


def blur_radius(sigma: float) -> int:
    """Return the radius in pixels of the smoothing kernel: about 4 sigma, and 0 for sigma 0.

    It is OpenCV's choice for float images, ``(round(8 * sigma + 1) | 1) // 2``, so that its GaussianBlur
    gives the same map: weights ``exp(-x^2 / (2 sigma^2))`` for ``|x| <= radius``, normalised to sum 1.
    """
    return (round(8.0 * sigma + 1.0) | 1) // 2 if sigma > 0 else 0


@lru_cache(maxsize=32)
def enlarging(grid: int, size: int, sigma: float) -> NDArray[np.float64]:
    """Return the matrix that enlarges and smooths along one axis.

    With one for the rows, R, and one for the columns, C, the map of a grid G is ``R G C^T``.

    Enlarging is bilinear with the half-pixel convention (grid cell i has its centre at
    ``(i + 0.5) * size / grid - 0.5``) and clamped edges; smoothing is a Gaussian with reflect-101 borders
    (the edge pixel is not repeated).

    Args:
        grid: number of grid positions along the axis.
        size: number of map pixels along the axis.
        sigma: standard deviation of the Gaussian in map pixels; 0 leaves the enlarged map as it is.

    Returns:
        float64 ``(size, grid)``, read-only; every row sums to 1.

    Raises:
        ValueError: ``grid`` or ``size`` < 1, or ``sigma`` negative or not finite.
    """
    if grid < 1 or size < 1:
        raise ValueError(f"grid and size must be at least 1, not {grid} and {size}")
    if not (math.isfinite(sigma) and sigma >= 0):
        raise ValueError(f"sigma must be finite and not negative, not {sigma}")
    pixels = np.arange(size)
    place = np.clip((pixels + 0.5) * grid / size - 0.5, 0, grid - 1)
    low = np.floor(place).astype(np.intp)
    matrix = np.zeros((size, grid))
    np.add.at(matrix, (pixels, low), 1 - (place - low))
    np.add.at(matrix, (pixels, np.minimum(low + 1, grid - 1)), place - low)
    if radius := blur_radius(sigma):  # a kernel of one pixel is 1, and sigma squared may underflow to 0
        kernel = np.exp(-(np.arange(-radius, radius + 1) ** 2) / (2 * sigma**2))
        matrix = correlate1d(matrix, kernel / kernel.sum(), axis=0, mode="mirror")
    matrix.flags.writeable = False
    return matrix
