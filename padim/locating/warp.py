"""Cut the model input out of an image at the part's place, and say which map pixels the image covers.

Only OpenCV and numpy are used, so that the script in an exported folder repeats the same steps.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
import numpy.typing as npt

from padim.locating.frame import Matrix

__all__ = ["covered", "warp"]

RGB = npt.NDArray[np.uint8]

# The largest number of pixels of the intermediate image, 60 MB.
_MOST_PIXELS = 20_000_000
# OpenCV resamples images up to 32767 pixels in each direction.
_LONGEST = 32_000


def warp(rgb: RGB, matrix: Matrix, shape: tuple[int, int]) -> RGB:
    """Return the content of an image at the map's place, free of aliasing.

    What surrounds the place is cut out and averaged over squares of whole pixels, to not less than four
    times the map's resolution where memory allows; that is resampled bilinearly at a whole multiple of the
    map's resolution, and averaged again. Beyond its border the image's outermost pixels are repeated.

    Args:
        rgb: uint8 ``(h, w, 3)``.
        matrix: float64 ``(2, 3)``, from map pixels to image pixels, both continuous.
        shape: (height, width) of the map.

    Returns:
        uint8 ``(*shape, 3)``.
    """
    height, width = shape
    # How many image pixels a map pixel is long in each of the map's directions.
    lengths = np.hypot(matrix[0, :2], matrix[1, :2])
    factor = max(1, int(lengths.min() / 4 + 1e-6))
    rgb, origin = _around(rgb, matrix, shape, factor)
    while _pixels(lengths / factor, shape) > _MOST_PIXELS and factor + 1 <= lengths.min():
        factor += 1
    factor = max(factor, math.ceil(max(rgb.shape[:2]) / _LONGEST))
    rgb = _averaged(rgb, factor)

    across, down = _multiples(lengths / factor, shape)
    own = matrix / factor
    own[:, 2] -= np.array(origin) / factor
    own[:, 0] /= across
    own[:, 1] /= down
    # OpenCV counts pixel centers as whole numbers, here they are at halves.
    own[:, 2] += own[:, :2] @ (0.5, 0.5) - 0.5
    fine = cv2.warpAffine(
        rgb,
        own,
        (width * across, height * down),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    if across > 1 or down > 1:
        fine = cv2.resize(fine, (width, height), interpolation=cv2.INTER_AREA)
    return np.asarray(fine, np.uint8)


def _multiples(lengths: npt.NDArray[np.float64], shape: tuple[int, int]) -> tuple[int, int]:
    """Return the whole multiples of the map's columns and rows that reach an image's resolution."""
    across, down = (
        min(max(1, math.ceil(length - 1e-6)), _LONGEST // side)
        for length, side in zip(lengths, shape[::-1], strict=True)
    )
    return across, down


def _pixels(lengths: npt.NDArray[np.float64], shape: tuple[int, int]) -> int:
    across, down = _multiples(lengths, shape)
    return across * down * shape[0] * shape[1]


def _around(rgb: RGB, matrix: Matrix, shape: tuple[int, int], factor: int) -> tuple[RGB, tuple[int, int]]:
    """Return the part of an image that the map shows, with a margin, and the column and row it begins at.

    It begins at multiples of the factor, so that averages do not depend on how the map lies.
    """
    corners = matrix @ np.array([[0, shape[1], 0, shape[1]], [0, 0, shape[0], shape[0]], [1, 1, 1, 1]])
    begin, end = [], []
    for places, size in zip(corners, rgb.shape[1::-1], strict=True):
        low = math.floor(min(max(float(places.min()), 0.0), size - 1.0)) - 2 * factor
        high = math.ceil(min(max(float(places.max()), 1.0), float(size))) + 2 * factor
        begin.append(max(0, low // factor * factor))
        end.append(min(size, high))
    return rgb[begin[1] : end[1], begin[0] : end[0]], (begin[0], begin[1])


def _averaged(rgb: RGB, factor: int) -> RGB:
    """Return an image averaged over squares; incomplete ones at its end are filled up by repeating."""
    if factor == 1:
        return np.ascontiguousarray(rgb)
    height, width = (-(-side // factor) for side in rgb.shape[:2])
    below, right = height * factor - rgb.shape[0], width * factor - rgb.shape[1]
    if below or right:
        rgb = cv2.copyMakeBorder(rgb, 0, below, 0, right, cv2.BORDER_REPLICATE)
    return np.asarray(cv2.resize(rgb, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def covered(matrix: Matrix, shape: tuple[int, int], image_size: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """Return the map pixels whose center lies inside the image: bool ``shape``.

    Args:
        matrix: float64 ``(2, 3)``, from map pixels to image pixels, both continuous.
        shape: (height, width) of the map.
        image_size: (height, width) of the image.
    """
    u, v = np.arange(shape[1]) + 0.5, (np.arange(shape[0]) + 0.5)[:, None]
    x = matrix[0, 0] * u + matrix[0, 1] * v + matrix[0, 2]
    y = matrix[1, 0] * u + matrix[1, 1] * v + matrix[1, 2]
    return np.asarray((x >= 0) & (x <= image_size[1]) & (y >= 0) & (y <= image_size[0]))
