"""The input size of a study's configurations that state none: that of the images, as in a fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from padim.data.first_size import first_size
from padim.data.input_shape import input_shape_for, is_open, with_input_shape
from padim.data.loading import Cancel
from padim.study.data import Category
from padim.study.plan import Variant

__all__ = ["settled"]


def settled(
    variants: Sequence[Variant], categories: Sequence[Category], cancel: Cancel | None = None
) -> tuple[Variant, ...]:
    """Return the configurations with the input size near the aspect ratio of the good parts.

    A configuration is the same on all categories. If these differ in the size that suits them, one that
    states no input size keeps the square.

    Args:
        variants: the configurations; those that state an input size keep it.
        categories: the data sets to compare on; the first usable good part of each is looked at.
        cancel: polled while an image is decoded; True stops.

    Raises:
        Cancelled: ``cancel`` returned True.
    """
    open_ones = [one for one in variants if is_open(one.config) and one.config.align is None]
    if not open_ones:
        return tuple(variants)
    found = [first_size(category.normals, cancel)[0] for category in categories]
    sizes = [size for size in found if size is not None]
    if len({input_shape_for([size]) for size in sizes}) != 1:
        return tuple(variants)
    return tuple(
        replace(one, config=with_input_shape(one.config, sizes[:1])) if one in open_ones else one
        for one in variants
    )
