"""Held-out scores and displacements of the good parts, and the scales that they give the displacements."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from padim.decision.anomaly_map import HIGHEST_THRESHOLD, MAX_LEVEL
from padim.decision.calibration import Threshold, image_threshold, parts_needed
from padim.decision.guard_band import VerdictLimits
from padim.decision.joint import BEYOND, JointScale, Statistic, scale_of
from padim.locating.frame import Frame
from padim.locating.settings import Align, Displacement
from padim.storage.normals import Normal

__all__ = ["PartScores", "joint_scale", "part_scores", "without_limits"]

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class PartScores:
    """Scores of parts, which are each the largest of its images.

    Attributes:
        scores: int64 ``(n,)``, scores of the map, as levels.
        displaced: int64 ``(n,)``, displacements as levels of the map; 0 where none is judged.
        unsure: bool ``(n,)``, whether the part was not found in an image and that calls for review.
    """

    scores: Integers
    displaced: Integers
    unsure: npt.NDArray[np.bool_]

    @classmethod
    def of_map(cls, scores: npt.NDArray[np.integer] | Iterable[int]) -> PartScores:
        """Create the scores of parts whose displacement is not judged."""
        levels = np.asarray(scores if isinstance(scores, np.ndarray) else list(scores), np.int64)
        return cls(levels, np.zeros_like(levels), np.zeros(len(levels), np.bool_))

    @classmethod
    def of(cls, images: Iterable[tuple[int, int, bool]]) -> PartScores:
        """Create the scores of images or parts from their (score, displacement, unsure)."""
        rows = list(images)
        scores, displaced, unsure = ([row[column] for row in rows] for column in range(3))
        return cls(np.array(scores, np.int64), np.array(displaced, np.int64), np.array(unsure, np.bool_))

    def __len__(self) -> int:
        return len(self.scores)

    def __getitem__(self, chosen: npt.NDArray[np.bool_]) -> PartScores:
        """Return some of the parts."""
        return PartScores(self.scores[chosen], self.displaced[chosen], self.unsure[chosen])

    def threshold(self, permille: int) -> Threshold:
        """Return the threshold at a percentile of the joint levels, in tenths of a percent.

        A part that was not found is above every threshold. Where it would be the one that determines the
        threshold, the parts do not support the percentile, and the largest level of the others is returned.

        Raises:
            ValueError: there are no parts.
        """
        found = image_threshold(self.joint, permille)
        within = self.joint[self.joint <= HIGHEST_THRESHOLD]
        lost = int(np.count_nonzero(self.displaced >= BEYOND))
        if lost and found.level > HIGHEST_THRESHOLD:
            level = int(within.max()) if len(within) else found.level
            return replace(found, level=level, supported=False, needed=parts_needed(permille, lost))
        return found

    def rejected(self, limits: VerdictLimits) -> npt.NDArray[np.bool_]:
        """Return which parts are rejected outright, not for review: bool ``(n,)``."""
        return np.asarray((self.scores > limits.reject_above) | (self.displaced > limits.threshold))

    @property
    def joint(self) -> Integers:
        """Joint levels int64 ``(n,)``; 65535, above every threshold, also stands for all beyond it."""
        return np.minimum(np.maximum(self.scores, self.displaced), MAX_LEVEL)


def joint_scale(
    align: Align, frame: Frame, shape: tuple[int, int], normals: Sequence[Normal], peaks: Iterable[int]
) -> JointScale:
    """Return the scales of the map and of every displacement that is judged, from the good parts.

    The map's scale is the median of the parts' highest levels, so that it does not depend on the smallest
    region that counts.

    Args:
        align: the settings with the weights.
        frame: the frame of the reference part.
        shape: (height, width) of the maps.
        normals: the normal images.
        peaks: the highest held-out level of each image; of the first of them, if there are fewer.
    """
    highest: dict[str, int] = {}
    sizes: dict[Displacement, dict[str, int]] = {name: {} for name in align.weights}
    for normal, peak in _counted(normals, peaks):
        if normal.lost or normal.pose is None:
            continue
        part = normal.group
        highest[part] = max(highest.get(part, 0), peak)
        found = normal.pose.levels(frame, shape)
        for name, of_parts in sizes.items():
            of_parts[part] = max(of_parts.get(part, 0), found[name])
    px = frame.pixels_per_map_pixel(shape)
    statistics = (
        Statistic.of(name, scale_of(of_parts.values(), align.weights[name]), px)
        for name, of_parts in sizes.items()
    )
    return JointScale(scale_of(highest.values()), tuple(statistics), align.on_lost)


def without_limits(align: Align) -> JointScale:
    """Return the scales of a model without held-out scores: only a part that is not found is judged."""
    return JointScale(Fraction(1), (), align.on_lost)


def part_scores(
    normals: Sequence[Normal],
    levels: Iterable[int],
    displaced: Callable[[Normal], int] | None = None,
    *,
    review_lost: bool = False,
    include_kept_out: bool = True,
) -> PartScores:
    """Return the scores of every good part, in the order of their first images.

    Args:
        normals: the normal images.
        levels: the held-out score of each image; of the first of them, if there are fewer.
        displaced: returns an image's displacement as a level of the map; None if none is judged.
        review_lost: whether a part that is not found calls for review.
        include_kept_out: whether to include good parts that were excluded from the fit.
    """
    scores: dict[str, int] = {}
    moved: dict[str, int] = {}
    unsure: dict[str, bool] = {}
    for normal, level in _counted(normals, levels):
        if normal.status != "fit" and not include_kept_out:
            continue
        part, lost = normal.group, bool(normal.lost)
        # Where the part was not found, the map does not show it.
        scores[part] = max(scores.get(part, 0), 0 if lost else level)
        moved[part] = max(moved.get(part, 0), 0 if displaced is None else displaced(normal))
        unsure[part] = unsure.get(part, False) or (lost and review_lost)
    return PartScores(
        np.fromiter(scores.values(), np.int64, len(scores)),
        np.fromiter(moved.values(), np.int64, len(scores)),
        np.fromiter(unsure.values(), np.bool_, len(scores)),
    )


def _counted(normals: Sequence[Normal], levels: Iterable[int]) -> Iterator[tuple[Normal, int]]:
    """Yield every image that the calibration counts, with its level."""
    for normal, level in zip(normals, levels, strict=False):
        if normal.in_calibration:
            yield normal, int(level)
