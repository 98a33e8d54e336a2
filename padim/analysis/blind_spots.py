"""Where on the part painted defects are missed: counts by place, blind spots, and the weakest cell."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from padim.analysis.sensitivity import Sensitivity
from padim.analysis.synthetic_defects import DefectKind

__all__ = ["PlaceCount", "WeakestCell", "counts_by_place", "overall_share", "weakest_cell"]


@dataclass(frozen=True)
class PlaceCount:
    """What was caught at one place of a sensitivity measurement.

    Attributes:
        x, y: in map pixels.
        count: defects caught there.
        of: defects tried there; void trials do not count.
        blind: even the largest and strongest defect of a kind was missed.
        image: name of the image that the place lies on.
    """

    x: float
    y: float
    count: int
    of: int
    blind: bool
    image: str


@dataclass(frozen=True)
class WeakestCell:
    """The cell of the map over the part in which the smallest share is caught.

    Attributes:
        row, column: counted from the top left, from 0.
        share: caught there.
        places: how many places that was judged from.
    """

    row: int
    column: int
    share: float
    places: int


def counts_by_place(result: Sensitivity, kind: DefectKind | None = None) -> list[PlaceCount]:
    """Every place at which something could be judged.

    Args:
        probe: the measurement.
        kind: count these defects alone; None counts all.
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
    """Share caught of all that was tried at these places, at least one."""
    return sum(place.count for place in places) / sum(place.of for place in places)


def weakest_cell(result: Sensitivity, kind: DefectKind | None = None) -> WeakestCell:
    """The cell in which the smallest share is caught; the first of several.

    Raises:
        ValueError: nothing could be judged anywhere.
    """
    share, places = result.by_place(kind)
    row, column = map(int, np.unravel_index(np.nanargmin(share), share.shape))
    return WeakestCell(row, column, float(share[row, column]), int(places[row, column]))
