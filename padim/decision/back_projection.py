"""Bring masks, regions and level maps from the map back to the original image, where the part was located.

How a mask is brought back is described in :mod:`padim.locating.projection`: none of its map pixels is lost.
Map pixels with their center outside the image have level 0, so a mask that is not empty on the map is not
empty on the original.
"""

from __future__ import annotations

import math

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
from padim.locating.projection import mask_on_original, part_on_original, pixels_on_original
from padim.locating.warp import covered

__all__ = ["levels_on_original", "mask_and_regions_on_original", "mask_on_original", "within_image"]

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
        top, left, part = part_on_original(inside, y0, x0, placement, original_size)
        out[top : top + part.shape[0], left : left + part.shape[1]] |= part
        peak_row, peak_col = divmod(int(levels.argmax()), w)
        peak = pixels_on_original(np.array([[y0 + peak_row, x0 + peak_col]]), placement, original_size)[0]
        if not part[peak[0] - top, peak[1] - left]:
            # Its center lies in a pixel that shows a neighbor on the map: the nearest pixel of the mask.
            pixels = np.argwhere(part) + np.array([top, left])
            peak = pixels[((pixels - peak) ** 2).sum(axis=1).argmin()]
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
