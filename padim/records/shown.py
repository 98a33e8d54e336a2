"""An inspection as an image for people: its level map in colors, to be laid over the image."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from padim.data.decode import decode
from padim.data.depth_survey import may_be_deep
from padim.errors import ImageError
from padim.output.render import color_table, encode_png, scale_table
from padim.records.evidence import placement_of

__all__ = ["displayable", "heat_layer", "map_to_image"]

# Opacity of the hottest place, and of the threshold's; below it the image shows through more and more.
_HOT, _AT_THRESHOLD = 0.72, 0.5
_SIGNATURES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")


def heat_layer(levels: npt.NDArray[np.uint16], threshold: int) -> bytes:
    """Return a level map in the colors of the threshold's scale, transparent where nothing is unusual; PNG.

    Args:
        levels: uint16 ``(h, w)``, the level map.
        threshold: the threshold, a level; it has the middle color, as in every image of the program.
    """
    # The scale has 256 steps of color, and the threshold is at the middle one.
    steps = scale_table(threshold)[levels]
    share = steps.astype(np.float32) / 255
    opacity = np.where(share < 0.5, _AT_THRESHOLD * (2 * share) ** 3, _AT_THRESHOLD)
    opacity += np.where(share > 0.5, (_HOT - _AT_THRESHOLD) * (2 * share - 1), 0)
    rgb = color_table()[steps]
    bgra = np.dstack([rgb[..., ::-1], np.rint(255 * opacity).astype(np.uint8)])
    done, data = cv2.imencode(".png", np.ascontiguousarray(bgra), [cv2.IMWRITE_PNG_COMPRESSION, 1])
    assert done
    return bytes(data)


def map_to_image(
    place: Mapping[str, Any], map_size: tuple[int, int], image_size: tuple[int, int]
) -> tuple[float, float, float, float, float, float]:
    """Return the affine map from pixels of a level map to pixels of the image.

    Args:
        place: where the image lies in the map, see :func:`padim.records.evidence.place_of`.
        map_size: (height, width) of the map.
        image_size: (height, width) of the image.

    Returns:
        (a, b, c, d, e, f) with x = a u + c v + e and y = b u + d v + f, in continuous coordinates, as SVG's
        ``matrix`` has them.
    """
    box, placement = placement_of(place)
    if placement is not None:
        (a, c, e), (b, d, f) = placement.matrix.tolist()
        return a, b, c, d, e, f
    top, left, height, width = box or (0, 0, *map_size)
    across, down = image_size[1] / width, image_size[0] / height
    return across, 0.0, 0.0, down, -left * across, -top * down


def displayable(data: bytes, name: str, bit_depth: int | None = None) -> bytes | None:
    """Return an image's file as browsers show it: itself, or a PNG of it; None if it cannot be read.

    Args:
        data: the file's bytes.
        name: its name, for errors.
        bit_depth: the range of values of 16-bit images, as in the model's settings.
    """
    try:
        # Browsers show 16-bit files over their full range, not over the model's.
        if data.startswith(_SIGNATURES) and not may_be_deep(data):
            return data
        return encode_png(decode(data, name, bit_depth=bit_depth))
    except ImageError:
        return None
