"""Read the integer samples of image files deeper than 8 bits, and what their metadata say about the range.

Pillow keeps grey samples whole, but only the upper byte of 16-bit colours. Their lower bytes are read by a
second pass with the two bytes of a sample exchanged, within the same limits.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import ImageFile
from PIL.Jpeg2KImagePlugin import Jpeg2KImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile

from padim.data import container_headers
from padim.data.bit_depth import FULL, Samples

__all__ = ["as_stored", "color_samples", "declared_by_tiff", "is_deep_color", "samples_of"]

_BITS_PER_SAMPLE, _SAMPLE_FORMAT, _MAX_SAMPLE_VALUE, _S_MAX_SAMPLE_VALUE = 258, 339, 281, 341
_PLANAR = 284
# The raw modes of 16-bit colours with the two bytes of a sample exchanged. "N" is the machine's own order.
_EXCHANGED = {"B": "L", "L": "B", "N": "B" if sys.byteorder == "little" else "L"}
# Colours of the full range have upper bytes from here on: values that no usual depth below 16 contains.
_SURELY_FULL = 1 << 6

Values = npt.NDArray[np.uint16]


def samples_of(image: ImageFile.ImageFile, data: bytes, values: npt.NDArray[Any], largest: int) -> Samples:
    """Describe an image's samples and the range that its metadata declare.

    Args:
        image: the image, of integers of 9 to 16 bits.
        data: the file's bytes.
        values: its samples, or those in which the largest may be.
        largest: the largest of them.
    """
    if isinstance(image, PngImageFile):
        return _of_png(data, values, largest)
    if isinstance(image, TiffImageFile):
        return _of_tiff(image.tag_v2, largest)
    if isinstance(image, Jpeg2KImageFile):
        bits = _bits_of_jpeg_2000(data)
        return Samples(largest, bits, bits if bits < FULL else None, "JPEG 2000's precision")
    return Samples(largest)


def as_stored(values: npt.NDArray[Any], data: bytes) -> npt.NDArray[Any]:
    """Return the samples of a gray JPEG 2000 in their own range; Pillow has scaled them to 16 bits."""
    return values >> (FULL - _bits_of_jpeg_2000(data))


def _bits_of_jpeg_2000(data: bytes) -> int:
    head = container_headers.jpeg2000(data)
    return FULL if head is None else head.bits


def _of_png(data: bytes, values: npt.NDArray[Any], largest: int) -> Samples:
    bits = _significant_bits(data)
    if bits is None:
        return Samples(largest)
    if bits == FULL or largest >= 1 << bits:
        return Samples(largest, declared=FULL, by="sBIT")
    return Samples(largest, declared=bits, by="sBIT", maybe_full=_scaled_up(values, bits))


def _significant_bits(data: bytes) -> int | None:
    """Return the bits of a PNG's sBIT chunk, of its deepest colour; None if there is none of 8 to 16 bits."""
    at, color = 8, data[25]
    while at + 12 <= len(data):
        length, name = struct.unpack_from(">I4s", data, at)
        if name == b"IDAT":
            break
        if name == b"sBIT":
            # Grey or the three colours; the bits of a transparency channel say nothing about them.
            given = data[at + 8 : at + 8 + min(length, 1 if color in (0, 4) else 3)]
            bits = max(given, default=0)
            return bits if 8 <= bits <= FULL else None
        at += 12 + length
    return None


def _scaled_up(values: npt.NDArray[Any], bits: int) -> bool:
    """Return whether all values are multiples as a writer makes them that scales ``bits`` to 16 bits.

    The PNG specification names three ways: zeros in the lower bits, repeated bits, and linear scaling.
    """
    present = np.flatnonzero(np.bincount(values.ravel(), minlength=1))
    short = present >> (FULL - bits)
    shifted = short << (FULL - bits)
    repeated = shifted | short >> max(0, 2 * bits - FULL)
    linear = (short * (2 * 65535) + (1 << bits) - 1) // (2 * ((1 << bits) - 1))
    return any(np.array_equal(present, form) for form in (shifted, repeated, linear))


def _of_tiff(tags: Mapping[int, Any], largest: int) -> Samples:
    bits = int(max(tags.get(_BITS_PER_SAMPLE, (FULL,))))
    signed = 2 in tags.get(_SAMPLE_FORMAT, ())
    if 8 < bits < FULL:
        return Samples(largest, bits, bits - 1 if signed else bits, "BitsPerSample", signed=signed)
    declared, by = declared_by_tiff(tags)
    return Samples(largest, declared=declared, by=by, signed=signed)


def declared_by_tiff(tags: Mapping[int, Any]) -> tuple[int | None, str]:
    """Return the bits that the tags of a 16-bit TIFF declare, and the name of the tag; or None and "".

    Args:
        tags: values by tag number.
    """
    for tag, name in ((_S_MAX_SAMPLE_VALUE, "SMaxSampleValue"), (_MAX_SAMPLE_VALUE, "MaxSampleValue")):
        top = _largest_number(tags.get(tag))
        # By the TIFF specification the tag may also be the largest value in use: then it is no range.
        if top is not None and 255 <= top <= 65535 and top & (top + 1) == 0:
            return top.bit_length(), name
    return None, ""


def _largest_number(value: Any) -> int | None:
    values = value if isinstance(value, tuple) else (value,)
    numbers = [float(one) for one in values if isinstance(one, int | float)]
    top = max(numbers, default=0.5)
    return int(top) if top.is_integer() else None


# --- colours ------------------------------------------------------------------------------------------------


def is_deep_color(image: ImageFile.ImageFile) -> bool:
    """Return whether an image, not yet loaded, has colours (or grey with transparency) of 16 bits."""
    return (
        bool(image.tile)
        and all(";16" in _raw_mode(tile) for tile in image.tile)
        and len(image.getbands()) > 1
    )


def color_samples(
    image: ImageFile.ImageFile,
    again: Callable[[], ImageFile.ImageFile],
    data: bytes,
    bit_depth: int | None,
) -> tuple[Samples, Values | None] | None:
    """Return the samples of a loaded image of 16-bit colours, which Pillow has reduced to their upper bytes.

    Args:
        image: the loaded image.
        again: opens the same file once more.
        data: the file's bytes.
        bit_depth: the bit depth asked for, as in :meth:`Samples.white`.

    Returns:
        The samples, with uint16 ``(h, w, 3)``, or ``(h, w, 4)`` with transparency; or with None where the
        upper bytes are all that the image needs. None if this kind of colours cannot be read with its depth.
    """
    upper = np.asarray(image)
    high = int(upper[..., : _colors(image)].max())
    if high >= _SURELY_FULL:
        samples = samples_of(image, data, np.zeros(0, np.uint16), high << 8)
        if bit_depth in (None, FULL) and samples.declared in (None, FULL):
            return samples, None
    other = again()
    gray = _is_gray_with_alpha(other)
    if not _exchange(other):
        return None
    other.load()
    lower = np.asarray(other)
    if gray:
        # Read as four bytes a pixel: both bytes of the gray value, then both of the transparency.
        pairs = lower[..., ::2].astype(np.uint16) << 8 | lower[..., 1::2]
        values = pairs[..., [0, 0, 0, 1]]
    else:
        values = upper.astype(np.uint16)
        del upper
        values <<= 8
        values |= lower
    colors = values[..., :3]
    return samples_of(image, data, colors, int(colors.max())), values


def _colors(image: ImageFile.ImageFile) -> int:
    return len(image.getbands()) - (image.mode in ("LA", "RGBA"))


def _raw_mode(tile: Any) -> str:
    args: Any = tile.args
    return args if isinstance(args, str) else str(args[0]) if args else ""


def _is_gray_with_alpha(image: ImageFile.ImageFile) -> bool:
    return isinstance(image, PngImageFile) and all(_raw_mode(tile) == "LA;16B" for tile in image.tile)


def _exchange(image: ImageFile.ImageFile) -> bool:
    """Make an image, not yet loaded, load the lower bytes of its samples; return whether it can."""
    if _is_gray_with_alpha(image):
        image.tile = [tile._replace(args="RGBA") for tile in image.tile]
        image._mode = "RGBA"
        return True
    if isinstance(image, TiffImageFile) and image.tag_v2.get(_PLANAR) == 2:
        return False  # its planes are read by modes of their own
    tiles = []
    for tile in image.tile:
        mode = _raw_mode(tile)
        if image.mode not in ("RGB", "RGBA") or mode[:-1] not in ("RGB;16", "RGBA;16", "RGBX;16"):
            return False
        args: Any = tile.args
        new = mode[:-1] + _EXCHANGED[mode[-1]]
        tiles.append(tile._replace(args=new if isinstance(args, str) else (new, *args[1:])))
    image.tile = tiles
    return True
