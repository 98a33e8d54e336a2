"""Readers of the extra ``formats``: HEIC, JPEG XL, JPEGs of more than 8 bits, and unusual TIFF compressions.

They are imported when a file needs them, in the helper process only. Where the extra is not installed, the
error names it.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from io import BytesIO
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from padim.data import container_headers, deep_pixels
from padim.data.bit_depth import FULL, Samples
from padim.data.refusal import Refusal

INSTALL = 'pip install "padim-inspection[formats]"'
# The modules that each reader needs, by the name that `image_headers.Header.reader` gives it.
MODULES = {
    "jpeg 2000": ("imagecodecs",),
    "heic": ("pillow_heif",),
    "jpeg": ("imagecodecs",),
    "jpeg-ls": ("imagecodecs",),
    "jpeg xl": ("imagecodecs",),
    "tiff": ("imagecodecs", "tifffile"),
}
_WHAT = {
    "jpeg 2000": "a JPEG 2000 image of 16-bit colors",
    "heic": "a HEIC image",
    "jpeg": "a JPEG of more than 8 bits or of a lossless kind",
    "jpeg-ls": "a JPEG-LS image",
    "jpeg xl": "a JPEG XL image",
    "tiff": "a TIFF of a rare compression",
}


@dataclass(frozen=True)
class SampleValues:
    """The samples of an image in their own range.

    Attributes:
        values: uint8, uint16 or float32 ``(h, w)`` or ``(h, w, channels)``: gray, gray and transparency, RGB,
            or RGB and transparency.
        top: the value of white; 1 for floating-point numbers.
        by: what in the file declares the value of white; empty where only the type says it.
        orientation: as in EXIF, 1 to 8.
        declared: the bits that metadata declare for samples of 16 bits; None if they declare none.
        white_is_zero: whether gray values grow from white to black.
    """

    values: npt.NDArray[np.uint8 | np.uint16 | np.float32]
    top: int
    by: str = ""
    orientation: int = 1
    declared: int | None = None
    white_is_zero: bool = False

    @property
    def has_alpha(self) -> bool:
        """Whether the last channel is transparency."""
        return self.values.ndim == 3 and self.values.shape[2] in (2, 4)

    def samples(self) -> Samples | None:
        """Describe the samples if they are integers of more than 8 bits; None otherwise."""
        if self.values.dtype.kind == "f" or self.top < 256:
            return None
        colors = self.values[..., :-1] if self.has_alpha else self.values
        largest, bits = int(colors.max()), self.top.bit_length()
        if self.top & (self.top + 1):
            return Samples(largest, bits, FULL, self.by, top=self.top)
        if bits < FULL:
            return Samples(largest, bits, bits, self.by)
        declared = self.declared or (FULL if self.by else None)
        return Samples(largest, declared=declared, by=self.by)


def prepare(reader: str) -> None:
    """Import what a reader needs, so that its memory does not count toward the limit of a file."""
    for name in MODULES.get(reader, ()):
        try:
            _module(name, reader)
        except Refusal:
            return


def read(reader: str, data: bytes) -> SampleValues:
    """Decode an image with a reader of the extra.

    Args:
        reader: a name in `MODULES`.
        data: the file's bytes.

    Raises:
        Refusal: the extra is not installed, or the file is of a kind that cannot be used.
        Exception: whatever the libraries raise on malformed data.
    """
    modules = [_module(name, reader) for name in MODULES[reader]]
    pixels = _READERS[reader](data, *modules)
    _check_shape(pixels.values)
    return pixels


def _module(name: str, reader: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ImportError:
        raise Refusal(
            f"is {_WHAT[reader]}, which needs the extra formats: {INSTALL}; or save it as PNG or TIFF"
        ) from None


def _check_shape(values: npt.NDArray[Any]) -> None:
    if values.ndim not in (2, 3):
        raise Refusal("holds several images; save the one to be inspected as an image of its own")
    if values.ndim == 3 and values.shape[2] not in (1, 2, 3, 4):
        raise Refusal(f"has {values.shape[2]} channels; save those to be inspected as a gray or an RGB image")


def _heic(data: bytes, pillow_heif: Any) -> SampleValues:
    pillow_heif.options.DECODE_THREADS = 1
    file = pillow_heif.open_heif(BytesIO(data), convert_hdr_to_8bit=False)
    if len(file) > 1:
        raise Refusal("holds several images; save the one to be inspected as an image of its own")
    image = file[0]
    values = np.asarray(image)
    # Pillow-heif has turned the image upright already, and scales more than 8 bits to 16.
    deep = values.dtype == np.uint16
    return SampleValues(values, 65535 if deep else 255, "HEIC")


def _jpeg(data: bytes, imagecodecs: Any) -> SampleValues:
    precision, components = _jpeg_frame(data)
    if not data.rstrip(b"\0").endswith(b"\xff\xd9") and b"\xff\xd9" not in data[-65536:]:
        raise ValueError("the file is cut short")
    if components not in (1, 3):
        raise Refusal(f"is a JPEG of {precision} bits and {components} channels; save it as PNG or TIFF")
    values = imagecodecs.jpeg8_decode(data)
    return SampleValues(values, *_declared(precision, "JPEG's precision"), _orientation(data))


_FRAME = re.compile(rb"\xff([\xc0-\xc3\xc5-\xc7\xc9-\xcb\xcd-\xcf\xf7])..(.)....(.)", re.DOTALL)


def _jpeg_frame(data: bytes) -> tuple[int, int]:
    """Return the bits and the number of components of a JPEG whose header has been read before."""
    at = 2
    while at + 4 <= len(data):
        found = _FRAME.match(data, at)
        if found is not None:
            return found[2][0], found[3][0]
        at = data.find(b"\xff", at + 2 + int.from_bytes(data[at + 2 : at + 4], "big"))
        if at < 0:
            break
    raise ValueError("the file has no frame")


def _jpeg_ls(data: bytes, imagecodecs: Any) -> SampleValues:
    precision, _ = _jpeg_frame(data)
    values = imagecodecs.jpegls_decode(data)
    return SampleValues(values, *_declared(precision, "JPEG's precision"), _orientation(data))


def _declared(bits: int, by: str) -> tuple[int, str]:
    """Return the value of white and what declares it; 16 bits are a type rather than a declaration."""
    return (1 << bits) - 1, by if bits < FULL else ""


def _orientation(data: bytes) -> int:
    """Return the orientation of a JPEG by its EXIF block; 1 without a valid one."""
    at = data.find(b"Exif\0\0", 0, 70_000)
    if at < 4:
        return 1
    length = int.from_bytes(data[at - 2 : at], "big")
    exif = Image.Exif()
    try:
        exif.load(data[at : at - 2 + length])
        value = exif.get(274, 1)
    except Exception:  # as in `decode`: a broken EXIF block does not cost the image
        return 1
    return value if isinstance(value, int) else 1


def _jpeg_xl(data: bytes, imagecodecs: Any) -> SampleValues:
    head = container_headers.jpeg_xl(data)
    values = imagecodecs.jpegxl_decode(data, numthreads=1)
    if values.dtype == np.float16:
        values = values.astype(np.float32)
    if values.dtype.kind == "f":
        return SampleValues(values, 1)
    bits = 8 * values.dtype.itemsize
    if values.dtype == np.uint16 and head is not None and head.bits is not None:
        bits = min(head.bits, 16)
    return SampleValues(values, *_declared(bits, "bits per sample"))


# Number of values of a pixel without extra channels, by TIFF's photometric interpretation.
_COLORS: Mapping[int, int] = {0: 1, 1: 1, 2: 3}


def _tiff(data: bytes, imagecodecs: Any, tifffile: Any) -> SampleValues:
    with tifffile.TiffFile(BytesIO(data)) as file:
        page = file.pages[0]
        for number in range(1, 64):
            try:
                subfile = int(file.pages[number].subfiletype)
            except IndexError:
                break
            if not subfile & (1 | 4):  # reduced copy, mask
                raise Refusal("has several pages; save the page to be inspected as an image of its own")
        colors = _COLORS.get(int(page.photometric))
        if int(page.photometric) == 6 and page.samplesperpixel == 3:
            colors = 3  # JPEG XL and JPEG 2000 are decoded to RGB
        if colors is None:
            raise Refusal("has a kind of pixels that is not supported; save it as 8- or 16-bit gray or RGB")
        values = page.asarray(maxworkers=1)
        if page.planarconfig == 2 and values.ndim == 3:
            values = np.moveaxis(values, 0, -1)
        orientation = page.tags.get(274)
        bits = int(page.bitspersample)
        tags = {tag.code: tag.value for tag in page.tags.values()}
    if values.dtype.kind == "f":
        values = values.astype(np.float32)
    elif values.dtype == np.int16 or values.dtype.itemsize > 2 or values.dtype.kind not in "ub":
        raise Refusal(f"holds pixels of type {values.dtype}; save it as 8- or 16-bit gray or RGB")
    inverted = int(page.photometric) == 0
    turn = int(orientation.value) if orientation is not None else 1
    if values.dtype.kind == "f":
        return SampleValues(values, 1, "", turn, white_is_zero=inverted)
    values = values.astype(np.uint8) if values.dtype == bool else values
    top, by = _declared(bits, "BitsPerSample")
    declared = None
    if bits == FULL:
        declared, by = deep_pixels.declared_by_tiff(tags)
    return SampleValues(values, top, by, turn, declared, inverted)


def _jpeg_2000(data: bytes, imagecodecs: Any) -> SampleValues:
    return SampleValues(imagecodecs.jpeg2k_decode(data, numthreads=1), 65535)


_READERS: dict[str, Callable[..., SampleValues]] = {
    "jpeg 2000": _jpeg_2000,
    "heic": _heic,
    "jpeg": _jpeg,
    "jpeg-ls": _jpeg_ls,
    "jpeg xl": _jpeg_xl,
    "tiff": _tiff,
}
