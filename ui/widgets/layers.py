"""Attribution of anomalies to network layers: layers in plain words, shares as bars, cached results.

The attribution is computed on request and cached: the network runs once more per image, whatever thresholds
and regions are then asked about.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import streamlit as st

from ui.app import workspace
from ui.files.media import ServedImage
from ui.widgets.panels import Bar

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from padim.analysis.attribution import Explanation
    from padim.analysis.layer_questions import AskedPlace
    from padim.model import Padim
    from padim.network.registry import Layer
    from padim.storage.model_folders import Entry
    from ui.scoring import ScoredUpload

# What a layer of a given stride responds to, in a word or two.
_SEES = {2: "finest detail", 4: "fine detail", 8: "pattern", 16: "shape", 32: "whole objects"}
# Color ramp from shallow to deep layers, legible on light and dark backgrounds, with ends that color-blind
# viewers can tell apart.
_RAMP = ("#8fd0bd", "#5db8ae", "#3f9fae", "#4283ad", "#5469a6", "#6c5196", "#82407f")


def sees(layer: Layer) -> str:
    """Describe a layer in plain words: "fine detail, 4 px"."""
    return sees_at(layer.stride)


def sees_at(stride: int) -> str:
    """Describe what layers of a stride, in pixels, see best."""
    return f"{_SEES.get(stride, 'detail')}, {stride} px"


def colors(count: int) -> list[str]:
    """Return a color for each of ``count`` layers, from shallow to deep, as far apart as possible."""
    if count == 1:
        return [_RAMP[3]]
    return [_RAMP[round(i * (len(_RAMP) - 1) / (count - 1))] for i in range(count)]


UNREPORTED = (
    "Which layer saw it can be told for PaDiM without position tolerance: only there a distance is a sum of "
    "what the layers add."
)


def bars_of(model: Padim, shares: Sequence[float], *, features: bool = False) -> list[Bar]:
    """Return bars of the layers' shares.

    Args:
        model: the model with these layers.
        shares: the share of each layer, 0 to 1, from shallow to deep.
        features: also state how many of the model's features come from each layer.
    """
    from padim.analysis.layer_questions import features_by_layer, whole_percents

    kept = features_by_layer(model)
    of = sum(n for _, n in kept)
    return [
        Bar(
            layer.name,
            f"{sees(layer)} · {n} of {of} features" if features else sees(layer),
            percent,
            color,
        )
        for (layer, n), percent, color in zip(
            kept, whole_percents(list(shares)), colors(len(kept)), strict=True
        )
    ]


# -- a test image --------------------------------------------------------------------------------------


def labels(places: Sequence[AskedPlace], item: ScoredUpload, pixel_size_mm: float | None = None) -> list[str]:
    """Return the names of the places in an image whose attribution can be asked for."""
    regions = sum(place.region is not None for place in places)

    def label(number: int, place: AskedPlace) -> str:
        if place.whole:
            return "Whole image"
        region = place.region
        if region is None:
            return "Strongest place, below the threshold"
        which = "The region" if regions == 1 else f"Region {number} of {regions}"
        at = where(region.centroid_x, region.centroid_y, item.original_size)
        mm = "" if pixel_size_mm is None else f" ({region.area * pixel_size_mm**2:.3g} mm²)"
        return f"{which}: {at}, {region.area:,} px{mm}"

    # The numbers count the regions, because these come first.
    return [label(number, place) for number, place in enumerate(places, 1)]


def where(x: float, y: float, height_width: tuple[int, int]) -> str:
    """Describe the ninth of an image that contains a point: "upper left", "centre", "right"."""
    height, width = height_width
    row = ("upper", "", "lower")[min(2, int(3 * (y + 0.5) / height))]
    column = ("left", "", "right")[min(2, int(3 * (x + 0.5) / width))]
    if not row and not column:
        return "centre"
    if not column:
        return f"{row} middle"
    return f"{row} {column}".strip()


def explained(entry: Entry, model: Padim, item: ScoredUpload, place: AskedPlace) -> Explanation:
    """Return the layers' shares of the distance at a place in an image.

    Raises:
        OSError: the image's file no longer exists.
    """
    import numpy as np

    identity = workspace.scoring_identity(entry)
    return _explained(model, item, identity, item.sha256, np.packbits(place.mask).tobytes(), place.mask)


@st.cache_resource(max_entries=200, show_spinner=False)
def _explained(
    _model: Padim,
    _item: ScoredUpload,
    identity: str,
    sha256: str,
    region: bytes,
    _mask: npt.NDArray[np.bool_],
) -> Explanation:
    from padim.analysis.attribution import explain

    return explain(_model, _embedding(_model, _item, identity, sha256), _mask)


@st.cache_resource(max_entries=16, show_spinner=False)
def _embedding(_model: Padim, _item: ScoredUpload, identity: str, sha256: str) -> npt.NDArray[np.float32]:
    from padim.analysis.layer_questions import embed_file

    return embed_file(_model, _item.name, _item.file.read_bytes())


def outlined(item: ScoredUpload, model: Padim, level: int, place: AskedPlace) -> ServedImage:
    """Return the small image with a place outlined."""
    from padim.data.decode import decode
    from padim.output.small_overlays import outlined_jpeg

    if place.whole:
        return item.thumb
    rgb = decode(item.thumb.data, item.name)
    at = item.place_on((rgb.shape[0], rgb.shape[1]))
    levels = item.levels(model)
    return ServedImage(outlined_jpeg(rgb, levels, place.mask, level, item.content_box, placement=at))


# -- normals ---------------------------------------------------------------------------------------------


def of_normals(entry: Entry, model: Padim) -> Explanation:
    """Return the layers' shares of the held-out distances of all normals in the fit."""
    return _of_normals(model, workspace.held_out_identity(entry))


@st.cache_resource(max_entries=8, show_spinner=False)
def _of_normals(_model: Padim, identity: str) -> Explanation:
    from padim.analysis.attribution import normals_layers

    return normals_layers(_model)


def of_each(entry: Entry, model: Padim, indices: Iterable[int]) -> dict[int, Explanation]:
    """Return the layers' shares of the held-out score of each of these normals, by index.

    The shares are taken at the place that determines the score.
    """
    area = model.config.min_area
    return _of_each(model, workspace.held_out_identity(entry), tuple(indices), area)


@st.cache_resource(max_entries=16, show_spinner=False)
def _of_each(_model: Padim, identity: str, indices: tuple[int, ...], min_area: int) -> dict[int, Explanation]:
    from padim.analysis.layer_questions import explain_each

    return explain_each(_model, indices)
