"""Read the headers of JPEG 2000, JPEG XL, AVIF and HEIC files: size, depth and number of channels.

Like :mod:`padim.data.image_headers`, in a short time that is linear in the file's length, without decoding.
These formats nest boxes (length, name, content), as ISO media files do.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass

_MOST_BOXES = 5000


def boxes(data: bytes, start: int = 0, end: int | None = None) -> Iterator[tuple[bytes, int, int]]:
    """Yield (name, start of the content, end) of the boxes in a part of a file."""
    at, end = start, len(data) if end is None else min(end, len(data))
    for _ in range(_MOST_BOXES):
        if at + 8 > end:
            return
        length, name = struct.unpack_from(">I4s", data, at)
        content = at + 8
        if length == 1 and at + 16 <= end:
            (length,) = struct.unpack_from(">Q", data, content)
            content += 8
        elif length == 0:  # up to the end of the file
            length = end - at
        if at + length < content:
            return
        yield name, content, min(at + length, end)
        at += length


# --- JPEG 2000 ---


@dataclass(frozen=True)
class Jpeg2000:
    """The header of a JPEG 2000 file.

    Attributes:
        size: (width, height) in pixels.
        channels: number of channels.
        bits: bits of the deepest channel.
        signed: whether a channel has signed values.
        opacity: whether the file says that one of the channels is transparency.
        images: number of images in the file.
    """

    size: tuple[int, int]
    channels: int
    bits: int
    signed: bool
    opacity: bool
    images: int = 1


def jpeg2000(data: bytes) -> Jpeg2000 | None:
    """Read the header of a JPEG 2000 file or codestream; None if it has none."""
    if data.startswith(b"\xff\x4f"):
        return _codestream(data, 0, opacity=False, images=1)
    streams = []
    opacity = False
    for name, start, end in boxes(data):
        if name == b"jp2c":
            streams.append(start)
        elif name == b"jp2h":
            for inner, begin, stop in boxes(data, start, end):
                if inner == b"cdef" and begin + 2 <= stop:
                    (count,) = struct.unpack_from(">H", data, begin)
                    places = range(begin + 4, begin + 4 + 6 * count, 6)
                    opacity = any(data[at : at + 2] in (b"\0\1", b"\0\2") for at in places)
    return _codestream(data, streams[0], opacity, len(streams)) if streams else None


def _codestream(data: bytes, at: int, opacity: bool, images: int) -> Jpeg2000 | None:
    if data[at : at + 4] != b"\xff\x4f\xff\x51" or at + 42 > len(data):
        return None
    right, bottom, left, top = struct.unpack_from(">4I", data, at + 8)
    (channels,) = struct.unpack_from(">H", data, at + 40)
    depths = data[at + 42 : at + 42 + 3 * channels : 3]
    return Jpeg2000(
        size=(max(0, right - left), max(0, bottom - top)),
        channels=channels,
        bits=max(((depth & 0x7F) + 1 for depth in depths), default=8),
        signed=any(depth & 0x80 for depth in depths),
        opacity=opacity,
        images=images,
    )


# --- AVIF and HEIC ---

# The size of an item: a box of 20 bytes. Tiles and thumbnails have one as well.
_ITEM_SIZE = re.compile(rb"\0\0\0\x14ispe\0\0\0\0(.{8})", re.DOTALL)


def iso_size(data: bytes) -> tuple[int, int] | None:
    """Return (width, height) of the largest image in an AVIF or HEIC file; None if it declares none."""
    for name, start, end in boxes(data):
        if name == b"meta":
            sizes = (struct.unpack(">II", found[1]) for found in _ITEM_SIZE.finditer(data, start, end))
            return max(sizes, key=lambda size: size[0] * size[1], default=None)
    return None


# --- JPEG XL ---


@dataclass(frozen=True)
class JpegXl:
    """The header of a JPEG XL file.

    Attributes:
        size: (width, height) in pixels, as stored.
        bits: bits of a sample; None where they are not found.
        floating: whether the samples are floating-point numbers.
        animated: whether it is an animation.
    """

    size: tuple[int, int]
    bits: int | None
    floating: bool
    animated: bool


class _Bits:
    """Reader of numbers from the bits of a codestream, least significant first."""

    def __init__(self, data: bytes) -> None:
        self._bits, self._left = int.from_bytes(data, "little"), 8 * len(data)

    def __call__(self, count: int) -> int:
        if count > self._left:
            raise IndexError("the header is cut short")
        value = self._bits & ((1 << count) - 1)
        self._bits >>= count
        self._left -= count
        return value

    def one_of(self, *choices: tuple[int, int]) -> int:
        """Read a number of variable length: two bits choose (offset, number of further bits)."""
        offset, count = choices[self(2)]
        return offset + self(count)


_RATIOS = {1: (1, 1), 2: (12, 10), 3: (4, 3), 4: (3, 2), 5: (16, 9), 6: (5, 4), 7: (2, 1)}
_SIDE = ((1, 9), (1, 13), (1, 18), (1, 30))


def jpeg_xl(data: bytes) -> JpegXl | None:
    """Read the header of a JPEG XL file or codestream; None if it has none."""
    stream = _jpeg_xl_codestream(data)
    if not stream.startswith(b"\xff\x0a"):
        return None
    read = _Bits(stream[2:])
    try:
        size = _jpeg_xl_size(read)
        if read(1):  # all values are the usual ones
            return JpegXl(size, 8, False, False)
        if read(1):
            read(3)  # orientation, which the decoder applies
            if read(1):
                _jpeg_xl_size(read)
            if read(1):  # a preview, which nothing writes
                return JpegXl(size, None, False, False)
            if read(1):
                return JpegXl(size, None, False, True)
        floating = bool(read(1))
        bits = (
            read.one_of((32, 0), (16, 0), (24, 0), (1, 6))
            if floating
            else read.one_of((8, 0), (10, 0), (12, 0), (1, 6))
        )
    except IndexError:
        return None
    return JpegXl(size, bits, floating, False)


def _jpeg_xl_codestream(data: bytes) -> bytes:
    """Return the beginning of the codestream, enough for its header."""
    if data.startswith(b"\xff\x0a"):
        return data[:64]
    for name, start, _ in boxes(data):
        if name == b"jxlc":
            return data[start : start + 64]
        if name == b"jxlp":
            return data[start + 4 : start + 68]
    return b""


def _jpeg_xl_size(read: _Bits) -> tuple[int, int]:
    small = read(1)

    def side() -> int:
        return 8 * (read(5) + 1) if small else read.one_of(*_SIDE)

    height = side()
    ratio = read(3)
    if ratio == 0:
        return side(), height
    across, down = _RATIOS[ratio]
    return height * across // down, height
