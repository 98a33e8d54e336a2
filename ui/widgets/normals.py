"""The normals of a fitted model, as the Fit page reviews them: ranked, drawn, taken out and put back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import streamlit as st

from padim.errors import CalibrationError
from ui.app import workspace
from ui.files.media import Picture

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from padim.data.preprocess import Box
    from padim.decision.calibration import FalseRejectRate
    from padim.model import Padim
    from padim.storage.workspace import Entry

Reason = Literal["not_good", "kept_out"]
REASONS: dict[Reason, str] = {
    "not_good": "Not a good part",
    "kept_out": "Good, but kept out of the fit",
}


@dataclass(frozen=True)
class Ranked:
    """One normal with its held-out score.

    Attributes:
        index: into ``model.normals_``.
        name: its file name.
        level: held-out score, a level of the judged map; None where there is none.
        value: the same in map units.
        shots: pictures of the same part, itself included.
    """

    index: int
    name: str
    level: int | None
    value: float
    shots: int


def ranked(model: Padim, status: str = "fit") -> list[Ranked]:
    """The normals of that status, the least normal-looking first; unsorted where nothing is calibrated."""
    normals = model.normals_
    try:
        levels = [int(level) for level in model.image_levels()]
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
        value = model.quantizer.to_value(level) if level is not None else 0.0
        found.append(Ranked(index, normal.name, level, value, shots[normal.group]))
    return sorted(found, key=lambda item: -(item.level if item.level is not None else -1))


def taken_out(model: Padim) -> list[Ranked]:
    """One picture of every part that was taken out of the fit: they go and come back together."""
    seen: set[str] = set()
    found = []
    for item in (*ranked(model, "kept_out"), *ranked(model, "not_good")):
        group = model.normals_[item.index].group
        if group not in seen:
            seen.add(group)
            found.append(item)
    return found


def overlay_of(
    entry: Entry, model: Padim, index: int, level: int | None = None, min_area: int | None = None
) -> Picture:
    """A normal's small picture with its held-out heat; without heat where there is no held-out map.

    Args:
        entry: the model's entry; its revision keys the cache.
        model: the opened model.
        index: into ``model.normals_``.
        level: a threshold to try; default: the one in use.
        min_area: a smallest region to try; default: the one in use.
    """
    if level is None:
        threshold = model.threshold_
        level = threshold.level if threshold is not None else None
    if level is None or model.calibration_ == "none" or index >= len(model.held_out_):
        return Picture(model.thumbnail(index))
    area = model.config.min_area if min_area is None else min_area
    return Picture(_overlay_of(model, workspace.held_out_identity(entry), index, level, area))


@st.cache_resource(max_entries=1000, show_spinner=False)
def _overlay_of(_model: Padim, identity: str, index: int, level: int, min_area: int) -> bytes:
    from padim.data.decode import decode

    rgb = decode(_model.thumbnail(index), _model.normals_[index].name)
    box = _model.preprocess.content_box(rgb.shape[:2]) if _model.config.fit == "pad" else None
    return small_overlay(rgb, _model.held_out_map(index), level, min_area, box)


def small_overlay(
    rgb: npt.NDArray[np.uint8], q: npt.NDArray[np.uint16], level: int, min_area: int, box: Box | None
) -> bytes:
    """JPEG of a small picture with its heat and the outline of what is rejected."""
    from padim.decision.regions import decide
    from padim.output.render import encode_jpeg, overlay

    size = (rgb.shape[0], rgb.shape[1])
    decision = decide(q, level, min_area, original_size=size, content_box=box)
    return encode_jpeg(overlay(rgb, q, decision.mask, level, content_box=box), 88)


def part_values(model: Padim, min_area: int | None = None) -> tuple[list[float], list[float]]:
    """Held-out scores in map units, one a part: of the parts in the fit, and of good parts kept out of it."""
    best: dict[str, dict[str, int]] = {"fit": {}, "kept_out": {}, "not_good": {}}
    for normal, level in zip(model.normals_, model.image_levels(min_area), strict=False):
        of_kind = best[normal.status]
        of_kind[normal.group] = max(of_kind.get(normal.group, 0), int(level))
    in_fit, kept_out = (
        [model.quantizer.to_value(level) for level in best[kind].values()] for kind in ("fit", "kept_out")
    )
    return in_fit, kept_out


@dataclass(frozen=True)
class BothWays:
    """False rejects to expect with and without the good parts that were kept out of the fit."""

    all_good: FalseRejectRate
    fit_only: FalseRejectRate
    kept_out_parts: int


def both_ways(model: Padim) -> BothWays | None:
    """The two promises, or None where no good part was kept out or nothing is calibrated."""
    kept_out = {n.group for n in model.normals_ if n.status == "kept_out"}
    if not kept_out or model.threshold_ is None or model.calibration_ == "none":
        return None
    return BothWays(
        model.false_rejects(include_kept_out=True), model.false_rejects(include_kept_out=False), len(kept_out)
    )


def exclude(entry: Entry, index: int, reason: Reason) -> None:
    """Take a part out of the fit, exactly, and save."""
    with workspace.edit(entry) as model:
        model.exclude(index, reason)


def include(entry: Entry, index: int) -> None:
    """Put a part back: the former model, bit for bit."""
    with workspace.edit(entry) as model:
        model.include(index)


def delete_features(entry: Entry) -> None:
    """Free the disk the normals' features take; a checkpoint stays."""
    with workspace.edit(entry) as model:
        model.delete_spool()
