"""How many pixels of the original images one pixel of the map covers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from padim.model import Padim

__all__ = ["fitted_scale"]


def fitted_scale(model: Padim) -> tuple[float, float]:
    """Image pixels a map pixel is, (x, y), in the images of the fit: the median over them.

    Args:
        model: fitted.
    """
    side = model.config.input_size
    boxes = [(size, model.state.content_box(size)) for size in {n.original_size for n in model.normals_}]
    scales = {
        size: (size[1] / (box.width if box else side), size[0] / (box.height if box else side))
        for size, box in boxes
    }
    found = np.median(np.array([scales[n.original_size] for n in model.normals_]), axis=0)
    return float(found[0]), float(found[1])
