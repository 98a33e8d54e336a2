"""Preview of another region of interest: its effect on good parts, and where a region would help.

The held-out grids of the good parts are scored under the other region by the code used for scoring
(:class:`padim.scoring.ScoringState`). The network does not run, and the model is not changed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from padim.data.decode import decode
from padim.decision.calibration import (
    FalseRejectRate,
    Threshold,
    pixel_threshold,
)
from padim.decision.part_scores import PartScores
from padim.decision.regions import region_score
from padim.decision.verdicts import verdict_rates
from padim.errors import PadimError
from padim.scoring import ScoringState

if TYPE_CHECKING:
    from padim.model import Padim

__all__ = [
    "HeldOutUnder",
    "RegionPreview",
    "false_alarm_map",
    "held_out_under",
    "levels_under_region",
    "mean_normal",
    "preview",
    "state_under",
    "too_small",
]

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class RegionPreview:
    """The effect of a region of interest on the false-reject rate.

    Attributes:
        share: the share of the map that is scored.
        at_use: the false-reject rate at the threshold in use; None without held-out scores or a threshold.
        threshold: the threshold that the model's setting gives under this region; None if there is none.
        at_own: the false-reject rate at that threshold.
    """

    share: float
    at_use: FalseRejectRate | None
    threshold: Threshold | None
    at_own: FalseRejectRate | None


@dataclass(frozen=True, eq=False)
class HeldOutUnder:
    """The good parts' held-out scores under a region of interest.

    Attributes:
        scores: the scores of the parts, with their displacements where these are judged.
        pixels: int64 ``(65536,)``, the number of scored pixels at each level; None if the threshold does not
            depend on pixels.
    """

    scores: PartScores
    pixels: npt.NDArray[np.int64] | None


def held_out_under(model: Padim, roi: Mask | None) -> HeldOutUnder:
    """Return the held-out scores under a region of interest, from which the threshold is derived.

    Args:
        model: a fitted model.
        roi: bool ``(h, w)``, True where defects count; None for everywhere.

    Raises:
        CalibrationError: fewer than three parts are in the fit.
        ValueError: the region does not fit the map.
    """
    state = state_under(model, roi)
    scores = state.parts(model.config.min_area)
    return HeldOutUnder(scores, state.pixel_histogram() if model.decision.choice.basis == "pixel" else None)


def preview(model: Padim, roi: Mask | None, held_out: HeldOutUnder | None) -> RegionPreview:
    """Compute the effect of a region of interest without changing the model.

    Args:
        model: a fitted model.
        roi: bool ``(h, w)``, True where defects count, which must be somewhere; None for everywhere.
        held_out: the held-out scores under the region; None without calibration.
    """
    share = 1.0 if roi is None else float(roi.mean())
    choice, now = model.decision.choice, model.current_threshold
    if held_out is None:
        return RegionPreview(share, None, now, None)
    own: Threshold | None = now
    if choice.basis == "image":
        own = held_out.scores.threshold(choice.permille)
    elif choice.basis == "pixel" and held_out.pixels is not None:
        # It is possible that no pixel of a good part is inside the region.
        own = pixel_threshold(held_out.pixels, choice.permille) if held_out.pixels.any() else None
    return RegionPreview(
        share,
        None if now is None else _rejected(model, held_out, now.level),
        own,
        None if own is None else _rejected(model, held_out, own.level),
    )


def _rejected(model: Padim, held_out: HeldOutUnder, level: int) -> FalseRejectRate:
    """Return the share of good parts rejected at a threshold; with a guard band, of those above it."""
    limits = model.verdict_limits(level)
    return verdict_rates(held_out.scores, limits, model.state.fitted.quantizer).rejected


def state_under(model: Padim, roi: Mask | None) -> ScoringState:
    """Return the model's scoring state under another region of interest, or its own for the region in use.

    Args:
        model: a fitted model.
        roi: bool ``(h, w)``, True where defects count; None for everywhere.

    Raises:
        ValueError: the region does not fit the map.
    """
    if roi is model.decision.roi:
        return model.state
    shape = model.config.input_shape
    if roi is not None and (roi.dtype != np.bool_ or roi.shape != shape):
        raise ValueError(f"roi must be bool {shape}, got {roi.dtype} {roi.shape}")
    return ScoringState(model.state.fitted, model.config, roi, model.network.extractor, model.state.channels)


def levels_under_region(model: Padim, roi: Mask | None, min_area: int | None = None) -> npt.NDArray[np.int64]:
    """Return the held-out part scores under another region of interest, without changing the model.

    They equal ``held_out_scores`` after ``set_roi``.

    Args:
        model: a fitted model.
        roi: bool ``(h, w)``, True where defects count; None for everywhere.
        min_area: the smallest region in map pixels; by default the model's.

    Returns:
        int64 ``(parts,)`` levels.

    Raises:
        CalibrationError: fewer than three parts are in the fit.
        ValueError: the region does not fit the map.
    """
    area = model.config.min_area if min_area is None else min_area
    return state_under(model, roi).part_scores(area)


def too_small(model: Padim, roi: Mask | None) -> bool:
    """Whether a region of interest is too small for any defect region of the minimum area."""
    return roi is not None and region_score(roi.astype(np.uint16), model.config.min_area) == 0


def false_alarm_map(model: Padim, level: int) -> npt.NDArray[np.float32]:
    """Return the false-alarm map: at each pixel, the share of good parts above a threshold.

    A part counts once, regardless of the number of its images. The level maps are 0 outside the region of
    interest in use. ``min_area`` is not applied: single pixels are included.

    Args:
        model: a fitted model.
        level: the threshold; pixels strictly above it count.

    Returns:
        float32 ``(h, w)``, from 0 to 1.

    Raises:
        CalibrationError: fewer than three parts are in the fit.
    """
    images: dict[str, list[int]] = {}
    for index, group in _good(model):
        images.setdefault(group, []).append(index)
    state = model.state
    count = np.zeros(model.config.input_shape, np.int64)
    for indices in images.values():
        alarmed = state.held_out_map(indices[0]) > level
        for index in indices[1:]:
            alarmed |= state.held_out_map(index) > level
        count += alarmed
    return (count / max(1, len(images))).astype(np.float32)


def _good(model: Padim) -> Iterator[tuple[int, str]]:
    """Yield (index, part) of every image of a good part that has a held-out map."""
    state = model.state
    if state.fitted.calibration == "none":
        state.image_levels(model.config.min_area)  # raises the error that states what is missing
    for index, normal in enumerate(state.fitted.normals[: len(state.fitted.held_out)]):
        if normal.in_calibration and not normal.lost:
            yield index, normal.group


def mean_normal(model: Padim) -> npt.NDArray[np.uint8]:
    """Return the mean image of the good parts in the fit at map resolution, as a background for drawing.

    It is computed from the thumbnails (at most 512 px, JPEG), which are suitable for
    display, not for measurement.

    Returns:
        uint8 ``(h, w, 3)``.

    Raises:
        BundleError: the thumbnails are missing or truncated.
        PadimError: no image is in the fit.
    """
    preprocess = model.state.preprocess
    total = np.zeros((*preprocess.shape, 3), np.int64)
    count = 0
    for index, normal in enumerate(model.normals_):
        if normal.status == "fit":
            total += model.state.input_of(normal, decode(model.working_set.thumbnail(index), normal.name))
            count += 1
    if not count:
        raise PadimError("no image is in the fit; there is nothing to show")
    return np.rint(total / count).astype(np.uint8)
