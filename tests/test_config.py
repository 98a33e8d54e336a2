"""PadimConfig: defaults, YAML, and errors that a person can act on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from padim.cli.options import config_of
from padim.config import PadimConfig
from padim.errors import PadimError
from padim.methods.catalogue import METHODS
from padim.network.registry import REGISTRY, Backbone


def test_defaults() -> None:
    assert PadimConfig().model_dump(mode="json") == {
        "method": "padim",
        "backbone": "efficientnet_lite0",
        "weights": "pretrained",
        "layers": ["blocks.2", "blocks.4", "blocks.10"],
        "inactive_layers": [],
        "input_size": 256,
        "fit": "stretch",
        "bit_depth": None,
        "align": None,
        "grid_stride": 8,
        "feature_norm": "l2",
        "n_features": 100,
        "seed": 0,
        "eps": 0.01,
        "shrinkage": 0.0,
        "position_tolerance": 0,
        "coreset_percent": 1.0,
        "neighborhood": 0,
        "folds": 5,
        "max_epochs": 30,
        "patience": 8,
        "svdd_objective": "one_class",
        "svdd_nu": 0.1,
        "flow_couplings": 6,
        "members": ["padim", "patchcore"],
        "smoothing_sigma": 4.0,
        "min_area": 16,
        "pixel_size_mm": None,
    }
    assert PadimConfig().grid_shape == (32, 32)
    assert PadimConfig().positions == 32 * 32


@st.composite
def _configs(draw: st.DrawFn) -> PadimConfig:
    backbone = draw(st.sampled_from(list(REGISTRY.values())))
    names = [layer.name for layer in backbone.layers]
    layers = draw(st.lists(st.sampled_from(names), min_size=1, unique=True))
    inactive = draw(st.lists(st.sampled_from(layers), max_size=len(layers) - 1, unique=True))
    channels = backbone.channels([name for name in layers if name not in inactive])
    return PadimConfig(
        backbone=backbone.name,
        weights=draw(st.sampled_from(["pretrained", "random"])),
        layers=tuple(layers),
        inactive_layers=tuple(inactive),
        input_size=32 * draw(st.integers(2, 64)),
        fit=draw(st.sampled_from(["stretch", "pad"])),
        grid_stride=draw(st.sampled_from([4, 8, 16])),
        n_features=draw(st.none() | st.integers(1, channels)),
        seed=draw(st.integers(0, 2**63)),
        eps=draw(st.floats(1e-3, 1e3)),
        shrinkage=draw(st.floats(0, 1, exclude_max=True)),
        smoothing_sigma=draw(st.floats(0, 64)),
        min_area=draw(st.integers(1, 64**2)),
        pixel_size_mm=draw(st.none() | st.floats(1e-6, 1000)),
    )


configs = _configs()


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
        ("weight", "weights"),
        ("inactivelayers", "inactive_layers"),
        ("grid-stride", "grid_stride"),
    ],
)
def test_unknown_key_is_refused_with_a_suggestion(key: str, meant: str) -> None:
    with pytest.raises(PadimError, match=f"unknown key '{key}'; did you mean '{meant}'"):
        PadimConfig.from_yaml(f"{key}: 1")


def test_a_setting_is_read_under_its_former_name() -> None:
    config = PadimConfig.from_yaml("muted_layers: [blocks.2]")
    assert config == PadimConfig(inactive_layers=("blocks.2",))
    assert config.n_features == PadimConfig(inactive_layers=("blocks.2",)).n_features
    assert PadimConfig.of_saved({"muted_layers": ["blocks.2"]}).inactive_layers == ("blocks.2",)
    assert "inactive_layers" in config.to_yaml()
    assert "muted_layers" not in config.to_yaml()
    with pytest.raises(PadimError, match="unknown key 'muted_layers'"):
        PadimConfig.from_yaml("muted_layers: [blocks.2]\ninactive_layers: [blocks.4]")


def test_digests_have_settings_under_their_first_names() -> None:
    settings = PadimConfig().model_dump(mode="json")
    former = PadimConfig().under_former_names()
    assert list(former.values()) == list(settings.values())
    assert {**settings, **former}.keys() - settings.keys() == {"muted_layers"}


def test_unknown_key_unlike_any_is_answered_with_all() -> None:
    with pytest.raises(PadimError, match=r"valid keys: method, backbone, .*min_area"):
        PadimConfig.from_yaml("qwzx: 1")
    with pytest.raises(ValidationError, match="unknown key 'n_feature'"):
        PadimConfig(n_feature=3)  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("layers", []),
        ("layers", "blocks.2"),
        ("layers", ["blocks.2", "blocks.4", "blocks.2"]),
        ("layers", None),
        ("backbone", "resnet"),
        ("backbone", 18),
        ("backbone", None),
        ("weights", "imagenet"),
        ("inactive_layers", "blocks.2"),
        ("inactive_layers", ["blocks.0"]),
        ("inactive_layers", ["blocks.2", "blocks.4", "blocks.10"]),
        ("n_features", 177),
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


@pytest.mark.parametrize("backbone", REGISTRY.values(), ids=lambda b: b.name)
def test_layers_and_d_are_the_backbones_own(backbone: Backbone) -> None:
    config = PadimConfig(backbone=backbone.name)
    assert (config.layers, config.n_features) == (backbone.default_layers, backbone.default_n_features)
    assert config.channels == backbone.channels(backbone.default_layers)
    # One layer may have fewer channels than the default d.
    for layer in backbone.layers:
        d = PadimConfig(backbone=backbone.name, layers=(layer.name,)).n_features
        default = backbone.default_n_features
        assert d == (None if default is None else min(default, layer.channels))


def test_an_unknown_backbone_or_layer_is_answered_with_the_valid_ones() -> None:
    with pytest.raises(PadimError, match=r"did you mean 'resnet50'\? known: efficientnet_lite0, ") as caught:
        PadimConfig.from_yaml("backbone: resnet_50")
    assert "\n" not in str(caught.value)
    with pytest.raises(PadimError, match=r"no layer 'layer2'; it has blocks\.0 \(stride 2, 16 channels\)"):
        PadimConfig.from_yaml("layers: [layer2]")


def test_more_features_than_channels_names_both() -> None:
    text = "{backbone: resnet18, layers: [layer1, layer2], n_features: 200}"
    with pytest.raises(PadimError, match="n_features: 200 is more than the 192 channels of layer1, layer2"):
        PadimConfig.from_yaml(text)
    assert PadimConfig.from_yaml(text.replace("200", "192")).n_features == 192
    with pytest.raises(PadimError, match="100 is more than the 64 channels of layer1 of resnet18"):
        PadimConfig.from_yaml("{backbone: resnet18, inactive_layers: [layer2, layer3], n_features: 100}")


def test_muted_layers_give_no_channels() -> None:
    config = PadimConfig(layers=("blocks.10", "blocks.4", "blocks.2"), inactive_layers=("blocks.4",))
    assert config.active_layers == ("blocks.2", "blocks.10")
    assert config.channels == 24 + 112
    assert PadimConfig(inactive_layers=("blocks.10",)).n_features == 64


def test_a_saved_model_may_have_asked_for_more_than_there_was() -> None:
    saved = {"layers": ["blocks.2", "blocks.4"], "n_features": 100}
    assert PadimConfig.of_saved(saved) == PadimConfig(
        layers=("blocks.2", "blocks.4"), n_features=64, feature_norm="none"
    )
    assert PadimConfig.of_saved({**saved, "n_features": 7}).n_features == 7
    assert PadimConfig.of_saved({**saved, "n_features": None}).n_features is None
    assert PadimConfig.of_saved({}) == PadimConfig(feature_norm="none")
    with pytest.raises(ValidationError, match="n_features"):
        PadimConfig.of_saved({**saved, "n_features": "many"})
    with pytest.raises(ValidationError, match="no layer"):
        PadimConfig.of_saved({"layers": ["layer1"], "n_features": 3})


def test_feature_normalization_is_the_methods_choice_unless_given() -> None:
    for method in METHODS.values():
        assert PadimConfig(method=method.name).feature_norm == method.feature_norm
        for norm in ("l2", "none"):
            text = f"method: {method.name}\nfeature_norm: {norm}"
            assert PadimConfig.from_yaml(text).feature_norm == norm
        located = "none" if method.name == "padim" else method.feature_norm
        assert PadimConfig(method=method.name, align={"method": "outline"}).feature_norm == located
    assert PadimConfig(align="outline", feature_norm="l2").feature_norm == "l2"
    assert PadimConfig.from_yaml("").feature_norm == "l2"
    with pytest.raises(PadimError, match="feature_norm"):
        PadimConfig.from_yaml("feature_norm: l1")


def test_models_saved_before_there_was_feature_normalization_have_none() -> None:
    saved = PadimConfig(feature_norm="none").model_dump(mode="json")
    del saved["feature_norm"]
    assert PadimConfig.of_saved(saved) == PadimConfig(feature_norm="none")
    assert PadimConfig.of_saved({**saved, "feature_norm": "l2"}) == PadimConfig()
    assert PadimConfig.from_yaml(yaml.safe_dump(saved)) == PadimConfig()


def test_only_what_was_given_counts_as_set() -> None:
    assert PadimConfig().model_fields_set == set()
    given = {"backbone": "resnet18", "method": "stfpm", "eps": 0.1}
    config = PadimConfig.of(given)
    assert config.model_fields_set == given.keys()
    assert (config.folds, config.max_epochs, config.layers[0]) == (3, 20, "layer1")
    assert PadimConfig.of(config.model_dump(exclude_unset=True)) == config


def test_another_method_brings_its_own_defaults(tmp_path: Path) -> None:
    path = tmp_path / "padim.yaml"
    path.write_text("eps: 0.1\n", encoding="utf-8")
    assert config_of(path, method="stfpm") == PadimConfig(method="stfpm", eps=0.1)
    path.write_text("folds: 4\nfeature_norm: l2\n", encoding="utf-8")
    assert config_of(path, method="stfpm") == PadimConfig(method="stfpm", folds=4, feature_norm="l2")


def test_an_input_size_between_is_answered_with_its_neighbours() -> None:
    with pytest.raises(PadimError, match=r"multiple of 32, .* nearest are 224 and 256 \(got 250\)"):
        PadimConfig.from_yaml("input_size: 250")


@pytest.mark.parametrize("metric", ["", "distance_metric: mahalanobis"])
def test_nested_yaml(metric: str) -> None:
    pairs = ["backbone: resnet50", "layers: [layer2, layer3]", "n_features: 100", *filter(None, [metric])]
    expected = PadimConfig(backbone="resnet50", layers=("layer2", "layer3"), n_features=100)
    assert PadimConfig.from_yaml("padim: {" + ", ".join(pairs) + "}") == expected
    assert PadimConfig.from_yaml("\n".join(pairs)) == expected
    assert PadimConfig.from_yaml("padim:\n" + "\n".join(f"  {pair}" for pair in pairs)) == expected


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("padim: {distance_metric: euclidean}", "must be mahalanobis"),
        ("{padim: {seed: 1}, seed: 2}", "unknown key 'padim'"),
        ("padim: {padim: {seed: 1}}", "unknown key 'padim'"),
        ("padim: [1]", "key: value"),
        ("padim: {n_feature: 1}", "did you mean 'n_features'"),
    ],
)
def test_wrong_nested_yaml(text: str, told: str) -> None:
    with pytest.raises(PadimError, match=told):
        PadimConfig.from_yaml(text)


def test_nested_and_empty_is_the_default() -> None:
    assert PadimConfig.from_yaml("padim:") == PadimConfig()


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
