"""Held-out scores of the good parts for every smallest region, and false-reject bounds of thresholds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from padim.decision.calibration import pixel_thresholds, upper_bound
from padim.decision.regions import region_scores

if TYPE_CHECKING:
    from padim.model import Padim

__all__ = ["HeldOutScores", "OnMap", "held_out_scores"]

OnMap = Callable[[int, npt.NDArray[np.uint16], npt.NDArray[np.uint16]], None]


@dataclass(frozen=True, eq=False)
class HeldOutScores:
    """The held-out scores of a model's normal images, by smallest region.

    Attributes:
        indices: the images that count, as indices into ``model.normals_``: in the fit, or kept out of it.
        levels: uint16 ``(normals, areas)``, the scores of all images, good or not; column ``a - 1`` is for a
            smallest region of ``a`` pixels.
        part: the part number of each image that counts; parts in the fit come first.
        parts: the number of parts.
        in_fit: the number of parts in the fit.
        displaced: the displacement of each part as a level of the map; 0 where none is judged.
        unsure: for each part, whether it was not found in an image and that calls for review.
        upper: the 95 % upper bound of the false-reject rate with 0, 1, ... ``parts`` parts above a threshold.
        pixel_levels: the threshold at each pixel percentile, 0.1 to 99.9 %; empty if no pixel is scored.
    """

    indices: tuple[int, ...]
    levels: npt.NDArray[np.uint16]
    part: tuple[int, ...]
    parts: int
    in_fit: int
    displaced: tuple[int, ...]
    unsure: tuple[bool, ...]
    upper: tuple[float, ...]
    pixel_levels: tuple[int, ...]

    @property
    def curves(self) -> npt.NDArray[np.uint16]:
        """Return the scores of the images that count, uint16 ``(images, areas)``."""
        return np.asarray(self.levels[list(self.indices)])


def held_out_scores(model: Padim, areas: int, on_map: OnMap | None = None) -> HeldOutScores:
    """Score every held-out map for every smallest region; one map is in memory at a time.

    Args:
        model: a calibrated model.
        areas: the largest of the smallest regions, which range from 1 to this number of map pixels.
        on_map: called in order with the index of each image, its level map and its scores.

    Raises:
        CalibrationError: the model has no held-out scores.
    """
    normals = model.normals_[: len(model.state.fitted.held_out)]
    indices = tuple(i for i, normal in enumerate(normals) if normal.in_calibration)
    groups: dict[str, int] = {}
    for status in ("fit", "kept_out"):
        for normal in normals:
            if normal.status == status:
                groups.setdefault(normal.group, len(groups))
    levels = np.zeros((len(normals), areas), np.uint16)
    for index in range(len(normals)):
        q = model.state.held_out_map(index)
        if not normals[index].lost:  # else the map does not show the part
            levels[index] = region_scores(q, areas)
        if on_map is not None:
            on_map(index, q, levels[index])
    n = len(groups)
    joint = model.state.joint
    displaced, unsure = [0] * n, [False] * n
    for index in indices:
        normal, part = normals[index], groups[normals[index].group]
        displaced[part] = max(displaced[part], model.state.displaced(normal.pose, normal.lost))
        unsure[part] |= bool(normal.lost) and joint is not None and joint.on_lost == "review"
    return HeldOutScores(
        indices,
        levels,
        tuple(groups[normals[index].group] for index in indices),
        n,
        len({normal.group for normal in normals if normal.status == "fit"}),
        tuple(displaced),
        tuple(unsure),
        tuple(upper_bound(k, n) for k in range(n + 1)),
        _pixel_levels(model),
    )


def _pixel_levels(model: Padim) -> tuple[int, ...]:
    histogram = model.state.pixel_histogram()
    if not histogram.any():
        return ()
    return tuple(threshold.level for threshold in pixel_thresholds(histogram, range(1, 1000)))
