"""Health check: how far the good parts move and turn, and which remedy suits that."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from padim.analysis.health_findings import Finding, Remedy, Topic
from padim.analysis.locating_preview import advice, preview
from padim.analysis.pose_spread import PoseSpread, good_images, pose_spread
from padim.data.decode import decode
from padim.locating.errors import LocatingError
from padim.locating.locator import freeze
from padim.locating.settings import Align
from padim.text import count

if TYPE_CHECKING:
    from padim.data.loading import Watch
    from padim.model import Padim

__all__ = ["position_finding"]

# Beyond two grid cells a place of the model shows another place of the part: a cell of the deepest default
# layer is two grid cells wide, so that up to there the features still overlap.
MOST_CELLS = 2.0
# From one and a half cells on the overlap is less than a quarter of that cell; MVTec's bottles, held by a
# fixture and detected perfectly, have 1.1.
FEW_CELLS = 1.5
# A twentieth of the parts may lie farther: the share of good parts that the usual percentile rejects anyway.
_SHARE = 0.05
# Images measured: the 95th percentile of 100 has a standard error of 2 points.
_IMAGES = 100
# Parts on which locating by outline is tried.
_TRIED = 12
# Methods that compare every place with the same place of the good parts.
_BY_PLACE = ("padim",)


def position_finding(model: Padim, watch: Watch) -> Finding:
    """Measure how far the good parts move and turn in the model's input, and recommend a remedy.

    Raises:
        Cancelled: the user stopped it.
    """
    config = model.config
    topic: Topic = "position"
    used = set(config.methods_used)
    by_place = bool(used & set(_BY_PLACE)) or ("patchcore" in used and config.neighborhood > 0)
    spread = pose_spread(model, most=_IMAGES, progress=watch.progress, cancel=watch.cancel)
    found = spread.alignment
    figures: dict[str, Any] = {
        "images": len(spread.measured),
        "measurable": found.measurable,
        "grid_stride": config.grid_stride,
    }
    if not found.measurable:
        outline = _by_outline(model, watch)
        if outline is None or not by_place:
            return Finding(
                "position",
                "green",
                "The images share no outline by which their position could be measured, as is usual for "
                "surfaces without edges.",
                figures=figures,
            )
        return Finding(
            topic,
            "red",
            "The parts lie so differently that the images have no outline in common, but each part can be "
            "found by its own.",
            outline,
            figures,
        )
    cells, beyond = _cells(spread, max(config.input_shape), config.grid_stride)
    cells = max(0.0, cells - config.position_tolerance)
    figures |= {
        "shift_95": found.shift95,
        "turn_95_degrees": found.angle95,
        "at_the_edge_95": found.edge95,
        "cells_95": cells if np.isfinite(cells) else None,
        "without_common_outline": spread.without_outline,
    }
    measured = (
        f"95 % of the parts lie within {found.edge95:.1f} map pixels of their common position "
        f"({found.edge95 / config.grid_stride:.1f} grid cells), turned by up to {found.angle95:.1f}°"
    )
    if spread.without_outline:
        noun = "has" if spread.without_outline == 1 else "have"
        measured += (
            f"; {count(spread.without_outline, 'image')} of {len(spread.measured):,} {noun} no outline in "
            "common with the others"
        )
    if cells <= FEW_CELLS:
        return Finding(topic, "green", f"{measured}.", figures=figures)
    if not by_place:
        return Finding(
            topic,
            "green",
            f"{measured}. The method does not compare places, so that this does not matter.",
            figures=figures,
        )
    remedy = _remedy(model, cells, watch)
    if cells <= MOST_CELLS:
        return Finding(topic, "amber", f"{measured}: edges of the part raise the threshold.", remedy, figures)
    return Finding(
        topic,
        "red",
        "The parts lie too differently for this model: it compares places of the part that do not belong "
        f"together, and overlooks defects. {measured}.",
        remedy,
        figures | {"beyond_two_cells": beyond},
    )


def _cells(spread: PoseSpread, side: int, stride: int) -> tuple[float, float]:
    """Return the 95th percentile of the displacement at the edge, in cells, and the share beyond two.

    An image without a common outline lies farther than can be measured.
    """
    alignment = spread.alignment
    edge = spread.lengths + np.radians(np.abs(alignment.angles)) * side / 2
    cells = np.where(np.isnan(edge), np.inf, edge) / stride
    ordered = np.sort(cells)
    within = ordered[min(len(ordered) - 1, int(np.ceil((1 - _SHARE) * len(ordered))) - 1)]
    return float(within), float((cells > MOST_CELLS).mean())


def _remedy(model: Padim, cells: float, watch: Watch) -> Remedy:
    """Return the remedy that suits how the parts lie: padding, locating, tolerance, or another method."""
    config = model.config
    shapes = {round(normal.original_size[0] / normal.original_size[1], 2) for normal in model.normals_}
    if config.align is None and config.fit == "stretch" and len(shapes) > 1:
        return Remedy(
            "Fit a second model that pads images of other proportions instead of stretching them.",
            {"fit": "pad"},
        )
    outline = _by_outline(model, watch)
    if outline is not None:
        return outline
    if config.method == "padim" and not config.position_tolerance and cells <= MOST_CELLS + 1:
        return Remedy(
            "Fit a second model that tolerates a displacement by one grid cell.", {"position_tolerance": 1}
        )
    return Remedy(
        "Fit a second model by PatchCore, which does not compare places; a fixture that holds the part is "
        "better still.",
        {"method": "patchcore"},
    )


def _by_outline(model: Padim, watch: Watch) -> Remedy | None:
    """Return locating by outline as a remedy, if it finds every part and brings them together."""
    if model.config.align is not None:
        return None
    indices = good_images(model)
    n = len(indices)
    chosen = [indices[i * n // (_TRIED + 1)] for i in range(_TRIED + 1)] if n > _TRIED + 1 else indices
    first, *others = chosen
    normals = model.normals_
    thumbnail = model.working_set.thumbnail
    try:
        locator = freeze(Align(method="outline"), decode(thumbnail(first), normals[first].name))
    except LocatingError:
        return None
    found = preview(
        locator,
        normals[first].name,
        ((normals[i].name, thumbnail(i)) for i in others),
        total=len(others),
        progress=watch.progress,
        cancel=watch.cancel,
    )
    if not advice(found)[0]:
        return None
    return Remedy(
        f"Fit a second model that finds the part by its outline: it is found in all {len(others):,} images "
        "tried, and brings them together.",
        {"align": {"method": "outline"}},
    )
