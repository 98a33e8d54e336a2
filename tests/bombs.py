"""Image files that are small to send and costly to decode, shared by the tests and ``benchmarks/bombs.py``.

Each function returns the bytes of one file. The sizes are arguments, so that a test can run the same attack
in milliseconds that the benchmark runs in full.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator
from io import BytesIO

import numpy as np
from PIL import Image

from tests import hostile

# The largest image that today's default limit lets through.
SIDE = 5000


def webp_uniform(width: int = SIDE, height: int = SIDE) -> bytes:
    """A complete lossless WebP of one color in 34 bytes: every code has one symbol, a pixel takes no bit."""
    bits = (width - 1) | (height - 1) << 14
    # After the size: no alpha hint, version 0; no transform, no color cache, no meta codes; five simple
    # codes of one 1-bit symbol each ("1", "0" one symbol, "0" in one bit, "0" the symbol).
    stream = bits | sum(0b0001 << (35 + 4 * code) for code in range(5))
    payload = b"\x2f" + stream.to_bytes(9, "little")[:8]
    payload = payload.ljust(14, b"\0")
    chunk = b"VP8L" + struct.pack("<I", len(payload)) + payload
    return b"RIFF" + struct.pack("<I", 4 + len(chunk)) + b"WEBP" + chunk


def webp_animation(frames: int = 2000, side: int = 64) -> bytes:
    """An animation of very many frames."""
    buffer = BytesIO()
    images = [Image.new("RGB", (side, side), (i % 256, i // 256, 0)) for i in range(frames)]
    images[0].save(buffer, "WEBP", save_all=True, append_images=images[1:], duration=10, lossless=True)
    return buffer.getvalue()


def bmp_run_length(width: int = SIDE, height: int = SIDE, depth: int = 8) -> bytes:
    """A run-length BMP (RLE8 or RLE4) of one pixel a row, which Pillow completes in Python, one by one."""
    body = b"\1\0\0\0" * height + b"\0\1"
    palette = bytes(4 * 2**depth)
    offset = 54 + len(palette)
    info = struct.pack(
        "<IiiHHIIiiII", 40, width, height, 1, depth, 1 if depth == 8 else 2, len(body), 0, 0, 0, 0
    )
    return struct.pack("<2sIHHI", b"BM", offset + len(body), 0, 0, offset) + info + palette + body


def jpeg_segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """(marker, start, end) of an ordinary JPEG's parts; the entropy-coded data belongs to its SOS."""
    at = 2
    while at < len(data):
        marker = data[at + 1]
        if marker == 0xD9:
            return
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        if marker == 0xDA:
            while data[end] != 0xFF or data[end + 1] == 0 or 0xD0 <= data[end + 1] <= 0xD7:
                end += 1
        yield marker, at, end
        at = end


def jpeg_of_scans(scans: int = 5000, width: int = SIDE, height: int = SIDE, padding: bytes = b"") -> bytes:
    """A progressive JPEG of one gray in which the last pass over the image is repeated, `padding` between."""
    buffer = BytesIO()
    Image.new("L", (width, height), 128).save(buffer, "JPEG", progressive=True, quality=75)
    data = buffer.getvalue()
    parts = list(jpeg_segments(data))
    own = sum(marker == 0xDA for marker, _, _ in parts)
    marker, start, end = parts[-1]
    assert marker == 0xDA
    return data[:end] + (padding + data[start:end]) * (scans - own) + b"\xff\xd9"


def jpeg_of_comments(count: int = 1_000_000) -> bytes:
    """An ordinary small JPEG with a great many empty comments."""
    data = hostile.encode(np.zeros((8, 8, 3), np.uint8), "JPEG")
    return data[:2] + b"\xff\xfe\0\2" * count + data[2:]


def jpeg_of_exif_blocks(count: int = 300) -> bytes:
    """An ordinary small JPEG whose metadata comes in a great many blocks of 64 kB."""
    data = hostile.encode(np.zeros((8, 8, 3), np.uint8), "JPEG")
    block = b"Exif\0\0" + b"MM\0*\0\0\0\x08\0\0" + bytes(65500)
    return data[:2] + (b"\xff\xe1" + struct.pack(">H", 2 + len(block)) + block) * count + data[2:]


def directory_of(entries: int, size: int) -> bytes:
    """A TIFF directory (as EXIF is one) in which every entry claims the same `size` bytes as its value."""
    body = b"".join(struct.pack("<HHII", 40000 + i, 1, size, 8) for i in range(entries))
    return b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", entries) + body + bytes(4)


def jpeg_with_exif(entries: int = 5000) -> bytes:
    """64 kB of metadata whose entries overlap: each is read as a value of its own, 300 MB together."""
    data = hostile.encode(np.zeros((8, 8, 3), np.uint8), "JPEG")
    block = b"Exif\0\0" + directory_of(entries, 12 * entries - 8)
    return data[:2] + b"\xff\xe1" + struct.pack(">H", 2 + len(block)) + block + data[2:]


def png_with_exif(entries: int = 20_000) -> bytes:
    """The same in a PNG, whose metadata may be of any length: some 240 kB that are read as 5 GB."""
    return hostile.png(
        np.zeros((8, 8, 3), np.uint8), hostile.png_chunk(b"eXIf", directory_of(entries, 12 * entries - 8))
    )


def png_of_empty_chunks(count: int = 1_000_000) -> bytes:
    """A small PNG whose pixels come in a great many empty chunks."""
    data = hostile.png(np.zeros((8, 8, 3), np.uint8))
    at = data.index(b"IDAT") - 4
    return data[:at] + hostile.png_chunk(b"IDAT") * count + data[at:]


def png_of_texts(count: int = 60, size: int = 1_000_000) -> bytes:
    """A small PNG with compressed texts of a megabyte each."""
    text = hostile.png_chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(size), 9))
    return hostile.png(np.zeros((8, 8, 3), np.uint8), text * count)


def png_deep(width: int = SIDE, height: int = SIDE, interlace: bool = True) -> bytes:
    """A complete PNG of zeros with 16 bits a sample and transparency, eight bytes a pixel, interlaced."""
    packer = zlib.compressobj(9)
    packed = bytearray()
    passes = [
        (0, 0, 8, 8),
        (4, 0, 8, 8),
        (0, 4, 4, 8),
        (2, 0, 4, 4),
        (0, 2, 2, 4),
        (1, 0, 2, 2),
        (0, 1, 1, 2),
    ]
    for x, y, dx, dy in passes if interlace else [(0, 0, 1, 1)]:
        columns, rows = -(-(width - x) // dx), -(-(height - y) // dy)
        if columns > 0:
            for _ in range(max(0, rows)):
                packed += packer.compress(b"\0" + b"\0\0\0\0\0\0\xff\xff" * columns)
    packed += packer.flush()
    header = struct.pack(">IIBBBBB", width, height, 16, 6, 0, 0, int(interlace))
    chunks = (
        hostile.png_chunk(b"IHDR", header),
        hostile.png_chunk(b"IDAT", bytes(packed)),
        hostile.png_chunk(b"IEND"),
    )
    return hostile.PNG_SIGNATURE + b"".join(chunks)


def tiff_compressed(
    compression: str = "tiff_adobe_deflate", side: int = SIDE, rows: int | None = None
) -> bytes:
    """A black TIFF; compression as Pillow names it; in strips of `rows` rows."""
    buffer = BytesIO()
    info = {} if rows is None else {278: rows}
    mode = "1" if compression.startswith("group") else "RGB"
    Image.new(mode, (side, side)).save(buffer, "TIFF", compression=compression, tiffinfo=info)
    return buffer.getvalue()


def tiff_of_tags(entries: int = 10_000) -> bytes:
    """A TIFF of one pixel with entries that claim the same bytes over and over: 120 kB read as 1.2 GB."""
    size = 12 * entries
    fields = [(256, 4, 1, 1), (257, 4, 1, 1), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1)]
    fields += [(273, 4, 1, 8), (277, 3, 1, 1), (278, 4, 1, 1), (279, 4, 1, 1)]
    fields += [(1000 + i, 1, size, 8) for i in range(entries)]
    body = b"".join(struct.pack("<HHII", *one) for one in fields)
    return b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", len(fields)) + body + bytes(4)


def tiff_of_tiles(side: int = 2000, tile: int = 2) -> bytes:
    """An uncompressed gray TIFF in tiny tiles that all lie at the same place."""
    count = (-(-side // tile)) ** 2
    at = 8 + 2 + 12 * 10 + 4
    fields = [(256, 4, 1, side), (257, 4, 1, side), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1)]
    fields += [(277, 3, 1, 1), (322, 3, 1, tile), (323, 3, 1, tile)]
    fields += [(324, 3, count, at), (325, 3, count, at + 2 * count)]
    body = b"".join(struct.pack("<HHII", *one) for one in fields)
    header = b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", len(fields)) + body + bytes(4)
    return header + struct.pack("<H", 8) * count + struct.pack("<H", tile * tile) * count


def tiff_of_pages(pages: int = 20_000) -> bytes:
    """A TIFF of one pixel followed by a long chain of declared previews."""
    fields = [(254, 4, 1, 1), (256, 4, 1, 1), (257, 4, 1, 1), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1)]
    fields += [(273, 4, 1, 8), (277, 3, 1, 1), (278, 4, 1, 1), (279, 4, 1, 1)]
    out = bytearray(b"II*\0" + struct.pack("<I", 8))
    for page in range(pages):
        kept = fields[1:] if page == 0 else fields
        out += struct.pack("<H", len(kept)) + b"".join(struct.pack("<HHII", *one) for one in kept)
        out += struct.pack("<I", len(out) + 4 if page < pages - 1 else 0)
    return bytes(out)


def mpo(frames: int = 3000) -> bytes:
    """A phone's JPEG with thousands of further views behind the first."""
    data = hostile.encode(np.zeros((8, 8, 3), np.uint8), "JPEG")
    table = struct.pack("<4I", 0, len(data), 0, 0) * frames
    # The directory of the views: version, number of views, table.
    directory = b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", 3)
    directory += struct.pack("<HHI4s", 0xB000, 7, 4, b"0100") + struct.pack("<HHII", 0xB001, 4, 1, frames)
    directory += struct.pack("<HHII", 0xB002, 7, len(table), 50) + bytes(4) + table
    block = b"MPF\0" + directory[:65000]
    return data[:2] + b"\xff\xe2" + struct.pack(">H", 2 + len(block)) + block + data[2:] + data * frames


# Every attack at its full size, by file name.
FULL_SET: dict[str, Callable[[], bytes]] = {
    "uniform 34 bytes.webp": lambda: webp_uniform(),
    "claims 268 megapixels.webp": lambda: webp_uniform(16384, 16384),
    "animation.webp": lambda: webp_animation(),
    "run length.bmp": lambda: bmp_run_length(),
    "run length 4.bmp": lambda: bmp_run_length(depth=4),
    "5000 scans.jpg": lambda: jpeg_of_scans(5000),
    "50 scans.jpg": lambda: jpeg_of_scans(50),
    "a million comments.jpg": lambda: jpeg_of_comments(),
    "300 metadata blocks.jpg": lambda: jpeg_of_exif_blocks(),
    "overlapping metadata.jpg": lambda: jpeg_with_exif(),
    "thousands of views.jpg": lambda: mpo(),
    "overlapping metadata.png": lambda: png_with_exif(),
    "a million chunks.png": lambda: png_of_empty_chunks(),
    "packed texts.png": lambda: png_of_texts(),
    "interlaced.png": lambda: png_deep(),
    "claims 400 megapixels.png": lambda: hostile.png_header_bomb(),
    "claims 25 megapixels.png": lambda: hostile.png_header_bomb(5000, 5000),
    "holds 400 megapixels.png": lambda: hostile.png_bomb(),
    "deflate.tif": lambda: tiff_compressed("tiff_adobe_deflate"),
    "lzw.tif": lambda: tiff_compressed("tiff_lzw"),
    "zstd.tif": lambda: tiff_compressed("zstd"),
    "fax.tif": lambda: tiff_compressed("group4"),
    "one row strips.tif": lambda: tiff_compressed("tiff_lzw", rows=1),
    "overlapping entries.tif": lambda: tiff_of_tags(),
    "tiny tiles.tif": lambda: tiff_of_tiles(),
    "chain of pages.tif": lambda: tiff_of_pages(),
}
