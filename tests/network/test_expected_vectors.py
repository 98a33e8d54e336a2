"""The numbers that networks give for one image are those they have always given.

Of the networks with random weights, ``test_backbone.py`` checks them where it exports them anyway.
"""

from __future__ import annotations

import pytest

from padim.network import backbone as backbones
from padim.network.backbone import EFFICIENTNET_LITE0, REGISTRY
from tests.network import vectors


def test_every_network_has_expected_numbers() -> None:
    kept = vectors.expected()
    assert set(kept["random"]) == set(REGISTRY)
    packaged = {name for name, backbone in REGISTRY.items() if any(file.network for file in backbone.files)}
    assert set(kept["pretrained"]) == packaged == {EFFICIENTNET_LITE0.name}
    for name, found in kept["random"].items():
        assert list(found) == [layer.name for layer in vectors.layers_of(REGISTRY[name])]
        # Features that have faded to nothing would equal anything.
        assert all(numbers[-1] > 0.1 for numbers in found.values()), name


def test_the_packaged_network_gives_the_features_that_saved_models_consist_of() -> None:
    lite0 = EFFICIENTNET_LITE0
    content = backbones.onnx_bytes(lite0.name, [layer.name for layer in lite0.layers])
    vectors.check(vectors.vectors(content, lite0), vectors.expected()["pretrained"][lite0.name])


def test_embeddings_are_as_ever_with_and_without_normalization() -> None:
    vectors.check(vectors.embeddings(), vectors.expected()["embeddings"][EFFICIENTNET_LITE0.name])


def test_other_numbers_are_noticed() -> None:
    wanted = vectors.expected()["pretrained"][EFFICIENTNET_LITE0.name]
    for layer, numbers in wanted.items():
        for at in range(len(numbers)):
            changed = [*numbers]
            changed[at] += 0.01 * max(abs(numbers[at]), numbers[-1])
            with pytest.raises(AssertionError):
                vectors.check({**wanted, layer: changed}, wanted)
