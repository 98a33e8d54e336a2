"""Builders of hostile, odd and broken uploads, shared by the tests. They return bytes and need no files.

Everything is assembled by hand where a well-meaning library would refuse to write it.
"""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"

# Colour types of PNG, by the number of samples in a pixel.
_PNG_COLOUR_TYPE = {1: 0, 2: 4, 3: 2, 4: 6}


def encode(rgb: npt.NDArray[np.uint8], format: str = "PNG", **options: Any) -> bytes:
    """An ordinary file of an array that Pillow understands."""
    buffer = BytesIO()
    Image.fromarray(rgb).save(buffer, format, **options)
    return buffer.getvalue()


# --- PNG ---


def png_chunk(kind: bytes, data: bytes = b"") -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_header(width: int, height: int, depth: int = 8, colour_type: int = 2) -> bytes:
    """Signature and IHDR only."""
    return PNG_SIGNATURE + png_chunk(
        b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0)
    )


def png(pixels: npt.NDArray[Any], extra: bytes = b"", palette: bytes = b"") -> bytes:
    """A PNG of uint8 or uint16 (h, w) or (h, w, c), c = 1 to 4; `extra` chunks go before the pixels."""
    pixels = pixels[..., np.newaxis] if pixels.ndim == 2 else pixels
    height, width, samples = pixels.shape
    depth = 8 * pixels.dtype.itemsize
    colour_type = 3 if palette else _PNG_COLOUR_TYPE[samples]
    rows = pixels.astype(">u2" if depth == 16 else "u1").reshape(height, -1)
    raw = b"".join(b"\0" + row.tobytes() for row in rows)
    return b"".join(
        (
            png_header(width, height, depth, colour_type),
            png_chunk(b"PLTE", palette) if palette else b"",
            extra,
            png_chunk(b"IDAT", zlib.compress(raw)),
            png_chunk(b"IEND"),
        )
    )


def png_header_bomb(width: int = 20_000, height: int = 20_000) -> bytes:
    """Claims 400 megapixels and holds none."""
    return png_header(width, height) + png_chunk(b"IEND")


def png_bomb(width: int = 20_000, height: int = 20_000) -> bytes:
    """A valid, complete, black PNG of 400 megapixels (1.2 GB decoded) in 50 kB."""
    packer = zlib.compressobj(9)
    row = bytes(1 + width // 8 + (width % 8 > 0))
    packed = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    return png_header(width, height, 1, 0) + png_chunk(b"IDAT", packed) + png_chunk(b"IEND")


def apng(frames: int = 3) -> bytes:
    images = [Image.new("RGB", (8, 6), (40 * i, 0, 0)) for i in range(frames)]
    return _animation(images, "PNG")


def animated_webp(frames: int = 3) -> bytes:
    images = [Image.new("RGB", (8, 6), (80 * i, 0, 0)) for i in range(frames)]
    return _animation(images, "WEBP")


def gif(frames: int = 3) -> bytes:
    images = [Image.new("L", (8, 6), 60 * i) for i in range(frames)]
    return encode(np.full((4, 5, 3), 90, np.uint8), "GIF") if frames == 1 else _animation(images, "GIF")


def _animation(images: Sequence[Image.Image], format: str) -> bytes:
    buffer = BytesIO()
    images[0].save(buffer, format, save_all=True, append_images=images[1:], duration=50)
    return buffer.getvalue()


def webp_header_bomb(width: int = 20_000, height: int = 20_000) -> bytes:
    """An extended WebP whose canvas is announced with 400 megapixels."""
    canvas = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    chunks = b"VP8X" + struct.pack("<I", 10) + bytes(4) + canvas
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WEBP" + chunks


# --- TIFF ---

_TIFF_TYPES = {"short": (3, "H"), "long": (4, "I")}


def tiff(
    pages: Sequence[bytes | npt.NDArray[Any]],
    tags: Sequence[Mapping[int, int | Sequence[int]]] = (),
    *,
    size: tuple[int, int] | None = None,
    big_endian: bool = False,
    compression: int = 1,
    planes: int = 1,
    endless: bool = False,
) -> bytes:
    """A TIFF of one strip per page (or per plane), with any tags on top of the usual ones.

    Args:
        pages: arrays (h, w) or (h, w, c) of any number type, or the strip's bytes (`size` is (h, w) then).
        tags: per page, tag number -> value or values, which replace the defaults.
        compression: 1 none, 8 deflate.
        planes: 2 stores each sample in a strip of its own (PlanarConfiguration).
        endless: the last page points back to the first.
    """
    order = ">" if big_endian else "<"
    out = bytearray((b"MM" if big_endian else b"II") + struct.pack(order + "HI", 42, 0))
    link = 4
    first = 0
    for number, page in enumerate(pages):
        fields: dict[int, int | Sequence[int]] = {}
        if isinstance(page, bytes):
            assert size is not None
            (height, width), strips, depth, samples = size, [page], 8, 1
        else:
            page = page[..., np.newaxis] if page.ndim == 2 else page
            height, width, samples = page.shape
            depth = 8 * page.dtype.itemsize
            ordered = page.astype(page.dtype.newbyteorder(">" if big_endian else "<"))
            parts = [ordered[..., i] for i in range(samples)] if planes == 2 else [ordered]
            strips = [np.ascontiguousarray(part).tobytes() for part in parts]
            fields[339] = [{"u": 1, "i": 2, "f": 3}[page.dtype.kind]] * samples
        strips = [zlib.compress(strip) if compression == 8 else strip for strip in strips]
        offsets = []
        for strip in strips:
            offsets.append(len(out))
            out += strip + b"\0" * (len(strip) % 2)
        fields |= {256: width, 257: height, 258: [depth] * samples, 259: compression}
        fields |= {262: 2 if samples >= 3 else 1, 273: offsets, 277: samples, 278: height}
        fields |= {279: [len(strip) for strip in strips], 284: planes}
        if samples in (2, 4):
            fields[338] = 2  # unassociated alpha
        if number < len(tags):
            fields |= tags[number]
        directory = bytearray(struct.pack(order + "H", len(fields)))
        for tag, value in sorted(fields.items()):
            values = [value] if isinstance(value, int) else list(value)
            code, letter = _TIFF_TYPES["long" if tag in (256, 257, 273, 278, 279) else "short"]
            packed = struct.pack(f"{order}{len(values)}{letter}", *values)
            if len(packed) > 4:
                position = len(out)
                out += packed + b"\0" * (len(packed) % 2)
                packed = struct.pack(order + "I", position)
            directory += struct.pack(order + "HHI", tag, code, len(values)) + packed.ljust(4, b"\0")
        struct.pack_into(order + "I", out, link, len(out))
        first = first or len(out)
        link = len(out) + len(directory)
        out += directory + struct.pack(order + "I", first if endless and number == len(pages) - 1 else 0)
    return bytes(out)


# --- zip ---


def zip_of(
    members: Mapping[str, bytes] | Sequence[tuple[str, bytes]], method: int = zipfile.ZIP_STORED
) -> bytes:
    """An archive with exactly these member names, however unwise."""
    buffer = BytesIO()
    pairs = members.items() if isinstance(members, Mapping) else members
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in pairs:
            info = zipfile.ZipInfo(name)
            info.filename = info.orig_filename = name  # ZipInfo would tidy it up
            info.compress_type = method
            archive.writestr(info, data)
    return buffer.getvalue()


def zip_bomb(name: str = "bomb.png", size: int = 64 * 1024 * 1024) -> bytes:
    """`size` zeros under an innocent name, packed about 1000 : 1."""
    return zip_of({name: bytes(size)}, zipfile.ZIP_DEFLATED)


def _patched_headers(archive: bytes, name: str, field: str, value: int) -> bytes:
    """Overwrites a field of the member's two headers: what the archive claims, not what it holds."""
    at = {"flags": (6, 8, "<H"), "method": (8, 10, "<H"), "crc": (14, 16, "<I"), "file_size": (22, 24, "<I")}
    local, central, layout = at[field]
    out = bytearray(archive)
    encoded = name.encode()
    hits = 0
    for signature, header, offset in ((b"PK\3\4", 30, local), (b"PK\1\2", 46, central)):
        position = -1
        while (position := archive.find(signature, position + 1)) >= 0:
            if archive[position + header :].startswith(encoded):
                struct.pack_into(layout, out, position + offset, value)
                hits += 1
    assert hits >= 2, f"no member {name!r}"
    return bytes(out)


def zip_claiming_size(archive: bytes, name: str, size: int) -> bytes:
    """A member that says it unpacks to `size` bytes."""
    return _patched_headers(archive, name, "file_size", size)


def zip_encrypted(archive: bytes, name: str) -> bytes:
    """A member that says it is encrypted."""
    return _patched_headers(archive, name, "flags", 1)


def zip_with_bad_crc(archive: bytes, name: str) -> bytes:
    return _patched_headers(archive, name, "crc", 0xDEADBEEF)


def zip_with_method(archive: bytes, name: str, method: int) -> bytes:
    """A member that says it is packed by another method (9: deflate64)."""
    return _patched_headers(archive, name, "method", method)


def zip_with_nul_name(data: bytes) -> bytes:
    """A member named "a<NUL>.exe.png"."""
    return zip_of({"a\x01.exe.png": data}).replace(b"a\x01.exe.png", b"a\0.exe.png")


def zip_with_huge_directory(entries: int = 70_000) -> bytes:
    """A directory of many entries that share one empty member, cheaper to send than to read."""
    name = b"x" * 200 + b".png"
    local = struct.pack("<4s5H3I2H", b"PK\3\4", 20, 0, 0, 0, 0, 0, 0, 0, len(name), 0) + name
    entry = (
        struct.pack("<4s6H3I5H2I", b"PK\1\2", 20, 20, 0, 0, 0, 0, 0, 0, 0, len(name), 0, 0, 0, 0, 0, 0) + name
    )
    directory = entry * entries
    count = min(entries, 0xFFFF)
    end = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, count, count, len(directory), len(local), 0)
    return local + directory + end
