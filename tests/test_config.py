"""PadimConfig: defaults, YAML, and errors that a person can act on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from padim.config import PadimConfig
from padim.errors import PadimError


def test_defaults() -> None:
    assert PadimConfig().model_dump(mode="json") == {
        "backbone": "efficientnet_lite0",
        "layers": ["blocks.2", "blocks.4", "blocks.10"],
        "input_size": 256,
        "fit": "stretch",
        "grid_stride": 8,
        "n_features": 100,
        "seed": 0,
        "eps": 0.01,
        "shrinkage": 0.0,
        "smoothing_sigma": 4.0,
        "min_area": 16,
    }
    assert PadimConfig().grid == 32


configs = st.builds(
    PadimConfig,
    backbone=st.text(max_size=20),
    layers=st.lists(st.text(max_size=12), min_size=1, max_size=5, unique=True).map(tuple),
    input_size=st.integers(2, 64).map(lambda i: 32 * i),
    fit=st.sampled_from(["stretch", "pad"]),
    grid_stride=st.sampled_from([4, 8, 16]),
    n_features=st.none() | st.integers(1, 2000),
    seed=st.integers(0, 2**63),
    eps=st.floats(1e-3, 1e3),
    shrinkage=st.floats(0, 1, exclude_max=True),
    smoothing_sigma=st.floats(0, 64),
    min_area=st.integers(1, 64**2),
)


@given(configs)
def test_yaml_round_trip(config: PadimConfig) -> None:
    assert PadimConfig.from_yaml(config.to_yaml()) == config


@given(configs)
def test_json_round_trip(config: PadimConfig) -> None:
    assert PadimConfig.model_validate(config.model_dump(mode="json")) == config


def test_missing_keys_take_their_defaults() -> None:
    assert PadimConfig.from_yaml("") == PadimConfig()
    assert PadimConfig.from_yaml("input_size: 128") == PadimConfig(input_size=128)
    assert PadimConfig.from_yaml("n_features: null").n_features is None


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("n_feature", "n_features"),
        ("inputsize", "input_size"),
        ("sigma", "smoothing_sigma"),
        ("Backbone", "backbone"),
        ("grid-stride", "grid_stride"),
    ],
)
def test_unknown_key_is_refused_with_a_suggestion(key: str, meant: str) -> None:
    with pytest.raises(PadimError, match=f"unknown key '{key}'; did you mean '{meant}'"):
        PadimConfig.from_yaml(f"{key}: 1")


def test_unknown_key_unlike_any_is_answered_with_all() -> None:
    with pytest.raises(PadimError, match=r"valid keys: backbone, .*min_area"):
        PadimConfig.from_yaml("qwzx: 1")
    with pytest.raises(ValidationError, match="unknown key 'n_feature'"):
        PadimConfig(n_feature=3)  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("layers", []),
        ("layers", "blocks.2"),
        ("layers", ["blocks.2", "blocks.4", "blocks.2"]),
        ("input_size", 32),
        ("input_size", 100),
        ("input_size", 4096),
        ("input_size", "wide"),
        ("fit", "crop"),
        ("grid_stride", 5),
        ("n_features", 0),
        ("n_features", 2.5),
        ("seed", -1),
        ("eps", 0),
        ("eps", 1e-7),
        ("eps", float("inf")),
        ("eps", float("nan")),
        ("shrinkage", 1),
        ("shrinkage", float("nan")),
        ("smoothing_sigma", -1),
        ("smoothing_sigma", float("nan")),
        ("min_area", 0),
        ("min_area", 256**2 + 1),
    ],
)
def test_out_of_range_names_the_key(key: str, value: Any) -> None:
    with pytest.raises(PadimError, match=key):
        PadimConfig.from_yaml(yaml.safe_dump({key: value}))


def test_all_errors_are_told_at_once() -> None:
    with pytest.raises(PadimError, match=r"input_size.*seed"):
        PadimConfig.from_yaml("{input_size: 7, seed: -1}")


@pytest.mark.parametrize("text", ["- backbone", "backbone", "[1, 2]", "3"])
def test_not_a_mapping(text: str) -> None:
    with pytest.raises(PadimError, match="key: value"):
        PadimConfig.from_yaml(text)


@pytest.mark.parametrize("text", ["a: [1", "{", "a: b: c", "\t- x", "!!python/object:os.system {}"])
def test_broken_or_hostile_yaml(text: str) -> None:
    with pytest.raises(PadimError, match="YAML"):
        PadimConfig.from_yaml(text)


def test_file_errors_name_the_file(tmp_path: Path) -> None:
    path = tmp_path / "line_3.yaml"
    with pytest.raises(PadimError, match=r"line_3\.yaml"):
        PadimConfig.load(path)
    with pytest.raises(PadimError, match=tmp_path.name):
        PadimConfig.load(tmp_path)
    path.write_text("n_feature: 3")
    with pytest.raises(PadimError, match=r"line_3\.yaml.*did you mean 'n_features'"):
        PadimConfig.load(path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(PadimError, match=r"line_3\.yaml"):
        PadimConfig.load(path)
    path.write_text(PadimConfig(seed=5).to_yaml(), encoding="utf-8")
    assert PadimConfig.load(path) == PadimConfig(seed=5)


def test_immutable() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        PadimConfig().seed = 3  # type: ignore[misc]
