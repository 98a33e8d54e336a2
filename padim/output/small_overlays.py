"""Small JPEGs of scored images, with the heatmap and the outline of rejected or marked areas."""

from __future__ import annotations

from typing import TYPE_CHECKING

from padim.decision.back_projection import mask_on_original
from padim.decision.prediction import decide
from padim.decision.regions import mask_to_original
from padim.output.render import encode_jpeg, overlay

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from padim.data.preprocess import Box
    from padim.locating.placement import Placement

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
    placement: Placement | None = None,
) -> bytes:
    """Return a JPEG of an image with the heatmap and the outline of the rejected regions.

    Args:
        rgb: uint8 ``(h, w, 3)``; the JPEG has this size.
        q: uint16 ``(h, w)``, the level map.
        level: the threshold as a level.
        min_area: area of the smallest region that counts, in map pixels.
        box: the image's area in the map; None: all of it.
        heat: False draws the outline only.
        placement: the place of the map on this image, if the part was located in it.
    """
    size = (rgb.shape[0], rgb.shape[1])
    mask = decide(q, level, min_area, original_size=size, content_box=box, placement=placement).mask
    return _drawn(rgb, q, mask, level, box, placement, heat=heat)


def outlined_jpeg(
    rgb: npt.NDArray[np.uint8],
    q: npt.NDArray[np.uint16],
    mask: npt.NDArray[np.bool_],
    level: int,
    box: Box | None,
    *,
    placement: Placement | None = None,
) -> bytes:
    """Return a JPEG of an image with the outline of an area, bool ``(h, w)`` in map pixels.

    The other arguments are those of :func:`overlay_jpeg`.
    """
    size = (rgb.shape[0], rgb.shape[1])
    large = (
        mask_to_original(mask, size, box) if placement is None else mask_on_original(mask, placement, size)
    )
    return _drawn(rgb, q, large, level, box, placement, heat=False)


def _drawn(
    rgb: npt.NDArray[np.uint8],
    q: npt.NDArray[np.uint16],
    mask: npt.NDArray[np.bool_],
    level: int,
    box: Box | None,
    placement: Placement | None,
    *,
    heat: bool,
) -> bytes:
    drawn = (
        overlay(rgb, q, mask, level, content_box=box, placement=placement)
        if heat
        else overlay(rgb, q, mask, level, opacity=0, content_box=box, placement=placement)
    )
    return encode_jpeg(drawn, _QUALITY)
