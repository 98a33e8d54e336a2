"""The scoring identity: changes with everything that a map depends on, and with nothing else."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from padim import Padim, PadimConfig
from padim.config import BEFORE_IT_WAS_A_SETTING, FORMER_NAMES
from padim.decision.anomaly_map import Quantizer
from padim.decision.guard_band import Guard
from padim.errors import PadimError
from padim.output.export import metadata
from padim.scoring import ScoringState
from padim.scoring_identity import of_manifest, scoring_files
from padim.storage.bundle import Bundle
from tests.parts import defects, normals

SMALL = {"input_size": 64, "grid_stride": 8, "n_features": 12, "smoothing_sigma": 2.0, "min_area": 8}


@pytest.fixture
def model(saved_model: Path) -> Padim:
    return Padim.load(saved_model)


def judged(model: Padim, **changes: object) -> str:
    """The identity of a model's state with another part."""
    state = {
        "fitted": model.state.fitted,
        "config": model.config,
        "roi": model.decision.roi,
        "extractor": model.network.extractor,
        "channels": model.state.channels,
    }
    return ScoringState(**{**state, **changes}).identity  # type: ignore[arg-type]


def test_saving_and_opening_keeps_it(small_model: Padim, model: Padim, tmp_path: Path) -> None:
    identity = small_model.state.identity
    assert model.state.identity == identity
    assert metadata(model)["scoring_identity"] == identity
    for place in (tmp_path / "again", tmp_path / "again.zip"):
        assert of_manifest(Bundle(model.save(place)).manifest) == identity
        assert Padim.load(place).state.identity == identity


def test_an_opened_model_hashes_no_array_again(model: Padim, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(model.state.fitted.detector), "files", lambda self: pytest.fail("hashed again"))
    assert len(model.state.identity) == 64


@pytest.mark.parametrize(
    "change",
    [
        lambda model: model.set_decision(percentile=80),
        lambda model: model.set_decision(basis="pixel"),
        lambda model: model.set_decision(value=1.0),
        lambda model: model.set_decision(min_area=30),
        lambda model: model.set_decision(pixel_size_mm=0.02),
        lambda model: model.set_guard(Guard(0.5, 1.0, 4, 5, 1)),
    ],
    ids=["percentile", "basis", "value", "min_area", "pixel_size", "guard"],
)
def test_a_decision_changes_none(model: Padim, change: Callable[[Padim], object]) -> None:
    (scored,) = model.predict(defects(1))
    before = model.state.identity
    change(model)
    assert model.state.identity == before
    model.decide(scored)


def test_what_is_kept_of_the_normals_changes_none(model: Padim) -> None:
    fitted = model.state.fitted
    normals = tuple(
        replace(normal, name=f"other {normal.name}", thumbnail=(0, 0)) for normal in fitted.normals
    )
    other = replace(fitted, normals=normals, held_out=fitted.held_out + 1, calibration="stale")
    assert judged(model, fitted=other) == model.state.identity


@pytest.mark.parametrize(
    "settings",
    [
        {"fit": "pad"},
        {"smoothing_sigma": 2.0000001},
        {"smoothing_sigma": 0},
        {"grid_stride": 16},
        {"feature_norm": "none"},
        {"input_size": 96},
        {"layers": ("blocks.2", "blocks.4")},
        {"inactive_layers": ("blocks.2",)},
        {"weights": "random"},
        {"backbone": "efficientnet_lite1", "layers": ("blocks.3", "blocks.6", "blocks.14")},
        {"position_tolerance": 1},
        {"neighborhood": 1},
        {"eps": 0.02},
    ],
    ids=lambda settings: "-".join(f"{name}" for name in settings),
)
def test_every_setting_of_a_map_changes_it(model: Padim, settings: dict[str, object]) -> None:
    changed = PadimConfig.model_construct(**{**model.config.model_dump(), **settings})
    # The scoring graph of these arrays need not fit: only the name is asked for.
    judge = ScoringState(
        model.state.fitted, model.config, None, model.network.extractor, model.state.channels
    )
    judge._config = changed
    assert judge.identity != model.state.identity


def test_scale_region_channels_and_network_change_it(model: Padim) -> None:
    fitted, scale, shape = model.state.fitted, model.state.fitted.quantizer, model.config.input_shape
    finer, moved = Quantizer(scale.offset, scale.step * (1 + 1e-12)), Quantizer(1e-9, scale.step)
    network = Padim(PadimConfig.of({**model.config.model_dump(), "weights": "random"})).network.extractor
    changes: list[dict[str, object]] = [
        {},
        {"fitted": replace(fitted, quantizer=finer)},
        {"fitted": replace(fitted, quantizer=moved)},
        {"roi": np.ones(shape, bool)},
        {"roi": np.arange(math.prod(shape)).reshape(shape) > 0},
        {"channels": np.sort((model.state.channels + 1) % 176)},
        {"extractor": network},
    ]
    assert len({judged(model, **change) for change in changes}) == len(changes)


def test_a_map_of_a_model_of_the_same_settings_is_refused(model: Padim) -> None:
    """Today's fault: two models of one corner's mean passed for each other."""
    other = Padim(model.config).fit(normals(22, first=40))
    (scored,) = other.predict(defects(1))
    with pytest.raises(
        PadimError, match=r"bad_0.*: was scored before the model changed, or by another model"
    ):
        model.decide(scored)
    other.decide(scored)


def test_undone_changes_come_back_to_it(model: Padim) -> None:
    before = model.state.identity
    model.set_decision(smoothing_sigma=3.0)
    model.set_roi(np.eye(64, dtype=bool))
    assert model.state.identity != before
    model.set_roi(None).set_decision(smoothing_sigma=2.0)
    assert model.state.identity == before


def test_models_saved_before_there_was_feature_normalization_keep_their_identity() -> None:
    def identity(feature_norm: str, *, told: bool) -> str:
        config = PadimConfig(feature_norm=feature_norm).model_dump(mode="json")
        if not told:
            del config["feature_norm"]
        files = {"backbone.onnx": {"sha256": "12"}}
        manifest = {"config": config, "quantizer": {"offset": 0.0, "step": 0.5}, "files": files}
        return of_manifest(manifest)

    assert identity("none", told=True) == identity("none", told=False)
    assert identity("l2", told=True) != identity("none", told=True)


def test_models_saved_before_a_setting_existed_keep_their_identity(saved_model: Path) -> None:
    """The digest as it was made then: of the settings that there were."""
    manifest = deepcopy(dict(Bundle(saved_model).manifest))
    for setting in BEFORE_IT_WAS_A_SETTING:
        del manifest["config"][setting]
    for former, present in FORMER_NAMES.items():
        manifest["config"][former] = manifest["config"].pop(present)
    scale = manifest["quantizer"]
    state = {
        "settings": {name: value for name, value in manifest["config"].items() if name != "min_area"},
        "scale": [scale["offset"], scale["step"]],
        "files": scoring_files(manifest),
    }
    assert of_manifest(manifest) == hashlib.sha256(json.dumps(state, sort_keys=True).encode()).hexdigest()
    assert "neighborhood" in BEFORE_IT_WAS_A_SETTING
