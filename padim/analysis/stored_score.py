"""A scored image without its level map: small enough to keep thousands, sufficient for any threshold."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from padim.data.preprocess import Box
    from padim.decision.guard_band import Verdict
    from padim.decision.prediction import Prediction
    from padim.locating.placement import Placement
    from padim.locating.pose import Pose
    from padim.model import Padim

__all__ = ["StoredScore"]


@dataclass(frozen=True, eq=False)
class StoredScore:
    """One scored image, whose level map is recomputed from the distance grid and identical to the original.

    Every method takes the model that scored the image: a model with another scoring identity
    would compute another map.

    Attributes:
        name: the file name.
        sha256: the SHA-256 of the file's bytes.
        original_size: (height, width) in pixels.
        content_box: the area of the map that the image covers; None if it covers all of it.
        grid: float32 ``(grid, grid)``, the distances.
        notes: what is unlike the good parts in the image, see :attr:`padim.Prediction.notes`.
        input_sha256: the SHA-256 of the pixels that the network saw; empty if not known.
        scored_at: when it was scored.
        pose, placement, lost: where the part lies, see :class:`padim.Prediction`.
    """

    name: str
    sha256: str
    original_size: tuple[int, int]
    content_box: Box | None
    grid: npt.NDArray[np.float32]
    notes: tuple[str, ...] = field(default=(), kw_only=True)
    input_sha256: str = field(default="", kw_only=True)
    scored_at: datetime = field(default_factory=lambda: datetime.now(UTC), kw_only=True)
    pose: Pose | None = field(default=None, kw_only=True)
    placement: Placement | None = field(default=None, kw_only=True)
    lost: str = field(default="", kw_only=True)
    _scores: dict[int, int] = field(default_factory=dict, repr=False, kw_only=True)
    _regions: dict[tuple[int, int], int] = field(default_factory=dict, repr=False, kw_only=True)

    def levels(self, model: Padim) -> npt.NDArray[np.uint16]:
        """Return the level map, uint16 ``(h, w)``, identical to that computed when the image was scored."""
        return model.state.map(self.grid, self.original_size, self.placement)

    def place_on(self, size: tuple[int, int]) -> Placement | None:
        """Return the place of the map on a copy of the image of this (height, width); None if not located."""
        return None if self.placement is None else self.placement.on(self.original_size, size)

    def score(self, model: Padim, min_area: int) -> int:
        """Return the image score, a level, for a smallest region; computed once for each."""
        # Imported late, as below, so that a page without images does not wait for the
        # network runtime to load.
        from padim.decision.regions import region_score

        if min_area not in self._scores:
            self._scores[min_area] = region_score(self.levels(model), min_area)
        return self._scores[min_area]

    def displaced(self, model: Padim) -> int:
        """Return the displacement as a level of the map, see :attr:`padim.Prediction.displaced_level`."""
        return model.state.displaced(self.pose, self.lost)

    def joint(self, model: Padim, min_area: int) -> int:
        """Return what decides, see :attr:`padim.Prediction.joint_level`; the score if nothing is judged."""
        from padim.decision.anomaly_map import MAX_LEVEL

        return min(max(self.score(model, min_area), self.displaced(model)), MAX_LEVEL)

    def to_review(self, model: Padim) -> bool:
        """Whether the part was not found, and that calls for review."""
        joint = model.state.joint
        return bool(self.lost) and joint is not None and joint.on_lost == "review"

    def verdict(self, model: Padim, threshold: int, min_area: int) -> Verdict:
        """Return the verdict at a threshold, with the model's guard band."""
        joint = model.state.joint
        if self.lost and joint is not None:
            return joint.on_lost
        return model.verdict_limits(threshold).verdict(self.score(model, min_area), self.displaced(model))

    def fired(self, model: Padim, threshold: int) -> tuple[str, ...]:
        """Return the named checks that fire at a threshold, a level: phrases for users; usually none.

        They are: the part was not found, or a displacement is above its limit.
        """
        joint = model.state.joint
        if self.lost:
            return (f"part not found: {self.lost}",)
        if joint is None or self.pose is None:
            return ()
        checks = joint.checks(model.state.displacement(self.pose), threshold)
        return tuple(check.sentence for check in checks if check.fired)

    def regions(
        self, model: Padim, threshold: int, min_area: int, levels: npt.NDArray[np.uint16] | None = None
    ) -> int:
        """Return the number of regions in the mask; ``levels`` is the level map, if it is at hand."""
        from padim.decision.prediction import decide

        if self.score(model, min_area) <= threshold:
            return 0
        key = (threshold, min_area)
        if key not in self._regions:
            # Counted on the map, which is faster; the regions at the original size are the same.
            levels = self.levels(model) if levels is None else levels
            decision = decide(levels, threshold, min_area, content_box=self.content_box)
            self._regions[key] = len(decision.regions)
        return self._regions[key]

    def decide(
        self, model: Padim, threshold: int, min_area: int, size: tuple[int, int] | None = None
    ) -> Prediction:
        """Return mask, regions and verdict at a threshold, with the model's guard band.

        Args:
            model: the model that scored the image.
            threshold: the threshold, a level.
            min_area: the smallest region in map pixels.
            size: (height, width) of the mask and regions; by default the original size of the image.
        """
        from padim.decision.prediction import decide

        decision = decide(
            self.levels(model),
            threshold,
            min_area,
            original_size=size or self.original_size,
            content_box=self.content_box,
        )
        return replace(
            decision,
            quantizer=model.state.fitted.quantizer,
            guard=model.decision.guard,
            pose=self.pose,
            placement=None
            if self.placement is None
            else self.placement.on(self.original_size, size or self.original_size),
            lost=self.lost,
            displacement=model.state.displacement(self.pose),
            joint=model.state.joint,
        )

    def predicted(self, model: Padim) -> Prediction:
        """Return the prediction as :meth:`padim.Padim.predict` gave it, at the model's present threshold."""
        threshold, area = model.current_threshold, model.config.min_area
        # Without a threshold nothing is decided; any level gives the score.
        decided = self.decide(model, 0 if threshold is None else threshold.level, area)
        return replace(
            decided,
            name=self.name,
            sha256=self.sha256,
            threshold_level=None if threshold is None else threshold.level,
            scored_by=model.state.identity,
            grid=self.grid,
            notes=self.notes,
            input_sha256=self.input_sha256,
        )
