"""The part of position in the good parts' held-out scores: how much higher a displaced part scores, and why.

A part that lies off its usual place is compared with a different place on the other parts, so it scores high
without anything being odd about it. The measured poses say for which images this holds, and how much of their
scores it explains.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from padim.analysis.good_parts import RankedNormal
    from padim.analysis.pose_spread import PoseSpread
    from padim.model import Padim

__all__ = ["PositionEffect", "displaced_alike", "position_effect"]

# Fewer points do not tell an effect from chance.
FEWEST_IMAGES = 8
# A displacement is named if it exceeds that of this share of the good parts, and this many pixels.
_UNUSUAL, _SMALLEST_PX = 0.75, 1.0
_SIGNIFICANCE = 0.05

# Direction of a displacement, by axis (down, right) and sign.
_DIRECTIONS = {(0, 1): "lower", (0, -1): "higher", (1, 1): "further right", (1, -1): "further left"}


@dataclass(frozen=True)
class PositionEffect:
    """How held-out scores grow with the displacement of the part.

    Attributes:
        displacements: displacement of each measurable image in map pixels, by index into ``model.normals_``:
            the length of its shift plus what its rotation moves at the edge of the image.
        typical: the median displacement, in map pixels.
        growth: growth of the logarithm of the score for each map pixel of displacement; 0 if scores do not
            rise with displacement, or not more clearly than by chance.
        correlation: Kendall's rank correlation of score and displacement.
    """

    displacements: dict[int, float]
    typical: float
    growth: float
    correlation: float

    def factor(self, index: int) -> float:
        """Return by what an image's score is multiplied because of its position, at least 1.

        It is 1 for a part that lies no further off than is typical, and for one that was not measured.
        """
        return self.factor_of(self.displacements.get(index, self.typical) - self.typical)

    def factor_of(self, further: float) -> float:
        """Return by what a displacement so many map pixels beyond the typical one multiplies a score."""
        return float(np.exp(self.growth * max(further, 0.0)))

    def without_position(self, item: RankedNormal) -> float:
        """Return a good part's held-out score, in map units, as it would be at the typical displacement."""
        return item.value / self.factor(item.index)

    def reranked(self, items: Sequence[RankedNormal]) -> list[RankedNormal]:
        """Return the items by their scores without position, highest first; those without a score last."""
        return sorted(items, key=lambda item: (item.level is None, -self.without_position(item)))


def position_effect(model: Padim, spread: PoseSpread, items: Sequence[RankedNormal]) -> PositionEffect | None:
    """Estimate the effect of position on the held-out scores of good parts.

    The logarithm of the score is taken to rise linearly with displacement, by the median slope between pairs
    of images (Theil and Sen), which some truly odd parts cannot bend. Differences of less than half a grid
    cell count as none, since the model hardly sees them.

    Args:
        model: the model.
        spread: the measured poses of its good parts.
        items: its good parts with their held-out scores.

    Returns:
        The effect; None if poses are not measurable, or too few images have both a pose and a score.
    """
    from scipy import stats

    if not spread.alignment.measurable:
        return None
    reach = max(model.config.input_shape) / 2
    moved = spread.lengths + np.abs(np.radians(spread.alignment.angles)) * reach
    known = {index: float(d) for index, d in zip(spread.measured, moved, strict=True) if np.isfinite(d)}
    pairs = [(known[item.index], item.value) for item in items if item.index in known and item.value > 0]
    if len(pairs) < FEWEST_IMAGES:
        return None
    displacement, score = np.array(pairs).T
    typical = float(np.median(displacement))
    seen = model.config.grid_stride / 2
    steps = np.round(displacement / seen)
    if np.ptp(steps) == 0 or np.ptp(score) == 0:
        return PositionEffect(known, typical, 0.0, 0.0)
    correlation, chance = stats.kendalltau(steps, score, alternative="greater")
    growth = _median_slope(displacement, np.log(score), seen) if chance < _SIGNIFICANCE else 0.0
    return PositionEffect(known, typical, max(growth, 0.0), float(correlation))


def _median_slope(x: npt.NDArray[np.float64], y: npt.NDArray[np.float64], apart: float) -> float:
    """Return the median slope of all pairs that are at least so far apart in x; 0 if there are none."""
    one, other = np.triu_indices(len(x), 1)
    run = x[other] - x[one]
    far = np.abs(run) >= apart
    return float(np.median((y[other] - y[one])[far] / run[far])) if far.any() else 0.0


@dataclass(frozen=True)
class DisplacedAlike:
    """Several of the top-ranked good parts that are displaced in the same direction.

    Attributes:
        indices: their indices into ``model.normals_``.
        of: number of top-ranked images looked at.
        least, most: the smallest and the largest of their displacements in that direction, in image pixels.
        direction: "lower", "higher", "further right" or "further left"; "off their place" for parts that the
            model locates, whose remaining displacement has no direction in the image.
    """

    indices: tuple[int, ...]
    of: int
    least: float
    most: float
    direction: str

    @property
    def sentence(self) -> str:
        """Return the finding in words: "4 of the top 5 lie 7 to 13 px lower than is usual."."""
        low, high = round(self.least), round(self.most)
        span = f"{low}" if low == high else f"{low} to {high}"
        lie = "lies" if len(self.indices) == 1 else "lie"
        usual = "" if self.direction == "off their place" else " than is usual"
        return f"{len(self.indices)} of the top {self.of} {lie} {span} px {self.direction}{usual}."


def displaced_alike(
    model: Padim, spread: PoseSpread, items: Sequence[RankedNormal], top: int = 5
) -> DisplacedAlike | None:
    """Find the direction in which most of the top-ranked good parts lie unusually far off.

    Args:
        model: the model.
        spread: the measured poses of its good parts.
        items: its good parts, highest score first.
        top: number of them to look at.

    Returns:
        The largest such group of at least two; None if there is none, or poses are not measurable.
    """
    if not spread.alignment.measurable:
        return None
    shifts = {index: spread.alignment.shifts[row] for row, index in enumerate(spread.measured)}
    usual = float(np.nanquantile(spread.lengths, _UNUSUAL))
    first = list(items[:top])
    groups: dict[str, list[tuple[int, float]]] = {}
    for item in first:
        shift = shifts.get(item.index)
        if shift is None or not np.isfinite(shift).all() or float(np.hypot(*shift)) <= usual:
            continue
        pixels = _in_image(model, item.index, shift)
        if model.state.fitted.locator is not None:
            direction, length = "off their place", float(np.hypot(*pixels))
        else:
            axis = int(np.abs(shift).argmax())
            direction, length = _DIRECTIONS[axis, int(np.sign(shift[axis]))], float(abs(pixels[axis]))
        if length >= _SMALLEST_PX:
            groups.setdefault(direction, []).append((item.index, length))
    if not groups:
        return None
    direction, found = max(groups.items(), key=lambda pair: len(pair[1]))
    if len(found) < 2:
        return None
    lengths = [length for _, length in found]
    return DisplacedAlike(
        tuple(index for index, _ in found), len(first), min(lengths), max(lengths), direction
    )


def _in_image(model: Padim, index: int, shift: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Return a shift in map pixels (down, right) as pixels of the original image."""
    normal = model.normals_[index]
    place = model.state.placement(normal.pose, normal.original_size)
    if place is not None:
        return np.asarray((place.matrix[:, :2] @ shift[::-1])[::-1], np.float64)
    box = model.state.content_box(normal.original_size)
    across = model.config.input_shape if box is None else (box.height, box.width)
    return np.asarray(shift, np.float64) * np.array(normal.original_size) / np.array(across)
