"""Read an image file's header before decoding: its size, and the memory and time that decoding will take.

Each reader looks at headers only, in a short time that is linear in the file's length. A value that is not
found, or would take long to find, is left open (``size`` None, ``bounded`` False); it is never an error.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace

from padim.data import container_headers, pnm, tiff_header
from padim.data.refusal import Refusal

# Files with more metadata than this are decoded in a helper process instead of the server's own: real files
# have far less, and the readers take time for every item.
_MAX_SEGMENTS = 2000
_MAX_METADATA = 4_000_000
_MAX_PNG_CHUNKS = 20_000
_MAX_PNG_TEXTS = 8
_MAX_TEXT = 100_000
_MAX_ENTRIES = 256
_MAX_STRIPS = 16_384
_MAX_VALUES = 1_000_000
# Pixels times passes over them; this many take about half a second.
_MAX_JPEG_WORK = 60_000_000

# Deflate packs at most 258 bytes into two bits, with a little overhead: zlib's own bound.
_DEFLATE_RATIO = 1032
# A block of 8 x 8 takes at least one bit in the first pass; with the most unequal sampling there are eight
# blocks to 32 x 32 pixels. Arithmetic coding has no such bound.
_JPEG_PIXELS_PER_BYTE = 1024

_KNOWN_BMP_HEADERS = (40, 52, 56, 64, 108, 124)


@dataclass(frozen=True)
class Header:
    """Size of an image and bounds on the cost of decoding it, from the file's header.

    Attributes:
        size: (width, height) in pixels; None where it is not found.
        bytes_per_pixel: peak memory per pixel of decoding to RGB, copies included.
        most_pixels: largest number of pixels that a file of this length can hold; None without a bound.
        scans: passes over the pixels in a JPEG, counted up to one more than `max_scans` of `read`.
        run_length: whether it is a run-length BMP.
        reader: what decodes the pixels: "pillow", "pnm", or a name in
            :data:`padim.data.optional_readers.MODULES`.
        refusal: why the file cannot be used, as far as the header tells; empty if nothing speaks against it.
        bounded: whether the size bounds the decoding time, whatever the bytes are.
    """

    size: tuple[int, int] | None
    bytes_per_pixel: int
    most_pixels: int | None = None
    scans: int = 1
    run_length: bool = False
    bounded: bool = True
    reader: str = "pillow"
    refusal: str = ""

    @property
    def pixels(self) -> int | None:
        """Width times height; None where the size is not known."""
        return None if self.size is None else self.size[0] * self.size[1]


def read(data: bytes, kind: str, *, max_scans: int = 50) -> Header:
    """Read the header of an image file of a known format.

    Args:
        data: the whole file.
        kind: a format of :mod:`padim.data.formats`.
        max_scans: a JPEG's scans are counted up to one more than this number.
    """
    try:
        if kind == "JPEG":
            return _jpeg(data, max_scans)
        return _READERS[kind](data)
    except (struct.error, IndexError):
        # Cut short within the header. The decoder will report it, before it has allocated any pixels.
        return _UNKNOWN[kind]


# --- PNG ---


def _png(data: bytes) -> Header:
    width, height, depth, color, _, _, interlace = struct.unpack_from(">IIBBBBB", data, 16)
    if data[12:16] != b"IHDR":
        return _UNKNOWN["PNG"]
    samples = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}.get(color, 1)
    texts = 0
    metadata = 0
    transparent = color in (4, 6)
    bounded = interlace == 0
    for number, (name, start, length) in enumerate(_png_chunks(data)):
        if number > _MAX_PNG_CHUNKS:
            bounded = False
            break
        if name in (b"zTXt", b"iTXt", b"iCCP", b"tEXt"):
            texts += 1
            # ImageMagick's form of EXIF data, which Pillow parses as EXIF.
            bounded = bounded and not data.startswith(b"Raw profile", start)
        elif name == b"eXIf":
            bounded = bounded and _valid_exif(data[start : start + min(length, _MAX_METADATA)])
        transparent = transparent or name == b"tRNS"
        if name != b"IDAT":
            metadata += length
    row = (width * samples * depth + 7) // 8
    return Header(
        size=(width, height),
        bytes_per_pixel=(
            _deep_color_bytes(transparent)
            if depth == 16 and samples > 1
            else 18
            if transparent or color == 3
            else 12
        ),
        most_pixels=_DEFLATE_RATIO * len(data) * width // max(1, row),
        bounded=bounded and texts <= _MAX_PNG_TEXTS and metadata <= _MAX_METADATA,
    )


def _deep_color_bytes(transparent: bool) -> int:
    """Return the memory per pixel of 16-bit colours, which may be read twice, for both bytes of a sample."""
    return 34 if transparent else 26


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield (name, start of the content, its length) of each complete chunk."""
    at = 8
    while at + 12 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        yield data[at + 4 : at + 8], at + 8, length
        at += 12 + length


def without_metadata(data: bytes) -> bytes:
    """Return a PNG without the metadata that Pillow would unpack, refusing the image where they are large.

    Color profiles are not applied in any case. Of texts only those remain that may hold the orientation.
    """
    kept = [data[:8]]
    at = 8
    for name, start, length in _png_chunks(data):
        end = start + length + 4
        text = name in (b"zTXt", b"iTXt", b"tEXt")
        orientation = length < _MAX_TEXT and data.startswith((b"XML:com.adobe.xmp", b"Raw profile"), start)
        if name != b"iCCP" and not (text and not orientation):
            kept.append(data[at:end])
        at = end
    return data if sum(map(len, kept)) == at else b"".join((*kept, data[at:]))


# --- JPEG ---

# A marker that is neither a stuffed zero, a restart marker nor padding; the search runs in C.
_MARKER = re.compile(rb"\xff([^\x00\x01\xd0-\xd7\xff])")
_START_OF_FRAME = {0xC0 + n for n in range(16)} - {0xC4, 0xC8, 0xCC}
_END, _SCAN, _APP1, _START, _JPEG_LS = 0xD9, 0xDA, 0xE1, 0xD8, 0xF7
# Lossless and differential coding in forms that nothing writes.
_RARE_FRAMES = {0xC5, 0xC6, 0xC7, 0xCB, 0xCD, 0xCE, 0xCF}
_EXIF = b"Exif\0\0"


def _jpeg(data: bytes, max_scans: int) -> Header:
    size: tuple[int, int] | None = None
    components, frame, bits = 3, 0, 8
    segments = metadata = scans = 0
    exif = b""
    valid = True
    at = 2
    while (found := _MARKER.search(data, at)) is not None:
        marker = found[1][0]
        at = found.end()
        if marker == _END:
            break
        if marker == _START:
            continue
        segments += 1
        length = int.from_bytes(data[at : at + 2], "big")
        if marker == _SCAN:
            scans += 1
            if scans > max_scans or (frame in (0xC0, 0xC1) and data[at + 2] == components):
                break  # in most files the first pass is the only one, and only pixels follow
        elif marker in _START_OF_FRAME or marker == _JPEG_LS:
            frame = marker
            bits, height, width, components = struct.unpack_from(">BHHB", data, at + 2)
            size = (width, height)
            if marker == _JPEG_LS:
                break  # what follows has other rules for markers
        elif 0xE0 <= marker <= 0xEF or marker == 0xFE:
            metadata += length
            if marker == _APP1 and data.startswith(_EXIF, at + 2):
                # Pillow joins several EXIF blocks by copying all of them at each one: quadratic time.
                valid = valid and not exif
                exif = data[at + 2 : at + length]
        if segments > _MAX_SEGMENTS:
            break
        at += length
    # The samples of all passes but the first are kept until the last one, two bytes each.
    kept = 2 * components if frame not in (0xC0, 0xC1) or scans > 1 else 0
    pixels = 0 if size is None else size[0] * size[1]
    refusal = ""
    if frame in _RARE_FRAMES or components not in (1, 3, 4):
        refusal = f"is a JPEG of a rare kind ({components} channels, SOF {frame & 15}); save it as PNG"
    if size is not None and size[1] == 0:
        refusal = "is a JPEG that states its height behind its pixels (DNL); save it anew as PNG or JPEG"
    return Header(
        size=size,
        reader="jpeg-ls" if frame == _JPEG_LS else "pillow" if bits == 8 else "jpeg",
        refusal=refusal,
        bytes_per_pixel=(16 if components == 4 else 13) + kept + (12 if bits > 8 or frame == _JPEG_LS else 0),
        most_pixels=_JPEG_PIXELS_PER_BYTE * len(data) if frame in (0xC0, 0xC1, 0xC2) else None,
        scans=scans,
        bounded=(
            frame in (0xC0, 0xC1, 0xC2)
            and bits == 8
            and segments <= _MAX_SEGMENTS
            and metadata <= _MAX_METADATA
            and valid
            and (not exif or _valid_exif(exif))
            and pixels * max(1, scans) <= _MAX_JPEG_WORK
        ),
    )


# --- BMP ---


def _bmp(data: bytes) -> Header:
    (header,) = struct.unpack_from("<I", data, 14)
    if header == 12:
        width, height, _, depth = struct.unpack_from("<HHHH", data, 18)
        compression = 0
    else:
        width, height, _, depth, compression = struct.unpack_from("<IIHHI", data, 18)
        # A negative height means that rows are stored from the top down.
        height = min(height, 2**32 - height) if data[25] == 0xFF else height
    row = (width * depth + 7) // 8
    packed = compression in (1, 2) and header != 12
    if compression in (4, 5) and header != 12:
        kind = "JPEG" if compression == 4 else "PNG"
        return Header((width, height), 16, refusal=f"is a BMP that contains a {kind}; save it as {kind}")
    return Header(
        size=(width, height),
        bytes_per_pixel=16 if depth in (16, 32) or depth <= 8 else 12,
        most_pixels=None if packed else len(data) * width // max(1, row),
        run_length=packed,
        bounded=header == 12 or header in _KNOWN_BMP_HEADERS,
    )


# --- WebP ---


def _webp(data: bytes) -> Header:
    """Read a WebP header; its size never bounds the cost: a lossless file may need 65,536 tables of 12 kB."""
    chunk = data[12:16]
    if chunk == b"VP8X":
        size = int.from_bytes(data[24:27], "little") + 1, int.from_bytes(data[27:30], "little") + 1
    elif chunk == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        size = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    else:
        width, height = struct.unpack_from("<HH", data, 26)
        size = width & 0x3FFF, height & 0x3FFF
    return Header(size, _UNKNOWN["WebP"].bytes_per_pixel, bounded=False)


# --- GIF ---


def _gif(data: bytes) -> Header:
    width, height = struct.unpack_from("<HH", data, 6)
    return Header((width, height), _UNKNOWN["GIF"].bytes_per_pixel, bounded=False)


# --- PBM, PGM, PPM, PAM and PFM ---


def _pnm(data: bytes) -> Header:
    try:
        head = pnm.header(data)
    except Refusal as error:
        return replace(_UNKNOWN["PNM"], refusal=str(error))
    width, height = head.size
    most = (len(data) - head.data) * width * height // max(1, head.length)
    return Header(
        size=head.size,
        bytes_per_pixel=16 + 12 * head.channels if head.text else 6 + 3 * head.channels * head.sample_bytes,
        most_pixels=most,
        bounded=not head.text,
        reader="pnm",
    )


# --- JPEG 2000, AVIF, HEIC and JPEG XL: the size never bounds the cost ---


def _jpeg2000(data: bytes) -> Header:
    head = container_headers.jpeg2000(data)
    if head is None:
        return _UNKNOWN["JPEG 2000"]
    refusal = ""
    if head.images > 1:
        refusal = "holds several images; save the one to be inspected as an image of its own"
    elif head.channels > 4 or (head.channels in (2, 4) and not head.opacity):
        refusal = (
            f"has {head.channels} channels, not all of them color or transparency; save the channels to be "
            "inspected as a gray or an RGB image"
        )
    elif head.signed or head.bits > 16:
        refusal = "holds signed pixels or more than 16 bits; save it as ordinary 8-bit or 16-bit"
    # Of colors of more than 8 bits Pillow keeps the upper 8 bits of the declared depth; where that is 16, the
    # values may use a part of it only.
    reader = "jpeg 2000" if head.bits == 16 and head.channels > 1 else "pillow"
    per_pixel = _UNKNOWN["JPEG 2000"].bytes_per_pixel
    return Header(head.size, per_pixel, bounded=False, refusal=refusal, reader=reader)


def _iso(data: bytes) -> Header:
    return Header(container_headers.iso_size(data), _UNKNOWN["AVIF"].bytes_per_pixel, bounded=False)


def _heic(data: bytes) -> Header:
    return replace(_iso(data), reader="heic")


def _jpeg_xl(data: bytes) -> Header:
    head = container_headers.jpeg_xl(data)
    if head is None:
        return _UNKNOWN["JPEG XL"]
    refusal = (
        "is an animation; save the frame to be inspected as an image of its own" if head.animated else ""
    )
    return replace(_UNKNOWN["JPEG XL"], size=head.size, refusal=refusal)


# --- TIFF, and the directory of EXIF data, which has the same form ---

# Bytes of one value by TIFF type, and the `struct` formats of integers.
_SIZES = {
    1: 1,
    2: 1,
    3: 2,
    4: 4,
    5: 8,
    6: 1,
    7: 1,
    8: 2,
    9: 4,
    10: 8,
    11: 4,
    12: 8,
    13: 4,
    16: 8,
    17: 8,
    18: 8,
}
_FORMATS = {1: "B", 3: "H", 4: "I"}
_NUMBERS = _WIDTH, _HEIGHT, _BITS, _COMPRESSION, _SAMPLES = 256, 257, 258, 259, 277
# Tags in the plain files of cameras and scientific libraries; those in the first set have one value.
_SINGLE_TAGS = {254, 255, 256, 257, 259, 262, 266, 274, 277, 278, 282, 283, 284, 296, 317, 322, 323}
_OTHER_TAGS = {258, 269, 270, 271, 272, 273, 279, 285, 305, 306, 315, 316, 320, 324, 325, 338, 339}
_OFFSETS = {273, 324}
# Bytes per pixel where the extra `formats` decodes, half-precision numbers included.
_TIFF_BY_EXTRA = 40


def _tiff(data: bytes) -> Header:
    """Read a TIFF header: see :mod:`padim.data.tiff_header` for what is refused by it."""
    found = tiff_header.directory(data)
    cost = _tiff_cost(data)
    if found is None:
        return cost
    why = tiff_header.refusal(found)
    if found.needs_extra and not why:
        per_pixel = max(cost.bytes_per_pixel, _TIFF_BY_EXTRA)
        return replace(cost, reader="tiff", bounded=False, bytes_per_pixel=per_pixel)
    return replace(cost, refusal=why)


def _tiff_cost(data: bytes) -> Header:
    """Return the cost of a TIFF; the size bounds it only for uncompressed files with common tags only."""
    order = "<" if data[:2] == b"II" else ">"
    if 43 in data[2:4]:  # BigTIFF is rare; its size is left open
        return _UNKNOWN["TIFF"]
    (at,) = struct.unpack_from(order + "I", data, 4)
    (entries,) = struct.unpack_from(order + "H", data, at)
    numbers: dict[int, int] = {}
    plain = True
    total = 0
    for entry in range(at + 2, at + 2 + 12 * entries, 12):
        tag, kind, count, place = struct.unpack_from(order + "HHII", data, entry)
        length = count * _SIZES.get(kind, 0)
        total += length
        plain = (
            plain
            and (tag in _OTHER_TAGS or (tag in _SINGLE_TAGS and count == 1))
            and not (tag in _OFFSETS and count > _MAX_STRIPS)
            and (length <= 4 or place + length <= len(data))
        )
        # Pillow, too, uses the first of two entries with the same tag.
        if tag in _NUMBERS and tag not in numbers and kind in _FORMATS and count:
            place = entry + 8 if length <= 4 else place
            numbers[tag] = struct.unpack_from(order + _FORMATS[kind], data, place)[0]
    if _WIDTH not in numbers or _HEIGHT not in numbers:
        return _UNKNOWN["TIFF"]
    (further,) = struct.unpack_from(order + "I", data, at + 2 + 12 * entries)
    # Strips of a compressed file are unpacked as a whole, and a file may consist of one strip.
    packed = numbers.get(_COMPRESSION, 1) != 1
    strip = (numbers.get(_SAMPLES, 1) * numbers.get(_BITS, 1) + 7) // 8 if packed else 0
    samples = numbers.get(_SAMPLES, 1)
    deep_color = samples > 1 and numbers.get(_BITS, 1) > 8
    return Header(
        size=(numbers[_WIDTH], numbers[_HEIGHT]),
        bytes_per_pixel=(_deep_color_bytes(samples > 3) if deep_color else 20) + min(strip, 32),
        bounded=(
            plain
            and not packed
            and not further
            and entries <= _MAX_ENTRIES
            and total <= min(len(data), _MAX_VALUES)
        ),
    )


def _valid_exif(block: bytes) -> bool:
    """Return whether the values of the first EXIF directory fit into the block, each and all together.

    For other blocks Pillow logs a warning for every value, in any number of lines.
    """
    while block.startswith(_EXIF):
        block = block[len(_EXIF) :]
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(block[:4])
    if order is None:
        return not block
    try:
        (at,) = struct.unpack_from(order + "I", block, 4)
        (entries,) = struct.unpack_from(order + "H", block, at)
        total = 0
        for entry in range(at + 2, at + 2 + 12 * min(entries, _MAX_ENTRIES), 12):
            _, kind, count, place = struct.unpack_from(order + "HHII", block, entry)
            length = count * _SIZES.get(kind, 0)
            if length > 4:
                total += length
                if place + length > len(block):
                    return False
        return entries <= _MAX_ENTRIES and total <= len(block)
    except struct.error:
        return False


_UNKNOWN = {
    "PNG": Header(None, 18, bounded=False),
    "JPEG": Header(None, 24, bounded=False),
    "BMP": Header(None, 16, bounded=False),
    "TIFF": Header(None, 28, bounded=False),
    "WebP": Header(None, 24, bounded=False),
    "GIF": Header(None, 24, bounded=False),
    "PNM": Header(None, 24, bounded=False, reader="pnm"),
    "JPEG 2000": Header(None, 28, bounded=False),
    "AVIF": Header(None, 28, bounded=False),
    "HEIC": Header(None, 28, bounded=False, reader="heic"),
    "JPEG XL": Header(None, 40, bounded=False, reader="jpeg xl"),
}
_READERS = {
    "PNG": _png,
    "BMP": _bmp,
    "TIFF": _tiff,
    "WebP": _webp,
    "GIF": _gif,
    "PNM": _pnm,
    "JPEG 2000": _jpeg2000,
    "AVIF": _iso,
    "HEIC": _heic,
    "JPEG XL": _jpeg_xl,
}
