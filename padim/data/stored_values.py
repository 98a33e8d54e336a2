"""Read image files as they are stored: values without conversion to RGB, and the orientation they state.

Masks need both. The limits are those of :mod:`padim.data.decode`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO

from PIL import Image, ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile

from padim.data import decode_limits, image_headers, jpeg_check
from padim.data.decode import (
    _READING_BYTES,
    MAX_SCANS,
    _admit,
    _check_pixels,
    _reason,
    _recognise,
    decode,
    file_limit,
    too_large,
)
from padim.data.decode_budget import Cancel, memory_budget
from padim.data.orientation import EXIF_ORIENTATION, orientation_of_file
from padim.data.readers import READERS, check_jpeg
from padim.data.refusal import Refusal
from padim.errors import ImageError, PadimError

__all__ = ["orientation_of", "stored"]


@contextmanager
def stored(data: bytes, name: str, *, cancel: Cancel | None = None) -> Iterator[ImageFile.ImageFile]:
    """Open an image file to read its values as they are stored, without conversion to RGB, as masks need it.

    The image is not loaded yet. The limits are those of :func:`decode`; a file whose size does not bound the
    cost is first decoded in a helper process, under its limit on time. Memory stays reserved until the block
    ends.

    Raises:
        ImageError: the file cannot be used, or the block failed to load it.
        Cancelled: `cancel` returned True.
    """
    limits = decode_limits.current()
    kind = ""
    try:
        if len(data) > file_limit():
            raise Refusal(too_large(file_limit()))
        kind = _recognise(data)
        header = image_headers.read(data, kind, max_scans=MAX_SCANS)
        _admit(header, len(data), limits.pixels)
        if not header.bounded:
            decode(data, name, cancel=cancel)
        pixels = limits.pixels if header.pixels is None else header.pixels
        need = pixels * header.bytes_per_pixel + 2 * len(data) + _READING_BYTES
        with memory_budget(limits.memory).holding(need, cancel):
            if header.reader not in ("pillow", "pnm"):
                raise Refusal(f"is a {kind} of a kind in which masks are not read; save the mask as PNG")
            image = READERS[kind](BytesIO(data))
            _check_pixels(image.size, limits.pixels)
            if isinstance(image, PngImageFile):
                PngImageFile(BytesIO(data)).verify()
            if isinstance(image, JpegImageFile):
                check_jpeg(image, data)
            if getattr(image, "n_frames", 1) > 1 and kind != "JPEG":
                raise Refusal("has several pages; save the mask as an image of its own")
            if kind == "JPEG" and jpeg_check.is_damaged(data):
                raise Refusal("is a JPEG that is damaged or cut short; copy it again or save the mask as PNG")
            yield image
    except PadimError:
        raise
    except Exception as error:  # as in `decoded`
        raise ImageError(name, _reason(error, kind)) from error


def orientation_of(data: bytes) -> int:
    """Return the orientation, 1 to 8, by which :func:`decode` turns a file upright; 1 if it states none."""
    try:
        kind = _recognise(data)
        if kind == "WebP":
            exif = Image.Exif()
            exif.load(_webp_exif(data))
            value = exif.get(EXIF_ORIENTATION, 1)
            return value if isinstance(value, int) and 1 <= value <= 8 else 1
        if not image_headers.read(data, kind, max_scans=MAX_SCANS).bounded:
            return 1
        image = READERS[kind](BytesIO(data))
        if isinstance(image, TiffImageFile):
            value = image.tag_v2.get(EXIF_ORIENTATION, 1)
            return value if isinstance(value, int) and 1 <= value <= 8 else 1
        return orientation_of_file(image) if 1 <= orientation_of_file(image) <= 8 else 1
    except Exception:  # whatever is wrong with the file is reported where its pixels are read
        return 1


def _webp_exif(data: bytes) -> bytes:
    """Return the EXIF chunk of a WebP file; empty if there is none."""
    at = 12
    while at + 8 <= len(data):
        length = int.from_bytes(data[at + 4 : at + 8], "little")
        if data[at : at + 4] == b"EXIF":
            return data[at + 8 : at + 8 + min(length, 1 << 20)]
        at += 8 + length + length % 2
    return b""
