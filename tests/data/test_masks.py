"""Masks read as masks: every stored value above 0 is defect, transparency is not, turned as their images."""

from __future__ import annotations

import struct
import zlib
from io import BytesIO
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from padim.data.decode import decode
from padim.data.masks import is_empty, read_mask
from padim.data.orientation import turned
from padim.errors import ImageError

H, W = 6, 9
PLACE = (slice(1, 3), slice(2, 5))


def shape() -> npt.NDArray[np.bool_]:
    mask = np.zeros((H, W), np.bool_)
    mask[PLACE] = True
    return mask


def saved(image: Image.Image, kind: str = "PNG", **how: Any) -> bytes:
    buffer = BytesIO()
    image.save(buffer, kind, **how)
    return buffer.getvalue()


def gray(value: float, dtype: Any = np.uint8) -> npt.NDArray[Any]:
    return np.where(shape(), value, 0).astype(dtype)


def palette(colors: list[int], indices: npt.NDArray[Any]) -> Image.Image:
    image = Image.fromarray(indices.astype(np.uint8), "P")
    image.putpalette(colors)
    return image


RED, CLEAR = (255, 0, 0, 255), (255, 255, 255, 0)


def colored(inside: tuple[int, ...], outside: tuple[int, ...], mode: str) -> Image.Image:
    pixels = np.where(shape()[..., None], np.array(inside), np.array(outside)).astype(np.uint8)
    return Image.fromarray(pixels, mode)


KINDS = {
    "8 bits, 255": saved(Image.fromarray(gray(255))),
    "8 bits, 1": saved(Image.fromarray(gray(1))),
    "1 bit": saved(Image.fromarray(shape())),
    "16 bits, id 1": saved(Image.fromarray(gray(1, np.uint16))),
    "16 bits, id 300": saved(Image.fromarray(gray(300, np.uint16))),
    "16-bit TIFF": saved(Image.fromarray(gray(7, np.uint16)), "TIFF"),
    "32-bit TIFF": saved(Image.fromarray(gray(3, np.int32)), "TIFF"),
    "float TIFF": saved(Image.fromarray(gray(0.25, np.float32)), "TIFF"),
    "float TIFF above 1": saved(Image.fromarray(gray(255.0, np.float32)), "TIFF"),
    "1-bit TIFF, white is zero": saved(Image.fromarray(shape()), "TIFF"),
    "BMP": saved(Image.fromarray(gray(255)), "BMP"),
    "PGM, ids": saved(Image.fromarray(gray(1)), "PPM"),
    "PGM, 16 bits": saved(Image.fromarray(gray(300, np.uint16)), "PPM"),
    "PBM": saved(Image.fromarray(shape()), "PPM"),
    "GIF": saved(Image.fromarray(gray(255)), "GIF"),
    "JPEG 2000": saved(Image.fromarray(gray(255)), "JPEG2000"),
    "color": saved(colored((0, 0, 9), (0, 0, 0), "RGB")),
    "alpha 0 around": saved(colored(RED, CLEAR, "RGBA")),
    "black drawn on clear": saved(colored((0, 0, 0, 255), CLEAR, "RGBA")),
    "opaque with alpha": saved(colored(RED, (0, 0, 0, 255), "RGBA")),
    "gray and alpha": saved(colored((200, 255), (255, 0), "LA")),
    "VOC palette": saved(palette([0, 0, 0, 128, 0, 0], gray(1))),
    "palette all black": saved(palette([0, 0, 0] * 4, gray(3))),
    "palette, ground of another color": saved(palette([9, 9, 9, 200, 0, 0], gray(1))),
    "plain palette image, white first": saved(palette([255, 255, 255, 0, 0, 0], np.where(shape(), 0, 1))),
    "palette with a clear color": saved(palette([255, 0, 0, 0, 255, 0], gray(1)), transparency=0),
    "lossless WebP": saved(Image.fromarray(gray(255)).convert("RGB"), "WEBP", lossless=True),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_mask_shows_the_same_defect(kind: str) -> None:
    np.testing.assert_array_equal(read_mask(KINDS[kind], "m", (H, W)), shape())
    assert not is_empty(KINDS[kind], "m")


EMPTY = {
    "black": saved(Image.new("L", (W, H))),
    "clear": saved(Image.new("RGBA", (W, H), CLEAR)),
    "palette index 0": saved(palette([255, 255, 255, 255, 0, 0], np.zeros((H, W)))),
    "plain palette image, all black": saved(palette([255, 255, 255, 0, 0, 0], np.ones((H, W)))),
    "JPEG": saved(Image.new("L", (W, H)), "JPEG"),
    "JPEG with noise": saved(Image.fromarray(np.arange(H * W, dtype=np.uint8).reshape(H, W) % 4), "JPEG"),
    "NaN": saved(Image.fromarray(np.full((H, W), np.nan, np.float32)), "TIFF"),
}


@pytest.mark.parametrize("kind", EMPTY)
def test_an_empty_mask_is_empty(kind: str) -> None:
    assert not read_mask(EMPTY[kind], "m", (H, W)).any()
    assert is_empty(EMPTY[kind], "m")


@pytest.mark.parametrize("quality", [60, 75, 90, 100])
def test_a_jpeg_mask_has_no_noise(quality: int) -> None:
    drawn = np.zeros((64, 64), np.uint8)
    drawn[16:40, 8:32] = 255
    found = read_mask(saved(Image.fromarray(drawn), "JPEG", quality=quality), "m", (64, 64))
    assert np.mean(found != (drawn > 0)) < 0.01


@pytest.mark.parametrize(("kind", "how"), [("WEBP", {"quality": 60}), ("AVIF", {"quality": 60})])
def test_masks_in_other_lossy_formats_have_no_noise(kind: str, how: dict[str, Any]) -> None:
    drawn = np.zeros((64, 64, 3), np.uint8)
    drawn[16:40, 8:32] = 255
    found = read_mask(saved(Image.fromarray(drawn), kind, **how), "m", (64, 64))
    assert np.mean(found != (drawn[..., 0] > 0)) < 0.01


def test_a_jpeg_mask_that_is_cut_short_is_refused() -> None:
    drawn = np.zeros((64, 64), np.uint8)
    drawn[16:40, 8:32] = 255
    data = saved(Image.fromarray(drawn), "JPEG")
    with pytest.raises(ImageError, match="damaged or cut short"):
        read_mask(data[: len(data) * 3 // 4] + b"\xff\xd9", "m", (64, 64))


@pytest.mark.parametrize(("kind", "bands"), [(2, 3), (6, 4), (4, 2)], ids=["RGB", "RGBA", "gray and alpha"])
@pytest.mark.parametrize("also", [0, 60000])
def test_16_bit_colors_below_256_do_not_vanish(kind: int, bands: int, also: int) -> None:
    pixels = np.zeros((H, W, bands), ">u2")
    pixels[(*PLACE, 0)] = 5
    if bands in (2, 4):
        pixels[..., -1] = 65535
    expected = shape()
    if also:  # another defect of the full range beside it
        pixels[5, 8, 0] = also
        expected[5, 8] = True

    def chunk(name: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
        )

    rows = b"".join(b"\0" + row.tobytes() for row in pixels)
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", W, H, 16, kind, 0, 0, 0))
    data += chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    np.testing.assert_array_equal(read_mask(data, "m", (H, W)), expected)


def oriented(orientation: int | None) -> dict[str, Any]:
    if orientation is None:
        return {}
    exif = Image.Exif()
    exif[274] = orientation
    return {"exif": exif}


@given(orientation=st.integers(1, 8), side=st.sampled_from([(6, 9), (7, 7)]), tagged=st.booleans())
def test_a_mask_in_stored_pixels_is_turned_as_its_image(
    orientation: int, side: tuple[int, int], tagged: bool
) -> None:
    stored = np.zeros((*side, 3), np.uint8)
    stored[1:3, 2:5] = 255
    image = saved(Image.fromarray(stored), **oriented(orientation))
    upright = decode(image, "image")
    mask = saved(Image.fromarray(stored[..., 0]), **oriented(orientation if tagged else None))
    found = read_mask(mask, "m", upright.shape[:2], orientation)
    np.testing.assert_array_equal(found, upright[..., 0] > 0)


@given(orientation=st.sampled_from([5, 6, 7, 8]))
def test_a_mask_drawn_on_the_upright_image_is_left_as_it_is(orientation: int) -> None:
    upright = turned(shape(), orientation)
    found = read_mask(saved(Image.fromarray(upright)), "m", upright.shape, orientation)
    np.testing.assert_array_equal(found, upright)


def test_a_mask_that_states_that_it_is_upright_is_believed() -> None:
    square = np.zeros((7, 7), np.uint8)
    square[1, 2:5] = 255
    found = read_mask(saved(Image.fromarray(square), **oriented(1)), "m", (7, 7), 6)
    np.testing.assert_array_equal(found, square > 0)


def test_a_turned_tiff_mask_is_turned_once() -> None:
    square = np.zeros((7, 7), np.uint8)
    square[1, 2:5] = 255
    data = saved(Image.fromarray(square), "TIFF", tiffinfo={274: 6})
    np.testing.assert_array_equal(read_mask(data, "m", (7, 7), 6), turned(square > 0, 6))


def test_other_sizes_and_other_files_are_refused() -> None:
    with pytest.raises(ImageError, match="the mask is 9 × 6, its image 9 × 7"):
        read_mask(KINDS["8 bits, 255"], "m.png", (7, 9))
    for data in (b"", b"no image", KINDS["8 bits, 255"][:-20]):
        with pytest.raises(ImageError, match=r"m\.png"):
            read_mask(data, "m.png", (H, W))


def test_a_jpeg_mask_with_missing_data_is_refused() -> None:
    noise = np.random.default_rng(2).integers(0, 256, (64, 64)).astype(np.uint8)
    data = saved(Image.fromarray(noise), "JPEG")
    assert read_mask(data, "m.jpg", (64, 64)).any()
    with pytest.raises(ImageError, match="damaged or cut short"):
        read_mask(data[: len(data) // 2] + b"\xff\xd9", "m.jpg", (64, 64))
