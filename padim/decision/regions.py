"""Compute score, mask and regions from one level map; integer arithmetic, so that the three always agree."""

from __future__ import annotations

import math
import operator
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from padim.data.preprocess import Box
from padim.decision.anomaly_map import MAX_LEVEL, Levels, Mask, _checked_box, inside


def _checked(q: Levels, min_area: int) -> int:
    if q.ndim != 2 or q.dtype != np.uint16 or q.size == 0:
        raise ValueError(f"a level map is uint16 (h, w), not {q.dtype} {q.shape}")
    min_area = operator.index(min_area)
    if min_area < 1:
        raise ValueError(f"min_area must be at least 1 map pixel, not {min_area}")
    return min_area


# --- the score ----------------------------------------------------------------------------------------------


# Up to this many pixels are processed one by one rather than in arrays.
_FEW = 256


def region_score(q: Levels, min_area: int) -> int:
    """Return a level map's score: the largest level t at which ``{q >= t}`` has a large enough region.

    A region is 8-connected and large enough with ``min_area`` pixels. The score equals
    ``skimage.morphology.area_opening(q, min_area, connectivity=2).max()`` (Vincent 1992's area opening), but
    is about a hundred times faster because only the pixels of the highest levels are processed.

    Args:
        q: uint16 ``(h, w)``, a level map.
        min_area: in map pixels, at least 1; 1 gives the plain maximum.

    Returns:
        A level, 0..65535; 0 also when no region can be that large.

    Raises:
        ValueError: the map's dtype or rank is wrong, or ``min_area`` < 1.
    """
    min_area = _checked(q, min_area)
    if min_area == 1:
        return int(q.max())
    if min_area > q.size:
        return 0

    # Lower bound: all pixels of a window of min_area pixels are connected, so the score reaches its minimum.
    # The border must count as 0, or windows hanging over the edge would pass with too few pixels.
    tall = math.isqrt(min_area - 1) + 1
    window = np.ones((tall, -(-min_area // tall)), np.uint8)
    floor = cv2.erode(q, window, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    low = int(floor.max())

    # Usually only a few dozen pixels are above that level.
    places = np.flatnonzero(q > low)
    if len(places) < min_area:
        return low
    if len(places) <= _FEW:
        return _grown(places, q.ravel()[places], q.shape[1], min_area, low)

    # Pixels not above the level reached so far no longer matter: they are zeroed and cropped away.
    hot = _crop(q, q > low)

    # Upper bound: a region of min_area pixels has one no higher than the min_area-th highest of all.
    hotter = hot[hot > low]
    ceiling = np.partition(hotter, hotter.size - min_area)[hotter.size - min_area]
    levels = np.unique(hotter[hotter <= ceiling])

    # Between the two, bisect over the levels that occur; {q >= t} only shrinks as t rises.
    while len(levels):
        middle = len(levels) // 2
        labels, _, keep = large_regions(hot >= levels[middle], min_area)
        if keep.any():
            low = int(levels[middle])
            levels = levels[middle + 1 :]
            hot = _crop(hot, keep[labels])  # a region at a higher level is inside one of these
        else:
            levels = levels[:middle]
    return low


def region_scores(q: Levels, max_area: int) -> Levels:
    """Return the scores for all smallest regions from 1 to ``max_area`` pixels, in one pass.

    Pixels are added from the highest level down (union-find), and the level at which a region first has ``a``
    pixels is the score for ``min_area`` a. It ends as soon as one region has ``max_area`` pixels.

    Args:
        q: uint16 ``(h, w)``, a level map.
        max_area: in map pixels, at least 1.

    Returns:
        uint16 ``(max_area,)``, not increasing; item ``a - 1`` equals ``region_score(q, a)``.

    Raises:
        ValueError: the map's dtype or rank is wrong, or ``max_area`` < 1.
    """
    max_area = _checked(q, max_area)
    scores = np.zeros(max_area, np.uint16)
    # Pixels below the last score do not matter, which leaves a few hundred; level 0 is the scores' initial
    # value.
    floor = max(1, region_score(q, max_area))
    framed = np.pad(q, 1).ravel()
    hot = np.flatnonzero(framed >= floor)
    hot = hot[np.argsort(-framed[hot].astype(np.int32), kind="stable")]
    row = q.shape[1] + 2
    around = (-row - 1, -row, -row + 1, -1, 1, row - 1, row, row + 1)
    parents: dict[int, int] = {}
    areas: dict[int, int] = {}
    largest = 0
    for pixel, level in zip(hot.tolist(), framed[hot].tolist(), strict=True):
        parents[pixel] = pixel
        area = 1
        for offset in around:
            other = pixel + offset
            if other not in parents:
                continue
            while parents[other] != other:
                parents[other] = other = parents[parents[other]]
            if other != pixel:
                parents[other] = pixel
                area += areas[other]
        areas[pixel] = area
        if area > largest:
            scores[largest:area] = level
            largest = area
            if largest >= max_area:
                break
    return scores


def _grown(places: NDArray[np.intp], levels: Levels, width: int, min_area: int, low: int) -> int:
    """Return the level at which the first region is large enough, adding pixels from the highest level down.

    Pixels are added one by one, and the regions that a pixel touches are united (union by size). For a few
    dozen pixels this is faster than array operations, whose data the network has displaced from the cache.

    Args:
        places: indices of the pixels above ``low`` in the flattened map.
        levels: uint16, their levels.
        width: width of the map.
        min_area: smallest region in pixels.
        low: the level returned when no region is large enough.
    """
    region: dict[int, int] = {}
    members: dict[int, list[int]] = {}
    order = np.argsort(levels)[::-1]
    for place, level in zip(places[order].tolist(), levels[order].tolist(), strict=True):
        column = place % width
        left, right = column > 0, column < width - 1
        own = place
        region[place], members[place] = place, [place]
        for row in (place - width, place, place + width):
            for near in (row - 1 if left else -1, row, row + 1 if right else -1):
                other = region.get(near, own)
                if other != own:
                    small, own = sorted((other, own), key=lambda one: len(members[one]))
                    moved = members.pop(small)
                    members[own] += moved
                    region.update(dict.fromkeys(moved, own))
        if len(members[own]) >= min_area:
            return level
    return low


def _crop(q: Levels, mask: Mask) -> Levels:
    """Return ``q`` where the mask is set and 0 elsewhere, cropped to the mask's bounding box, maybe empty."""
    x, y, width, height = cv2.boundingRect(mask.view(np.uint8))
    rows, cols = slice(y, y + height), slice(x, x + width)
    return np.where(mask[rows, cols], q[rows, cols], np.uint16(0))


# --- the mask -----------------------------------------------------------------------------------------------


def map_mask(q: Levels, threshold: int, min_area: int) -> Mask:
    """Return the mask of a level map: pixels above the threshold in regions of at least ``min_area`` pixels.

    Above means strictly above; regions are 8-connected.

    Args:
        q: uint16 ``(h, w)``, a level map.
        threshold: a level, 0..65535.
        min_area: in map pixels, at least 1.

    Returns:
        bool ``(h, w)``; it has a pixel exactly when ``region_score(q, min_area) > threshold``.

    Raises:
        ValueError: the map's dtype or rank is wrong, or threshold or ``min_area`` is out of range.
    """
    min_area = _checked(q, min_area)
    above = q > checked_threshold(threshold)
    if min_area == 1:
        return above
    # Most maps are low except for one spot: only its bounding box is searched for regions.
    x, y, width, height = cv2.boundingRect(above.view(np.uint8))
    if width:
        hot = above[y : y + height, x : x + width]
        _, labels = cv2.connectedComponents(np.ascontiguousarray(hot).view(np.uint8), connectivity=8)
        small = np.bincount(labels.ravel()) < min_area
        small[0] = False  # label 0 is the background
        if small.any():
            hot &= ~small[labels]
    return above


def checked_threshold(threshold: int) -> int:
    """Return the threshold if it is a level from 0 to 65535; raise ValueError if it is not."""
    threshold = operator.index(threshold)
    if not 0 <= threshold <= MAX_LEVEL:
        raise ValueError(f"a threshold is a level from 0 to {MAX_LEVEL}, not {threshold}")
    return threshold


def large_regions(above: Mask, min_area: int) -> tuple[NDArray[np.int32], NDArray[np.int32], Mask]:
    """Label the 8-connected regions ``above``; return labels ``(h, w)``, statistics and whether kept.

    Statistics (OpenCV's) and whether a region has at least ``min_area`` pixels are arrays by label.
    """
    _, labels, stats, _ = cv2.connectedComponentsWithStats(above.view(np.uint8), connectivity=8)
    keep = stats[:, cv2.CC_STAT_AREA] >= min_area
    keep[0] = False  # label 0 is the background
    return labels, stats, keep


class _Cells(NamedTuple):
    """Cells of whole original pixels for a run of map pixels along one axis."""

    starts: NDArray[np.intp]  # the map pixel, counted from the start of the run, where each cell starts
    first: NDArray[np.int64]  # each cell's first original pixel
    stop: NDArray[np.int64]  # one past its last


class _Axis:
    """Correspondence of ``n_map`` map pixels and ``n_original`` image pixels along one axis.

    Both cover the same length, with the half-pixel convention. The side with more pixels is divided among the
    pixels of the other by the positions of the centres, so every map pixel has at least one image pixel
    (enlarging) or belongs to exactly one (shrinking): no set pixel can get lost. It is integer arithmetic
    throughout, so any implementation agrees.

    Attributes:
        shrinks: whether the image has fewer pixels than the map.
        source: int64 ``(n_original,)``, the map pixel under each original pixel's centre.
        owner: int64 ``(n_map,)``, the original pixel under each map pixel's centre.
    """

    def __init__(self, n_map: int, n_original: int) -> None:
        self.n_map = n_map
        self.shrinks = n_original < n_map
        self.source = (2 * np.arange(n_original, dtype=np.int64) + 1) * n_map // (2 * n_original)
        self.owner = (2 * np.arange(n_map, dtype=np.int64) + 1) * n_original // (2 * n_map)

    def cells(self, begin: int, stop: int) -> _Cells:
        """Return the cells of map pixels ``begin .. stop - 1``; when shrinking, one cell per image pixel."""
        if self.shrinks:
            pixels, starts = np.unique(self.owner[begin:stop], return_index=True)
            return _Cells(starts, pixels, pixels + 1)
        edges = np.searchsorted(self.source, np.arange(begin, stop + 1)).astype(np.int64)
        return _Cells(np.arange(stop - begin), edges[:-1], edges[1:])


@lru_cache(maxsize=64)
def _axis(n_map: int, n_original: int) -> _Axis:
    return _Axis(n_map, n_original)


def mask_to_original(
    mask: Mask, original_size: tuple[int, int], content_box: Box | None = None
) -> NDArray[np.bool_]:
    """Resize a map mask to the image's own size by nearest neighbour, with the half-pixel convention.

    Original row i shows map row ``floor((i + 0.5) * n_map / n_original)`` (columns alike). OpenCV's
    ``INTER_NEAREST`` drops the half and is shifted by up to half a map pixel. Along an axis on which the
    image has *fewer* pixels than the map, an original pixel is set when any map pixel whose centre it
    covers is set, so that a mask that is not empty stays so.

    Args:
        mask: bool ``(h, w)``.
        original_size: ``(h, w)`` of the image in pixels.
        content_box: the part of the map that a padded image fills; pixels outside are cut away.

    Returns:
        bool ``(h, w)``.

    Raises:
        ValueError: the size is not positive or the box is not inside the map.
    """
    box = _checked_box(content_box, mask.shape)
    height, width = _checked_size(original_size)
    out = mask[box.top : box.top + box.height, box.left : box.left + box.width]
    axes = (_axis(box.height, height), _axis(box.width, width))
    for i, axis in enumerate(axes):  # shrink first: there is less to enlarge afterwards
        if axis.shrinks:
            out = np.logical_or.reduceat(out, axis.cells(0, axis.n_map).starts, axis=i)
    for i in (1, 0):  # columns first: rows are then copied in one piece
        if not axes[i].shrinks:
            out = out.take(axes[i].source, axis=i)
    return out


def _checked_size(original_size: tuple[int, int]) -> tuple[int, int]:
    height, width = (operator.index(n) for n in original_size)
    if height < 1 or width < 1:
        raise ValueError(
            f"original_size must be (height, width) of at least 1 x 1, not {tuple(original_size)}"
        )
    return height, width


# --- the verdict --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Region:
    """One connected region of a mask, in pixels of the original image, with (0, 0) at the top left.

    Attributes:
        x, y, width, height: the box around all its pixels.
        area: its number of mask pixels. If two regions meet in one pixel of a small image, both count it.
        level: its own score: the level that ``min_area`` of its pixels reach. The image's score is the
            largest of these.
        peak_level: the level of its highest pixel, at least ``level``.
        peak_x, peak_y: the original pixel under the centre of that map pixel (the first in reading order, if
            several).
        centroid_x, centroid_y: mean position of its pixels, unweighted; whole numbers are pixel centres.
    """

    x: int
    y: int
    width: int
    height: int
    area: int
    level: int
    peak_level: int
    peak_x: int
    peak_y: int
    centroid_x: float
    centroid_y: float


def within(
    q: Levels,
    min_area: int,
    *,
    roi: Mask | None = None,
    original_size: tuple[int, int] | None = None,
    content_box: Box | None = None,
) -> tuple[Levels, tuple[int, int]]:
    """Set a level map to 0 outside a region of interest and the image; return it and the image's size.

    Args:
        q: uint16 ``(h, w)``, a level map.
        min_area: smallest region that counts, in map pixels; only checked.
        roi: bool ``(h, w)``; None: everywhere.
        original_size: ``(h, w)`` of the image; None: the size of the content box.
        content_box: the part of the map that a padded image fills; None: it fills the map.

    Returns:
        uint16 ``(h, w)``, the same array if nothing is removed, and ``(h, w)``.

    Raises:
        ValueError: the map's dtype or rank is wrong, or an argument is out of range.
    """
    _checked(q, min_area)
    if roi is not None or content_box is not None:
        q = np.where(inside((q.shape[0], q.shape[1]), roi, content_box) > 0, q, np.uint16(0))
    box = _checked_box(content_box, q.shape)
    size = (box.height, box.width) if original_size is None else _checked_size(original_size)
    return q, size


def mask_and_regions(
    q: Levels,
    threshold: int,
    min_area: int,
    *,
    original_size: tuple[int, int] | None = None,
    content_box: Box | None = None,
) -> tuple[Mask, tuple[Region, ...]]:
    """Return the mask of a level map at the image's own size, and its regions.

    The mask has a pixel, and there is a region, exactly when the map's score (:func:`region_score`) is above
    the threshold.

    Args:
        q: uint16 ``(h, w)``, a level map.
        threshold: a level, 0..65535; pixels strictly above it are rejected.
        min_area: smallest region that counts, in *map* pixels, at least 1.
        original_size: ``(h, w)`` of the image; None: the size of the content box.
        content_box: the part of the map that a padded image fills; None: it fills the map.

    Returns:
        bool ``(h, w)``, and the regions, strongest first (by level, peak, area, then reading order).

    Raises:
        ValueError: the map's dtype or rank is wrong, or an argument is out of range.
    """
    threshold = checked_threshold(threshold)
    q, size = within(q, min_area, original_size=original_size, content_box=content_box)
    if region_score(q, min_area) <= threshold:
        return np.zeros(size, np.bool_), ()
    box = _checked_box(content_box, q.shape)
    labels, stats, keep = large_regions(q > threshold, min_area)
    regions = _regions(q, labels, stats, keep, min_area, size, box)
    return mask_to_original(keep[labels], size, box), regions


def _regions(
    q: Levels,
    labels: NDArray[np.int32],
    stats: NDArray[np.int32],
    keep: Mask,
    min_area: int,
    size: tuple[int, int],
    box: Box,
) -> tuple[Region, ...]:
    """Describe the kept regions from their map pixels: the cost does not grow with the image."""
    down, across = _axis(box.height, size[0]), _axis(box.width, size[1])
    regions = []
    for label in np.flatnonzero(keep):
        x0, y0, w, h, _ = (int(n) for n in stats[label])
        inside = labels[y0 : y0 + h, x0 : x0 + w] == label
        levels = np.where(inside, q[y0 : y0 + h, x0 : x0 + w], np.uint16(0))
        peak_row, peak_col = divmod(int(levels.argmax()), w)

        # A region is inside the content box, because levels outside it are 0 and never above a threshold.
        x0, y0 = x0 - box.left, y0 - box.top
        rows, cols = down.cells(y0, y0 + h), across.cells(x0, x0 + w)
        if down.shrinks:
            inside = np.logical_or.reduceat(inside, rows.starts, axis=0)
        if across.shrinks:
            inside = np.logical_or.reduceat(inside, cols.starts, axis=1)
        row_pixels, col_pixels = rows.stop - rows.first, cols.stop - cols.first
        by_row = (inside @ col_pixels) * row_pixels
        by_col = (row_pixels @ inside) * col_pixels
        area = int(by_row.sum())
        regions.append(
            Region(
                x=int(cols.first[0]),
                y=int(rows.first[0]),
                width=int(cols.stop[-1] - cols.first[0]),
                height=int(rows.stop[-1] - rows.first[0]),
                area=area,
                level=region_score(levels, min_area),
                peak_level=int(levels.max()),
                peak_x=int(across.owner[x0 + peak_col]),
                peak_y=int(down.owner[y0 + peak_row]),
                centroid_x=float(by_col @ (cols.first + cols.stop - 1)) / (2 * area),
                centroid_y=float(by_row @ (rows.first + rows.stop - 1)) / (2 * area),
            )
        )
    regions.sort(key=lambda r: (-r.level, -r.peak_level, -r.area, r.y, r.x))
    return tuple(regions)
