"""The orientation that a file states for its pixels (EXIF), and pixels turned upright by it."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import numpy.typing as npt
from PIL import ImageFile

EXIF_ORIENTATION = 274

Pixel = TypeVar("Pixel", bound=np.generic)


def orientation_of_file(image: ImageFile.ImageFile) -> int:
    """Return the orientation that a loaded image states, 1 to 8; 1 without a readable one."""
    try:
        value = image.getexif().get(EXIF_ORIENTATION, 1)
    except Exception:
        # Cameras often write broken EXIF blocks, and the parser fails in many ways. The pixels are
        # intact: the image is used as stored, as viewers do.
        return 1
    return value if isinstance(value, int) else 1


def turned(pixels: npt.NDArray[Pixel], orientation: int) -> npt.NDArray[Pixel]:
    """Turn stored pixels ``(h, w, ...)`` upright, by their EXIF orientation (EXIF 2.32, tag 274: 1 to 8)."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return pixels
