"""Bring masks and level maps from the map back to the original image, at the place where the part lies in it.

The place is a :class:`padim.locating.placement.Placement`. Two rules decide which pixels of the original are
set, so that nothing of a mask is lost, whichever of the two has the finer pixels:

1. an original pixel is set when the map pixel under its center is set (nearest neighbor);
2. a set map pixel that is under no original pixel's center, where the original is the coarser one, sets the
   original pixel in which its own center lies.

Map pixels with their center outside the image have level 0, so a mask that is not empty on the map is not
empty on the original.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from padim.decision.anomaly_map import Levels, Mask
from padim.decision.regions import (
    Region,
    checked_threshold,
    large_regions,
    region_score,
)
from padim.locating.placement import Placement
from padim.locating.warp import covered

__all__ = ["levels_on_original", "mask_and_regions_on_original", "mask_on_original", "within_image"]

# Original pixels that are looked up at once: some megabytes of coordinates.
_BAND_PIXELS = 500_000
# The largest number of pixels of an intermediate image when a map is reduced; beyond, it may alias.
_MOST_PIXELS = 32_000_000


def within_image(q: Levels, placement: Placement, original_size: tuple[int, int]) -> Levels:
    """Set a level map to 0 at map pixels with their center outside the image.

    Args:
        q: uint16 ``(h, w)``, a level map.
        placement: the place of the map on the image.
        original_size: (height, width) of the image.

    Returns:
        uint16 ``(h, w)``; the same array if the image covers all of it.
    """
    seen = covered(placement.matrix, (q.shape[0], q.shape[1]), original_size)
    return q if seen.all() else np.where(seen, q, np.uint16(0))


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
        top, left, part = _projected(mask[y : y + height, x : x + width], y, x, placement, original_size)
        out[top : top + part.shape[0], left : left + part.shape[1]] = part
    return out


def mask_and_regions_on_original(
    q: Levels, threshold: int, min_area: int, placement: Placement, original_size: tuple[int, int]
) -> tuple[Mask, tuple[Region, ...]]:
    """Return the mask of a level map on the original image, and its regions in original pixels.

    The mask has a pixel, and there is a region, exactly when the map's score is above the threshold.

    Args:
        q: uint16 ``(h, w)``, a level map; pixels with their center outside the image count as 0.
        threshold: a level; pixels strictly above it are rejected.
        min_area: smallest region that counts, in *map* pixels, at least 1.
        placement: the place of the map on the image.
        original_size: (height, width) of the image.

    Returns:
        bool ``original_size``, and the regions, strongest first (by level, peak, area, then reading order).

    Raises:
        ValueError: the map's dtype or rank is wrong, or an argument is out of range.
    """
    threshold = checked_threshold(threshold)
    q = within_image(q, placement, original_size)
    out = np.zeros(original_size, np.bool_)
    if region_score(q, min_area) <= threshold:
        return out, ()
    labels, stats, keep = large_regions(q > threshold, min_area)
    regions = []
    for label in np.flatnonzero(keep):
        x0, y0, w, h, _ = (int(n) for n in stats[label])
        inside = labels[y0 : y0 + h, x0 : x0 + w] == label
        levels = np.where(inside, q[y0 : y0 + h, x0 : x0 + w], np.uint16(0))
        top, left, part = _projected(inside, y0, x0, placement, original_size)
        out[top : top + part.shape[0], left : left + part.shape[1]] |= part
        peak_row, peak_col = divmod(int(levels.argmax()), w)
        peak = _owners(np.array([[y0 + peak_row, x0 + peak_col]]), placement, original_size)[0]
        by_row, by_col = part.sum(axis=1), part.sum(axis=0)
        rows, cols = np.flatnonzero(by_row), np.flatnonzero(by_col)
        area = int(by_row.sum())
        regions.append(
            Region(
                x=left + int(cols[0]),
                y=top + int(rows[0]),
                width=int(cols[-1] - cols[0]) + 1,
                height=int(rows[-1] - rows[0]) + 1,
                area=area,
                level=region_score(levels, min_area),
                peak_level=int(levels.max()),
                peak_x=int(peak[1]),
                peak_y=int(peak[0]),
                centroid_x=left + float(by_col @ np.arange(len(by_col))) / area,
                centroid_y=top + float(by_row @ np.arange(len(by_row))) / area,
            )
        )
    regions.sort(key=lambda r: (-r.level, -r.peak_level, -r.area, r.y, r.x))
    return out, tuple(regions)


def levels_on_original(q: Levels, placement: Placement, original_size: tuple[int, int]) -> NDArray[np.uint16]:
    """Resample a level map to the original image smoothly, for drawing; it is 0 outside the map.

    Args:
        q: uint16 ``(h, w)``, a level map.
        placement: the place of the map on the image.
        original_size: (height, width) of the image.

    Returns:
        uint16 ``original_size``.
    """
    height, width = original_size
    # As in `warp`: where the image is coarser than the map, areas are averaged, so that no peak is skipped.
    reduction = float(np.hypot(placement.inverse[0, :2], placement.inverse[1, :2]).max())
    most = max(1, math.isqrt(_MOST_PIXELS // (height * width)))
    multiple = min(max(1, math.ceil(reduction - 1e-6)), most)
    # OpenCV counts pixel centers as whole numbers, here they are at halves.
    matrix = placement.inverse.copy()
    matrix[:, :2] /= multiple
    matrix[:, 2] += matrix[:, :2] @ (0.5, 0.5) - 0.5
    size = (width * multiple, height * multiple)
    fine = cv2.warpAffine(
        q, matrix, size, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REPLICATE
    )
    inside = cv2.warpAffine(
        np.ones(q.shape, np.uint8), matrix, size, flags=cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP
    )
    fine[inside == 0] = 0
    if multiple > 1:
        fine = cv2.resize(fine, (width, height), interpolation=cv2.INTER_AREA)
    return np.asarray(fine, np.uint16)


def _projected(
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
    owners = _owners(np.argwhere(missed) + np.array([row, column]), placement, original_size)
    out[owners[:, 0] - top, owners[:, 1] - left] = True
    return top, left, out


def _map_pixels(
    columns: NDArray[np.int_], rows: NDArray[np.int_], placement: Placement
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return column and row of the map pixel under the centers of original pixels, as whole floats.

    The sums are formed in this order also where the mask is drawn by another program.
    """
    (a, b, c), (d, e, f) = placement.inverse.tolist()
    x, y = columns + 0.5, (rows + 0.5)[:, None]
    return np.floor(a * x + b * y + c), np.floor(d * x + e * y + f)


def _owners(
    pixels: NDArray[np.int_], placement: Placement, original_size: tuple[int, int]
) -> NDArray[np.intp]:
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
