"""Small JPEGs of scored images, with their heat and the outline of what is marked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from padim.decision.prediction import decide
from padim.decision.regions import mask_to_original
from padim.output.render import encode_jpeg, overlay

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from padim.data.preprocess import Box

__all__ = ["outlined_jpeg", "overlay_jpeg"]

_QUALITY = 88


def overlay_jpeg(
    rgb: npt.NDArray[np.uint8],
    q: npt.NDArray[np.uint16],
    level: int,
    min_area: int,
    box: Box | None,
    *,
    heat: bool = True,
) -> bytes:
    """A small image with its heat and the outline of what is rejected.

    Args:
        rgb: uint8 ``(h, w, 3)``; drawn on at this size.
        q: uint16 ``(S, S)``, the level map.
        level: threshold T.
        min_area: smallest region in map pixels.
        box: where the image lies in the map; None: it fills it.
        heat: False draws the outline alone.
    """
    size = (rgb.shape[0], rgb.shape[1])
    mask = decide(q, level, min_area, original_size=size, content_box=box).mask
    return _drawn(rgb, q, mask, level, box, heat=heat)


def outlined_jpeg(
    rgb: npt.NDArray[np.uint8],
    q: npt.NDArray[np.uint16],
    mask: npt.NDArray[np.bool_],
    level: int,
    box: Box | None,
) -> bytes:
    """A small image with the outline of any area, bool ``(S, S)`` in map pixels; arguments as above."""
    large = mask_to_original(mask, (rgb.shape[0], rgb.shape[1]), box)
    return _drawn(rgb, q, large, level, box, heat=False)


def _drawn(
    rgb: npt.NDArray[np.uint8],
    q: npt.NDArray[np.uint16],
    mask: npt.NDArray[np.bool_],
    level: int,
    box: Box | None,
    *,
    heat: bool,
) -> bytes:
    drawn = (
        overlay(rgb, q, mask, level, content_box=box)
        if heat
        else overlay(rgb, q, mask, level, opacity=0, content_box=box)
    )
    return encode_jpeg(drawn, _QUALITY)
