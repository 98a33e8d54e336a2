"""The level map of an inspection on record decided again at its recorded threshold: mask, regions, panels."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from padim.data.preprocess import Box
from padim.decision.prediction import Prediction, decide
from padim.locating.placement import Placement
from padim.records.evidence import placement_of
from padim.records.inspection import Inspection, InspectionEvidence

__all__ = ["recorded_decision", "scaled_place"]


def recorded_decision(
    one: Inspection,
    levels: npt.NDArray[np.uint16],
    evidence: InspectionEvidence,
    size: tuple[int, int] | None = None,
) -> Prediction | None:
    """Return the decision on a recorded level map, with mask and regions as they were when it was scored.

    Args:
        one: the inspection.
        levels: its level map, uint16 ``(h, w)``.
        evidence: where the image lies in the map.
        size: (height, width) to draw mask and regions at; default: the image's own. A small copy of the image
            has another size.

    Returns:
        The decision; None if the inspection had no threshold.
    """
    if one.threshold_level is None:
        return None
    box, placement = scaled_place(one, evidence, size)
    area = _smallest_region(levels, one.threshold_level, len(one.regions))
    return decide(
        levels,
        one.threshold_level,
        area,
        original_size=size or one.size,
        content_box=box,
        placement=placement,
    )


def scaled_place(
    one: Inspection, evidence: InspectionEvidence, size: tuple[int, int] | None
) -> tuple[Box | None, Placement | None]:
    """Return the content box and placement of an image in its map, for a copy of it of another size."""
    box, placement = placement_of(evidence.place)
    if placement is None or size is None or size == one.size:
        return box, placement
    across, down = size[1] / one.width, size[0] / one.height
    return box, Placement.of(np.asarray(placement.matrix, np.float64) * [[across], [down]])


def _smallest_region(levels: npt.NDArray[np.uint16], threshold: int, regions: int) -> int:
    """Return the smallest area, in map pixels, of the regions that counted: the record has their number.

    The setting itself is the model's, which may be gone.
    """
    number, _, stats, _ = cv2.connectedComponentsWithStats(
        (levels > threshold).astype(np.uint8), connectivity=8
    )
    areas = sorted((int(stats[label, cv2.CC_STAT_AREA]) for label in range(1, number)), reverse=True)
    if not areas:
        return 1
    return areas[regions - 1] if 0 < regions <= len(areas) else areas[0] + 1
