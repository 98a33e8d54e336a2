"""Compute the level map, which decides, from a distance grid (docs/design.md, section 4.4).

Every decision is integer arithmetic on one array, the *level map* (uint16). The score, the mask and the
regions are all computed from it, so that for every threshold T an image is rejected (score > T) exactly when
its mask has a pixel, at map resolution and at the image's own.

    grid -- upsample_and_smooth --> anomaly map -- Quantizer, roi --> level map -- decide --> Prediction
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from padim.data.preprocess import Box
from padim.network.graph import tail_graph
from padim.network.resample import enlarging
from padim.network.runtime import session_options

MAX_LEVEL = 65535
"""The highest level of a level map. As a threshold it rejects nothing: there is no level above it."""

HIGHEST_THRESHOLD = MAX_LEVEL - 1
"""The highest level that is useful as a threshold: there is one level above it."""

Levels = NDArray[np.uint16]
Mask = NDArray[np.bool_]


# --- the anomaly map ----------------------------------------------------------------------------------------


def upsample_and_smooth(
    grid: NDArray[np.float32], shape: tuple[int, int], sigma: float
) -> NDArray[np.float32]:
    """Enlarge a distance grid to the model's input size and smooth it; see :func:`enlarging`.

    Args:
        grid: float32 ``(H, W)`` or ``(n, H, W)``, distances.
        shape: (h, w) of the map in pixels.
        sigma: standard deviation of the Gaussian in map pixels; 0 leaves the enlarged map as it is.

    Returns:
        float32 ``(h, w)`` or ``(n, h, w)``.

    Raises:
        ValueError: the grid has another rank or is empty; ``shape`` is not positive; or ``sigma`` is negative
            or not finite.
    """
    grid = np.asarray(grid, dtype=np.float32)
    if grid.ndim not in (2, 3) or 0 in grid.shape[-2:]:
        raise ValueError(f"grid must be (H, W) or (n, H, W) and not empty, not {grid.shape}")
    rows, columns = (
        enlarging(positions, size, sigma).astype(np.float32)
        for positions, size in zip(grid.shape[-2:], shape, strict=True)
    )
    return np.asarray(rows @ grid @ columns.T)


@dataclass(frozen=True)
class Quantizer:
    """Fixed linear scale of a model between map values and integer levels.

    A value v has the level ``q = clip(rint((v - offset) / step), 0, 65535)``, rounded half to even (IEEE
    754's default, ``np.rint``), here in float64. The scoring graph does the same in float32, so a value
    within a few millionths of the border between two levels may get either.

    Attributes:
        offset: the map value of level 0.
        step: map units per level, greater than 0.

    Raises:
        ValueError: offset or step is not finite, or step is not positive.
    """

    offset: float
    step: float

    def __post_init__(self) -> None:
        if not math.isfinite(self.offset):
            raise ValueError(f"offset must be finite, not {self.offset}")
        if not (math.isfinite(self.step) and self.step > 0):
            raise ValueError(f"step must be finite and greater than 0, not {self.step}")

    def quantize(self, values: NDArray[np.floating]) -> Levels:
        """Return the uint16 levels of map values of any shape; values outside the scale are clipped to it.

        Raises:
            ValueError: a value is NaN or infinite.
        """
        values = np.asarray(values)
        if not np.isfinite(values).all():
            raise ValueError("the anomaly map holds NaN or infinite values")
        with np.errstate(over="ignore"):  # an overflow to infinity is off the scale and clipped below
            levels = values.astype(np.float64)
            levels -= self.offset
            levels /= self.step
        np.rint(levels, out=levels)
        np.clip(levels, 0, MAX_LEVEL, out=levels)
        return levels.astype(np.uint16)

    def to_level(self, value: float) -> int:
        """Return the level of a threshold given as a map value: the level of a pixel of exactly that value.

        So neither a pixel equal to the threshold is rejected nor one within half a step above it. Values off
        the scale give 0 or 65535, and ``to_level(to_value(level)) == level``.

        Raises:
            ValueError: the value is NaN or infinite.
        """
        if not math.isfinite(value):
            raise ValueError(f"a threshold must be a finite number, not {value}")
        return int(self.quantize(np.asarray(value, np.float64)))

    @property
    def highest_threshold(self) -> float:
        """Largest map value that is useful as a threshold: there is one level above it to be rejected."""
        return self.to_value(HIGHEST_THRESHOLD)

    def to_value(self, level: float) -> float:
        """Return the map value in the middle of a level, for displaying scores and thresholds."""
        return float(self.offset + self.step * level)


def level_map(
    grid: NDArray[np.float32],
    *,
    shape: tuple[int, int],
    sigma: float,
    quantizer: Quantizer,
    roi: Mask | None = None,
    content_box: Box | None = None,
) -> Levels:
    """Compute the level map, on which every verdict is based, from a distance grid.

    It runs the last nodes of the scoring graph itself, so that a held-out normal and a test image with the
    same distances have the same map, to the bit.

    Args:
        grid: float32 ``(H, W)``, distances.
        shape: (h, w) of the map in pixels.
        sigma: smoothing in map pixels.
        quantizer: the model's scale.
        roi: bool ``(h, w)``, True where defects count; None: everywhere.
        content_box: the part of the map that a padded image fills; None: it fills the map.

    Returns:
        uint16 ``(h, w)``, 0 outside the region of interest and outside the content box. Level 0 is never
        rejected, whatever the threshold.

    Raises:
        ValueError: the grid is not 2-D and finite, or roi or content box do not fit the map.
    """
    grid = np.asarray(grid, np.float32)
    if grid.ndim != 2:
        raise ValueError(f"grid must be (H, W), not {grid.shape}")
    if not np.isfinite(grid).all():
        raise ValueError("the distances hold NaN or infinite values")
    feed = {
        "distance": grid.reshape(1, -1),
        **tail_inputs((grid.shape[0], grid.shape[1]), shape, sigma, quantizer),
        "inside": inside(shape, roi, content_box)[None],
    }
    return np.asarray(_tail_session().run(["map"], feed)[0][0])


@lru_cache(maxsize=1)
def _tail_session() -> ort.InferenceSession:
    options = session_options()
    return ort.InferenceSession(tail_graph().SerializeToString(), options, providers=["CPUExecutionProvider"])


@lru_cache(maxsize=32)
def tail_inputs(
    grid_shape: tuple[int, int], shape: tuple[int, int], sigma: float, quantizer: Quantizer
) -> dict[str, NDArray[Any]]:
    """Return the inputs of the graph's last nodes besides distances and ``inside``, by name.

    They are the grid's shape, the matrices that enlarge and smooth, and the scale of the levels.
    """
    rows, columns = (
        enlarging(positions, size, sigma) for positions, size in zip(grid_shape, shape, strict=True)
    )
    return {
        "grid_shape": np.array([-1, *grid_shape], np.int64),
        "rows_to_levels": (rows / quantizer.step).astype(np.float32),
        "columns": np.ascontiguousarray(columns.T, np.float32),
        "level_offset": np.array(-quantizer.offset / quantizer.step, np.float32),
    }


def both(one: Mask | None, other: Mask | None) -> Mask | None:
    """Return where both masks are True; None stands for a mask that is True everywhere."""
    if one is None or other is None:
        return other if one is None else one
    return one & other


def inside(shape: tuple[int, int], roi: Mask | None, content_box: Box | None) -> NDArray[np.float32]:
    """Return 1 where an image is scored and 0 elsewhere: float32 ``shape``, or ``(1, 1)`` if everywhere.

    Raises:
        ValueError: roi or content box do not fit the map.
    """
    if roi is None and content_box is None:
        return np.ones((1, 1), np.float32)
    if roi is None:
        result = np.ones(shape, np.float32)
    elif roi.shape != shape or roi.dtype != np.bool_:
        raise ValueError(f"roi must be bool {shape}, not {roi.dtype} {roi.shape}")
    else:
        result = roi.astype(np.float32)
    if content_box is not None:
        box = _checked_box(content_box, shape)
        rows, cols = slice(box.top, box.top + box.height), slice(box.left, box.left + box.width)
        content = result[rows, cols]
        result = np.zeros_like(result)
        result[rows, cols] = content
    return result


def _checked_box(box: Box | None, shape: tuple[int, ...]) -> Box:
    height, width = shape
    if box is None:
        return Box(0, 0, height, width)
    inside = (
        box.top >= 0 and box.left >= 0 and box.top + box.height <= height and box.left + box.width <= width
    )
    if not inside or box.height < 1 or box.width < 1:
        raise ValueError(f"content_box {tuple(box)} is not inside a map of {height} x {width}")
    return box
