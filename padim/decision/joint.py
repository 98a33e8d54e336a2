"""One promise for several statistics: the map's score and the displacements (docs/design.md, section 4.6).

Every statistic z has a scale a_z: its weight times the median of the good parts' held-out values. An image is
judged by u = max_z s_z / a_z, so that the promise of the threshold counts each good part once, whichever of
its statistics is the largest. Everything is computed in whole numbers, as a_map u on the levels of the map:

- the *joint level* of an image is floor(a_map u), the larger of its score and of the displacement as a level;
- the threshold is one level L, the r-th smallest joint level, or any level that is set in another way;
- an image is rejected when its joint level is above L: its score is above L, or a displacement above the
  limit that follows from L alone.

Scaling by medians, not by each statistic's own percentile, keeps the promise: percentiles of the same scores
hold for each statistic alone, and their errors add up.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Any

from padim.locating.pose import STEPS
from padim.locating.settings import Displacement, OnLost

__all__ = ["BEYOND", "Check", "JointScale", "Statistic", "reasons", "scale_of"]

BEYOND = 2**53 - 1
"""The displacement level of a part that was not found: above every limit, and exact in JavaScript."""


def scale_of(values: Iterable[int], weight: float = 1.0) -> Fraction:
    """Return the scale of a statistic: its weight times the median of its values, at least one level.

    Args:
        values: the held-out values of the good parts, whole numbers of the statistic's steps.
        weight: above 0; larger is more lenient. It is taken as the decimal number that it is written as.
    """
    ordered = sorted(values)
    n = len(ordered)
    median = Fraction(ordered[(n - 1) // 2] + ordered[n // 2], 2) if n else Fraction(0)
    return Fraction(str(weight)) * max(median, Fraction(1))


@dataclass(frozen=True)
class Statistic:
    """A displacement that is judged, with its scale.

    Attributes:
        name: ``shift``, ``turn`` or ``scale``.
        scale: a_z, in steps.
        step: the size of a step in ``unit``; of the scale, nearly.
        unit: the unit for people: ``px`` (of the reference image), ``°`` or ``%``.
    """

    name: Displacement
    scale: Fraction
    step: float
    unit: str

    @classmethod
    def of(cls, name: Displacement, scale: Fraction, px: float) -> Statistic:
        """Create a statistic.

        Args:
            name: ``shift``, ``turn`` or ``scale``.
            scale: a_z, in steps.
            px: pixels of the reference image to one map pixel.
        """
        step = STEPS[name]
        sizes = {"shift": (step * px, "px"), "turn": (step, "°"), "scale": (100 * step, "%")}
        return cls(name, scale, *sizes[name])

    def amount(self, size: int) -> float:
        """Return a size in steps in the statistic's unit."""
        if self.name != "scale":
            return size * self.step
        # Steps of the scale are logarithms of ratios; no image shows a part 148 times as large.
        return 100 * math.expm1(min(size * self.step / 100, 5.0))


@dataclass(frozen=True)
class Check:
    """A displacement of an image, held against its limit.

    Attributes:
        name: ``shift``, ``turn`` or ``scale``.
        value: its size, in ``unit``.
        limit: the largest size that is not rejected, in ``unit``.
        unit: ``px`` (of the reference image), ``°`` or ``%``.
        fired: whether the value is above the limit.
    """

    name: Displacement
    value: float
    limit: float
    unit: str
    fired: bool

    @property
    def sentence(self) -> str:
        """The value and its limit, such as "shifted by 3.2 px, above the limit of 2.1 px"."""
        verb = {"shift": "shifted by", "turn": "turned by", "scale": "different in size by"}[self.name]
        side = "above" if self.fired else "within"
        unit = self.unit if self.unit == "°" else f" {self.unit}"
        # Three digits, never as a power of ten.
        value, limit = (f"{float(f'{number:.3g}'):g}" for number in (self.value, self.limit))
        return f"{verb} {value}{unit}, {side} the limit of {limit}{unit}"


@dataclass(frozen=True)
class JointScale:
    """The scales of a model's statistics, and the verdict on a part that is not found.

    Attributes:
        map_scale: a_map, in levels of the map.
        statistics: the displacements that are judged, besides the map; empty without held-out scores.
        on_lost: the verdict of an image in which the part is not found.
    """

    map_scale: Fraction
    statistics: tuple[Statistic, ...]
    on_lost: OnLost

    @cached_property
    def ratios(self) -> dict[Displacement, tuple[int, int]]:
        """Levels of the map per step of each displacement, a_map / a_z, as numerator and denominator."""
        return {one.name: (self.map_scale / one.scale).as_integer_ratio() for one in self.statistics}

    def displaced(self, sizes: Mapping[Displacement, int], lost: bool = False) -> int:
        """Return the displacement of an image as a level of the map: the largest floor(s_z a_map / a_z).

        Args:
            sizes: the sizes of the displacements in steps (:meth:`padim.locating.pose.Pose.levels`).
            lost: whether the part was not found: :data:`BEYOND` if that is rejected, else 0.
        """
        if lost:
            return BEYOND if self.on_lost == "reject" else 0
        ratios = self.ratios.items()
        levels = (sizes[name] * top // bottom for name, (top, bottom) in ratios if name in sizes)
        return min(max(levels, default=0), BEYOND)

    def limits(self, level: int) -> dict[Displacement, int]:
        """Return the largest size in steps of each displacement that is not rejected at a threshold.

        It is the largest s_z with floor(s_z a_map / a_z) <= level.

        Args:
            level: the threshold, a level of the map.
        """
        return {name: ((level + 1) * bottom - 1) // top for name, (top, bottom) in self.ratios.items()}

    def checks(self, sizes: Mapping[Displacement, int], level: int) -> tuple[Check, ...]:
        """Return every judged displacement of an image with its limit at a threshold, a level of the map."""
        limits = self.limits(level)
        return tuple(
            Check(
                one.name,
                one.amount(sizes[one.name]),
                one.amount(limits[one.name]),
                one.unit,
                sizes[one.name] > limits[one.name],
            )
            for one in self.statistics
            if one.name in sizes
        )

    def to_json(self) -> list[dict[str, Any]]:
        """Return the judged displacements as plain JSON values, for the viewer, which computes the limits.

        Whole numbers beyond the exact range of JavaScript's are sent as texts of digits.
        """
        return [
            {
                "name": one.name,
                "top": str(self.ratios[one.name][0]),
                "bottom": str(self.ratios[one.name][1]),
                "step": one.step,
                "unit": one.unit,
            }
            for one in self.statistics
        ]


def reasons(
    score: float, threshold: float, checks: Iterable[Check], *, above: bool, in_band: bool
) -> tuple[str, ...]:
    """Return why an image, in which the part was found, is not accepted, as phrases; empty if it is accepted.

    Args:
        score, threshold: in map units.
        checks: the displacements that are judged.
        above: whether the score is above the threshold.
        in_band: whether the verdict is to review it, as the score is in the guard band.
    """
    fired = tuple(check.sentence for check in checks if check.fired)
    if above:
        return (f"score {score:.4g}, above the threshold of {threshold:.4g}", *fired)
    if in_band:
        return (f"score {score:.4g}, in the guard band around {threshold:.4g}", *fired)
    return fired
