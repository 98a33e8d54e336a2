"""Several backbones as one: each sees what it would see alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from padim import Padim, PadimConfig
from padim.errors import BackboneError, PadimError
from padim.methods.ensemble import Ensemble
from padim.network import registry
from padim.network.backbone import onnx_bytes
from padim.network.extractor import open_extractor
from padim.network.runtime import open_session
from tests.parts import defects, normals

BOTH = "efficientnet_lite0+mobilenet_v3_small"


def small(**settings: object) -> PadimConfig:
    return PadimConfig.of(
        {
            "input_size": 64,
            "grid_stride": 8,
            "smoothing_sigma": 2,
            "min_area": 4,
            "weights": "random",
            "n_features": 40,
            **settings,
        }
    )


def test_a_joined_backbone_has_the_layers_of_all() -> None:
    backbone = registry.get(BOTH)
    one, other = (registry.get(name) for name in BOTH.split("+"))
    assert backbone.parts == (one.name, other.name)
    assert len(backbone.layers) == len(one.layers) + len(other.layers)
    assert backbone.default_layers[0] == f"{one.name}/{one.default_layers[0]}"
    assert registry.own_layers(other.name, backbone.default_layers) == other.default_layers
    # The second one keeps all channels by itself.
    assert backbone.default_n_features == 100 + other.channels(other.default_layers)


@pytest.mark.parametrize("name", ["efficientnet_lite0+nothing", "efficientnet_lite0+efficientnet_lite0", "+"])
def test_strange_names_are_refused(name: str) -> None:
    with pytest.raises(BackboneError):
        registry.get(name)


@pytest.mark.slow
def test_every_part_sees_the_image_as_it_would_alone() -> None:
    config = small(backbone=BOTH)
    rgb = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), np.uint8)
    together = open_extractor(config)(rgb)
    first = 0
    for name in BOTH.split("+"):
        alone = open_extractor(small(backbone=name))(rgb)
        mine = together[:, first : first + alone.shape[1]]
        np.testing.assert_allclose(mine, alone, rtol=1e-3, atol=1e-4 * np.abs(alone).max())
        first += alone.shape[1]
    assert first == together.shape[1]


@pytest.mark.slow
def test_the_joined_file_names_its_outputs_after_part_and_layer() -> None:
    layers = ["efficientnet_lite0/blocks.4", "mobilenet_v3_small/features.3"]
    session = open_session(onnx_bytes(BOTH, layers, "random"))
    assert [output.name for output in session.get_outputs()] == layers
    assert [entry.name for entry in session.get_inputs()] == ["image"]


@pytest.mark.slow
def test_an_ensemble_on_two_backbones_is_the_mean_of_its_members(tmp_path: Path) -> None:
    config = small(backbone=BOTH, method="ensemble", members=["padim"], n_features=None)
    model = Padim(config, work_dir=tmp_path / "work").fit(normals(12))
    detector = model.state.fitted.detector
    assert isinstance(detector, Ensemble)
    grids = [scored.grid for scored in model.predict(defects(3))]
    surprises = []
    for name, scale in zip(BOTH.split("+"), detector.scales, strict=True):
        alone = Padim(small(backbone=name, n_features=None)).fit(normals(12))
        surprises.append([scale(scored.grid) for scored in alone.predict(defects(3))])
    np.testing.assert_allclose(grids, np.mean(surprises, axis=0), rtol=2e-2, atol=1e-2)
    # Kept, and gone on with, like any other.
    path = model.save(tmp_path / "model")
    again = Padim.load(path)
    for ours, theirs in zip(again.predict(defects(3)), model.predict(defects(3)), strict=True):
        np.testing.assert_array_equal(ours.levels, theirs.levels)
    assert again.network.provenance["source"].count("random") == 2
    model.working_set.delete()
    model.partial_fit(normals(3, first=12))
    whole = Padim(config).fit(normals(15))
    np.testing.assert_array_equal(
        model.state.part_scores(model.config.min_area), whole.state.part_scores(whole.config.min_area)
    )


def test_a_backbone_without_a_channel_in_use_is_told() -> None:
    config = small(
        backbone=BOTH,
        method="ensemble",
        layers=["efficientnet_lite0/blocks.4", "mobilenet_v3_small/features.3"],
        inactive_layers=["mobilenet_v3_small/features.3"],
        n_features=20,
    )
    with pytest.raises(PadimError, match="no channel of mobilenet_v3_small"):
        Padim(config).fit(normals(5))


def test_one_method_on_one_backbone_is_no_ensemble() -> None:
    with pytest.raises(PadimError, match="two different methods, or two backbones"):
        small(method="ensemble", members=["padim"])
    with pytest.raises(PadimError, match="one teacher"):
        small(method="stfpm", backbone=BOTH)
