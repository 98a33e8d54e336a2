"""Bring masks from the map back to the original image, at the place where the part lies in it.

The place is a :class:`padim.locating.placement.Placement`. Two rules decide which pixels of the original are
set, so that nothing of a mask is lost, whichever of the two has the finer pixels:

1. an original pixel is set when the map pixel under its center is set (nearest neighbor);
2. a set map pixel that is under no original pixel's center, where the original is the coarser one, sets the
   original pixel in which its own center lies.

Only OpenCV and numpy are used, so that the script in an exported folder repeats the same steps.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import cv2
import numpy as np
import numpy.typing as npt

from padim.locating.placement import Placement
from padim.locating.warp import covered

__all__ = ["mask_on_original", "part_on_original", "pixels_on_original"]

Mask = npt.NDArray[np.bool_]

# Original pixels that are looked up at once: some megabytes of coordinates.
_BAND_PIXELS = 500_000


def mask_on_original(mask: Mask, placement: Placement, original_size: tuple[int, int]) -> Mask:
    """Bring a mask from the map to the original image, by the two rules of this module.

    Args:
        mask: bool ``(h, w)``, on the map. Pixels with their center outside the image are left out.
        placement: the place of the map on the image.
        original_size: (height, width) of the image.

    Returns:
        bool ``original_size``.
    """
    mask = mask & covered(placement.matrix, (mask.shape[0], mask.shape[1]), original_size)
    out = np.zeros(original_size, np.bool_)
    x, y, width, height = cv2.boundingRect(mask.view(np.uint8))
    if width:
        top, left, part = part_on_original(
            mask[y : y + height, x : x + width], y, x, placement, original_size
        )
        out[top : top + part.shape[0], left : left + part.shape[1]] = part
    return out


def part_on_original(
    inside: Mask, row: int, column: int, placement: Placement, original_size: tuple[int, int]
) -> tuple[int, int, Mask]:
    """Bring a part of the map to the original image; return its top, left and mask there.

    Args:
        inside: bool, the pixels of the map from ``row`` and ``column`` on that are set.
        row, column: where the part begins on the map.
        placement, original_size: as for :func:`mask_on_original`.
    """
    h, w = inside.shape
    a, b = placement.matrix[:, 0], placement.matrix[:, 1]
    first = a * column + b * row + placement.matrix[:, 2]
    corners = np.array([first, first + a * w, first + b * h, first + a * w + b * h])
    left, top = (max(0, math.floor(low) - 1) for low in corners.min(axis=0))
    right = min(original_size[1], math.ceil(corners[:, 0].max()) + 1)
    bottom = min(original_size[0], math.ceil(corners[:, 1].max()) + 1)
    out = np.empty((max(0, bottom - top), max(0, right - left)), np.bool_)
    # A border of zeros takes everything that lies outside the part.
    framed = np.pad(inside, 1)
    flat, pitch = framed.ravel(), framed.shape[1]
    looked_up = np.zeros(flat.shape, np.bool_)
    for rows in _bands(*out.shape):
        u, v = _map_pixels(np.arange(left, right), np.arange(top + rows.start, top + rows.stop), placement)
        u = np.clip(u - (column - 1), 0, w + 1, out=u)
        v = np.clip(v - (row - 1), 0, h + 1, out=v)
        places = (v * pitch + u).astype(np.intp)
        out[rows] = flat.take(places)
        looked_up[places] = True
    missed = inside & ~looked_up.reshape(framed.shape)[1:-1, 1:-1]
    owners = pixels_on_original(np.argwhere(missed) + np.array([row, column]), placement, original_size)
    out[owners[:, 0] - top, owners[:, 1] - left] = True
    return top, left, out


def _map_pixels(
    columns: npt.NDArray[np.int_], rows: npt.NDArray[np.int_], placement: Placement
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return column and row of the map pixel under the centers of original pixels, as whole floats.

    The sums are formed in this order also where the mask is drawn by another program.
    """
    (a, b, c), (d, e, f) = placement.inverse.tolist()
    x, y = columns + 0.5, (rows + 0.5)[:, None]
    return np.floor(a * x + b * y + c), np.floor(d * x + e * y + f)


def pixels_on_original(
    pixels: npt.NDArray[np.int_], placement: Placement, original_size: tuple[int, int]
) -> npt.NDArray[np.intp]:
    """Return row and column of the original pixels in which the centers of map pixels lie.

    Args:
        pixels: int ``(n, 2)``, row and column on the map, with centers inside the image.
        placement, original_size: as for :func:`mask_on_original`.
    """
    (a, b, c), (d, e, f) = placement.matrix.tolist()
    u, v = pixels[:, 1] + 0.5, pixels[:, 0] + 0.5
    found = np.floor(np.stack([d * u + e * v + f, a * u + b * v + c], axis=1)).astype(np.intp)
    # A center on the very border of the image counts as inside.
    return np.clip(found, 0, np.array(original_size) - 1)


def _bands(height: int, width: int) -> Iterator[slice]:
    """Yield the rows of an image in bands of about ``_BAND_PIXELS`` pixels."""
    if height and width:
        step = max(1, _BAND_PIXELS // width)
        for start in range(0, height, step):
            yield slice(start, min(height, start + step))
