"""Common behavior of models of every method: saving, export, exclusion and its undo, batches."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as h_settings
from hypothesis import strategies as st

from padim import Padim, PadimConfig
from padim.errors import BundleError, Cancelled, PadimError
from padim.methods.ensemble import Ensemble
from padim.network.runtime import open_session
from padim.output.export import export_npz, export_onnx
from padim.scoring import ScoringState
from padim.storage.bundle import Bundle
from tests.parts import defects, normals

SETTINGS: dict[str, dict[str, Any]] = {
    "tolerant": {"method": "padim", "position_tolerance": 1},
    "shared": {"method": "shared"},
    "patchcore": {"method": "patchcore", "coreset_percent": 10},
    "local": {"method": "patchcore", "neighborhood": 1},
    "svdd": {"method": "svdd", "max_epochs": 4, "folds": 3},
    "soft": {"method": "svdd", "max_epochs": 4, "folds": 3, "svdd_objective": "soft_boundary"},
    "flow": {"method": "flow", "max_epochs": 4, "folds": 3, "flow_couplings": 4},
    "ensemble": {"method": "ensemble", "members": ["padim", "shared", "patchcore"]},
}


def config(name: str) -> PadimConfig:
    small = {"input_size": 64, "grid_stride": 8, "n_features": 16, "smoothing_sigma": 2, "min_area": 4}
    return PadimConfig.of({**small, **SETTINGS[name]})


@pytest.fixture(scope="module", params=sorted(SETTINGS))
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Padim:
    """Return a shared model, which tests must not change."""
    folder = tmp_path_factory.mktemp(request.param)
    return Padim(config(request.param), work_dir=folder).fit(normals(14))


def maps(model: Padim, count: int = 4) -> np.ndarray:
    return np.stack([one.levels for one in model.predict(defects(count))])


def test_defects_stand_out(model: Padim) -> None:
    good = model.state.part_scores(model.config.min_area)
    bad = [scored.score_level for scored in model.predict(defects(6))]
    assert np.median(bad) > np.percentile(good, 90)
    assert len(good) == 14
    assert model.state.fitted.calibration == "exact"


def test_a_saved_model_scores_bit_for_bit_alike(model: Padim, tmp_path: Path) -> None:
    path = model.save(tmp_path / "model")
    assert Bundle(path).manifest["method"] == model.config.method
    again = Padim.load(path, work_dir=tmp_path / "work")
    np.testing.assert_array_equal(maps(again), maps(model))
    np.testing.assert_array_equal(
        again.state.part_scores(again.config.min_area), model.state.part_scores(model.config.min_area)
    )
    assert again.threshold_level == model.threshold_level
    assert again.state.fitted.losses == model.state.fitted.losses


def test_a_bundle_with_arrays_of_another_model_is_refused(model: Padim, tmp_path: Path) -> None:
    path = model.save(tmp_path / "model")
    other = Padim(model.config.model_copy(update={"n_features": 12})).fit(normals(5))
    other.save(tmp_path / "other")
    saved, strange = Bundle(path), Bundle(tmp_path / "other")
    from padim.storage import bundle

    own = ("format", "version", "files", "seal")
    manifest = {key: value for key, value in saved.manifest.items() if key not in own}
    kept = ("backbone.onnx", "channels.npy", "held_out.npy", "normals.json", "thumbnails.bin")
    files = {
        name: (saved if name in kept else strange).bytes(name)
        for name in saved.manifest["files"]
        if name in kept or name in strange.manifest["files"]
    }
    bundle.write(tmp_path / "mixed", manifest, files)
    with pytest.raises(BundleError):
        Padim.load(tmp_path / "mixed")


def test_the_exported_scorer_is_the_model(model: Padim, tmp_path: Path) -> None:
    path = export_onnx(model, tmp_path / "scorer.onnx")
    rgb = np.stack([model.network.preprocess(_decoded(content)) for _, content in defects(3)])
    expected, _ = model.state.score_arrays(rgb, model.config.min_area)
    found = open_session(path.read_bytes()).run(["map"], {"rgb": rgb})[0]
    np.testing.assert_array_equal(found, expected)


def _decoded(content: Any) -> np.ndarray:
    from padim.data.decode import decode

    return decode(content, "x.png") if isinstance(content, bytes) else content


def test_alone_or_in_a_batch(model: Padim) -> None:
    together = maps(model)
    for index, (name, content) in enumerate(defects(4)):
        (alone,) = model.predict([(name, content)])
        np.testing.assert_array_equal(alone.levels, together[index])


def arrays_in(thing: Any) -> Iterator[np.ndarray]:
    """Return all arrays of a detector, including those of its members."""
    if isinstance(thing, np.ndarray):
        yield thing
    elif isinstance(thing, tuple):
        for one in thing:
            yield from arrays_in(one)
    elif is_dataclass(thing):
        for field in fields(thing):
            yield from arrays_in(getattr(thing, field.name))


@h_settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_any_other_number_in_any_array_is_another_scoring_identity(model: Padim, data: st.DataObject) -> None:
    changed = deepcopy(model.state.fitted.detector)
    changed.__dict__.pop("file_hashes", None)
    assert changed.fingerprint() == model.state.fitted.detector.fingerprint()
    changed.__dict__.pop("file_hashes")
    arrays = list(arrays_in(changed))
    array = arrays[data.draw(st.integers(0, len(arrays) - 1))]
    # Change the lowest bit of a number. The zeros of a triangular matrix are stored too.
    number = array.reshape(-1).view(np.uint8)
    number[data.draw(st.integers(0, array.size - 1)) * array.itemsize] ^= 1
    assert changed.fingerprint() != model.state.fitted.detector.fingerprint()
    if array.dtype == np.int64 and isinstance(changed, Ensemble):
        return  # a member's channels follow from the model's and its settings, which the identity covers
    fitted = replace(model.state.fitted, detector=changed)
    scorer = ScoringState(fitted, model.config, None, model.network.extractor, model.state.channels)
    assert scorer.identity != model.state.identity


def test_a_map_of_another_detector_is_refused(model: Padim, tmp_path: Path) -> None:
    other = Padim.load(model.save(tmp_path / "model"))
    (scored,) = other.predict(defects(1))
    assert model.decide(scored).rejected == other.decide(scored).rejected
    changed = deepcopy(model.state.fitted.detector)
    changed.__dict__.pop("file_hashes", None)
    next(arrays_in(changed)).reshape(-1)[-1] += 1
    other._install(replace(model.state.fitted, detector=changed))
    with pytest.raises(PadimError, match="scored before the model changed, or by another model"):
        other.decide(scored)


@pytest.mark.parametrize("name", sorted(SETTINGS))
def test_out_and_in_again_is_the_former_model(name: str, tmp_path: Path) -> None:
    model = Padim(config(name), work_dir=tmp_path).fit(normals(9))
    before, scores = maps(model), model.state.part_scores(model.config.min_area)
    model.exclude(2, "kept_out")
    without = Padim(config(name)).fit([item for index, item in enumerate(normals(9)) if index != 2])
    np.testing.assert_allclose(
        [one.grid for one in model.predict(defects(2))],
        [one.grid for one in without.predict(defects(2))],
        rtol=1e-4,
    )
    model.include(2)
    np.testing.assert_array_equal(maps(model), before)
    np.testing.assert_array_equal(model.state.part_scores(model.config.min_area), scores)


@pytest.mark.parametrize("name", sorted(SETTINGS))
def test_a_continued_fit_is_one_fit(name: str, tmp_path: Path) -> None:
    whole = Padim(config(name)).fit(normals(9))
    model = Padim(config(name), work_dir=tmp_path).fit(normals(6))
    model.partial_fit(normals(3, first=6))
    np.testing.assert_array_equal(maps(model), maps(whole))
    # With the features deleted, continuing from the checkpoint is as exact.
    again = Padim(config(name), work_dir=tmp_path / "again").fit(normals(6))
    again.working_set.delete()
    assert again.working_set.continues_exactly
    again.partial_fit(normals(3, first=6))
    np.testing.assert_array_equal(maps(again), maps(whole))
    np.testing.assert_array_equal(
        again.state.part_scores(again.config.min_area), whole.state.part_scores(whole.config.min_area)
    )


@pytest.mark.parametrize("name", sorted(SETTINGS))
def test_cancelling_leaves_the_model_as_it_was(name: str, tmp_path: Path) -> None:
    model = Padim(config(name), work_dir=tmp_path).fit(normals(6))
    before = maps(model)
    stages: list[str] = []

    def progress(done: int, total: int | None, stage: str) -> None:
        stages.append(stage)

    def cancel() -> bool:
        # When the images have been read and fitting has begun.
        return bool(stages) and "Reading images" not in stages[-1]

    with pytest.raises(Cancelled):
        model.fit(normals(8), progress=progress, cancel=cancel)
    np.testing.assert_array_equal(maps(model), before)
    assert not list(tmp_path.glob("new*"))


@pytest.mark.parametrize("name", ["shared", "patchcore", "local", "ensemble"])
def test_what_only_gaussians_have_is_refused_in_words(name: str, tmp_path: Path) -> None:
    model = Padim(config(name)).fit(normals(5))
    with pytest.raises(PadimError, match="only PaDiM has a Gaussian at every position"):
        export_npz(model, tmp_path / "x.npz")
    from padim.analysis.attribution import embed, explain

    with pytest.raises(PadimError, match="only for PaDiM without position tolerance"):
        explain(model, embed(model, np.zeros((64, 64, 3), np.uint8)))


def test_one_of_many_settings_is_described_in_words() -> None:
    with pytest.raises(PadimError, match="at least two different methods"):
        PadimConfig.of({"method": "ensemble", "members": ["padim"]})
    with pytest.raises(PadimError, match="cannot be a member"):
        PadimConfig.of({"method": "ensemble", "members": ["padim", "ensemble"]})
    with pytest.raises(PadimError, match="method"):
        PadimConfig.of({"method": "magic"})
