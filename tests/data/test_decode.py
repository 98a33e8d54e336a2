"""Safe decoding, the one preprocessing, and the sources of images."""

from __future__ import annotations

import json
import math
import os
import struct
import tracemalloc
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from fractions import Fraction
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, WebPImagePlugin

from padim.data import decode as images
from padim.data.archives import ZipLimits, ZipSource
from padim.data.decode import decode, sha256
from padim.data.opening import expand_uploads, open_source
from padim.data.preprocess import PAD_COLOR, Box, Preprocess, thumbnail
from padim.data.sources import FolderSource, UploadSource
from padim.data.to_rgb import ALPHA_BACKGROUND
from padim.errors import ImageError
from tests import hostile

RNG = np.random.default_rng(7)
# Smooth, so that lossy formats stay close, and different in every corner and channel.
ROWS, COLUMNS = np.mgrid[0:24, 0:32]
PHOTO = np.stack((ROWS * 10, COLUMNS * 8, 255 - ROWS * 4 - COLUMNS * 4), axis=2).astype(np.uint8)
PNG = hostile.encode(PHOTO)
DEEP = RNG.integers(0, 65536, (5, 7, 3)).astype(np.uint16)


def gray(levels: npt.ArrayLike) -> npt.NDArray[np.uint8]:
    return np.repeat(np.asarray(levels)[..., np.newaxis], 3, axis=2).astype(np.uint8)


def pillow(image: Image.Image, format: str, **options: Any) -> bytes:
    buffer = BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def reason(data: bytes, **limits: Any) -> str:
    """Why `decode` refuses, having checked the error's form."""
    with pytest.raises(ImageError) as caught:
        decode(data, "part 7.png", **limits)
    assert caught.value.name == "part 7.png"
    assert str(caught.value) == f"part 7.png: {caught.value.reason}"
    return caught.value.reason


# --- decoding: formats and pixel kinds ---


@pytest.mark.parametrize("format", ["PNG", "BMP", "TIFF"])
def test_lossless_formats_keep_every_pixel(format: str) -> None:
    rgb = decode(hostile.encode(PHOTO, format), "a")
    np.testing.assert_array_equal(rgb, PHOTO)
    assert rgb.dtype == np.uint8
    assert rgb.flags.c_contiguous
    assert rgb.flags.writeable


def test_lossless_webp_keeps_every_pixel() -> None:
    np.testing.assert_array_equal(decode(hostile.encode(PHOTO, "WEBP", lossless=True), "a"), PHOTO)


@pytest.mark.parametrize("format", ["JPEG", "WEBP"])
def test_lossy_formats_come_close(format: str) -> None:
    rgb = decode(hostile.encode(PHOTO, format, quality=95), "a")
    assert np.abs(rgb.astype(int) - PHOTO).mean() < 4


def test_the_content_decides_not_the_name() -> None:
    np.testing.assert_array_equal(decode(hostile.encode(PHOTO, "BMP"), "wrong.jpg"), PHOTO)


@pytest.mark.parametrize("format", ["PNG", "JPEG", "BMP", "TIFF", "WEBP"])
def test_one_pixel_is_an_image(format: str) -> None:
    assert decode(hostile.encode(np.full((1, 1, 3), 200, np.uint8), format), "dot").shape == (1, 1, 3)


def test_eight_bit_grey_and_bilevel() -> None:
    levels = np.array([[0, 1, 128, 255]], np.uint8)
    np.testing.assert_array_equal(decode(hostile.encode(levels), "a"), gray(levels))
    bilevel = Image.fromarray(levels).point(lambda v: 255 * (v > 100)).convert("1")
    for format in ("PNG", "BMP", "TIFF"):
        np.testing.assert_array_equal(decode(pillow(bilevel, format), "a"), gray([[0, 0, 255, 255]]))


SIXTEEN = np.array([[0, 255, 256, 257, 4095, 32768, 65279, 65280, 65535]], np.uint16)
SCALED = [[0, 0, 1, 1, 15, 128, 254, 255, 255]]  # 12-bit data in 16 bits (4095) stay dark: full scale decides


@pytest.mark.parametrize(
    "data",
    [
        hostile.png(SIXTEEN),
        hostile.tiff([SIXTEEN]),
        hostile.tiff([SIXTEEN], big_endian=True),
        hostile.tiff([SIXTEEN], compression=8),
        hostile.tiff([SIXTEEN], compression=8, big_endian=True),
        hostile.tiff([65535 - SIXTEEN], [{262: 0}]),
        hostile.tiff([65535 - SIXTEEN], [{262: 0}], compression=8),
        hostile.png(np.repeat(SIXTEEN[..., np.newaxis], 3, axis=2)),
        hostile.png(np.dstack((SIXTEEN, np.full_like(SIXTEEN, 65535)))),
        hostile.tiff([np.repeat(SIXTEEN[..., np.newaxis], 3, axis=2)]),
        hostile.tiff([np.repeat(SIXTEEN[..., np.newaxis], 3, axis=2)], compression=8, big_endian=True),
    ],
    ids=[
        *(
            "png",
            "tiff",
            "tiff MM",
            "deflate",
            "deflate MM",
            "white 0",
            "white 0 deflate",
            "png rgb",
            "png la",
        ),
        *("tiff rgb", "tiff rgb deflate MM"),
    ],
)
def test_sixteen_bits_are_scaled_from_their_full_range(data: bytes) -> None:
    np.testing.assert_array_equal(decode(data, "a"), gray(SCALED))


def test_eight_bits_stretched_to_sixteen_come_back_exactly() -> None:
    levels = np.arange(256, dtype=np.uint16).reshape(16, 16)
    for data in (hostile.png(levels * 257), hostile.tiff([levels * 257])):
        np.testing.assert_array_equal(decode(data, "a"), gray(levels))


@pytest.mark.parametrize("big_endian", [False, True])
@pytest.mark.parametrize("compression", [1, 8])
def test_sixteen_bit_colours(big_endian: bool, compression: int) -> None:
    np.testing.assert_array_equal(decode(hostile.png(DEEP), "a"), DEEP >> 8)
    data = hostile.tiff([DEEP], big_endian=big_endian, compression=compression)
    np.testing.assert_array_equal(decode(data, "a"), DEEP >> 8)


def test_sixteen_bit_planes_are_read_rightly_or_refused() -> None:
    assert "planes" in reason(hostile.tiff([DEEP], planes=2))  # Pillow would read noise
    np.testing.assert_array_equal(decode(hostile.tiff([DEEP], planes=2, compression=8), "a"), DEEP >> 8)
    eight = (DEEP >> 8).astype(np.uint8)
    np.testing.assert_array_equal(decode(hostile.tiff([eight], planes=2), "a"), eight)


def test_true_twelve_bit_tiff_is_scaled_from_twelve_bits() -> None:
    values = (0, 4095, 2048, 16)
    pairs = zip(values[::2], values[1::2], strict=True)
    strip = b"".join(bytes((a >> 4, (a & 15) << 4 | b >> 8, b & 255)) for a, b in pairs)
    np.testing.assert_array_equal(
        decode(hostile.tiff([strip], [{258: 12, 339: 1}], size=(1, 4)), "a"), gray([[0, 255, 128, 1]])
    )


def test_deep_integers() -> None:
    unsigned = np.array([[0, 1 << 24, 1 << 31, 2**32 - 1]], np.uint32)
    np.testing.assert_array_equal(decode(hostile.tiff([unsigned]), "a"), gray([[0, 1, 128, 255]]))
    signed = np.array([[-5, 0, 1 << 23, 2**31 - 1]], np.int32)
    np.testing.assert_array_equal(decode(hostile.tiff([signed]), "a"), gray([[0, 0, 1, 255]]))
    short = np.array([[-32768, -1, 128, 32767]], np.int16)
    for big_endian in (False, True):
        data = hostile.tiff([short], big_endian=big_endian)
        np.testing.assert_array_equal(decode(data, "a"), gray([[0, 0, 1, 255]]))


def test_small_numbers_in_32_bits_are_refused_rather_than_black() -> None:
    assert "4095" in reason(hostile.tiff([np.array([[0, 4095]], np.int32)]))
    assert not decode(hostile.tiff([np.zeros((2, 2), np.int32)]), "black").any()


def test_floats_from_0_to_1() -> None:
    values = np.array([[0, 0.5, 1]], np.float32)
    for big_endian in (False, True):
        data = hostile.tiff([values], big_endian=big_endian)
        np.testing.assert_array_equal(decode(data, "a"), gray([[0, 128, 255]]))


@pytest.mark.parametrize("bad", [1.5, 255.0, -0.5, np.nan, np.inf])
def test_floats_of_unknown_scale_are_refused(bad: float) -> None:
    assert "0 to 1" in reason(hostile.tiff([np.array([[0.2, bad]], np.float32)]))


@pytest.mark.parametrize("dtype", ["int16", "int32", "float32"])
def test_what_pillow_reads_in_the_wrong_byte_order_is_refused(dtype: str) -> None:
    assert "big-endian" in reason(hostile.tiff([np.ones((2, 2), dtype)], big_endian=True, compression=8))


@pytest.mark.parametrize("page", [np.ones((2, 2)), DEEP[..., :2]], ids=["float64", "16-bit LA"])
def test_unsupported_tiff_pixels_are_named_as_such(page: npt.NDArray[Any]) -> None:
    assert "kind of pixels" in reason(hostile.tiff([page]))


def test_signed_bytes_are_refused() -> None:
    assert "signed" in reason(hostile.tiff([np.ones((2, 2), np.int8)]))


def test_cmyk() -> None:
    ink = Image.new("CMYK", (16, 16), (255, 0, 0, 0))
    jpeg = pillow(ink, "JPEG", quality=100)
    assert b"Adobe" in jpeg  # stored inverted
    for data in (jpeg, pillow(ink, "TIFF")):
        rgb = decode(data, "a").astype(int)
        assert np.abs(rgb - (0, 255, 255)).max() <= 3  # cyan, not red


def test_lab_and_ycbcr_tiffs() -> None:
    middle = decode(pillow(Image.new("LAB", (2, 2), (128, 128, 128)), "TIFF"), "a").astype(int)
    assert np.abs(middle - 119).max() <= 2
    red = decode(pillow(Image.new("RGB", (2, 2), (255, 0, 0)).convert("YCbCr"), "TIFF"), "a").astype(int)
    assert np.abs(red - (255, 0, 0)).max() <= 3


def test_alpha_is_laid_over_white_and_hides_its_colours() -> None:
    rgba = np.array([[[255, 0, 0, 255], [1, 2, 3, 0], [0, 0, 255, 128]]], np.uint8)
    expected = [[[255, 0, 0], ALPHA_BACKGROUND, [127, 127, 255]]]
    for data in (
        hostile.encode(rgba),
        hostile.encode(rgba, "TIFF"),
        hostile.png(rgba.astype(np.uint16) * 257),
    ):
        np.testing.assert_array_equal(decode(data, "a"), expected)
    la = rgba[..., [1, 3]]
    np.testing.assert_array_equal(decode(hostile.png(la), "a"), [[[0] * 3, [255] * 3, [127] * 3]])
    webp = decode(hostile.encode(rgba, "WEBP", lossless=True), "a")
    np.testing.assert_array_equal(webp, expected)


def test_wholly_transparent_is_refused() -> None:
    assert "transparent" in reason(hostile.encode(np.zeros((3, 3, 4), np.uint8)))
    assert "transparent" in reason(
        hostile.png(np.zeros((1, 2), np.uint16), hostile.png_chunk(b"tRNS", b"\0\0"))
    )


def test_palette_with_and_without_transparency() -> None:
    palette = bytes((10, 20, 30, 40, 50, 60, 70, 80, 90))
    index = np.array([[0, 1, 2]], np.uint8)
    opaque = [[[10, 20, 30], [40, 50, 60], [70, 80, 90]]]
    np.testing.assert_array_equal(decode(hostile.png(index, palette=palette), "a"), opaque)
    image = Image.fromarray(index)
    image.putpalette(palette)
    for format in ("TIFF", "BMP"):
        np.testing.assert_array_equal(decode(pillow(image, format), "a"), opaque)
    for alphas, first in ((b"\0", [255] * 3), (b"\x80\xff\xff", [132, 137, 142])):
        file = hostile.png(index, palette=palette).replace(
            hostile.png_chunk(b"PLTE", palette),
            hostile.png_chunk(b"PLTE", palette) + hostile.png_chunk(b"tRNS", alphas),
        )
        np.testing.assert_array_equal(decode(file, "a"), [[first, *opaque[0][1:]]])


def test_transparent_colour_key_at_every_depth() -> None:
    eight = np.array([[[9, 8, 7], [1, 2, 3]]], np.uint8)
    for pixels in (eight, eight.astype(np.uint16) * 256 + 200):
        key = struct.pack(">3H", *(int(v) for v in pixels[0, 0]))
        file = hostile.png(pixels, hostile.png_chunk(b"tRNS", key))
        np.testing.assert_array_equal(decode(file, "a"), [[[255] * 3, [1, 2, 3]]])
    two_bits = b"".join(
        (
            hostile.png_header(4, 1, 2, 0),
            hostile.png_chunk(b"tRNS", struct.pack(">H", 2)),
            hostile.png_chunk(b"IDAT", zlib.compress(b"\0" + bytes((0b00_01_10_11,)))),
            hostile.png_chunk(b"IEND"),
        )
    )
    np.testing.assert_array_equal(decode(two_bits, "a"), gray([[0, 85, 255, 255]]))
    deep = np.array([[770, 771]], np.uint16)  # the same high byte: only the very value is transparent
    file = hostile.png(deep, hostile.png_chunk(b"tRNS", struct.pack(">H", 770)))
    np.testing.assert_array_equal(decode(file, "a"), gray([[255, 3]]))


# --- decoding: orientation ---

UPRIGHT = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3) * 14
# How a camera held that way stores UPRIGHT; EXIF 2.32 says where stored row 0 and column 0 belong.
STORED = {
    1: UPRIGHT,  # top, left
    2: UPRIGHT[:, ::-1],  # top, right
    3: UPRIGHT[::-1, ::-1],  # bottom, right
    4: UPRIGHT[::-1],  # bottom, left
    5: UPRIGHT.transpose(1, 0, 2),  # left, top
    6: np.rot90(UPRIGHT, 1),  # right, top
    7: np.rot90(UPRIGHT, 2).transpose(1, 0, 2),  # right, bottom
    8: np.rot90(UPRIGHT, -1),  # left, bottom
}


@pytest.mark.parametrize("orientation", STORED)
def test_every_orientation_is_turned_upright(orientation: int) -> None:
    stored = np.ascontiguousarray(STORED[orientation])
    exif = Image.Exif()
    exif[274] = orientation
    for format in ("PNG", "TIFF", "WEBP"):
        options = {"lossless": True} if format == "WEBP" else {}
        data = hostile.encode(stored, format, exif=exif, **options)
        np.testing.assert_array_equal(decode(data, "a"), UPRIGHT, err_msg=format)
    big = np.ascontiguousarray(stored.repeat(16, axis=0).repeat(16, axis=1))
    jpeg = decode(hostile.encode(big, "JPEG", exif=exif, quality=100, subsampling=0), "a")
    assert jpeg.shape == (32, 48, 3)
    assert jpeg.flags.c_contiguous
    assert np.abs(jpeg[8::16, 8::16].astype(int) - UPRIGHT).max() <= 3
    deep = hostile.tiff([stored.astype(np.uint16) * 257], [{274: orientation}], compression=8)
    np.testing.assert_array_equal(decode(deep, "a"), UPRIGHT)
    one_sample = hostile.tiff([stored[..., 0].astype(np.uint16) * 257], [{274: orientation}])
    np.testing.assert_array_equal(decode(one_sample, "a"), gray(UPRIGHT[..., 0]))


@pytest.mark.parametrize("exif", [b"Exif\0\0garbage", b"Exif\0\0MM\0*\0\0\xff\xff", b"Exif\0\0"])
def test_broken_exif_does_not_cost_the_image(exif: bytes) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert decode(hostile.encode(PHOTO, "JPEG", exif=exif), "a").shape == PHOTO.shape


# --- decoding: refusals ---


def test_animations_and_pages_are_refused() -> None:
    assert "animation" in reason(hostile.apng())
    assert "animation" in reason(hostile.animated_webp())
    assert "several pages" in reason(hostile.tiff([PHOTO, PHOTO]))
    assert decode(hostile.apng(1), "one frame").shape == (6, 8, 3)


def test_previews_and_masks_are_not_pages() -> None:
    data = hostile.tiff([PHOTO, PHOTO[::4, ::4], PHOTO[..., 0]], [{}, {254: 1}, {254: 4}])
    np.testing.assert_array_equal(decode(data, "a"), PHOTO)
    assert "preview" in reason(hostile.tiff([PHOTO[::4, ::4], PHOTO], [{254: 1}]))


def test_chains_of_pages_end() -> None:
    loop = hostile.tiff([PHOTO, PHOTO[:2]], [{}, {254: 1}], endless=True)
    np.testing.assert_array_equal(decode(loop, "a"), PHOTO)
    assert "64 pages" in reason(hostile.tiff([PHOTO[:1, :1]] * 80, [{}] + [{254: 1}] * 79))


def test_a_phones_extra_views_are_not_looked_at() -> None:
    second = Image.fromarray(PHOTO[::-1].copy())
    data = pillow(Image.fromarray(PHOTO), "MPO", save_all=True, append_images=[second], quality=95)
    assert np.abs(decode(data, "a").astype(int) - PHOTO).mean() < 4


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty"),
        (b"dear line manager, the parts are fine", "text"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG"),
        (bytes(range(64)), "known format"),
        (b"\0\0\0\x18ftypisom" + bytes(20), "video"),
        (b"\0\0\0\x18ftypcrx " + bytes(20), "raw"),
        (b"8BPS\0\1", "Photoshop"),
        (b"7z\xbc\xaf\x27\x1c" + bytes(20), "7z archive"),
        (b"Rar!\x1a\7\1\0", "RAR archive"),
        (b"\x1f\x8b\x08" + bytes(20), "gzip archive"),
        (bytes(257) + b"ustar\0" + bytes(250), "tar archive"),
        (bytes(600), "zeros"),
        (b"version https://git-lfs.github.com/spec/v1", "Git LFS"),
        (b"%PDF-1.7\n\0\0", "PDF"),
        (hostile.zip_of({"a.png": PNG}), "zip"),
    ],
)
def test_other_files_are_called_by_their_name(data: bytes, words: str) -> None:
    why = reason(data)
    assert words in why
    assert "save it as PNG, JPEG, BMP, TIFF or WebP" in why or words in ("empty", "zip") or "archive" in words


@pytest.mark.parametrize(
    "stub", [b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"BM", b"II*\0", b"MM\0*", b"RIFF0000WEBP"]
)
def test_mere_signatures(stub: bytes) -> None:
    assert "damaged or cut short" in reason(stub)


@pytest.mark.parametrize("format", ["PNG", "JPEG", "BMP", "TIFF", "WEBP"])
def test_truncated_files_are_refused(format: str) -> None:
    data = hostile.encode(PHOTO, format)
    for share in (0.2, 0.5, 0.9):
        assert "cut short" in reason(data[: int(len(data) * share)])
    assert "cut short" in reason(hostile.tiff([PHOTO], compression=8)[:60])


def test_a_png_must_be_whole_to_its_last_checksum() -> None:
    start = PNG.index(b"IDAT") + 4
    flipped = bytearray(PNG)
    flipped[-20] ^= 1  # in the checksum of the compressed stream or of the chunk: Pillow alone would not look
    assert start < len(PNG) - 20
    assert "damaged" in reason(bytes(flipped))
    assert "damaged" in reason(PNG[:-12])  # without IEND


def test_pixel_limit_is_applied_to_the_header_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = hostile.png_bomb()
    assert len(bomb) < 100_000
    tracemalloc.start()
    try:
        for data in (hostile.png_header_bomb(), bomb, hostile.tiff([b"\0"], size=(20_000, 20_000))):
            assert "20000 x 20000" in reason(data)
            assert "400.0 megapixels" in reason(data)
        assert tracemalloc.get_traced_memory()[1] < 4_000_000
    finally:
        tracemalloc.stop()

    def allocate(data: bytes) -> None:
        raise AssertionError("the canvas would be allocated")

    monkeypatch.setattr(WebPImagePlugin._webp, "WebPAnimDecoder", allocate)
    assert "20000 x 20000" in reason(hostile.webp_header_bomb())
    assert "over the limit" in reason(hostile.encode(PHOTO, "WEBP"), max_pixels=700)
    assert "over the limit" in reason(hostile.encode(PHOTO, "WEBP", lossless=True), max_pixels=700)


def test_pixel_limit_is_inclusive() -> None:
    assert decode(PNG, "a", max_pixels=24 * 32).shape == (24, 32, 3)
    assert "32 x 24" in reason(PNG, max_pixels=24 * 32 - 1)


def test_pillows_own_limit_plays_no_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 300)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for format in ("PNG", "TIFF", "BMP", "JPEG"):
            decode(hostile.encode(PHOTO, format), "a")
        decode(hostile.tiff([PHOTO], compression=8), "a")
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 500)  # its WebP reader refuses at twice the limit
        decode(hostile.encode(PHOTO, "WEBP"), "a")
    assert Image.MAX_IMAGE_PIXELS == 500


def test_byte_limit() -> None:
    assert "limit" in reason(PNG, max_bytes=len(PNG) - 1)
    decode(PNG, "a", max_bytes=len(PNG))


def test_memory_errors_are_told_and_interrupts_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(error: BaseException) -> None:
        def reader(data: BytesIO) -> None:
            raise error

        monkeypatch.setitem(images.READERS, "PNG", reader)

    fail(MemoryError())
    assert "memory" in reason(PNG)
    fail(RecursionError())
    assert "damaged" in reason(PNG)
    fail(KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        decode(PNG, "a")


def array_or_image_error(data: bytes) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns of odd metadata
        try:
            rgb = decode(data, "x", max_pixels=1_000_000)
        except ImageError as error:
            assert error.reason  # noqa: PT017 - that it is an ImageError, or none, is the very claim
        else:
            assert rgb.dtype == np.uint8
            assert rgb.ndim == 3
            assert rgb.shape[2] == 3


FILES = [
    PNG,
    hostile.encode(PHOTO, "JPEG"),
    hostile.encode(PHOTO, "BMP"),
    hostile.encode(PHOTO, "WEBP"),
    hostile.encode(PHOTO, "TIFF"),
    hostile.tiff([DEEP], compression=8),
    hostile.tiff([DEEP[..., 0], DEEP[:1, :1, 0]], [{274: 6}, {254: 1}]),
    hostile.png(DEEP),
    hostile.apng(),
]
SIGNATURES = [
    b"",
    b"\x89PNG\r\n\x1a\n",
    b"\xff\xd8\xff",
    b"BM",
    b"II*\0",
    b"MM\0*",
    b"II+\0",
    b"RIFF\0\1\0\0WEBPVP8 ",
]


@given(st.sampled_from(SIGNATURES), st.binary(max_size=300))
def test_random_bytes(signature: bytes, noise: bytes) -> None:
    array_or_image_error(signature + noise)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None, max_examples=300)
@given(
    st.sampled_from(FILES),
    st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 7)), max_size=8),
    st.floats(0, 1),
)
def test_bit_flips_and_truncations(data: bytes, flips: list[tuple[float, int]], kept: float) -> None:
    broken = bytearray(data)
    for place, bit in flips:
        broken[int(place * len(data))] ^= 1 << bit
    array_or_image_error(bytes(broken))
    array_or_image_error(bytes(broken[: int(kept * len(data))]))


@pytest.mark.slow
@pytest.mark.parametrize("data", FILES)
def test_every_header_byte_broken(data: bytes) -> None:
    for place in range(min(len(data), 160)):
        for value in (0, 0x7F, 0xFF):
            array_or_image_error(data[:place] + bytes((value,)) + data[place + 1 :])


# --- preprocessing ---


@given(
    st.integers(1, 60),
    st.integers(1, 60),
    st.tuples(st.integers(1, 48), st.integers(1, 48)),
    st.sampled_from(["stretch", "pad"]),
)
def test_output_is_the_input_shape_and_the_box_lies_in_it(
    height: int, width: int, shape: tuple[int, int], fit: Any
) -> None:
    preprocess = Preprocess(shape, fit)
    rgb = np.full((height, width, 3), 200, np.uint8)
    output = preprocess(rgb)
    assert output.shape == (*shape, 3)
    assert output.dtype == np.uint8
    box = preprocess.content_box((height, width))
    assert box.height >= 1
    assert box.width >= 1
    inside = np.zeros(shape, bool)
    inside[box.top : box.top + box.height, box.left : box.left + box.width] = True
    assert inside.sum() == box.height * box.width  # the box does not stick out
    if fit == "pad":
        assert box.height == shape[0] or box.width == shape[1]
        scale = min(Fraction(shape[0], height), Fraction(shape[1], width))
        for side, own in ((box.height, height), (box.width, width)):
            assert side == max(1, math.floor(own * scale + Fraction(1, 2)))
    turned = Preprocess(shape[::-1], fit).content_box((width, height))
    assert (turned.left, turned.top, turned.width, turned.height) == box
    assert (output[inside] == 200).all()
    assert (output[~inside] == PAD_COLOR).all()


def test_stretch_is_pillows_antialiased_bilinear() -> None:
    rgb = RNG.integers(0, 256, (100, 70, 3), dtype=np.uint8)
    expected = np.asarray(Image.fromarray(rgb).resize((16, 16), Image.Resampling.BILINEAR))
    np.testing.assert_array_equal(Preprocess((16, 16))(rgb), expected)
    checkerboard = (np.indices((256, 256)).sum(axis=0) % 2 * 255).astype(np.uint8)
    assert np.ptp(Preprocess((32, 32))(gray(checkerboard))) <= 2  # without antialiasing: 0 and 255


def test_pad_keeps_the_aspect_ratio_centred() -> None:
    assert Preprocess((256, 256), "pad").content_box((480, 640)) == Box(32, 0, 192, 256)
    assert Preprocess((256, 256), "pad").content_box((640, 480)) == Box(0, 32, 256, 192)
    assert Preprocess((256, 256), "pad").content_box((10, 10)) == Box(0, 0, 256, 256)
    assert Preprocess((256, 256), "stretch").content_box((480, 640)) == Box(0, 0, 256, 256)
    assert Preprocess((5, 5), "pad").content_box((1, 2)) == Box(1, 0, 3, 5)  # 2.5 rows, rounded half up


@pytest.mark.parametrize("shape", [(1, 5000), (5000, 1), (1, 1)])
@pytest.mark.parametrize("fit", ["stretch", "pad"])
def test_extreme_aspect_ratios(shape: tuple[int, int], fit: Any) -> None:
    assert Preprocess((64, 64), fit)(np.zeros((*shape, 3), np.uint8)).shape == (64, 64, 3)
    assert min(Preprocess((64, 64), fit).content_box(shape)[2:]) >= 1


def test_preprocess_takes_views_and_leaves_its_input_alone() -> None:
    rgb = PHOTO.copy()
    view = rgb[::-1, ::2]
    np.testing.assert_array_equal(Preprocess((16, 16))(view), Preprocess((16, 16))(view.copy()))
    np.testing.assert_array_equal(rgb, PHOTO)
    same = np.ascontiguousarray(PHOTO[:24, :24])
    output = Preprocess((24, 24))(same)
    output[:] = 0  # writable, and no view of the input
    np.testing.assert_array_equal(same, PHOTO[:24, :24])


def test_preprocess_survives_json() -> None:
    preprocess = Preprocess((320, 320), "pad")
    assert Preprocess.from_dict(json.loads(json.dumps(preprocess.to_dict()))) == preprocess
    assert preprocess.to_dict() == {"size": 320, "fit": "pad"}
    rectangle = Preprocess((160, 416), bit_depth=12)
    assert rectangle.to_dict() == {"shape": [160, 416], "fit": "stretch", "bit_depth": 12}
    assert Preprocess.from_dict(json.loads(json.dumps(rectangle.to_dict()))) == rectangle


@pytest.mark.parametrize(
    "arguments", [{"shape": (0, 8)}, {"shape": (8, 2.5)}, {"shape": (8, True)}, {"shape": 8}, {"fit": "crop"}]
)
def test_preprocess_checks_its_arguments(arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(arguments))):
        Preprocess(**arguments)


@pytest.mark.parametrize(
    "bad", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8)]
)
def test_preprocess_checks_the_image(bad: npt.NDArray[Any]) -> None:
    with pytest.raises(ValueError, match="rgb must be uint8"):
        Preprocess()(bad)
    with pytest.raises(ValueError, match="rgb must be uint8"):
        thumbnail(bad)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [((100, 200), (100, 200)), ((1000, 500), (512, 256)), ((1, 4000), (1, 512)), ((1, 1), (1, 1))],
)
def test_thumbnail(shape: tuple[int, int], expected: tuple[int, int]) -> None:
    data = thumbnail(np.full((*shape, 3), 90, np.uint8))
    assert data.startswith(b"\xff\xd8\xff")
    assert decode(data, "t").shape[:2] == expected


def test_thumbnail_keeps_a_small_coloured_defect() -> None:
    rgb = np.full((64, 64, 3), 128, np.uint8)
    rgb[31, 31] = (255, 0, 0)
    assert np.ptp(decode(thumbnail(rgb), "t")[31, 31].astype(int)) > 150


def test_sha256() -> None:
    assert sha256(b"abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


# --- sources ---


def names(source: Any) -> list[str]:
    return [name for name, _ in source]


def skipped(source: Any) -> dict[str, str]:
    return {error.name: error.reason for error in source.skipped}


class Stream:
    """A binary file that counts what is read from it."""

    def __init__(self, data: bytes) -> None:
        self._file = BytesIO(data)
        self.count = 0

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def seekable(self) -> bool:
        return True

    def read(self, n: int = -1) -> bytes:
        data = self._file.read(n)
        self.count += len(data)
        return data


def test_uploads_in_natural_order_with_unique_names() -> None:
    files = [
        ("img10.png", b"10"),
        ("img2.png", b"2"),
        ("IMG1.png", b"1"),
        ("img2.png", b"2b"),
        ("img2.png", b"2c"),
    ]
    source = UploadSource(files)
    expected = [
        ("IMG1.png", b"1"),
        ("img2.png", b"2"),
        ("img2 (2).png", b"2b"),
        ("img2 (3).png", b"2c"),
        ("img10.png", b"10"),
    ]
    assert list(source) == expected
    assert list(source) == expected
    assert len(source) == 5


def test_a_made_up_name_that_is_taken_already() -> None:
    working_files = names(
        UploadSource([("a.png", b""), ("a.png", b""), ("a (2).png", b""), ("d.x", b""), ("d.x", b"")])
    )
    assert sorted(working_files) == sorted({"a.png", "a (2).png", "a (2) (2).png", "d.x", "d (2).x"})


def test_uploads_from_files_at_any_position() -> None:
    memory = BytesIO(b"memory")
    memory.seek(3)
    stream = Stream(b"stream")
    stream.seek(3)
    source = UploadSource([("a", memory), ("b", stream)])  # type: ignore[list-item]
    assert list(source) == list(source) == [("a", b"memory"), ("b", b"stream")]
    assert memory.tell() == 3


def test_an_upload_over_the_limit_is_not_read_whole() -> None:
    stream = Stream(bytes(1000))
    source = UploadSource([("big", stream), ("bytes", bytes(11)), ("ok", bytes(10))], max_bytes=10)  # type: ignore[list-item]
    assert names(source) == ["ok"]
    assert set(skipped(source)) == {"big", "bytes"}
    assert "limit" in skipped(source)["big"]
    assert stream.count == 11


def test_a_released_upload_is_skipped() -> None:
    gone = BytesIO(b"x")
    gone.close()
    source = UploadSource([("gone", gone), ("here", b"y")])
    assert names(source) == ["here"]
    assert "upload it again" in skipped(source)["gone"]


def test_uploads_must_be_files() -> None:
    with pytest.raises(TypeError, match=r"files: 'a.png' must be bytes, a path or .* got int"):
        UploadSource([("a.png", 3)])  # type: ignore[list-item]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "parts"
    for name in ("img10.png", "img2.PNG", "sub/b.jpeg", "sub/deep/c.tif", ".hidden.png", ".git/x.png"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(name.encode())
    for name in ("__MACOSX/._img2.png", "Thumbs.db", "notes.txt", "layers.PSD", "noextension"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"-")
    return root


def test_folder_names_and_order(folder: Path) -> None:
    source = FolderSource(folder)
    assert len(source) == 4
    for _ in range(2):
        assert list(source) == [
            ("img2.PNG", b"img2.PNG"),
            ("img10.png", b"img10.png"),
            ("sub/b.jpeg", b"sub/b.jpeg"),
            ("sub/deep/c.tif", b"sub/deep/c.tif"),
        ]
        assert skipped(source) == {"layers.PSD": "is a PSD file; save it as PNG, JPEG, BMP, TIFF or WebP"}
        assert [(one.name, one.system) for one in source.passed_over] == [
            (".git/", True),
            ("__MACOSX/", True),
            (".hidden.png", True),
            ("Thumbs.db", True),
            ("noextension", False),
            ("notes.txt", False),
        ]


def test_folder_is_read_afresh_and_lazily(folder: Path) -> None:
    source = FolderSource(folder)
    list(source)
    (folder / "img3.png").write_bytes(b"new")
    (folder / "layers.PSD").unlink()
    assert "img3.png" in names(source)
    assert source.skipped == []
    iterator = iter(source)
    assert next(iterator)[0] == "img2.PNG"
    (folder / "img3.png").write_bytes(b"newer")
    assert next(iterator) == ("img3.png", b"newer")


def test_folder_limits_and_links(folder: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret.png"
    secret.write_bytes(b"secret")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "other.png").write_bytes(b"secret")
    (folder / "out.png").symlink_to(secret)
    (folder / "outdir").symlink_to(tmp_path / "elsewhere")
    (folder / "up").symlink_to(folder)  # a circle
    (folder / "nowhere.png").symlink_to(folder / "missing.png")
    (folder / "self.png").symlink_to(folder / "self.png")
    (folder / "inside.png").symlink_to(folder / "img10.png")
    (folder / "big.png").write_bytes(bytes(100))
    os.mkfifo(folder / "pipe.png")
    source = FolderSource(folder, max_bytes=50)
    found = dict(source)
    assert b"secret" not in found.values()
    assert found["inside.png"] == b"img10.png"
    assert set(found) == {"img2.PNG", "img10.png", "sub/b.jpeg", "sub/deep/c.tif", "inside.png"}
    why = skipped(source)
    assert set(why) == {"out.png", "outdir", "nowhere.png", "self.png", "big.png", "pipe.png", "layers.PSD"}
    assert "out of the folder" in why["out.png"]
    assert "out of the folder" in why["outdir"]
    assert "nowhere" in why["nowhere.png"]
    assert "nowhere" in why["self.png"]
    assert "limit" in why["big.png"]
    assert "ordinary file" in why["pipe.png"]


def test_folder_through_a_link_to_itself(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "alias").symlink_to(folder)
    assert len(FolderSource(tmp_path / "alias")) == 4


def test_folder_file_that_vanishes(folder: Path) -> None:
    source = FolderSource(folder)
    iterator = iter(source)
    next(iterator)
    (folder / "img10.png").unlink()
    assert next(iterator)[0] == "sub/b.jpeg"
    assert "cannot be read" in skipped(source)["img10.png"]


def test_folder_names_that_are_not_unicode(folder: Path) -> None:
    (folder / os.fsdecode(b"caf\xe9.png")).write_bytes(b"x")
    found = names(FolderSource(folder))
    assert "caf\ufffd.png" in found
    json.dumps(found).encode()
    "".join(found).encode()


ARCHIVE = hostile.zip_of(
    [
        ("parts/img10.png", b"ten"),
        ("parts/", b""),
        ("parts/img2.png", b"two"),
        ("win\\img1.jpg", b"one"),
        ("parts/notes.txt", b"-"),
        ("__MACOSX/parts/._img2.png", b"-"),
        ("parts/.DS_Store", b"-"),
        ("parts/Thumbs.db", b"-"),
    ],
    zipfile.ZIP_DEFLATED,
)
IN_ARCHIVE = [("parts/img2.png", b"two"), ("parts/img10.png", b"ten"), ("win/img1.jpg", b"one")]


def test_zip_from_path_bytes_and_files(tmp_path: Path) -> None:
    path = tmp_path / "set.zip"
    path.write_bytes(ARCHIVE)
    with path.open("rb") as file:
        for given_as in (path, str(path), ARCHIVE, BytesIO(ARCHIVE), file, Stream(ARCHIVE)):
            source = ZipSource(given_as)  # type: ignore[arg-type]
            assert len(source) == 3
            assert list(source) == IN_ARCHIVE
            assert list(source) == IN_ARCHIVE
            assert source.skipped == []
            assert [one.name for one in source.passed_over if not one.system] == ["parts/notes.txt"]
        assert not file.closed


def test_zip_members_of_the_same_name() -> None:
    with pytest.warns(UserWarning, match="Duplicate name"):
        archive = hostile.zip_of([("a.png", b"1"), ("a.png", b"2")])
    assert list(ZipSource(archive)) == [("a.png", b"1"), ("a (2).png", b"2")]


@pytest.mark.parametrize(
    "name",
    [
        "../evil.png",
        "a/../../evil.png",
        "/etc/evil.png",
        "C:\\evil.png",
        "c:evil.png",
        "..\\evil.png",
        "\\\\host\\e.png",
    ],
)
def test_zip_names_that_point_outside(name: str) -> None:
    source = ZipSource(hostile.zip_of({name: b"x", "good.png": b"y"}))
    assert list(source) == [("good.png", b"y")]
    assert "outside the archive" in skipped(source)[name.replace("\\", "/")]


def test_zip_name_with_nul() -> None:
    source = ZipSource(hostile.zip_with_nul_name(b"x"))
    assert list(source) == []
    assert "outside the archive" in skipped(source)["a\\0.exe.png"]


def test_bad_zip_members_do_not_stop_the_rest() -> None:
    link = zipfile.ZipInfo("link.png")
    link.external_attr = 0o120777 << 16
    buffer = BytesIO(
        hostile.zip_of({f"{i}.png": bytes((65 + i,)) * 50 for i in range(6)}, zipfile.ZIP_DEFLATED)
    )
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.writestr(link, "/etc/passwd")
        archive.writestr("inner.zip", ARCHIVE)
        archive.writestr("art.psd", b"8BPS")
    data = hostile.zip_encrypted(buffer.getvalue(), "0.png")
    data = hostile.zip_with_bad_crc(data, "1.png")
    data = hostile.zip_with_method(data, "2.png", 9)
    data = hostile.zip_claiming_size(data, "3.png", 10)
    data = hostile.zip_claiming_size(data, "4.png", 2**31)
    source = ZipSource(data)
    for _ in range(2):
        assert list(source) == [("5.png", b"F" * 50)]
        why = skipped(source)
        assert len(source.skipped) == 7
        assert [one.name for one in source.passed_over] == ["inner.zip"]
        for name, word in {
            "0.png": "encrypted",
            "1.png": "damaged",
            "2.png": "unusual method",
            "3.png": "damaged",
            "4.png": "limit",
            "link.png": "link",
            "art.psd": "PSD",
        }.items():
            assert word in why[name], name


def test_zip_with_a_damaged_member_stream() -> None:
    noise = RNG.integers(0, 256, 4000, dtype=np.uint8).tobytes()
    data = bytearray(hostile.zip_of({"a.png": noise, "b.png": b"fine"}, zipfile.ZIP_DEFLATED))
    data[100:120] = bytes(20)
    source = ZipSource(bytes(data))
    assert list(source) == [("b.png", b"fine")]
    assert "damaged" in skipped(source)["a.png"]


def test_zip_bomb_is_stopped_while_it_is_read() -> None:
    bomb = hostile.zip_bomb(size=64 * 1024 * 1024)
    assert len(bomb) < 100_000
    source = ZipSource(bomb)
    tracemalloc.start()
    try:
        assert list(source) == []
        assert tracemalloc.get_traced_memory()[1] < 40_000_000
    finally:
        tracemalloc.stop()
    assert skipped(source).popitem()[1].startswith("unpacks to more than")


def test_zip_ratio_limit_names_the_member_and_spares_the_rest() -> None:
    noise = RNG.integers(0, 256, 20_000, dtype=np.uint8).tobytes()
    data = hostile.zip_of({"a.png": bytes(50_000), "b.png": noise}, zipfile.ZIP_DEFLATED)
    source = ZipSource(data, limits=ZipLimits(ratio=20, ratio_floor=1000))
    assert names(source) == ["b.png"]
    assert "20 times" in skipped(source)["a.png"]


def test_zip_total_limit_ends_the_archive_and_says_so() -> None:
    data = hostile.zip_of({f"{i}.png": bytes(1000) for i in range(6)})
    source = ZipSource(data, "week 3.zip", limits=ZipLimits(total_bytes=3500))
    assert names(source) == ["0.png", "1.png", "2.png"]
    assert "last 3 images were not read" in skipped(source)["week 3.zip"]
    assert len(names(source)) == 3  # and anew


def test_zip_whose_members_overlap_is_held_to_the_archives_size() -> None:
    noise = RNG.integers(0, 256, 5000, dtype=np.uint8).tobytes()
    one = hostile.zip_of({"a.png": noise})
    local_length = one.index(b"PK\1\2")
    entry = one[local_length : one.index(b"PK\5\6")]
    directory = entry * 40
    end = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 40, 40, len(directory), local_length, 0)
    source = ZipSource(
        one[:local_length] + directory + end, "o.zip", limits=ZipLimits(ratio=2, ratio_floor=0)
    )
    assert len(names(source)) < 10
    assert "o.zip" in skipped(source)


def test_zip_member_limit() -> None:
    data = hostile.zip_of({f"{i}.png": b"" for i in range(4)})
    assert len(ZipSource(data, limits=ZipLimits(members=4))) == 4
    with pytest.raises(ImageError, match=r"s.zip: has too many members \(the limit is 3\)"):
        ZipSource(data, "s.zip", limits=ZipLimits(members=3))


def test_zip_with_a_huge_directory_is_refused_before_it_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    data = hostile.zip_with_huge_directory()

    def parse(*_: object) -> None:
        raise AssertionError("the directory would be read")

    monkeypatch.setattr(zipfile, "ZipFile", parse)
    with pytest.raises(ImageError, match="too many members"):
        ZipSource(data)


@pytest.mark.parametrize("data", [b"", b"no zip at all", ARCHIVE[:-30], ARCHIVE[:40], b"PK\5\6" + bytes(10)])
def test_broken_zip_is_named(data: bytes) -> None:
    with pytest.raises(ImageError, match=r"shift 2\.zip: is not a zip archive or is damaged"):
        ZipSource(data, "shift 2.zip")


def test_zip_member_over_the_byte_limit() -> None:
    source = ZipSource(hostile.zip_of({"a.png": bytes(11), "b.png": bytes(10)}), max_bytes=10)
    assert names(source) == ["b.png"]
    assert "limit" in skipped(source)["a.png"]


def test_zip_that_vanishes_between_iterations(tmp_path: Path) -> None:
    path = tmp_path / "set.zip"
    path.write_bytes(ARCHIVE)
    source = ZipSource(path)
    path.unlink()
    assert list(source) == []
    assert "choose it again" in skipped(source)["set.zip"]


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, len(ARCHIVE) - 1), st.integers(0, 255)), min_size=1, max_size=6))
def test_zip_with_random_damage(changes: list[tuple[int, int]]) -> None:
    broken = bytearray(ARCHIVE)
    for place, value in changes:
        broken[place] = value
    try:
        source = ZipSource(bytes(broken))
    except ImageError:
        return
    assert len(list(source)) <= len(source)


def test_open_source(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "set.zip"
    path.write_bytes(ARCHIVE)
    assert isinstance(open_source(folder), FolderSource)
    assert list(open_source(str(path))) == IN_ARCHIVE
    with pytest.raises(ImageError, match="does not exist"):
        open_source(tmp_path / "missing")
    with pytest.raises(ImageError, match="is not a folder"):
        FolderSource(path)


def test_mixed_uploads() -> None:
    uploads: list[tuple[str, Any]] = [
        ("z.png", b"z"),
        ("set2.ZIP", BytesIO(hostile.zip_of({"a.png": b"in zip", "../e.png": b"", "t.txt": b""}))),
        ("broken.zip", b"PK\3\4"),
        ("a.png", b"plain"),
        ("note.txt", b"left for decode to name"),
    ]
    source = expand_uploads(uploads)
    assert len(source) == 4
    for _ in range(2):
        assert list(source) == [
            ("a.png", b"plain"),
            ("note.txt", b"left for decode to name"),
            ("a (2).png", b"in zip"),
            ("z.png", b"z"),
        ]
        assert set(skipped(source)) == {"broken.zip", "../e.png"}
        assert len(source.passed_over) == 1


def test_mixed_uploads_hold_no_more_than_one_image() -> None:
    opened: list[str] = []

    class Watched(BytesIO):
        def getvalue(self) -> bytes:
            opened.append("read")
            return super().getvalue()

    iterator: Iterator[tuple[str, bytes]] = iter(
        expand_uploads([(f"{i}.png", Watched(b"x")) for i in range(3)])
    )
    assert opened == []
    next(iterator)
    assert opened == ["read"]
