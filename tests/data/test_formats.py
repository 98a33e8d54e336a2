"""Every format that is read, by content and whatever the name; and what is refused, with its true reason."""

from __future__ import annotations

import importlib.util
import struct
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from padim.data import container_headers, formats, image_headers, optional_readers, tiff_header
from padim.data.bit_depth import Samples
from padim.data.decode import decode, decode_here, decoded
from padim.errors import ImageError
from tests import hostile

ROWS, COLUMNS = np.mgrid[0:24, 0:32]
PHOTO = np.stack((ROWS * 10, COLUMNS * 8, 255 - ROWS * 4 - COLUMNS * 4), axis=2).astype(np.uint8)
GRAY = np.ascontiguousarray(PHOTO[..., 0])
DEEP = GRAY.astype(np.uint16) * 16 + 5  # 12 bits

needs_extra = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("pillow_heif", "imagecodecs", "tifffile")),
    reason="the extra formats is not installed",
)


def reason(data: bytes) -> str:
    with pytest.raises(ImageError) as caught:
        decode(data, "part 7.png")
    return caught.value.reason


def three(gray: npt.ArrayLike) -> npt.NDArray[np.uint8]:
    return np.repeat(np.asarray(gray)[..., np.newaxis], 3, axis=2).astype(np.uint8)


# --- PBM, PGM, PPM, PAM and PFM ---


def pnm_file(magic: str, pixels: npt.NDArray[Any], top: int, comment: str = "") -> bytes:
    height, width = pixels.shape[:2]
    head = f"{magic}\n{comment}{width} {height}\n" + ("" if magic in ("P1", "P4") else f"{top}\n")
    if magic in ("P1", "P2", "P3"):
        return head.encode() + "\n".join(" ".join(map(str, row.ravel())) for row in pixels).encode() + b"\n"
    return head.encode() + pixels.astype(">u2" if top > 255 else "u1").tobytes()


def pam_file(pixels: npt.NDArray[Any], top: int, kind: str) -> bytes:
    height, width, depth = pixels.shape
    lines = (
        f"WIDTH {width}",
        f"HEIGHT {height}",
        "# a comment",
        f"DEPTH {depth}",
        f"MAXVAL {top}",
        f"TUPLTYPE {kind}",
    )
    head = "\n".join(("P7", *lines, "ENDHDR\n"))
    return head.encode() + pixels.astype(">u2" if top > 255 else "u1").tobytes()


@pytest.mark.parametrize("comment", ["", "# made by a camera\n"])
def test_pnm_of_every_kind(comment: str) -> None:
    for magic in ("P2", "P5"):
        np.testing.assert_array_equal(decode(pnm_file(magic, GRAY, 255, comment), "a"), three(GRAY))
    for magic in ("P3", "P6"):
        np.testing.assert_array_equal(decode(pnm_file(magic, PHOTO, 255, comment), "a"), PHOTO)
    ink = (GRAY > 100).astype(np.uint8)
    expected = three(255 * (1 - ink))
    np.testing.assert_array_equal(decode(pnm_file("P1", ink, 1, comment), "a"), expected)
    packed = f"P4\n{comment}32 24\n".encode() + np.packbits(ink, axis=1).tobytes()
    np.testing.assert_array_equal(decode(packed, "a"), expected)


def test_the_largest_value_of_a_pgm_is_white() -> None:
    np.testing.assert_array_equal(decode(pnm_file("P5", DEEP, 4095), "a"), three(DEEP >> 4))
    np.testing.assert_array_equal(decode(pnm_file("P2", DEEP, 4095), "a"), three(DEEP >> 4))
    np.testing.assert_array_equal(decode(pnm_file("P5", DEEP * 16, 65535), "a"), three(DEEP >> 4))
    few = np.array([[0, 7, 15]], np.uint8)
    np.testing.assert_array_equal(decode(pnm_file("P5", few, 15), "a"), three([[0, 119, 255]]))
    deep_colors = PHOTO.astype(np.uint16) * 4
    np.testing.assert_array_equal(decode(pnm_file("P6", deep_colors, 1023), "a"), PHOTO)
    assert "above 15" in reason(pnm_file("P5", few + 1, 15))


def test_pam() -> None:
    np.testing.assert_array_equal(decode(pam_file(PHOTO, 255, "RGB"), "a"), PHOTO)
    np.testing.assert_array_equal(decode(pam_file(DEEP[..., None], 4095, "GRAYSCALE"), "a"), three(DEEP >> 4))
    rgba = np.dstack((PHOTO, np.where(GRAY > 100, 255, 0))).astype(np.uint8)
    expected = np.where(rgba[..., 3:] == 255, PHOTO, 255)
    np.testing.assert_array_equal(decode(pam_file(rgba, 255, "RGB_ALPHA"), "a"), expected)
    for channels, kind in ((5, "MULTISPECTRAL"), (4, "CMYK"), (4, "RGB")):
        pixels = np.zeros((4, 4, channels), np.uint8)
        assert f"PAM file of {channels} channels" in reason(pam_file(pixels, 255, kind))


def test_pfm() -> None:
    values = (GRAY / 255).astype(np.float32)
    for order, scale in (("<f4", "-1.0"), (">f4", "1.0")):
        data = f"Pf\n32 24\n{scale}\n".encode() + values[::-1].astype(order).tobytes()
        np.testing.assert_array_equal(decode(data, "a"), three(GRAY))
    bright = b"Pf\n32 24\n-1\n" + (values * 9).astype("<f4").tobytes()
    assert "0 to 1" in reason(bright)


def test_pnm_with_several_images_is_refused() -> None:
    one = pnm_file("P5", GRAY, 255)
    assert "several images" in reason(one + one)
    assert decode(one + b"\n", "a").shape == (24, 32, 3)


MAGIC = (b"P1", b"P2", b"P3", b"P4", b"P5", b"P6", b"P7\n", b"Pf", b"PF")


@settings(deadline=None, max_examples=200)
@given(st.binary(max_size=60), st.sampled_from(MAGIC))
def test_any_pnm_header_is_read_or_refused(tail: bytes, magic: bytes) -> None:
    for data in (magic + b" " + tail, magic + b"\n3 2\n255\n" + tail, magic + b"WIDTH 3\nHEIGHT 2\n" + tail):
        found = image_headers.read(data, "PNM")
        assert found.size is None or min(found.size) >= 0
        assert isinstance(decode_here(data, 1000), np.ndarray | str)


# --- JPEG 2000, AVIF, GIF, MPO ---


@pytest.mark.parametrize("options", [{}, {"no_jp2": True}], ids=["jp2", "codestream"])
def test_jpeg_2000(options: dict[str, Any]) -> None:
    np.testing.assert_array_equal(decode(hostile.encode(PHOTO, "JPEG2000", **options), "a.jpg"), PHOTO)
    np.testing.assert_array_equal(decode(hostile.encode(GRAY, "JPEG2000", **options), "a"), three(GRAY))
    deep = BytesIO()
    Image.fromarray(DEEP * 16).save(deep, "JPEG2000", **options)
    np.testing.assert_array_equal(decode(deep.getvalue(), "a"), three(DEEP >> 4))


def test_jpeg_2000_with_transparency_and_with_other_channels() -> None:
    rgba = np.dstack((PHOTO, np.where(GRAY > 100, 255, 0))).astype(np.uint8)
    data = hostile.encode(rgba, "JPEG2000")
    np.testing.assert_array_equal(decode(data, "a"), np.where(rgba[..., 3:] == 255, PHOTO, 255))
    # The same file, no longer saying that the fourth channel is transparency.
    assert "4 channels" in reason(data.replace(b"cdef", b"free", 1))
    stream = bytearray(hostile.encode(PHOTO, "JPEG2000", no_jp2=True))
    stream[40:42] = struct.pack(">H", 7)
    assert "7 channels" in reason(bytes(stream))


def test_avif_comes_close() -> None:
    rgb = decode(hostile.encode(PHOTO, "AVIF", quality=95), "a")
    assert np.abs(rgb.astype(int) - PHOTO).mean() < 4
    several = BytesIO()
    frames = [Image.fromarray(PHOTO), Image.fromarray(PHOTO[::-1].copy())]
    frames[0].save(several, "AVIF", save_all=True, append_images=frames[1:])
    assert "animation" in reason(several.getvalue())


def test_gif_of_one_frame() -> None:
    np.testing.assert_array_equal(decode(hostile.gif(1), "a"), np.full((4, 5, 3), 90))
    assert "animation" in reason(hostile.gif())


def test_multi_view_jpegs() -> None:
    """The extra views in a phone's JPEG do not count; views of equal rank do."""
    buffer = BytesIO()
    views = [Image.fromarray(PHOTO), Image.fromarray(PHOTO[::2, ::2].copy())]
    views[0].save(buffer, "MPO", save_all=True, append_images=views[1:])
    data = buffer.getvalue()
    assert decode(data, "a").shape == PHOTO.shape
    stereo = data.replace(struct.pack("<II", 0, 0x030000), struct.pack("<II", 0, 0x020002), 1)
    assert stereo != data
    assert "several views" in reason(stereo)


@pytest.mark.parametrize("format", ["PPM", "JPEG2000", "AVIF", "GIF"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_cut_files_are_refused(format: str, share: float) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (60, 80, 3)).astype(np.uint8)
    data = hostile.encode(noise, format)
    assert decode(data, "a").shape == noise.shape
    why = reason(data[: int(len(data) * share)])
    assert "damaged" in why or "bytes can hold" in why


@pytest.mark.parametrize("magic", ["P1", "P2", "P3"])
@given(share=st.floats(0, 0.99))
@settings(deadline=None, max_examples=15)
def test_cut_texts_are_refused(magic: str, share: float) -> None:
    """Numbers that are not there must not be taken from wherever the memory had some."""
    top, channels = (1, 1) if magic == "P1" else (200, 3 if magic == "P3" else 1)
    values = np.random.default_rng(2).integers(0, top + 1, 40 * 30 * channels)
    head = f"{magic}\n40 30\n" + ("" if magic == "P1" else f"{top}\n")
    texts = [str(value) for value in values]
    decode(f"{head}{' '.join(texts)}\n".encode(), "a")
    why = reason(f"{head}{' '.join(texts[: int(len(texts) * share)])}\n".encode())
    assert "damaged" in why or "bytes can hold" in why


@pytest.mark.parametrize("format", ["PPM", "JPEG2000", "AVIF", "GIF"])
@settings(deadline=None, max_examples=40)
@given(changes=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), min_size=1, max_size=5))
def test_any_damage_ends_in_an_image_or_a_reason(format: str, changes: list[tuple[int, int]]) -> None:
    data = bytearray(hostile.encode(PHOTO, format))
    for at, value in changes:
        data[at % len(data)] = value
    errors: list[str] = []
    try:
        assert decode(bytes(data), "a").dtype == np.uint8
    except ImageError as error:
        errors.append(error.reason)
    assert all(errors)


# --- what is sound is not called damaged ---


def test_png_with_large_metadata_is_read() -> None:
    profile = BytesIO()
    Image.fromarray(PHOTO).save(profile, "PNG", icc_profile=bytes(3_000_000))
    np.testing.assert_array_equal(decode(profile.getvalue(), "a"), PHOTO)
    text = b"Comment\0\0" + zlib.compress(b" " * 3_000_000)
    file = hostile.png(PHOTO, hostile.png_chunk(b"zTXt", text))
    np.testing.assert_array_equal(decode(file, "a"), PHOTO)
    end = file.index(b"IEND") - 4
    behind = file[:end] + hostile.png_chunk(b"zTXt", text) + file[end:]
    np.testing.assert_array_equal(decode(behind, "a"), PHOTO)


def test_png_keeps_its_orientation_beside_a_profile() -> None:
    exif = Image.Exif()
    exif[274] = 3
    data = hostile.encode(PHOTO, exif=exif, icc_profile=bytes(3_000_000))
    np.testing.assert_array_equal(decode(data, "a"), PHOTO[::-1, ::-1])


def palette_bmp(depth: int, grays: list[int], indices: npt.NDArray[np.uint8]) -> bytes:
    """Encode indices ``(h, w)`` as an uncompressed BMP of 4 or 8 bits with a palette of grays."""
    height, width = indices.shape
    stride = (width * depth + 31) // 32 * 4
    rows = b""
    for row in indices[::-1]:
        packed = row if depth == 8 else np.append(row, 0)[: (width + 1) // 2 * 2]
        packed = packed if depth == 8 else packed[::2] << 4 | packed[1::2]
        rows += packed.astype(np.uint8).tobytes().ljust(stride, b"\0")
    begin = 54 + 4 * len(grays)
    head = struct.pack("<2sIHHI", b"BM", begin + len(rows), 0, 0, begin)
    head += struct.pack("<IiiHHIIiiII", 40, width, height, 1, depth, 0, len(rows), 0, 0, len(grays), 0)
    return head + b"".join(bytes((gray, gray, gray, 0)) for gray in grays) + rows


@pytest.mark.parametrize(
    ("depth", "grays"),
    [(8, [0, 255]), (4, [0, 255]), (4, list(range(16))), (8, [255, 0]), (8, list(range(256))), (4, [9, 80])],
)
def test_bmp_with_a_palette_of_grays_has_its_own_values(depth: int, grays: list[int]) -> None:
    most = min(len(grays), 2**depth)
    indices = np.random.default_rng(3).integers(0, most, (5, 7)).astype(np.uint8)
    expected = np.array(grays, np.uint8)[indices]
    data = palette_bmp(depth, grays, indices)
    np.testing.assert_array_equal(decode(data, "a.bmp"), np.repeat(expected[..., None], 3, axis=2))


def test_bmp_with_an_empty_fourth_channel_is_opaque() -> None:
    for alpha in (0, 255):
        rgba = np.dstack((PHOTO, np.full(GRAY.shape, alpha))).astype(np.uint8)
        bgra = np.ascontiguousarray(rgba[::-1, :, [2, 1, 0, 3]]).tobytes()
        masks = struct.pack("<4I", 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
        for size in (56, 108, 124):
            info = struct.pack("<IiiHHIIiiII", size, 32, 24, 1, 32, 3, len(bgra), 0, 0, 0, 0) + masks
            info += bytes(size - len(info))
            data = struct.pack("<2sIHHI", b"BM", 14 + size + len(bgra), 0, 0, 14 + size) + info + bgra
            np.testing.assert_array_equal(decode(data, "a"), PHOTO, err_msg=f"{size}, alpha {alpha}")


def test_sound_files_of_unusual_kinds_are_not_called_damaged() -> None:
    def bmp(size: int, compression: int, depth: int, body: bytes) -> bytes:
        info = struct.pack("<IiiHHIIiiII", size, 8, 6, 1, depth, compression, len(body), 0, 0, 0, 0)
        return struct.pack("<2sIHHI", b"BM", 54 + len(body), 0, 0, 54) + info + body

    jpeg = hostile.encode(PHOTO, "JPEG")
    frame = jpeg.index(b"\xff\xc0") + 5
    for data, words in (
        (bmp(40, 4, 24, jpeg), "contains a JPEG"),
        (bmp(40, 0, 64, bytes(8 * 8 * 6)), "not supported"),
        (bmp(16, 0, 24, bytes(3 * 8 * 6)), "not supported"),
        (jpeg[:frame] + b"\0\0" + jpeg[frame + 2 :], "behind its pixels"),
        (hostile.tiff([np.ones((2, 2))]), "kind of pixels that is not supported"),
        (hostile.encode(PHOTO, "SGI"), "an SGI image"),
        (hostile.encode(PHOTO, "ICO"), "an icon"),
    ):
        why = reason(data)
        assert words in why
        assert "damaged" not in why


# --- stacks and channels in one directory ---


@pytest.mark.parametrize(
    "tags",
    [
        {270: b"ImageJ=1.53k\nimages=3\nslices=3\nloop=false\n"},
        {270: b'{"shape": [3, 24, 32]}'},
        {32997: 3},
        {33629: (0, 0, 0, 0, 0, 0)},
    ],
    ids=["ImageJ", "tifffile", "SGI depth", "MetaMorph"],
)
def test_stacks_in_one_directory_are_refused(tags: dict[int, Any]) -> None:
    data = tiff_with(GRAY, tags)
    assert "is a stack of" in reason(data)
    assert "save the slice" in reason(data)


def test_descriptions_of_one_image_are_no_stack() -> None:
    texts = (b"ImageJ=1.53k\nunit=mm\n", b"images=3", b"ImageJ=1.5\nimages=1\n")
    for text in (*texts, b'{"shape": [24, 32]}', b'{"shape": 7'):
        np.testing.assert_array_equal(decode(tiff_with(GRAY, {270: text}), "a"), three(GRAY))


def tiff_with(pixels: npt.NDArray[Any], tags: dict[int, Any]) -> bytes:
    """A little-endian TIFF of 8-bit channels; `tags` are bytes (text), a number or a tuple of numbers."""
    height, width = pixels.shape[:2]
    samples = 1 if pixels.ndim == 2 else pixels.shape[2]
    entries: dict[int, Any] = {
        **{256: width, 257: height, 258: (8,) * samples, 259: 1, 262: 2 if samples >= 3 else 1},
        **{273: 0, 277: samples, 278: height, 279: pixels.nbytes},
        **tags,
    }
    directory, extra = b"", b""
    start = 8 + 2 + 12 * len(entries) + 4
    for tag, value in sorted(entries.items()):
        if tag == 273:
            directory += struct.pack("<HHI4s", tag, 4, 1, b"@@@@")
            continue
        text = isinstance(value, bytes)
        values = value if isinstance(value, tuple) else (value,)
        packed = value + b"\0" if text else struct.pack(f"<{len(values)}I", *values)
        count = len(packed) if text else len(values)
        kind = 2 if text else 4
        if len(packed) <= 4:
            directory += struct.pack("<HHI4s", tag, kind, count, packed.ljust(4, b"\0"))
        else:
            directory += struct.pack("<HHII", tag, kind, count, start + len(extra))
            extra += packed + b"\0" * (len(packed) % 2)
    place = struct.pack("<I", start + len(extra))
    head = b"II*\0" + struct.pack("<IH", 8, len(entries))
    return head + directory.replace(b"@@@@", place) + bytes(4) + extra + pixels.tobytes()


@pytest.mark.parametrize(
    ("channels", "tags", "words"),
    [
        (4, {338: 0}, "has 4 channels, of which 1"),
        (4, {}, "has 4 channels, of which 1"),
        (5, {338: (0, 0)}, "has 5 channels, of which 2"),
        (5, {338: (2, 0)}, "has 5 channels, of which 2"),
        (8, {338: (0,) * 7, 262: 1}, "has 8 channels, of which 7"),
        (2, {338: 0, 262: 1}, "has 2 channels, of which 1"),
    ],
)
def test_spectral_channels_are_refused(channels: int, tags: dict[int, Any], words: str) -> None:
    pixels = np.full((6, 8, channels), 90, np.uint8)
    assert words in reason(tiff_with(pixels, tags))


def test_transparency_is_no_spectral_channel() -> None:
    pixels = np.dstack((PHOTO, np.full(GRAY.shape, 255))).astype(np.uint8)
    for kind in (1, 2):
        np.testing.assert_array_equal(decode(tiff_with(pixels, {338: kind}), "a"), PHOTO)


def test_a_big_tiff_is_looked_at_as_well() -> None:
    def entry(tag: int, kind: int, value: int) -> bytes:
        return struct.pack("<HHQQ", tag, kind, 1, value)

    numbers = {256: 4, 257: 4, 258: 8, 259: 1, 262: 1, 273: 300, 277: 1, 278: 4, 279: 16, 32997: 5}
    directory = b"".join(entry(tag, 4, value) for tag, value in numbers.items())
    data = b"II+\0" + struct.pack("<HHQQ", 8, 0, 16, len(numbers)) + directory + bytes(8)
    assert "stack of 5" in reason(data.ljust(300, b"\0") + bytes(16))


def test_unknown_compressions_are_named() -> None:
    assert "compression 48124, which is not supported" in reason(tiff_with(GRAY, {259: 48124}))


# --- the extra ---

WITH_EXTRA: dict[str, Callable[[Any], bytes]] = {
    "jpeg": lambda codecs: codecs.jpeg8_encode(DEEP, level=100, bitspersample=12),
    "jpeg-ls": lambda codecs: codecs.jpegls_encode(DEEP * 16),
    "jpeg xl": lambda codecs: codecs.jpegxl_encode(DEEP, lossless=True, bitspersample=12),
}


@needs_extra
@pytest.mark.parametrize("kind", WITH_EXTRA)
def test_deep_pixels_of_the_extra(kind: str) -> None:
    codecs = importlib.import_module("imagecodecs")
    data = WITH_EXTRA[kind](codecs)
    assert image_headers.read(data, formats.image_format(data) or "").reader == kind
    rgb = decode(data, "a.jpg").astype(int)
    assert np.abs(rgb - three(DEEP >> 4)).max() <= (2 if kind == "jpeg" else 0)


@needs_extra
def test_lossless_jpegs() -> None:
    codecs = importlib.import_module("imagecodecs")
    np.testing.assert_array_equal(decode(codecs.jpeg8_encode(PHOTO, lossless=True), "a"), PHOTO)
    full = codecs.jpeg8_encode(DEEP * 16, lossless=True, bitspersample=16)
    np.testing.assert_array_equal(decode(full, "a"), three(DEEP >> 4))
    assert "damaged or cut short" in reason(full[: len(full) // 2])
    np.testing.assert_array_equal(decode(codecs.ljpeg_encode(DEEP, bitspersample=12), "a"), three(DEEP >> 4))


@needs_extra
def test_jpeg_xl() -> None:
    codecs = importlib.import_module("imagecodecs")
    for pixels in (PHOTO, GRAY):
        for container in (False, True):
            data = codecs.jpegxl_encode(pixels, lossless=True, usecontainer=container)
            head = container_headers.jpeg_xl(data)
            assert head is not None
            assert (head.size, head.bits) == ((32, 24), 8)
            expected = three(pixels) if pixels.ndim == 2 else pixels
            np.testing.assert_array_equal(decode(data, "a"), expected)
    assert "damaged or cut short" in reason(data[: len(data) // 2])


@needs_extra
@pytest.mark.parametrize("size", [(8, 8), (64, 64), (24, 32), (100, 999), (9, 16), (270, 480), (513, 3)])
def test_sizes_of_jpeg_xl(size: tuple[int, int]) -> None:
    codecs = importlib.import_module("imagecodecs")
    head = container_headers.jpeg_xl(codecs.jpegxl_encode(np.zeros((*size, 3), np.uint8)))
    assert head is not None
    assert head.size == size[::-1]


@needs_extra
@pytest.mark.parametrize("compression", ["jpegxl", "jpeg2000", "lerc", "png"])
@pytest.mark.parametrize("big", [False, True])
def test_rare_compressions_of_tiff(compression: str, big: bool) -> None:
    tifffile = importlib.import_module("tifffile")
    for pixels, expected in ((PHOTO, PHOTO), (DEEP * 16, three(DEEP >> 4))):
        file = BytesIO()
        colors = "rgb" if pixels.ndim == 3 else "minisblack"
        tifffile.imwrite(file, pixels, compression=compression, bigtiff=big, photometric=colors)
        data = file.getvalue()
        assert image_headers.read(data, "TIFF").reader == "tiff"
        np.testing.assert_array_equal(decode(data, "a"), expected)
    assert "damaged or cut short" in reason(data[: len(data) // 2])


@needs_extra
def test_heic() -> None:
    heif = importlib.import_module("pillow_heif")
    buffer = BytesIO()
    heif.from_pillow(Image.fromarray(PHOTO)).save(buffer, quality=95)
    data = buffer.getvalue()
    assert formats.image_format(data) == "HEIC"
    assert image_headers.read(data, "HEIC").size == (64, 64)  # as stored; the file says what to cut out
    assert np.abs(decode(data, "photo.jpg").astype(int) - PHOTO).mean() < 8
    assert "damaged or cut short" in reason(data[: len(data) // 2])
    several = BytesIO()
    file = heif.from_pillow(Image.fromarray(PHOTO))
    file.add_from_pillow(Image.fromarray(PHOTO[::-1].copy()))
    file.save(several)
    assert "several images" in reason(several.getvalue())


def test_without_the_extra_the_refusal_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for names in optional_readers.MODULES.values():
        for name in names:
            monkeypatch.setitem(sys.modules, name, None)
    frame = b"\xff\xc0\0\x11\x08", b"\xff\xc1\0\x11\x0c"
    data = {
        "HEIC": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(40),
        "JPEG XL": b"\xff\x0a\xff\x07" + bytes(40),
        "JPEG of more than 8 bits": hostile.encode(PHOTO, "JPEG").replace(*frame),
        "JPEG-LS": b"\xff\xd8\xff\xf7\0\x0b\x0c\0\x08\0\x08\1\1\x11\0" + bytes(40),
        "TIFF of a rare compression": tiff_with(GRAY, {259: 50002}),
    }
    for what, content in data.items():
        why = decode_here(content, 1_000_000)
        assert isinstance(why, str)
        assert what in why
        assert 'pip install "padim-inspection[formats]"' in why
        assert "damaged" not in why


# --- recognition ---


@pytest.mark.parametrize(
    ("brands", "kind"),
    [
        (b"avif\0\0\0\0avifmif1miaf", "AVIF"),
        (b"mif1\0\0\0\0mif1avifmiaf", "AVIF"),
        (b"heic\0\0\0\0mif1heic", "HEIC"),
        (b"mif1\0\0\0\0mif1heic", "HEIC"),
        (b"msf1\0\0\0\0msf1hevc", "HEIC"),
        (b"isom\0\0\0\0isomavc1mp41", "a video"),
        (b"qt  \0\0\0\0qt  ", "a video"),
        (b"crx \0\0\0\0crx isom", "a camera's raw file"),
    ],
)
def test_iso_media_files_are_told_apart_by_their_brands(brands: bytes, kind: str) -> None:
    data = struct.pack(">I4s", 8 + len(brands), b"ftyp") + brands + bytes(40)
    found = formats.image_format(data)
    assert found == kind or (found is None and kind in reason(data))


def test_names_of_all_formats_are_tried() -> None:
    for suffix in (".PPM", ".pgm", ".jp2", ".avif", ".heic", ".mpo", ".jxl", ".gif", ".jfif"):
        assert suffix.lower() in formats.IMAGE_SUFFIXES
    assert not set(formats.IMAGE_SUFFIXES) & {*formats.UNREADABLE_SUFFIXES, *formats.ARCHIVE_SUFFIXES}
    assert len(set(formats.IMAGE_SUFFIXES)) == len(formats.IMAGE_SUFFIXES)


@given(st.binary(max_size=600))
def test_everything_is_called_something(data: bytes) -> None:
    assert formats.image_format(data) is None or formats.image_format(data) in formats.SUFFIXES
    assert formats.describe(data)
    assert (formats.archive_kind(data) is None) or formats.archive_kind(data) == formats.describe(data)


@given(st.binary(max_size=300), st.sampled_from(sorted(formats.SUFFIXES)))
def test_headers_of_any_bytes_are_read_without_an_error(data: bytes, kind: str) -> None:
    assert isinstance(image_headers.read(data, kind), image_headers.Header)
    found = tiff_header.directory(b"II*\0" + data)
    assert found is None or isinstance(tiff_header.refusal(found), str)


# --- bit depth ---


def described(data: bytes, bit_depth: int | None = None) -> Samples | None:
    """What a file says of its samples, as fits and scores learn it."""
    found: list[Samples] = []
    with decoded(data, "a", bit_depth=bit_depth, on_samples=found.append):
        pass
    return found[0] if found else None


def test_formats_that_declare_their_range() -> None:
    for data, bits in (
        (pnm_file("P5", DEEP, 4095), 12),
        (pnm_file("P6", PHOTO.astype(np.uint16) * 4, 1023), 10),
        (pam_file(DEEP[..., None], 4095, "GRAYSCALE"), 12),
    ):
        samples = described(data)
        assert samples is not None
        assert (samples.declared, samples.bits) == (bits, bits)
    assert described(pnm_file("P5", GRAY, 255)) is None
    full = described(pnm_file("P5", DEEP, 65535))
    assert full is not None
    assert full.declared is None  # 12-bit data in a 16-bit file: to be asked about
    np.testing.assert_array_equal(decode(pnm_file("P5", DEEP, 65535), "a", bit_depth=12), three(DEEP >> 4))
    odd = described(pnm_file("P5", DEEP // 8, 1000))
    assert odd is not None
    assert (odd.top, odd.declared) == (1000, 16)


@needs_extra
def test_deep_formats_of_the_extra_declare_their_range() -> None:
    codecs = importlib.import_module("imagecodecs")
    for kind in ("jpeg", "jpeg xl"):
        samples = described(WITH_EXTRA[kind](codecs))
        assert samples is not None
        assert samples.declared == 12
    gray = codecs.jpeg2k_encode(DEEP, bitspersample=12, level=0)
    samples = described(gray)
    assert samples is not None
    assert (samples.declared, samples.largest) == (12, int(DEEP.max()))
    np.testing.assert_array_equal(decode(gray, "a"), three(DEEP >> 4))
    colors = codecs.jpeg2k_encode(PHOTO.astype(np.uint16) * 16, level=0)
    samples = described(colors)
    assert samples is not None
    assert samples.declared is None
    np.testing.assert_array_equal(decode(colors, "a", bit_depth=12), PHOTO)


@pytest.mark.parametrize("kind", ["GIF", "JPEG 2000", "AVIF", "HEIC", "JPEG XL", "WebP"])
def test_unbounded_formats_are_never_decoded_in_this_process(kind: str) -> None:
    for data in (b"", bytes(200), hostile.encode(PHOTO, "JPEG2000"), hostile.gif()):
        assert not image_headers.read(data, kind).bounded


@needs_extra
def test_the_readers_of_the_extra_are_imported_by_the_helper_only() -> None:
    codecs = importlib.import_module("imagecodecs")
    data = codecs.jpegxl_encode(PHOTO, lossless=True)
    code = (
        "import sys; from pathlib import Path; from padim.data.decode import decode; "
        "print(decode(Path(sys.argv[1]).read_bytes(), 'a').shape, 'imagecodecs' in sys.modules)"
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.jxl"
        path.write_bytes(data)
        command = [sys.executable, "-c", code, str(path)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[0] == "(24, 32, 3) False"
