"""Health check: whether the number of good parts supports the threshold, and whether one part decides it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from padim.analysis.good_parts import ranked
from padim.analysis.health_findings import Finding, Remedy, Topic, percent
from padim.decision.calibration import image_threshold, odd_parts_tolerated, parts_needed
from padim.text import count

if TYPE_CHECKING:
    from padim.model import Padim

__all__ = ["threshold_finding"]

# A threshold that falls by more than this share when its highest part is left out hangs on that part: defects
# are then overlooked that differ from the other parts as much as that one does.
_MOST_DROP = 0.2
# More parts than this share in which the part is not found make a station unusable; as for the trial.
_MOST_LOST = 0.05


def threshold_finding(model: Padim) -> Finding:
    """Judge the threshold in use by the number of parts behind it."""
    topic: Topic = "threshold"
    threshold = model.current_threshold
    lost = [normal.name for normal in model.normals_ if normal.lost and normal.in_calibration]
    parts = len({normal.group for normal in model.normals_ if normal.in_calibration})
    if threshold is None:
        return Finding(
            topic,
            "red",
            f"There is no threshold: {count(parts, 'good part')} give none, so that nothing is rejected.",
            Remedy("Add good parts; three give a threshold, 39 one that is steady.", action="add good parts"),
        )
    if lost and len(lost) > max(1, _MOST_LOST * len(model.normals_)):
        return Finding(
            topic,
            "red",
            f"The part is not found in {len(lost):,} of {count(len(model.normals_), 'good image')}; such "
            "images are rejected or reviewed.",
            Remedy("Look at these images, or locate the part in another way.", None, "review", tuple(lost)),
        )
    figures: dict[str, Any] = {"parts": parts, "needed": threshold.needed, "supported": threshold.supported}
    if model.state.fitted.calibration == "stale":
        return Finding(
            topic,
            "amber",
            "The threshold was computed before the last images were added.",
            Remedy("Read the model's images again.", action="rebuild"),
            figures,
        )
    if threshold.permille is None:
        return Finding(topic, "green", f"The threshold was set by hand, with {parts:,} parts.", None, figures)
    at = f"the {threshold.permille / 10:g} % percentile"
    if threshold.basis != "image":
        return Finding(topic, "green", f"{at} of the pixels of {parts:,} parts.".capitalize(), None, figures)
    enough = parts_needed(threshold.permille, 1)
    if not threshold.supported:
        more = enough - parts
        return Finding(
            topic,
            "amber",
            f"{count(parts, 'part')} are too few for {at}, which takes {threshold.needed:,}: the highest "
            "score stands in, so that one odd part decides the threshold.",
            Remedy(f"Add {count(more, 'good part')}, {enough:,} in all.", action="add good parts"),
            figures,
        )
    scores = np.sort(model.state.joint_scores(model.config.min_area))
    without = image_threshold(scores[:-1], threshold.permille).level
    drop = 1 - without / threshold.level if threshold.level else 0.0
    figures |= {"enough_parts": enough, "drop_without_the_highest": drop}
    if drop > _MOST_DROP:
        names = tuple(one.name for one in ranked(model)[:3])
        return Finding(
            topic,
            "amber",
            f"One part decides the threshold: without {names[0]} it would be {percent(drop)} lower.",
            Remedy("Look at that part, and exclude it if it is not good.", None, "review", names),
            figures,
        )
    if odd_parts_tolerated(threshold.permille, parts) < 1:
        return Finding(
            topic,
            "amber",
            f"{count(parts, 'part')} support {at}, but one odd part would decide it.",
            Remedy(f"Add {count(enough - parts, 'good part')}, {enough:,} in all.", action="add good parts"),
            figures,
        )
    return Finding(
        topic, "green", f"{count(parts, 'part')} support {at}, and no single part decides it.", None, figures
    )
