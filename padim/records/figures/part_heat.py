"""Where on the part regions above the threshold lie, over many inspections."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["PartHeat", "heat_of"]


@dataclass(frozen=True, eq=False)
class PartHeat:
    """Areas of regions by the place of their centers.

    Attributes:
        share: float64 ``(rows, columns)``, sums to 1 (or is 0): share of the area of all regions that those
            with their center in the cell have.
        regions: number of regions.
        images: number of images with a region.
        aspect: median height / width of these images.
    """

    share: npt.NDArray[np.float64]
    regions: int
    images: int
    aspect: float


def heat_of(inspections: Iterable[tuple[int, int, str]], *, columns: int = 20) -> PartHeat:
    """Sum the areas of regions by the place of their centers, relative to each image.

    A region counts by its share of its image's area, so that images of several sizes count the same.

    Args:
        inspections: height and width in pixels and the regions, as JSON, of each image.
        columns: cells from left to right; the rows follow from the images' shape, 4 to 60.
    """
    places: list[tuple[float, float, float]] = []
    shapes: list[float] = []
    for height, width, text in inspections:
        regions = json.loads(text)
        if not regions or height < 1 or width < 1:
            continue
        shapes.append(height / width)
        for region in regions:
            places.append(
                (
                    (region["y"] + region["height"] / 2) / height,
                    (region["x"] + region["width"] / 2) / width,
                    region["area"] / (height * width),
                )
            )
    aspect = float(np.median(shapes)) if shapes else 1.0
    rows = int(np.clip(round(columns * aspect), 4, 60))
    heat = np.zeros((rows, columns))
    if places:
        y, x, weight = np.array(places).T
        cell = (
            np.clip((y * rows).astype(np.int64), 0, rows - 1),
            np.clip((x * columns).astype(np.int64), 0, columns - 1),
        )
        np.add.at(heat, cell, weight)
        if heat.sum() > 0:
            heat /= heat.sum()
    return PartHeat(heat, len(places), len(shapes), aspect)
