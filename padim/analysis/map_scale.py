"""The scale between the original images and the map: image pixels per map pixel."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from padim.model import Padim

__all__ = ["fitted_scale"]


def fitted_scale(model: Padim) -> tuple[float, float]:
    """Return the image pixels per map pixel, (x, y): the median over the normal images of a model.

    Args:
        model: a fitted model.
    """
    high, wide = model.config.input_shape
    boxes = [(size, model.state.content_box(size)) for size in {n.original_size for n in model.normals_}]
    scales = {
        size: (size[1] / (box.width if box else wide), size[0] / (box.height if box else high))
        for size, box in boxes
    }
    found = np.median(np.array([scales[n.original_size] for n in model.normals_]), axis=0)
    return float(found[0]), float(found[1])
