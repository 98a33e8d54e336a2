"""A model's prediction for one image: score, decision, mask and regions, all from one level map.

A prediction contains its level map, so it can be decided again at another threshold or smallest region
without running the network (:meth:`Prediction.at`). Mask and regions are computed on first access.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from padim.data.preprocess import Box
from padim.decision.anomaly_map import MAX_LEVEL, Levels, Mask, Quantizer
from padim.decision.back_projection import mask_and_regions_on_original, within_image
from padim.decision.guard_band import Guard, Verdict, verdict_limits
from padim.decision.joint import Check, JointScale, reasons
from padim.decision.regions import (
    Region,
    checked_threshold,
    mask_and_regions,
    region_score,
    within,
)
from padim.errors import CalibrationError
from padim.locating.placement import Placement
from padim.locating.pose import Pose
from padim.locating.settings import Displacement

# The scale of a bare level map, whose model is not known: map units are the levels themselves.
_IDENTITY_SCALE = Quantizer(0.0, 1.0)


@dataclass(frozen=True, eq=False)
class Prediction:
    """Result of scoring one image with a model.

    Attributes:
        name: file name as given; empty for a bare level map.
        sha256: hex SHA-256 of the file's bytes (of shape and pixels, if given as an array); empty for a bare
            level map.
        original_size: (height, width) of the image in pixels.
        content_box: the part of the map that a padded image fills; None when it fills the map.
        levels: uint16 ``(h, w)``, the level map, at the model's input size.
        score_level: the largest level that a region of ``min_area`` pixels reaches.
        threshold_level: the threshold as a level; None if the model has no threshold.
        min_area: smallest region that counts, in map pixels.
        quantizer: the scale of the levels; levels on another scale are not comparable.
        guard: the band around the threshold in which scores call for review; None for no band.
        scored_by: identity of the scoring state that computed the map; only its thresholds apply to it.
        grid: float32 ``(H, W)``, the distances that the map was computed from; empty for a bare level map.
        thumbnail: a small JPEG, if requested.
        notes: what is unlike the good parts in the image's shape, size and colors, as sentences; they never
            change the verdict.
        input_sha256: hex SHA-256 of the pixels that the network saw; empty for a bare level map.
        pose: where the part lies in the image, relative to the reference part; None if the model does not
            locate parts, or did not find this one.
        placement: the place of the map on the image, if the part was located; None: see ``content_box``.
        lost: why the part was not found in the image; empty if it was found, or is not located. Such an
            image has a level map of zeros, and its verdict does not depend on the threshold.
        displacement: the sizes of shift, turn and change of scale in steps, by name; empty without a pose.
        joint: the scales by which displacements are judged together with the map; None if none are.
    """

    name: str
    sha256: str
    original_size: tuple[int, int]
    content_box: Box | None
    levels: Levels
    score_level: int
    threshold_level: int | None
    min_area: int
    quantizer: Quantizer
    guard: Guard | None = None
    scored_by: str = ""
    grid: npt.NDArray[np.float32] = field(default_factory=lambda: np.empty((0, 0), np.float32))
    thumbnail: bytes | None = None
    notes: tuple[str, ...] = ()
    input_sha256: str = ""
    pose: Pose | None = None
    placement: Placement | None = None
    lost: str = ""
    displacement: Mapping[Displacement, int] = field(default_factory=dict)
    joint: JointScale | None = None

    def __repr__(self) -> str:
        if self.lost:
            return f"Prediction({self.name!r}, part not found, {self.verdict})"
        if self.threshold_level is None:
            return f"Prediction({self.name!r}, score={self.score:.4g}, no threshold)"
        return f"Prediction({self.name!r}, score={self.score:.4g}, {self.verdict} at {self.threshold:.4g})"

    @property
    def score(self) -> float:
        """Anomaly score in map units: the value of ``score_level``."""
        return self.quantizer.to_value(self.score_level)

    @property
    def threshold(self) -> float | None:
        """Threshold in map units; None if the model has no threshold."""
        return None if self.threshold_level is None else self.quantizer.to_value(self.threshold_level)

    @property
    def displaced_level(self) -> int:
        """The largest displacement as a level of the map, at which it is judged; 0 if none is."""
        return 0 if self.joint is None else self.joint.displaced(self.displacement, bool(self.lost))

    @property
    def joint_level(self) -> int:
        """What decides: the larger of ``score_level`` and ``displaced_level``, at most 65535."""
        return min(max(self.score_level, self.displaced_level), MAX_LEVEL)

    @property
    def joint_score(self) -> float:
        """The joint score in map units, held against the threshold: the value of ``joint_level``.

        It is the score if no displacement is judged, or none weighs more.
        """
        return self.quantizer.to_value(self.joint_level)

    @property
    def checks(self) -> tuple[Check, ...]:
        """Every displacement that is judged, with its limit at the present threshold.

        Empty if the model judges none, without a threshold, and if the part was not found.
        """
        if self.joint is None or self.lost or self.threshold_level is None or not self.displacement:
            return ()
        return self.joint.checks(self.displacement, self.threshold_level)

    @property
    def rejected(self) -> bool:
        """Whether the mask has a pixel, or a named check fires.

        The mask has a pixel exactly when the score is above the threshold. A check fires when a displacement
        is above its limit, and when the part is not found and that is rejected.

        Raises:
            CalibrationError: there is no threshold, and the part was found.
        """
        if self.lost:
            return self._lost_verdict == "reject"
        return max(self.score_level, self.displaced_level) > self.decision_level

    @property
    def verdict(self) -> Verdict:
        """The verdict: ``accept``, ``review`` (within the guard band, or not found) or ``reject``.

        Raises:
            CalibrationError: there is no threshold, and the part was found.
        """
        if self.lost:
            return self._lost_verdict
        limits = verdict_limits(self.decision_level, self.guard, self.quantizer)
        return limits.verdict(self.score_level, self.displaced_level)

    @property
    def _lost_verdict(self) -> Verdict:
        return "reject" if self.joint is None else self.joint.on_lost

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why the image is not accepted, as phrases; empty if it is accepted.

        Raises:
            CalibrationError: there is no threshold, and the part was found.
        """
        if self.lost:
            return (f"part not found: {self.lost}",)
        above = self.score_level > self.decision_level
        threshold = self.quantizer.to_value(self.decision_level)
        return reasons(self.score, threshold, self.checks, above=above, in_band=self.verdict == "review")

    @property
    def mask(self) -> Mask:
        """Mask of the rejected pixels, bool ``(h, w)`` at the image's own size.

        Raises:
            CalibrationError: there is no threshold.
        """
        return self._mask_and_regions[0]

    @property
    def regions(self) -> tuple[Region, ...]:
        """The regions of the mask, strongest first (by level, then peak, then area, then reading order).

        Raises:
            CalibrationError: there is no threshold.
        """
        return self._mask_and_regions[1]

    @property
    def anomaly_map(self) -> npt.NDArray[np.float32]:
        """Anomaly map, float32 ``(h, w)``: the level map in map units, exact to half a level."""
        return (self.levels * self.quantizer.step + self.quantizer.offset).astype(np.float32)

    def at(
        self, threshold: float | None = None, *, level: int | None = None, min_area: int | None = None
    ) -> Prediction:
        """Return the prediction for another threshold or smallest region; arguments not given keep theirs.

        The limits of displacements follow the threshold.

        Args:
            threshold: threshold in map units.
            level: threshold as a level, instead of ``threshold``.
            min_area: smallest region that counts, in map pixels, at least 1.

        Raises:
            ValueError: both a threshold and a level are given, or one is out of range.
        """
        if threshold is not None:
            if level is not None:
                raise ValueError("give a threshold or a level, not both")
            level = self.quantizer.to_level(threshold)
        area = self.min_area if min_area is None else min_area
        return replace(
            self,
            threshold_level=self.threshold_level if level is None else checked_threshold(level),
            min_area=area,
            score_level=self.score_level if area == self.min_area else region_score(self.levels, area),
        )

    @property
    def decision_level(self) -> int:
        """Threshold as a level.

        Raises:
            CalibrationError: there is no threshold.
        """
        if self.threshold_level is None:
            raise CalibrationError(
                f"{self.name or 'this image'}: there is no threshold to decide by; calibrate the model, "
                "or give one with at(threshold)"
            )
        return self.threshold_level

    @cached_property
    def _mask_and_regions(self) -> tuple[Mask, tuple[Region, ...]]:
        if self.placement is not None:
            return mask_and_regions_on_original(
                self.levels, self.decision_level, self.min_area, self.placement, self.original_size
            )
        return mask_and_regions(
            self.levels,
            self.decision_level,
            self.min_area,
            original_size=self.original_size,
            content_box=self.content_box,
        )


def decide(
    levels: Levels,
    threshold: int,
    min_area: int,
    *,
    roi: Mask | None = None,
    original_size: tuple[int, int] | None = None,
    content_box: Box | None = None,
    placement: Placement | None = None,
) -> Prediction:
    """Decide a bare level map: return its prediction with score, mask and regions, in levels.

    Args:
        levels: uint16 ``(h, w)``, a level map.
        threshold: a level, 0..65535; pixels strictly above it are rejected.
        min_area: smallest region that counts, in *map* pixels, at least 1.
        roi: bool ``(h, w)``, a further region of interest (a model's level maps already contain its own).
        original_size: ``(h, w)`` of the image; None: the size of the content box. Needed with a placement.
        content_box: the part of the map that a padded image fills; None: it fills the map.
        placement: the place of the map on the image; None: it shows the whole image.

    Raises:
        ValueError: the map's dtype or rank is wrong, or an argument is out of range.
    """
    if placement is not None and original_size is None:
        raise ValueError("original_size must be given with a placement")
    levels, size = within(levels, min_area, roi=roi, original_size=original_size, content_box=content_box)
    if placement is not None:
        levels = within_image(levels, placement, size)
    return Prediction(
        name="",
        sha256="",
        original_size=size,
        content_box=content_box,
        levels=levels,
        score_level=region_score(levels, min_area),
        threshold_level=checked_threshold(threshold),
        min_area=min_area,
        quantizer=_IDENTITY_SCALE,
        placement=placement,
    )
