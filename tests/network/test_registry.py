"""The registry: names, defaults, and every stage's channels and stride against the networks themselves."""

from __future__ import annotations

import re

import numpy as np
import pytest

from padim.errors import BackboneError
from padim.network import registry
from padim.network.registry import EFFICIENTNET_LITE0, REGISTRY, Backbone, get

ALL = list(REGISTRY.values())


def test_the_first_is_the_default() -> None:
    assert next(iter(REGISTRY)) == "efficientnet_lite0"


@pytest.mark.parametrize("backbone", ALL, ids=lambda b: b.name)
def test_descriptions_are_whole(backbone: Backbone) -> None:
    assert REGISTRY[backbone.name] is backbone is get(backbone.name)
    assert len({layer.name for layer in backbone.layers}) == len(backbone.layers)
    strides = [layer.stride for layer in backbone.layers]
    assert strides == sorted(strides)
    chosen = backbone.select(backbone.default_layers)
    # What the grids of 4, 8 and 16 pixels can use: nothing finer, nothing coarser.
    assert {layer.stride for layer in chosen} <= {4, 8, 16}
    total = backbone.channels(backbone.default_layers)
    assert total == sum(layer.channels for layer in chosen)
    assert backbone.default_n_features is None or backbone.default_n_features <= total
    for file in backbone.files:
        assert file.url is not None or file.package is not None
        assert re.fullmatch(r"[0-9a-f]{8}|[0-9a-f]{64}", file.sha256)
        assert file.sha256[:8] in file.name


@pytest.mark.parametrize(
    ("name", "layers", "features", "channels"),
    [
        ("efficientnet_lite0", ("blocks.2", "blocks.4", "blocks.10"), 100, 176),
        ("resnet18", ("layer1", "layer2", "layer3"), 100, 448),
        ("wide_resnet50_2", ("layer1", "layer2", "layer3"), 550, 1792),
        ("resnet50", ("layer2", "layer3"), 100, 1536),
        ("mobilenet_v3_small", ("features.1", "features.3", "features.8"), None, 88),
    ],
)
def test_defaults_of_the_paper_and_the_pipelines(
    name: str, layers: tuple[str, ...], features: int | None, channels: int
) -> None:
    backbone = get(name)
    assert (backbone.default_layers, backbone.default_n_features) == (layers, features)
    assert backbone.channels(layers) == channels


@pytest.mark.parametrize("backbone", ALL, ids=lambda b: b.name)
def test_channels_and_strides_are_those_of_the_network(backbone: Backbone) -> None:
    import efficientnet_lite_pytorch
    import torch
    import torchvision

    if backbone.builder == "torchvision":
        network = torchvision.models.get_model(backbone.architecture, weights=None)
    else:
        network = efficientnet_lite_pytorch.EfficientNet.from_name(backbone.architecture)
    shapes: dict[str, tuple[int, ...]] = {}
    order: list[str] = []
    for layer in backbone.layers:

        def keep(_module: object, _inputs: object, output: torch.Tensor, name: str = layer.name) -> None:
            shapes[name] = tuple(output.shape)
            order.append(name)

        network.get_submodule(layer.module).register_forward_hook(keep)
    with torch.no_grad():
        network.eval()(torch.zeros(1, 3, 64, 96))
    for layer in backbone.layers:
        assert shapes[layer.name] == (1, layer.channels, 64 // layer.stride, 96 // layer.stride), layer
    # Each is met once, so that the last one listed is the deepest.
    assert order == [layer.name for layer in backbone.layers]


@pytest.mark.parametrize("backbone", ALL, ids=lambda b: b.name)
def test_files_are_torchvisions_own(backbone: Backbone) -> None:
    import torchvision

    if backbone.builder == "torchvision":
        published = [w.url for w in torchvision.models.get_model_weights(backbone.architecture)]
        assert [file.url for file in backbone.files] == published
        assert [file.name for file in backbone.files] == [url.rpartition("/")[2] for url in published]
        assert [file.sha256 for file in backbone.files] == [url[-12:-4] for url in published]


@pytest.mark.parametrize("backbone", ALL, ids=lambda b: b.name)
def test_normalisation(backbone: Backbone) -> None:
    values = np.array([0, 1, 127, 255])
    mean, deviation = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    for channel in range(3):
        got = values * backbone.scale[channel] + backbone.offset[channel]
        if backbone.builder == "torchvision":
            expected = (values / 255 - mean[channel]) / deviation[channel]
        else:
            expected = (values - 127) / 128
        np.testing.assert_allclose(got, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("efficientnet-lite2", "efficientnet_lite2"),
        ("efficientnet_lite", "efficientnet_lite0"),
        ("ResNet-50", "resnet50"),
        ("wide_resnet50", "wide_resnet50_2"),
        ("mobilenetv3_small", "mobilenet_v3_small"),
    ],
)
def test_unknown_backbone_is_answered_with_the_nearest(name: str, meant: str) -> None:
    with pytest.raises(BackboneError, match=f"unknown backbone '{name}'; did you mean '{meant}'"):
        get(name)


def test_unknown_backbone() -> None:
    with pytest.raises(BackboneError, match="known: efficientnet_lite0") as caught:
        get("xyz")
    assert all(name in str(caught.value) for name in REGISTRY)


@pytest.mark.parametrize("backbone", ALL, ids=lambda b: b.name)
def test_unknown_layer_lists_the_valid_ones(backbone: Backbone) -> None:
    with pytest.raises(BackboneError, match="no layer 'layer9'") as caught:
        backbone.select([backbone.default_layers[0], "layer9"])
    for layer in backbone.layers:
        assert f"{layer.name} (stride {layer.stride}, {layer.channels} channels)" in str(caught.value)


def test_layers_come_from_shallow_to_deep() -> None:
    chosen = EFFICIENTNET_LITE0.select(["blocks.10", "blocks.2", "blocks.4"])
    assert [layer.name for layer in chosen] == ["blocks.2", "blocks.4", "blocks.10"]


def test_the_default_d_is_never_more_than_there_is() -> None:
    assert EFFICIENTNET_LITE0.default_features(["blocks.2"]) == 24
    assert EFFICIENTNET_LITE0.default_features(["blocks.2", "blocks.4", "blocks.10"]) == 100
    assert registry.get("mobilenet_v3_small").default_features(["features.1"]) is None
