"""What a file declares: sizes, scans, bounds that no real file exceeds; found quickly, whatever the bytes."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from padim.data import image_headers
from padim.data.decode import decode
from tests import bombs, hostile

KINDS = ("PNG", "JPEG", "BMP", "TIFF", "WebP")


def saved(image: Image.Image, format: str, **options: Any) -> bytes:
    buffer = BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def scans(data: bytes) -> int:
    return image_headers.read(data, "JPEG").scans


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_sizes_are_those_that_pillow_finds(kind: str, mode: str) -> None:
    for size in ((1, 1), (7, 5), (300, 200)):
        header = image_headers.read(saved(Image.new(mode, size), kind), kind)
        assert header.size == size
        assert header.pixels == size[0] * size[1]


def test_sizes_of_rarer_forms() -> None:
    rgb = Image.new("RGB", (30, 20))
    for options in ({"lossless": True}, {"exif": Image.Exif().tobytes()}):  # VP8L; VP8X
        assert image_headers.read(saved(rgb, "WebP", **options), "WebP").size == (30, 20)
    big_endian = hostile.tiff([np.zeros((20, 30, 3), np.uint8)], big_endian=True)
    assert image_headers.read(big_endian, "TIFF").size == (30, 20)
    bmp = saved(rgb, "BMP")
    upside_down = bmp[:22] + (2**32 - 20).to_bytes(4, "little") + bmp[26:]
    assert image_headers.read(upside_down, "BMP").size == (30, 20)
    assert decode(upside_down, "a").shape == (20, 30, 3)


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_no_bytes_make_it_fail(kind: str, data: st.DataObject) -> None:
    """Cut short, or with some bytes changed anywhere."""
    whole = bytearray(saved(Image.new("RGB", (9, 7), (9, 99, 200)), kind))
    for _ in range(data.draw(st.integers(0, 6))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    header = image_headers.read(bytes(whole[: data.draw(st.integers(0, len(whole)))]), kind)
    assert header.bytes_per_pixel > 0
    image_headers.read(data.draw(st.binary(max_size=200)), kind)


# --- scans of a JPEG ---

GRAY = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 80)).astype(np.uint8))


def test_scans_are_counted() -> None:
    assert scans(saved(GRAY, "JPEG")) == 1
    progressive = saved(GRAY, "JPEG", progressive=True)
    assert scans(progressive) == sum(marker == 0xDA for marker, _, _ in bombs.jpeg_segments(progressive))
    assert scans(progressive) > 3
    assert scans(bombs.jpeg_of_scans(40, 64, 64)) == 40
    assert scans(bombs.jpeg_of_scans(50, 64, 64)) == 50
    assert scans(bombs.jpeg_of_scans(5000, 64, 64)) == 51  # it stops counting


def test_what_looks_like_a_scan_is_none() -> None:
    plain = saved(GRAY, "JPEG")
    small = saved(GRAY.resize((8, 8)), "JPEG", progressive=True)
    # A preview in the metadata, restart markers among the pixels, another view behind the end.
    block = b"Exif\0\0" + small
    preview = plain[:2] + b"\xff\xe1" + (len(block) + 2).to_bytes(2, "big") + block + plain[2:]
    assert scans(preview) == 1
    restarts = saved(GRAY, "JPEG", restart_marker_blocks=1)
    assert restarts.count(b"\xff\xd3") > 3
    assert scans(restarts) == 1
    assert scans(plain + small) == 1


def test_padding_and_garbage_between_scans_hide_none() -> None:
    """Nor do they stop the decoder: libjpeg looks for the next marker as this does."""
    for padding in (b"\xff" * 7, b"\0junk\0", b"\xff\x00\xff\xd0"):
        data = bombs.jpeg_of_scans(30, 64, 64, padding)
        assert scans(data) == 30
        assert decode(data, "a").shape == (64, 64, 3)


# --- bounds ---


@pytest.mark.parametrize(
    ("kind", "mode", "options"),
    [
        ("PNG", "RGB", {"compress_level": 9}),
        ("PNG", "L", {"compress_level": 9}),
        ("PNG", "1", {"compress_level": 9}),
        ("JPEG", "RGB", {"optimize": True, "quality": 1}),
        ("JPEG", "L", {"optimize": True}),
        ("JPEG", "L", {"optimize": True, "progressive": True}),
        ("BMP", "1", {}),
    ],
)
def test_a_uniform_image_of_the_largest_size_is_within_the_bound(
    kind: str, mode: str, options: dict[str, Any]
) -> None:
    """What packs best of all that real encoders write is not taken for an attack."""
    data = saved(Image.new(mode, (bombs.SIDE, bombs.SIDE)), kind, **options)
    header = image_headers.read(data, kind)
    assert header.most_pixels is not None
    assert header.most_pixels >= bombs.SIDE**2
    assert header.bounded or options.get("progressive")


def test_formats_that_pack_without_bound_have_none() -> None:
    """34 bytes are a complete WebP of 25 megapixels, and a fax takes a bit a row."""
    assert image_headers.read(bombs.webp_uniform(), "WebP").most_pixels is None
    assert image_headers.read(bombs.tiff_compressed("group4", 64), "TIFF").most_pixels is None
    np.testing.assert_array_equal(decode(bombs.webp_uniform(60, 40), "a"), np.zeros((40, 60, 3), np.uint8))


# --- what is decoded in the server's own process ---


@pytest.mark.parametrize(
    "data",
    [
        hostile.encode(np.zeros((9, 8, 3), np.uint8), "WEBP"),
        bombs.png_deep(9, 9),
        bombs.png_of_empty_chunks(30_000),
        bombs.png_of_texts(20, 10),
        bombs.png_with_exif(300),
        bombs.jpeg_with_exif(300),
        bombs.jpeg_of_comments(3000),
        bombs.jpeg_of_exif_blocks(2),
        bombs.jpeg_of_scans(50, 2000, 2000),
        bombs.tiff_compressed("tiff_lzw", 9),
        bombs.tiff_of_tags(3),
        bombs.tiff_of_tiles(400),
        bombs.tiff_of_pages(3),
    ],
)
def test_what_may_take_long_goes_to_a_helper_process(data: bytes) -> None:
    kind = next(
        k
        for k, start in zip(KINDS, (b"\x89P", b"\xff\xd8", b"BM", b"II", b"RI"), strict=True)
        if data.startswith(start)
    )
    assert not image_headers.read(data, kind).bounded


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "TIFF"])
def test_ordinary_files_do_not(kind: str) -> None:
    image = Image.fromarray(np.random.default_rng(1).integers(0, 256, (200, 300, 3)).astype(np.uint8))
    exif = Image.Exif()
    exif[0x0110], exif[0x0112], exif[0x9003] = "camera", 6, "2026:01:01 10:00:00"
    options: dict[str, Any] = {} if kind in ("BMP", "TIFF") else {"exif": exif.tobytes()}
    assert image_headers.read(saved(image, kind, **options), kind).bounded
    if kind == "JPEG":
        assert image_headers.read(saved(image, kind, progressive=True), kind).bounded
