"""The self-test of saved models: silent if equal, noted within a level, refused beyond it or with a flip."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from padim import Padim, PadimConfig
from padim.decision.anomaly_map import Quantizer
from padim.decision.guard_band import VerdictLimits
from padim.decision.self_test import Machine, SelfTest, compare
from padim.errors import BundleError, SelfTestError
from padim.storage.bundle import Bundle
from padim.worker.messages import error_from_json, error_to_json
from tests.altered import expecting, hotter, one_level, without
from tests.parts import defects, normals, png, screw

SELF_TEST = {"self_test_inputs.png", "self_test_maps.png"}


@pytest.fixture
def model(small_model: Padim, tmp_path: Path) -> Path:
    return small_model.save(tmp_path / "model")


def self_test_files(path: Path) -> dict[str, str]:
    listed = Bundle(path).manifest["files"]
    return {name: listed[name]["sha256"] for name in SELF_TEST & listed.keys()}


def test_an_opened_model_scores_its_references_once(model: Path) -> None:
    opened = Padim.load(model)
    assert opened.self_test_.state == "pending"
    runs = opened.network.extractor.runs
    list(opened.predict(normals(1)))
    assert (opened.self_test_.state, opened.self_test_.images) == ("equal", 3)
    assert opened.network.extractor.runs == runs + 4
    list(opened.predict(normals(2)))
    opened.state.score_arrays(np.zeros((1, 64, 64, 3), np.uint8), 8)
    assert opened.network.extractor.runs == runs + 6


def test_its_references_span_the_held_out_distances(small_model: Padim, model: Path) -> None:
    record = Bundle(model).manifest["self_test"]
    hottest = small_model.state.fitted.held_out.max(axis=(1, 2))
    order = [small_model.normals_[index].name for index in np.argsort(hottest)]
    assert record["images"] == [order[0], order[len(order) // 2], order[-1]]
    assert record["identity"] == small_model.state.identity


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_equal_on_any_number_of_threads(model: Path, threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("padim.network.runtime.cores", lambda: 4)
    monkeypatch.setenv("PADIM_THREADS", str(threads))
    opened = Padim.load(model)
    opened.state.run_check()
    assert opened.self_test_.state == "equal"
    assert opened.self_test_.found_on is not None
    assert opened.self_test_.found_on.threads == threads


def test_one_level_is_noted(model: Path) -> None:
    expecting(model, one_level)
    opened = Padim.load(model)
    assert list(opened.predict(defects(1)))
    found = opened.self_test_
    assert (found.state, found.largest) == ("noted", 1)
    assert "within one level" in found.sentence


def test_more_is_refused_with_both_numbers(model: Path) -> None:
    expecting(model, hotter)
    opened = Padim.load(model)
    for _ in range(2):  # it stays refused
        with pytest.raises(SelfTestError, match="nothing is scored") as caught:
            list(opened.predict(normals(1)))
    error = caught.value
    assert error.expected_level > error.found_level
    assert error.largest > 1
    assert error.expected_score == pytest.approx(2 * error.found_score, rel=0.02)
    for what in (
        f"{error.expected_score:.6g}",
        f"{error.found_score:.6g}",
        f"{error.largest:,} levels",
        str(model),
    ):
        assert what in str(error)
    assert "fit the model again" in str(error)
    assert (error.provider, opened.self_test_.state) == ("cpu", "refused")
    again = error_from_json(error_to_json(error))  # as a worker process reports it
    assert isinstance(again, SelfTestError)
    assert (str(again), vars(again)) == (str(error), vars(error))


def test_a_flip_within_one_level_is_refused() -> None:
    maps = np.full((1, 8, 8), 100, np.uint16)
    machine = Machine("cpu", 1, "1")
    test = SelfTest("id", ("a.png",), np.zeros((1, 8, 8, 3), np.uint8), maps, machine)

    def state(found: np.ndarray, limits: VerdictLimits | None) -> str:
        quantizer = Quantizer(0.0, 0.5)
        return compare(test, found, machine, min_area=1, limits=limits, quantizer=quantizer).state

    at_100, below = VerdictLimits(100, 100, 100), VerdictLimits(90, 100, 95)
    assert state(maps, at_100) == "equal"
    assert state(maps + np.uint16(1), VerdictLimits(99, 99, 99)) == "noted"
    assert state(maps + np.uint16(1), at_100) == "refused"  # accept, and reject here
    assert state(maps + np.uint16(1), below) == "refused"  # review, and reject here
    assert state(maps + np.uint16(1), None) == "noted"
    assert state(maps + np.uint16(2), VerdictLimits(9, 9, 9)) == "refused"


def test_a_region_drawn_before_the_first_scoring_does_not_skip_it(model: Path) -> None:
    expecting(model, hotter)
    opened = Padim.load(model)
    roi = np.ones((64, 64), bool)
    roi[:20] = False
    opened.set_roi(roi)
    with pytest.raises(SelfTestError):
        list(opened.predict(normals(1)))
    with pytest.raises(SelfTestError):
        opened.save(model)  # saved now, nothing would show it any more


def test_it_is_made_anew_only_when_scores_change(model: Path, small_model: Padim) -> None:
    before = self_test_files(model)
    opened = Padim.load(model, work_dir=small_model.working_set.folder)
    runs = opened.network.extractor.runs
    opened.set_decision(percentile=80, min_area=4).save(model)
    assert self_test_files(model) == before
    assert opened.network.extractor.runs == runs
    roi = np.ones((64, 64), bool)
    roi[:20] = False
    opened.set_roi(roi).save(model)
    assert self_test_files(model) != before
    opened.set_roi(None).save(model)
    assert self_test_files(model) == before
    again = Padim.load(model)
    again.state.run_check()
    assert again.self_test_.state == "equal"


def test_models_without_it_score_as_before(model: Path, small_model: Padim) -> None:
    without(model)
    opened = Padim.load(model)
    assert opened.self_test_.state == "none"
    assert opened.state.identity == small_model.state.identity
    expected = [scored.score_level for scored in small_model.predict(defects(2))]
    assert [scored.score_level for scored in opened.predict(defects(2))] == expected
    opened.set_decision(percentile=80).save(model)
    assert not self_test_files(model)


def test_one_good_part_is_enough(small_config: PadimConfig, tmp_path: Path) -> None:
    Padim(small_config).fit(normals(1)).save(tmp_path / "one.zip")
    opened = Padim.load(tmp_path / "one.zip")
    list(opened.predict(normals(1)))
    assert (opened.self_test_.state, opened.self_test_.images) == ("equal", 1)


def test_models_that_locate_parts_store_what_the_network_sees(tmp_path: Path) -> None:
    config = PadimConfig(input_size=64, grid_stride=16, n_features=10, align="outline", smoothing_sigma=2)
    parts = [(f"{seed}.png", png(screw(seed, side=96, turn=20))) for seed in range(5)]
    Padim(config).fit(parts).save(tmp_path / "m")
    opened = Padim.load(tmp_path / "m")
    list(opened.predict(parts[:1]))
    assert opened.self_test_.state == "equal"


@pytest.mark.parametrize(
    "change",
    [
        lambda maps: maps[:-1],
        lambda maps: maps[:, :-1],
        lambda maps: (maps >> 8).astype(np.uint8),
        lambda maps: np.tile(maps, (4, 1)),
    ],
)
def test_maps_of_another_size_are_refused(model: Path, change: object) -> None:
    expecting(model, change)  # type: ignore[arg-type]
    with pytest.raises(BundleError, match=r"manifest\.json is incomplete"):
        Padim.load(model)


def test_a_machine_is_described_in_words() -> None:
    machine = Machine("cuda", 0, "1.2")
    assert str(machine) == "cuda, all cores, ONNX Runtime 1.2"
    assert str(replace(machine, threads=2)) == "cuda, 2 threads, ONNX Runtime 1.2"
