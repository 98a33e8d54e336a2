"""Layer attribution for an image or for normal images: the places to explain, and the shares as percents."""

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
    """A place in an image whose distances can be attributed to layers.

    Attributes:
        mask: bool ``(h, w)`` in map pixels.
        region: the detected region at the place; None for a place that is not a region.
        whole: whether the place is the whole scored area of the image.
    """

    mask: npt.NDArray[np.bool_]
    region: Region | None = None
    whole: bool = False


def can_attribute(model: Padim) -> bool:
    """Whether a model's distances can be attributed to layers: PaDiM without position tolerance only."""
    return model.config.method == "padim" and not model.config.position_tolerance


def features_by_layer(model: Padim) -> list[tuple[Layer, int]]:
    """Return the layers in use, from shallow to deep, with the number of channels used of each."""
    layers, layer_of = kept_layers(model)
    return list(zip(layers, np.bincount(layer_of, minlength=len(layers)).tolist(), strict=True))


def asked_places(image: StoredScore, model: Padim, level: int) -> list[AskedPlace]:
    """Return the places of an image that can be explained.

    These are the detected regions, strongest first, or without any the place that determines the score; and
    last the whole scored area.

    Args:
        image: an image scored by the model.
        model: a fitted model.
        level: the threshold.
    """
    area, q = model.config.min_area, image.levels(model)
    regions = image.decide(model, level, area).regions
    found = [
        AskedPlace(mask, region) for region, mask in zip(regions, region_masks(q, level, area), strict=True)
    ]
    if not found:
        found.append(AskedPlace(strongest_place(q, area)))
    # The map is 0 outside the region of interest and in the padding.
    return [*found, AskedPlace(q > 0, whole=True)]


def embed_file(model: Padim, name: str, content: bytes) -> npt.NDArray[np.float32]:
    """Return the embedding of an image file; runs the network once.

    Raises:
        ImageError: the image cannot be used.
    """
    return embed(model, prepare((name, content), model.state.preprocess).rgb)


def explain_each(model: Padim, indices: Iterable[int]) -> dict[int, Explanation]:
    """Attribute the held-out scores of normal images to the layers, at the places that determine them.

    Args:
        model: a calibrated model with its features on disk.
        indices: the images, as indices into ``model.normals_``.
    """
    chosen, area = tuple(indices), model.config.min_area
    regions = [(index, strongest_place(model.state.held_out_map(index), area)) for index in chosen]
    return dict(zip(chosen, explain_held_out(model, regions), strict=True))


def whole_percents(shares: Sequence[float]) -> list[int]:
    """Return shares as whole percents that sum to 100, by largest remainders; all zeros stay zeros."""
    total = math.fsum(shares)
    if total <= 0:
        return [0] * len(shares)
    exact = [100 * share / total for share in shares]
    found = [math.floor(percent) for percent in exact]
    by_remainder = sorted(range(len(shares)), key=lambda i: found[i] - exact[i])
    for i in by_remainder[: 100 - sum(found)]:
        found[i] += 1
    return found
