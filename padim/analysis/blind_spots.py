"""Detection of painted defects by place on the part: counts, blind spots, and the weakest cell."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from padim.analysis.sensitivity import Sensitivity
from padim.analysis.synthetic_defects import DefectKind

__all__ = ["PlaceCount", "WeakestCell", "counts_by_place", "overall_share", "weakest_cell"]


@dataclass(frozen=True)
class PlaceCount:
    """The number of defects caught at one place of a sensitivity measurement.

    Attributes:
        x, y: the place, in map pixels.
        count: defects caught there.
        of: defects tried there; void trials do not count.
        blind: whether even the largest and strongest defect of a kind was missed.
        image: the name of the image painted on.
    """

    x: float
    y: float
    count: int
    of: int
    blind: bool
    image: str


@dataclass(frozen=True)
class WeakestCell:
    """The cell of the map in which the smallest share of defects is caught.

    Attributes:
        row, column: the cell, counted from 0 at the top left.
        share: the share of defects caught there.
        places: the number of places the share is computed from.
    """

    row: int
    column: int
    share: float
    places: int


def counts_by_place(result: Sensitivity, kind: DefectKind | None = None) -> list[PlaceCount]:
    """Return the counts at every place with at least one valid trial.

    Args:
        result: the sensitivity measurement.
        kind: count defects of this kind only; None counts all.
    """
    chosen = slice(None) if kind is None else [result.kinds.index(kind)]
    caught, void = result.caught[:, chosen], result.void[:, chosen]
    count, of = caught.sum(axis=(1, 2, 3)), (~void).sum(axis=(1, 2, 3))
    blind = np.any((~caught & ~void)[:, :, -1, -1], axis=1).tolist()
    return [
        PlaceCount(float(x), float(y), int(k), int(n), b, result.images[image])
        for (x, y), k, n, b, image in zip(result.places, count, of, blind, result.image_of, strict=True)
        if n
    ]


def overall_share(places: list[PlaceCount]) -> float:
    """Return the share of defects caught over all places, of which there must be at least one."""
    return sum(place.count for place in places) / sum(place.of for place in places)


def weakest_cell(result: Sensitivity, kind: DefectKind | None = None) -> WeakestCell:
    """Return the cell in which the smallest share of defects is caught; the first one of several.

    Raises:
        ValueError: no place has a valid trial.
    """
    share, places = result.by_place(kind)
    row, column = map(int, np.unravel_index(np.nanargmin(share), share.shape))
    return WeakestCell(row, column, float(share[row, column]), int(places[row, column]))
