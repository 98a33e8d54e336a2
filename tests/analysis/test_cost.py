"""Estimated cost compared with what a model then takes."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from padim import Padim, PadimConfig
from padim.analysis.cost import estimate, images_for_full_size
from padim.methods import factor as factors
from padim.methods.factor import is_low_rank
from padim.methods.moments import PatchStatistics
from tests.parts import normals


@pytest.mark.parametrize("count", [5, 30])
@pytest.mark.parametrize("narrow", [False, True])
def test_the_estimate_is_what_a_model_takes(
    count: int, narrow: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if narrow:
        monkeypatch.setattr(factors, "NARROW_ABOVE_BYTES", 0)
        monkeypatch.setattr("padim.analysis.cost.NARROW_ABOVE_BYTES", 0)
    config = PadimConfig(input_size=64, grid_stride=8, n_features=40, eps=1.0)
    model = Padim(config, work_dir=tmp_path / "work").fit(normals(count))
    cost = estimate(config, count)
    assert (cost.positions, cost.channels, cost.features) == (64, 176, 40)
    assert cost.rank == (4 if count == 5 else None)
    arrays = model.state.scorer.arrays
    held = sum(
        arrays[name].nbytes for name in arrays if name in ("mean", "left", "right", "basis", "basis_scale")
    )
    assert cost.score_memory == held
    saved = model.save(tmp_path / "model")
    files = ("mean-*", "left-*", "right-*", "basis-*", "scale-*", "step-*")
    stored = sum(path.stat().st_size for name in files for path in saved.glob(name))
    assert stored == pytest.approx(cost.bundle, rel=0.02, abs=1000)
    assert model.working_set.nbytes == pytest.approx(cost.features_per_image * count, rel=0.01)
    model.working_set.delete()
    assert model.working_set.checkpoint_bytes == pytest.approx(cost.checkpoint, rel=0.02, abs=1000)


def test_few_normals_make_wide_networks_affordable() -> None:
    """Check the figures of the README: full inverse covariances would take 5 GB."""
    config = PadimConfig(backbone="wide_resnet50_2", grid_stride=4, input_size=256)
    assert config.n_features == 550
    cost = estimate(config, 200)
    assert cost.rank == 199
    assert cost.bundle < 1.0e9
    assert cost.score_memory < 2.0e9
    assert estimate(config).score_memory > 3.5e9
    assert cost.checkpoint == pytest.approx(4 * 200 * 4096 * 550, rel=0.01)
    assert PatchStatistics(1, 550).scatter.nbytes * 4096 > 9e9


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("method", ["shared", "patchcore", "local", "ensemble", "svdd", "flow", "stfpm"])
def test_the_estimates_of_the_other_methods_are_what_they_take(method: str, tmp_path: Path) -> None:
    config = PadimConfig.of(
        {
            "input_size": 64,
            "grid_stride": 8,
            "n_features": 40,
            "method": "patchcore" if method == "local" else method,
            "neighborhood": 1 if method == "local" else 0,
            "coreset_percent": 20,
            "max_epochs": 1,
            "folds": 2,
        }
    )
    model = Padim(config, work_dir=tmp_path / "work").fit(normals(12))
    cost = estimate(config, 12)
    # All of the 12 x 64 patches are stored, because a memory is never smaller than FEWEST.
    remembered = dict.fromkeys(("patchcore", "ensemble", "local"), 12 * 64)
    assert cost.patches == remembered.get(method)
    assert cost.kept_per_image == (4 * 64 * 40 if method == "local" else 0)
    saved = model.save(tmp_path / "model")
    aside = (
        "backbone-",
        "held_out-",
        "thumbnails-",
        "normals-",
        "channels-",
        "manifest",
        ".lock",
        "self_test",
    )
    stored = sum(path.stat().st_size for path in saved.iterdir() if not path.name.startswith(aside))
    assert stored == pytest.approx(cost.bundle, rel=0.02, abs=2000)
    held = sum(array.nbytes for array in model.state.fitted.detector.inputs().values())
    # The temporary memory of one image is reported only if it is large.
    beside = model.state.fitted.detector.scoring_bytes() if cost.patches else 0
    if method != "stfpm":  # whose numbers are in the graph
        assert cost.score_memory == pytest.approx(held + beside, rel=0.05, abs=20_000)
    model.working_set.delete()
    assert model.working_set.checkpoint_bytes == pytest.approx(cost.checkpoint, rel=0.02, abs=1000)


def test_a_tenth_of_the_patches_costs_ten_times_a_hundredth() -> None:
    few, many = (
        estimate(PadimConfig(method="patchcore", coreset_percent=share), 209) for share in (1.0, 10.0)
    )
    assert few.patches == 2140
    assert many.score_memory == pytest.approx(10 * few.score_memory, rel=0.01)


@given(features=st.integers(1, 2000))
def test_from_enough_images_on_a_model_is_whole_and_below_it_is_not(features: int) -> None:
    enough = images_for_full_size(features)
    assert enough >= 1
    assert not any(is_low_rank(n, features) for n in range(enough, features + 3))
    # A single image spans no direction, which does not count as low rank by the engine's rule.
    assert all(is_low_rank(n, features) for n in range(2, enough))
