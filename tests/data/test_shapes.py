"""Shapes, sizes and color kinds: when padding is the default, and what is noted about a test image."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from padim import PadimConfig
from padim.data.shapes import Expected, color_kind, for_shapes, mixed_shapes, shape_note
from tests.parts import part

sides = st.integers(1, 5000)
sizes = st.lists(st.tuples(sides, sides), min_size=1, max_size=8)


# --- the rule for good parts of mixed shapes ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("seen", "mixed"),
    [
        ([(300, 400), (600, 800), (1536, 2048)], False),
        ([(300, 400), (301, 400)], False),
        ([(300, 400), (400, 300)], True),
        ([(300, 400), (310, 400)], True),
        ([], False),
    ],
)
def test_mixed_shapes_are_padded_unless_it_is_said(seen: list[tuple[int, int]], mixed: bool) -> None:
    assert mixed_shapes(seen) is mixed
    config = PadimConfig(input_size=96, seed=3)
    found = for_shapes(config, seen)
    assert found.fit == ("pad" if mixed else "stretch")
    assert found.model_dump(exclude={"fit"}) == config.model_dump(exclude={"fit"})
    for chosen in ("stretch", "pad"):
        assert for_shapes(PadimConfig.of({"fit": chosen}), seen).fit == chosen


@given(sizes)
def test_the_rule_does_not_depend_on_the_order(seen: list[tuple[int, int]]) -> None:
    assert mixed_shapes(seen) == mixed_shapes(seen[::-1]) == mixed_shapes([*seen, *seen])


def test_the_extremes_are_named() -> None:
    assert shape_note([(300, 400), (300, 300), (2000, 1000)]) == (
        "the good parts differ in shape, from 1,000 × 2,000 to 400 × 300 pixels"
    )


# --- notes on test images -----------------------------------------------------------------------------------


def expected(*seen: tuple[int, int], kinds: tuple[str | None, ...] = ("color",)) -> Expected:
    return Expected.of(seen, kinds)


@pytest.mark.parametrize(
    ("seen", "size", "note"),
    [
        ([(1536, 2048)], (1536, 2048), None),
        (
            [(1536, 2048)],
            (768, 1024),
            "The image has 1,024 × 768 pixels; the good parts have 2,048 × 1,536.",
        ),
        (
            [(1536, 2048)],
            (2048, 1536),
            "The image has another shape, 1,536 × 2,048 pixels; the good parts have 2,048 × 1,536.",
        ),
        ([(300, 400), (400, 300)], (300, 400), None),
        (
            [(300, 400), (400, 300)],
            (300, 300),
            "The image has another shape, 300 × 300 pixels; the good parts have 400 × 300 or 300 × 400.",
        ),
        # Cut out by hand, each of its own size: only what is beyond all of them is unlike.
        ([(100, 100), (110, 120), (130, 125), (140, 150)], (120, 125), None),
        (
            [(100, 100), (110, 120), (130, 125), (140, 150)],
            (300, 310),
            "The image has 310 × 300 pixels; the good parts have 100 × 100 to 150 × 140.",
        ),
        (
            [(100, 100), (110, 120), (130, 125), (140, 150)],
            (100, 150),
            "The image has another shape, 150 × 100 pixels; the good parts have 100 × 100 to 150 × 140.",
        ),
    ],
)
def test_another_size_or_shape_is_noted(
    seen: list[tuple[int, int]], size: tuple[int, int], note: str | None
) -> None:
    assert expected(*seen).notes(size, "color") == (() if note is None else (note,))


@given(sizes)
def test_the_good_parts_themselves_are_like_the_good_parts(seen: list[tuple[int, int]]) -> None:
    kinds = ["gray", "color with alpha"] * len(seen)
    known = Expected.of(seen, kinds)
    assert all(known.notes(size, kind) == () for size in seen for kind in set(kinds))


@pytest.mark.parametrize(
    ("kinds", "kind", "note"),
    [
        (["gray"], "color", "The image is in color; the good parts are gray."),
        (["color"], "gray", "The image is gray; the good parts are in color."),
        (["gray", "color"], "gray", None),
        (["color", "nearly gray"], "gray", None),
        (["gray"], "nearly gray", None),
        (["color"], "nearly gray", None),
        (["color"], "color with alpha", "The image has an alpha channel; the good parts have none."),
        (["gray with alpha"], "gray", "The image has no alpha channel; the good parts have one."),
        (["color", "color with alpha"], "color", None),
        # Saved before it was recorded.
        ([None], "gray with alpha", None),
        (["color", None], "gray", None),
    ],
)
def test_another_color_kind_is_noted(kinds: list[str | None], kind: str, note: str | None) -> None:
    assert Expected.of([(9, 9)], kinds).notes((9, 9), kind) == (() if note is None else (note,))


def encoded(image: Image.Image, form: str, **options: Any) -> bytes:
    buffer = BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


RGB = Image.fromarray(part(1))
TRANSPARENT = RGB.copy()
TRANSPARENT.putalpha(Image.linear_gradient("L").resize(RGB.size))
ANIMATED_HEAD = {"exif": b"Exif\0\0"}


@pytest.mark.parametrize(
    ("content", "alpha"),
    [
        (encoded(RGB, "PNG"), False),
        (encoded(TRANSPARENT, "PNG"), True),
        (encoded(TRANSPARENT.convert("LA"), "PNG"), True),
        (encoded(RGB, "PNG", transparency=(1, 2, 3)), True),
        (encoded(RGB, "WEBP", lossless=True), False),
        (encoded(TRANSPARENT, "WEBP", lossless=True), True),
        (encoded(RGB, "WEBP"), False),
        (encoded(TRANSPARENT, "WEBP"), True),
        (encoded(RGB, "WEBP", exif=b"Exif\0\0II*\0\x08\0\0\0\0\0\0\0\0\0"), False),
        (encoded(RGB, "TIFF"), False),
        (encoded(TRANSPARENT, "TIFF"), True),
        (encoded(RGB, "JPEG"), False),
        (encoded(RGB, "BMP"), False),
        (np.asarray(RGB), False),
    ],
)
def test_an_alpha_channel_is_seen_in_the_file(content: bytes | npt.NDArray[np.uint8], alpha: bool) -> None:
    assert color_kind(np.asarray(RGB), content) == ("color with alpha" if alpha else "color")


def test_gray_is_what_has_equal_channels_whatever_the_file() -> None:
    gray = RGB.convert("L").convert("RGB")
    assert color_kind(np.asarray(gray), b"") == "gray"
    as_jpeg = Image.open(BytesIO(encoded(gray, "JPEG", quality=60))).convert("RGB")
    assert color_kind(np.asarray(as_jpeg), b"") == "gray"
    # A small colored mark makes it an image in color.
    marked = np.array(gray)
    marked[3, 4] = (200, 40, 40)
    assert color_kind(marked, b"") == "color"
    tinted = np.full((8, 8, 3), 100, np.uint8)
    tinted[..., 2] += 5
    assert color_kind(tinted, b"") == "nearly gray"
