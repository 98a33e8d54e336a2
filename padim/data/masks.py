"""Masks: read a file's stored values as defect and no defect, in the pixels of its image.

Masks have a reader of their own because they are not images to look at: a value of 1 is as much a defect as
255, and a transparent pixel is none.
"""

from __future__ import annotations

from io import BytesIO
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFile
from PIL.TiffImagePlugin import TiffImageFile

from padim.data import deep_pixels
from padim.data.orientation import EXIF_ORIENTATION, turned
from padim.data.preprocess import Preprocess
from padim.data.stored_values import stored
from padim.errors import ImageError
from padim.locating.placement import Placement
from padim.locating.warp import covered

Mask = npt.NDArray[np.bool_]

# In a lossy file, values up to this are noise, whatever the brightest one is.
_NOISE = 16
_LOSSY = ("JPEG", "MPO", "AVIF", "HEIF")
_NOT_RGB = ("CMYK", "YCbCr", "LAB", "HSV")
_TIFF_PHOTOMETRIC = 262


def read_mask(data: bytes, name: str, size: tuple[int, int], orientation: int = 1) -> Mask:
    """Decode a mask file to bool ``(h, w)`` in the pixels of its upright image; True is defect.

    * Any value above 0 is defect, also 1 in 16 bits; NaN and negative values are not.
    * Transparent pixels (alpha 0) are no defect. If all that is visible is black on a transparent ground,
      what is visible is the defect.
    * In a palette image, index 0 is no defect and the others are, whatever their colors; but if index 0 is
      not black and another index in use is, it is a plain image: black is no defect.
    * In a JPEG or another lossy file, where compression changes values, a pixel is defect above half of the
      brightest value; a lossy file with no value above 16 is empty.

    The mask's own orientation (EXIF) is applied. A mask without one is used as it is if only so it has the
    size of its upright image, and turned as its image if only so; if both fit, as with square images, it is
    turned as its image.

    Args:
        data: the file's bytes.
        name: the file's name, for errors.
        size: (h, w) of the upright image.
        orientation: EXIF orientation of the image's file, 1 to 8.

    Raises:
        ImageError: the mask is not an image or its size differs from that of its image.
    """
    with stored(data, name) as image:
        deep = deep_pixels.is_deep_color(image)
        own = _own_orientation(image)
        mask = _values(image, data, deep)
    for turn in (orientation, 1) if own is None else (own, 1, orientation):
        upright = turned(mask, turn)
        if upright.shape == size:
            return np.ascontiguousarray(upright)
    raise ImageError(name, f"the mask is {mask.shape[1]} × {mask.shape[0]}, its image {size[1]} × {size[0]}")


def mask_png(mask: Mask) -> bytes:
    """Return a mask, bool ``(h, w)`` in the pixels of its upright image, as a PNG file: 255 is defect.

    The file states its orientation, so that it is not turned as its image is.
    """
    image = Image.fromarray(np.multiply(mask, np.uint8(255), dtype=np.uint8))
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = 1
    out = BytesIO()
    image.save(out, "PNG", exif=exif, compress_level=1)
    return out.getvalue()


def is_empty(data: bytes, name: str) -> bool:
    """Return whether no pixel of a mask file is defect; raise ImageError if it is not an image."""
    with stored(data, name) as image:
        deep = deep_pixels.is_deep_color(image)
        image.load()
        return not _values(image, data, deep).any()


def _own_orientation(image: ImageFile.ImageFile) -> int | None:
    """Load a mask and return the orientation that it states, by which it is still to be turned; or None."""
    if isinstance(image, TiffImageFile):
        # Pillow turns TIFFs upright when it loads them. Many programs write 1 into each of them, unasked.
        stated = image.tag_v2.get(EXIF_ORIENTATION, 1) != 1
        image.load()
        return 1 if stated else None
    image.load()
    try:
        value = image.getexif().get(EXIF_ORIENTATION)
    except Exception:  # as in `decode`: the parser fails in many ways, and the pixels are intact
        return None
    return value if isinstance(value, int) and 1 <= value <= 8 else None


def _values(image: ImageFile.ImageFile, data: bytes, deep: bool) -> Mask:
    """Return which pixels of a loaded mask are defect, as stored; ``deep`` for colors of 16 bits."""
    if image.mode == "P":
        return _of_palette(image)
    if image.mode in ("LA", "La", "PA", "RGBA", "RGBa"):
        whole = image.convert("RGBA") if image.mode == "PA" else image
        bands = _stored_colors(image, data) if deep else np.asarray(whole)
        return _visible(bands[..., :-1].max(axis=2) > 0, bands[..., -1] > 0)
    if deep:
        values = _stored_colors(image, data)
    else:
        values = np.asarray(image.convert("RGB") if image.mode in _NOT_RGB else image)
    if values.dtype == np.bool_:
        return values
    values = _white_is_zero(image, values)
    if _is_lossy(image, data):
        brightest = values if values.ndim == 2 else values.max(axis=2)
        most = int(brightest.max())
        return np.asarray(brightest > max(_NOISE, most / 2), np.bool_)
    defect: Any = values > 0  # NaN compares as False
    if values.ndim == 3:
        defect = defect.any(axis=2)
    return np.asarray(defect & ~_keyed(image, values), np.bool_)


def _is_lossy(image: Image.Image, data: bytes) -> bool:
    """Return whether the compression of a file changes values, so that small ones may be noise."""
    if image.format == "WEBP":
        return b"VP8 " in data[12:] and b"VP8L" not in data[12:64]
    if image.format == "JPEG2000":
        at = data.find(b"\xff\x52")  # coding style; its last value is the transform, 0 the irreversible one
        return at < 0 or data[at + 13 : at + 14] == b"\0"
    return image.format in _LOSSY


def _visible(colored: Mask, shown: Mask) -> Mask:
    defect = colored & shown
    if not defect.any() and shown.any() and not shown.all():
        return shown
    return defect


def _of_palette(image: Image.Image) -> Mask:
    indices = np.asarray(image)
    colors = np.zeros((256, 4), np.uint8)
    colors[:, 3] = 255
    stored_colors = np.array(image.getpalette("RGBA") or [], np.uint8).reshape(-1, 4)
    colors[: len(stored_colors)] = stored_colors[:256]
    key = image.info.get("transparency")
    if isinstance(key, int):
        colors[key, 3] = 0
    elif isinstance(key, bytes):
        colors[: len(key), 3] = np.frombuffer(key, np.uint8)[:256]
    black = colors[:, :3].max(axis=1) == 0
    used = np.zeros(256, np.bool_)
    used[np.unique(indices)] = True
    is_plain = not black[0] and bool((used & black)[1:].any())
    defect = ~black if is_plain else np.arange(256) > 0
    shown = (colors[:, 3] > 0)[indices]
    if not shown.all():
        return _visible(defect[indices], shown)
    return np.asarray(defect[indices], np.bool_)


def _white_is_zero(image: Image.Image, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Invert a deep TIFF that stores white as 0, which Pillow does up to 8 bits only."""
    tags = getattr(image, "tag_v2", {})
    deep = image.mode.startswith("I;16")
    return np.iinfo(np.uint16).max - values if deep and tags.get(_TIFF_PHOTOMETRIC) == 0 else values


def _stored_colors(image: ImageFile.ImageFile, data: bytes) -> npt.NDArray[Any]:
    """Return the values of a loaded image of 16-bit colors, of which Pillow keeps the upper bytes only."""
    # Asked for a depth below 16, the function reads the lower bytes in any case.
    found = deep_pixels.color_samples(image, lambda: type(image)(BytesIO(data)), data, 12)
    return np.asarray(image) if found is None or found[1] is None else found[1]


def _keyed(image: Image.Image, values: npt.NDArray[Any]) -> Mask | np.bool_:
    """Return which pixels have the value that a file declares transparent."""
    key = image.info.get("transparency")
    if isinstance(key, int) and values.ndim == 2:
        return np.asarray(values == key, np.bool_)
    if isinstance(key, tuple) and values.ndim == 3 and len(key) == values.shape[2]:
        return np.asarray((values == np.array(key)).all(axis=2), np.bool_)
    return np.bool_(False)


def at_map_resolution(mask: Mask, preprocess: Preprocess, placement: Placement | None = None) -> Mask:
    """Resample a mask to the level map's pixels (nearest neighbor, half-pixel centers).

    Args:
        mask: bool ``(h, w)``, in the image's pixels.
        preprocess: gives the map's size and the image's position in it.
        placement: the place of the map on the image, if the part was located in it; None: the map shows the
            whole image.

    Returns:
        bool ``(h, w)``; False at map pixels with their center outside the image.
    """
    if placement is not None:
        return _at_placement(mask, placement, preprocess.shape)
    box = preprocess.content_box(mask.shape)
    rows, columns = (
        (2 * np.arange(inside) + 1) * original // (2 * inside)
        for inside, original in ((box.height, mask.shape[0]), (box.width, mask.shape[1]))
    )
    result = np.zeros(preprocess.shape, np.bool_)
    result[box.top : box.top + box.height, box.left : box.left + box.width] = mask[np.ix_(rows, columns)]
    return result


def _at_placement(mask: Mask, placement: Placement, shape: tuple[int, int]) -> Mask:
    """Return the value of the mask's pixel in which the center of each map pixel lies: bool ``shape``."""
    (a, b, c), (d, e, f) = placement.matrix.tolist()
    u, v = np.arange(shape[1]) + 0.5, (np.arange(shape[0]) + 0.5)[:, None]
    # A center on the very border of the image counts as inside.
    x = np.clip(np.floor(a * u + b * v + c).astype(np.intp), 0, mask.shape[1] - 1)
    y = np.clip(np.floor(d * u + e * v + f).astype(np.intp), 0, mask.shape[0] - 1)
    inside = covered(placement.matrix, shape, (mask.shape[0], mask.shape[1]))
    return np.asarray(mask[y, x] & inside, np.bool_)
