"""What can be asked about the layers of a model: which places of an image, which normals, in which shares."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from padim.analysis.attribution import (
    Explanation,
    embed,
    explain_held_out,
    kept_layers,
    region_masks,
    strongest_place,
)
from padim.data.loading import prepare

if TYPE_CHECKING:
    from padim.analysis.stored_score import StoredScore
    from padim.decision.regions import Region
    from padim.model import Padim
    from padim.network.registry import Layer

__all__ = [
    "AskedPlace",
    "asked_places",
    "can_attribute",
    "embed_file",
    "explain_each",
    "features_by_layer",
    "whole_percents",
]


@dataclass(frozen=True, eq=False)
class AskedPlace:
    """Somewhere in an image that can be asked about.

    Attributes:
        mask: bool ``(S, S)`` in map pixels.
        region: the region of the image's mask that it is; None for another place.
        whole: it is all that is judged of the image.
    """

    mask: npt.NDArray[np.bool_]
    region: Region | None = None
    whole: bool = False


def can_attribute(model: Padim) -> bool:
    """Whether the layers' shares in a distance can be told: it must be a sum of what the layers add."""
    return model.config.method == "padim" and not model.config.position_tolerance


def features_by_layer(model: Padim) -> list[tuple[Layer, int]]:
    """The layers in use, from shallow to deep, and how many of the features kept come from each."""
    layers, layer_of = kept_layers(model)
    return list(zip(layers, np.bincount(layer_of, minlength=len(layers)).tolist(), strict=True))


def asked_places(image: StoredScore, model: Padim, level: int) -> list[AskedPlace]:
    """The regions of an image's mask, strongest first, or the place its score comes from; then all of it.

    Args:
        image: scored by the model.
        model: fitted.
        level: the threshold.
    """
    area, q = model.config.min_area, image.levels(model)
    regions = image.decide(model, level, area).regions
    found = [
        AskedPlace(mask, region) for region, mask in zip(regions, region_masks(q, level, area), strict=True)
    ]
    if not found:
        found.append(AskedPlace(strongest_place(q, area)))
    # Outside the region of interest, and in the padding, the map is 0 throughout.
    return [*found, AskedPlace(q > 0, whole=True)]


def embed_file(model: Padim, name: str, content: bytes) -> npt.NDArray[np.float32]:
    """The embedding of an image file: one run of the network.

    Raises:
        ImageError: it cannot be used.
    """
    return embed(model, prepare((name, content), model.network.preprocess).rgb)


def explain_each(model: Padim, indices: Iterable[int]) -> dict[int, Explanation]:
    """What each layer has to do with the held-out score of each of these normals, where it comes from.

    Args:
        model: calibrated, its features on disk.
        indices: into ``model.normals_``.
    """
    chosen, area = tuple(indices), model.config.min_area
    regions = [(index, strongest_place(model.state.held_out_map(index), area)) for index in chosen]
    return dict(zip(chosen, explain_held_out(model, regions), strict=True))


def whole_percents(shares: Sequence[float]) -> list[int]:
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
