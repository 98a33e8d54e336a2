"""The input size: a side, or height x width, as a setting, in text and in files."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from padim import Padim, PadimConfig
from padim.errors import PadimError
from padim.input_size import LARGEST, SMALLEST, as_input_size, as_shape, as_text
from padim.network.extractor import open_extractor
from tests.parts import normals

SIDES = st.integers(SMALLEST // 32, LARGEST // 32).map(lambda n: 32 * n)


@given(SIDES, SIDES)
def test_every_way_to_write_a_size_is_the_same(height: int, width: int) -> None:
    size = as_input_size((height, width))
    assert as_shape(size) == (height, width)
    for written in ([height, width], f"{height}x{width}", f" {height} × {width} ", as_text(size)):
        assert as_input_size(written) == size
    config = PadimConfig.of({"input_size": f"{height}x{width}"})
    assert config.input_shape == (height, width)
    assert PadimConfig.from_yaml(config.to_yaml()) == config
    assert PadimConfig.of_saved(json.loads(json.dumps(config.model_dump(mode="json")))) == config
    assert hash(config) == hash(PadimConfig.of({"input_size": [height, width]}))


@given(SIDES)
def test_a_square_has_one_form(side: int) -> None:
    for written in (side, str(side), float(side), (side, side), f"{side}x{side}"):
        assert as_input_size(written) == side
        assert isinstance(as_input_size(written), int)
    assert as_text(side) == str(side)
    config = PadimConfig(input_size=side)
    assert config.model_dump(mode="json")["input_size"] == side
    assert config.under_former_names()["input_size"] == side


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (48, "64 to 2,048"),
        (100, "nearest are 96 and 128"),
        ((64, 100), "nearest are 96 and 128"),
        ((64, 4096), "64 to 2,048"),
        ("160x", "height x width"),
        ("160x416x3", "height x width"),
        ("tall", "height x width"),
        ((64,), "two: height and width"),
        ((64, 64, 64), "two: height and width"),
        (True, "64 to 2,048"),
        (None, "whole numbers"),
        (256.5, "whole numbers"),
        ("9" * 5000, "height x width"),
    ],
)
def test_other_sizes_are_refused_with_the_reason(value: Any, why: str) -> None:
    with pytest.raises(PadimError, match=rf"input_size: .*{why}"):
        PadimConfig.of({"input_size": value})


def test_the_grid_has_the_shape_of_the_input() -> None:
    config = PadimConfig.of({"input_size": "160x416"})
    assert config.input_shape == (160, 416)
    assert config.grid_shape == (20, 52)
    assert config.positions == 20 * 52
    with pytest.raises(PadimError, match="larger than the whole 64 x 96 map"):
        PadimConfig.of({"input_size": (64, 96), "min_area": 64 * 96 + 1})


def test_features_of_squares_keep_their_identity_and_rectangles_have_their_own() -> None:
    """Stored features of former versions stay valid; a rectangle's are not taken for its turned one's."""
    found = {}
    for size in (64, (64, 96), (96, 64)):
        config = PadimConfig(input_size=size, feature_norm="none")
        extractor = open_extractor(config)
        text = f"{as_text(size)}/{config.grid_stride}"
        network = hashlib.sha256(extractor.backbone_onnx).digest()
        found[size] = extractor.identity
        assert extractor.identity == hashlib.sha256(network + text.encode()).hexdigest()
        assert as_text(size) == {64: "64", (64, 96): "64x96", (96, 64): "96x64"}[size]
    assert len(set(found.values())) == 3


def test_a_decision_set_before_the_fit_leaves_the_input_size_open() -> None:
    model = Padim(n_features=20).set_decision(percentile=90, min_area=4)
    assert model.config.model_fields_set == {"n_features", "min_area"}
    model.fit(normals(3, size=(60, 150)))
    assert model.config.input_shape[1] > 1.5 * model.config.input_shape[0]
