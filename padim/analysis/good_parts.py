"""The good parts of a fitted model: ranked by held-out score, by part, and what keeping some out promises."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from padim.decision.calibration import FalseRejectRate
from padim.errors import CalibrationError

if TYPE_CHECKING:
    from padim.model import Padim
    from padim.storage.normals import Status

__all__ = ["BothPromises", "RankedNormal", "both_promises", "not_good", "part_values", "ranked"]


@dataclass(frozen=True)
class RankedNormal:
    """One normal image with its held-out score.

    Attributes:
        index: into ``model.normals_``.
        name: its file name.
        level: held-out score, a level; None where there is none.
        value: the same in map units; 0 where there is none.
        shots: images of the same part, itself included.
    """

    index: int
    name: str
    level: int | None
    value: float
    shots: int


def ranked(model: Padim, status: Status = "fit") -> list[RankedNormal]:
    """The normals of a status, the highest held-out score first; in their order where nothing is calibrated.

    Args:
        model: fitted.
        status: ``fit``, ``kept_out`` or ``not_good``.
    """
    normals = model.normals_
    try:
        levels = [int(level) for level in model.state.image_levels(model.config.min_area)]
    except CalibrationError:
        levels = []
    shots: dict[str, int] = {}
    for normal in normals:
        shots[normal.group] = shots.get(normal.group, 0) + 1
    found = []
    for index, normal in enumerate(normals):
        if normal.status != status:
            continue
        level = levels[index] if index < len(levels) else None
        value = model.state.fitted.quantizer.to_value(level) if level is not None else 0.0
        found.append(RankedNormal(index, normal.name, level, value, shots[normal.group]))
    return sorted(found, key=lambda item: -(item.level if item.level is not None else -1))


def not_good(model: Padim) -> list[RankedNormal]:
    """One image of every part that was taken out of the fit: its images go and come back together."""
    seen: set[str] = set()
    found = []
    for item in (*ranked(model, "kept_out"), *ranked(model, "not_good")):
        group = model.normals_[item.index].group
        if group not in seen:
            seen.add(group)
            found.append(item)
    return found


def part_values(model: Padim, min_area: int | None = None) -> tuple[list[float], list[float]]:
    """Held-out scores in map units, one a part: of the parts in the fit, and of good parts kept out of it.

    Args:
        model: calibrated.
        min_area: smallest region, in map pixels; default: the one in use.

    Raises:
        CalibrationError: the model has no held-out scores.
    """
    area = model.config.min_area if min_area is None else min_area
    best: dict[str, dict[str, int]] = {"fit": {}, "kept_out": {}, "not_good": {}}
    for normal, level in zip(model.normals_, model.state.image_levels(area), strict=False):
        of_status = best[normal.status]
        of_status[normal.group] = max(of_status.get(normal.group, 0), int(level))
    in_fit, kept_out = (
        [model.state.fitted.quantizer.to_value(level) for level in best[status].values()]
        for status in ("fit", "kept_out")
    )
    return in_fit, kept_out


@dataclass(frozen=True)
class BothPromises:
    """False rejects to expect with and without the good parts that were kept out of the fit.

    Attributes:
        all_good: of all good parts.
        fit_only: of those in the fit alone.
        kept_out_parts: how many parts make the difference.
    """

    all_good: FalseRejectRate
    fit_only: FalseRejectRate
    kept_out_parts: int


def both_promises(model: Padim) -> BothPromises | None:
    """The two promises; None where no good part was kept out, or there is no threshold or calibration."""
    kept_out = {n.group for n in model.normals_ if n.status == "kept_out"}
    if not kept_out or model.current_threshold is None or model.state.fitted.calibration == "none":
        return None
    return BothPromises(
        model.state.false_rejects(model.threshold_level, model.config.min_area, include_kept_out=True),
        model.state.false_rejects(model.threshold_level, model.config.min_area, include_kept_out=False),
        len(kept_out),
    )
