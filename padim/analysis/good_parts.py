"""The good parts of a fitted model: ranking, held-out scores, and the effect of parts kept out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, get_args

from padim.decision.anomaly_map import MAX_LEVEL
from padim.decision.verdicts import VerdictRates
from padim.errors import CalibrationError
from padim.storage.normals import Status

if TYPE_CHECKING:
    from padim.model import Padim

__all__ = ["BothPromises", "RankedNormal", "both_promises", "not_good", "part_values", "ranked"]


@dataclass(frozen=True)
class RankedNormal:
    """One normal image with its held-out score.

    Attributes:
        index: its index in ``model.normals_``.
        name: its file name.
        level: its joint held-out score as a level; None without calibration, and if the part was not found.
        value: the same in map units; 0 where there is none.
        shots: the number of images of the same part, itself included.
    """

    index: int
    name: str
    level: int | None
    value: float
    shots: int


def ranked(model: Padim, status: Status = "fit") -> list[RankedNormal]:
    """Return the normal images with a status, highest held-out score first.

    Without calibration they are in their original order.

    Args:
        model: a fitted model.
        status: ``fit``, ``kept_out``, ``not_good`` or ``reference``.
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
        level = levels[index] if index < len(levels) and not normal.lost else None
        if level is not None:
            level = min(max(level, model.state.displaced(normal.pose, "")), MAX_LEVEL)
        value = model.state.fitted.quantizer.to_value(level) if level is not None else 0.0
        found.append(RankedNormal(index, normal.name, level, value, shots[normal.group]))
    return sorted(found, key=lambda item: -(item.level if item.level is not None else -1))


def not_good(model: Padim) -> list[RankedNormal]:
    """Return one image of every part excluded from the fit; all images of a part have the same status."""
    seen: set[str] = set()
    found = []
    for item in (*ranked(model, "kept_out"), *ranked(model, "not_good")):
        group = model.normals_[item.index].group
        if group not in seen:
            seen.add(group)
            found.append(item)
    return found


def part_values(model: Padim, min_area: int | None = None) -> tuple[list[float], list[float]]:
    """Return the joint held-out scores of the parts in the fit and of the good parts kept out, in map units.

    Images in which the part was not found have none.

    Args:
        model: a calibrated model.
        min_area: the smallest region in map pixels; by default the one in use.

    Raises:
        CalibrationError: the model has no held-out scores.
    """
    area = model.config.min_area if min_area is None else min_area
    best: dict[str, dict[str, int]] = {status: {} for status in get_args(Status)}
    for normal, level in zip(model.normals_, model.state.image_levels(area), strict=False):
        if normal.lost:
            continue
        of_status = best[normal.status]
        joint = min(max(int(level), model.state.displaced(normal.pose, "")), MAX_LEVEL)
        of_status[normal.group] = max(of_status.get(normal.group, 0), joint)
    in_fit, kept_out = (
        [model.state.fitted.quantizer.to_value(level) for level in best[status].values()]
        for status in ("fit", "kept_out")
    )
    return in_fit, kept_out


@dataclass(frozen=True)
class BothPromises:
    """The expected false-reject rates with and without the good parts that were kept out of the fit.

    Attributes:
        all_good: the rates estimated from all good parts.
        fit_only: the rates estimated from the parts in the fit only.
        kept_out_parts: the number of good parts kept out of the fit.
    """

    all_good: VerdictRates
    fit_only: VerdictRates
    kept_out_parts: int


def both_promises(model: Padim) -> BothPromises | None:
    """Return both rates; None if no good part was kept out, or without a threshold or calibration."""
    kept_out = {n.group for n in model.normals_ if n.status == "kept_out"}
    if not kept_out or model.current_threshold is None or model.state.fitted.calibration == "none":
        return None
    return BothPromises(
        model.state.verdict_rates(model.verdict_limits(), model.config.min_area, include_kept_out=True),
        model.state.verdict_rates(model.verdict_limits(), model.config.min_area, include_kept_out=False),
        len(kept_out),
    )
