"""Which layer saw it, for people: layers in plain words, shares as bars, and what they are worked out from.

All of it is asked for by a click and kept: a picture goes through the network once more, once, whatever
thresholds and regions it is then looked at with.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import streamlit as st

from ui.app import workspace
from ui.files.media import Picture
from ui.widgets.panels import Bar

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from padim.analysis.attribution import Explanation
    from padim.model import Padim
    from padim.network.registry import Layer
    from padim.storage.workspace import Entry
    from ui.scoring import Scored

# What a layer of that stride sees, as far as one word can say it.
_SEES = {2: "finest detail", 4: "fine detail", 8: "pattern", 16: "shape", 32: "whole objects"}
# From shallow to deep along one ramp: legible on light and on dark, its ends apart for all eyes.
_RAMP = ("#8fd0bd", "#5db8ae", "#3f9fae", "#4283ad", "#5469a6", "#6c5196", "#82407f")


def sees(layer: Layer) -> str:
    """A layer in plain words: "fine detail, 4 px"."""
    return f"{_SEES.get(layer.stride, 'detail')}, {layer.stride} px"


def colours(count: int) -> list[str]:
    """A colour for each of so many layers, from shallow to deep, as far apart as there are."""
    if count == 1:
        return [_RAMP[3]]
    return [_RAMP[round(i * (len(_RAMP) - 1) / (count - 1))] for i in range(count)]


def percents(shares: Sequence[float]) -> list[int]:
    """Shares as whole percents that sum to 100, the largest remainders rounded up; all 0 stay 0."""
    whole = math.fsum(shares)
    if whole <= 0:
        return [0] * len(shares)
    exact = [100 * share / whole for share in shares]
    found = [math.floor(percent) for percent in exact]
    by_remainder = sorted(range(len(shares)), key=lambda i: found[i] - exact[i])
    for i in by_remainder[: 100 - sum(found)]:
        found[i] += 1
    return found


UNTOLD = (
    "Which layer saw it can be told for PaDiM without position tolerance: only there a distance is a sum of "
    "what the layers add."
)


def tell(model: Padim) -> bool:
    """Whether the layers' shares in a distance can be told."""
    return model.config.method == "padim" and not model.config.position_tolerance


def bars_of(model: Padim, shares: Sequence[float], *, features: bool = False) -> list[Bar]:
    """The bars of the layers in use.

    Args:
        model: whose layers they are.
        shares: of one, a layer each, from shallow to deep.
        features: say how many of the features kept come from each layer.
    """
    import numpy as np

    from padim.analysis.attribution import kept_layers

    layers, layer_of = kept_layers(model)
    kept = np.bincount(layer_of, minlength=len(layers))
    notes = [
        f"{sees(layer)} · {n} of {len(layer_of)} features" if features else sees(layer)
        for layer, n in zip(layers, kept, strict=True)
    ]
    return [
        Bar(layer.name, note, percent, colour)
        for layer, note, percent, colour in zip(
            layers, notes, percents(list(shares)), colours(len(layers)), strict=True
        )
    ]


# -- a test picture --------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Place:
    """Somewhere in a picture that can be asked about.

    Attributes:
        label: what it is called.
        mask: bool ``(S, S)`` in map pixels.
        whole: it is all that is judged of the picture.
    """

    label: str
    mask: npt.NDArray[np.bool_]
    whole: bool = False


def places(item: Scored, model: Padim, level: int) -> list[Place]:
    """The regions of a picture's mask, strongest first, or the place its score comes from; then all of it."""
    from padim.analysis.attribution import region_masks, strongest_place

    area, q = model.config.min_area, item.levels(model)
    regions = item.decide(model, level, area).regions
    found = [
        Place(
            f"{'The region' if len(regions) == 1 else f'Region {i} of {len(regions)}'}: "
            f"{where(region.centroid_x, region.centroid_y, item.original_size)}, {region.area:,} px",
            mask,
        )
        for i, (region, mask) in enumerate(zip(regions, region_masks(q, level, area), strict=True), start=1)
    ]
    if not found:
        found.append(Place("Strongest place, below the threshold", strongest_place(q, area)))
    # Outside the region of interest, and in the padding, the map is 0 throughout.
    found.append(Place("Whole picture", q > 0, whole=True))
    return found


def where(x: float, y: float, height_width: tuple[int, int]) -> str:
    """In which ninth of a picture a point lies: "upper left", "centre", "right"."""
    height, width = height_width
    row = ("upper", "", "lower")[min(2, int(3 * (y + 0.5) / height))]
    column = ("left", "", "right")[min(2, int(3 * (x + 0.5) / width))]
    if not row and not column:
        return "centre"
    if not column:
        return f"{row} middle"
    return f"{row} {column}".strip()


def explained(entry: Entry, model: Padim, item: Scored, place: Place) -> Explanation:
    """What each layer has to do with the distance at a place of a picture.

    Raises:
        OSError: the picture's file is gone.
    """
    import numpy as np

    identity = workspace.scoring_identity(entry)
    return _explained(model, item, identity, item.sha256, np.packbits(place.mask).tobytes(), place.mask)


@st.cache_resource(max_entries=200, show_spinner=False)
def _explained(
    _model: Padim, _item: Scored, identity: str, sha256: str, region: bytes, _mask: npt.NDArray[np.bool_]
) -> Explanation:
    from padim.analysis.attribution import explain

    return explain(_model, _embedding(_model, _item, identity, sha256), _mask)


@st.cache_resource(max_entries=16, show_spinner=False)
def _embedding(_model: Padim, _item: Scored, identity: str, sha256: str) -> npt.NDArray[np.float32]:
    from padim.analysis.attribution import embed
    from padim.data.loading import prepare

    return embed(_model, prepare((_item.name, _item.file.read_bytes()), _model.preprocess).rgb)


def outlined(item: Scored, model: Padim, level: int, place: Place) -> Picture:
    """The small picture with that place outlined."""
    from padim.data.decode import decode
    from padim.decision.regions import mask_to_original
    from padim.output.render import encode_jpeg, overlay

    if place.whole:
        return item.thumb
    rgb = decode(item.thumb.data, item.name)
    mask = mask_to_original(place.mask, (rgb.shape[0], rgb.shape[1]), item.content_box)
    levels = item.levels(model)
    return Picture(
        encode_jpeg(overlay(rgb, levels, mask, level, opacity=0, content_box=item.content_box), 88)
    )


# -- normals ---------------------------------------------------------------------------------------------


def of_normals(entry: Entry, model: Padim) -> Explanation:
    """What each layer has to do with the held-out distances of all normals in the fit."""
    return _of_normals(model, workspace.held_out_identity(entry))


@st.cache_resource(max_entries=8, show_spinner=False)
def _of_normals(_model: Padim, identity: str) -> Explanation:
    from padim.analysis.attribution import normals_layers

    return normals_layers(_model)


def of_each(entry: Entry, model: Padim, indices: Iterable[int]) -> dict[int, Explanation]:
    """What each layer has to do with the held-out score of each of these normals, where it comes from."""
    area = model.config.min_area
    return _of_each(model, workspace.held_out_identity(entry), tuple(indices), area)


@st.cache_resource(max_entries=16, show_spinner=False)
def _of_each(_model: Padim, identity: str, indices: tuple[int, ...], min_area: int) -> dict[int, Explanation]:
    from padim.analysis.attribution import explain_held_out, strongest_place

    regions = [(index, strongest_place(_model.held_out_map(index), min_area)) for index in indices]
    return dict(zip(indices, explain_held_out(_model, regions), strict=True))
