"""The default input size, near the parts' own aspect ratio, and the first usable image that decides it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from padim import PadimConfig
from padim.data.first_size import first_size
from padim.data.input_shape import input_shape_for, is_open, with_input_shape
from padim.data.loading import Named
from padim.data.shapes import for_shapes
from padim.errors import ImageError
from padim.input_size import about_area, as_shape
from tests.parts import part, png

SIZES = st.tuples(st.integers(1, 6000), st.integers(1, 6000))
AREA = 256 * 256


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((500, 1270), (160, 416)),
        ((1270, 500), (416, 160)),
        ((1080, 1920), (192, 352)),
        ((1024, 1280), (224, 288)),  # the flattest usual camera
        ((900, 1000), 256),
        ((256, 256), 256),
    ],
)
def test_a_size_is_near_the_parts_own_shape(size: tuple[int, int], expected: Any) -> None:
    assert input_shape_for([size]) == expected
    assert input_shape_for([size] * 3) == expected


@given(SIZES)
def test_no_pair_of_about_the_same_area_is_nearer_in_shape(size: tuple[int, int]) -> None:
    found = input_shape_for([size])
    height, width = as_shape(found)
    ratio = size[1] / size[0]
    if isinstance(found, int):
        assert found == 256
    else:
        assert about_area(height * width, AREA)
    if max(ratio, 1 / ratio) <= 1.2:
        assert found == 256
        return
    off = abs(math.log(width / height / ratio))
    for h in range(64, 2049, 32):
        for w in range(64, 2049, 32):
            if 0.8 * AREA <= h * w <= 1.1 * AREA:
                assert abs(math.log(w / h / ratio)) >= off - 1e-8


@given(st.lists(SIZES, min_size=1, max_size=5))
def test_turned_parts_get_the_turned_shape(sizes: list[tuple[int, int]]) -> None:
    found = as_shape(input_shape_for(sizes))
    turned = as_shape(input_shape_for([(w, h) for h, w in sizes]))
    assert turned == found[::-1]


def test_parts_of_mixed_shapes_get_one_between_them() -> None:
    assert input_shape_for([(480, 640), (640, 480)]) == 256
    height, width = as_shape(input_shape_for([(100, 200), (100, 400)]))
    assert 2 < width / height < 4
    assert input_shape_for([]) == 256


def test_only_an_open_size_is_decided() -> None:
    tall = [(1000, 400)]
    assert is_open(PadimConfig())
    assert with_input_shape(PadimConfig(), tall).input_shape == (416, 160)
    assert with_input_shape(PadimConfig(), []) == PadimConfig()
    for given_ in (256, 128, (64, 96)):
        config = PadimConfig.of({"input_size": given_})
        assert not is_open(config)
        assert with_input_shape(config, tall) is config
    again = with_input_shape(PadimConfig.of({"n_features": 20}), tall)
    assert again.n_features == 20
    assert not is_open(again)


def test_mixed_shapes_are_padded_to_a_rectangle() -> None:
    config = for_shapes(PadimConfig(), [(100, 200), (100, 400)])
    assert config.fit == "pad"
    assert config.input_shape[0] < config.input_shape[1]
    said = for_shapes(PadimConfig.of({"fit": "stretch", "input_size": 256}), [(100, 200), (100, 400)])
    assert (said.fit, said.input_size) == ("stretch", 256)


# --- the first usable image ---


def test_the_first_usable_image_is_read_once_and_nothing_behind_it() -> None:
    read = []
    images: list[Named] = [
        ("text.png", b"no image"),
        ("error.png", ImageError("error.png", "gone")),
        ("a.png", png(part(0, size=(40, 90)))),
        ("b.png", png(part(1, size=(50, 50)))),
    ]

    def stream() -> Iterator[Named]:
        for image in images:
            read.append(image[0])
            yield image

    size, whole = first_size(stream())
    assert size == (40, 90)
    assert read == ["text.png", "error.png", "a.png"]
    back = list(whole)
    assert [name for name, _ in back] == [name for name, _ in images]
    assert back[2:] == images[2:]
    assert all(isinstance(content, ImageError) for _, content in back[:2])
    size, whole = first_size(images)
    assert len(whole) == 4  # type: ignore[arg-type]
    assert len(list(whole)) == 4


def test_an_upright_image_counts_as_the_model_sees_it() -> None:
    from io import BytesIO

    from PIL import Image

    buffer, turned = BytesIO(), Image.Exif()
    turned[0x0112] = 6  # to be turned by 90 degrees
    Image.fromarray(part(0, size=(40, 90))).save(buffer, "JPEG", exif=turned)
    assert first_size([("a.jpg", buffer.getvalue())])[0] == (90, 40)


def test_arrays_and_streams_without_an_image() -> None:
    assert first_size([("a", np.zeros((3, 7, 3), np.uint8))])[0] == (3, 7)
    bad: list[Named] = [(f"{i}", b"") for i in range(100)]
    size, whole = first_size(iter(bad))
    assert size is None
    assert len(list(whole)) == 100
    assert first_size([])[0] is None
