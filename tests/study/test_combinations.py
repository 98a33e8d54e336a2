"""Everything with everything: which configurations come of it, and how often a network runs for them."""

from __future__ import annotations

import pytest

from padim import PadimConfig, PadimError
from padim.methods.catalogue import METHODS
from padim.network import backbone
from padim.study.combinations import Combinations, layers_of, network_passes, that_train


def test_everything_is_combined_and_named_after_what_differs() -> None:
    found = Combinations(
        ("padim", "patchcore"), ("efficientnet_lite0",), ("standard", "late"), (128, 256)
    ).variants()
    assert len(found) == len({one.name for one in found}) == 8
    assert found[0].name == "PaDiM · standard set · 128 px"
    assert {one.config.method for one in found} == {"padim", "patchcore"}
    standard = backbone.get("efficientnet_lite0").default_layers
    assert {one.config.layers for one in found} == {standard, standard[1:]}
    assert {one.config.grid_stride for one in found} == {8}


def test_names_say_no_more_than_what_differs() -> None:
    wanted = Combinations(("padim", "shared"), ("efficientnet_lite0",), ("standard", "late"), (128,), 16)
    found = {one.name: one.config for one in wanted.variants()}
    assert list(found) == [
        "PaDiM · standard set",
        "PaDiM · without the earliest",
        "Shared Gaussian · standard set",
        "Shared Gaussian · without the earliest",
    ]
    assert found["PaDiM · without the earliest"].layers == ("blocks.4", "blocks.10")
    (alone,) = Combinations(("padim",), ("efficientnet_lite0",), ("standard",), (256,)).variants()
    assert alone.name == "PaDiM"


def test_a_single_one_is_named_after_its_method() -> None:
    (one,) = Combinations(("shared",), ("resnet18",), ("early",), (256,), stride=16).variants()
    assert one.name == METHODS["shared"].title
    assert one.config.layers == layers_of("resnet18", "early")
    assert one.config.grid_stride == 16


def test_what_does_not_go_together_is_refused() -> None:
    with pytest.raises(PadimError):
        Combinations(("padim",), ("efficientnet_lite0",), ("standard",), (7,)).variants()


def test_a_network_runs_once_for_those_that_share_its_features() -> None:
    shared = Combinations(("padim", "patchcore"), ("efficientnet_lite0",), ("standard",), (128,)).variants()
    assert network_passes(shared) == 1
    sizes = Combinations(("padim", "patchcore"), ("efficientnet_lite0",), ("standard",), (128, 256))
    assert network_passes(sizes.variants()) == 2
    # One that trains on the images themselves has no features to share.
    with_trained = Combinations(("padim", "stfpm"), ("resnet18",), ("standard",), (128,)).variants()
    assert network_passes(with_trained) == 2
    assert [that_train(variants) for variants in (shared, with_trained)] == [0, 1]
    assert PadimConfig(method="stfpm", backbone="resnet18").needs_images
