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

# The largest number of pixels of the intermediate image, 100 MB; beyond, thin structures may alias.
_MOST_PIXELS = 32_000_000


def warp(rgb: npt.NDArray[np.uint8], matrix: Matrix, shape: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """Return the content of an image at the map's place, free of aliasing.

    The image is first resampled bilinearly at a whole multiple of the map's resolution, at least its own,
    and then averaged over areas. Beyond its border the image's outermost pixels are repeated.

    Args:
        rgb: uint8 ``(h, w, 3)``.
        matrix: float64 ``(2, 3)``, from map pixels to image pixels, both continuous.
        shape: (height, width) of the map.

    Returns:
        uint8 ``(*shape, 3)``.
    """
    height, width = shape
    reduction = float(np.hypot(matrix[0, :2], matrix[1, :2]).max())
    most = max(1, math.isqrt(_MOST_PIXELS // (height * width)))
    multiple = min(max(1, math.ceil(reduction - 1e-6)), most)
    # OpenCV counts pixel centers as whole numbers, here they are at halves.
    own = matrix.copy()
    own[:, :2] /= multiple
    own[:, 2] += own[:, :2] @ (0.5, 0.5) - 0.5
    fine = cv2.warpAffine(
        rgb,
        own,
        (width * multiple, height * multiple),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    if multiple > 1:
        fine = cv2.resize(fine, (width, height), interpolation=cv2.INTER_AREA)
    return np.asarray(fine, np.uint8)


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
