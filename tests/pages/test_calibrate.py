"""Calibrate page: messages to and from the viewer, drafts, labels; no choice runs the network."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from padim import Padim, Workspace
from padim.decision.calibration import Choice
from padim.decision.guard_band import Guard
from padim.decision.operating_points import Costs, operating_points
from padim.network.extractor import FeatureExtractor
from tests.pages.session import AddModel, Session
from tests.parts import defects
from ui import calibrate
from ui.calibrate import Draft
from ui.widgets import labels

DEFECTS = [(name, data) for name, data in defects(4) if isinstance(data, bytes)]


def test_without_a_model_it_says_where_to_get_one() -> None:
    page = Session("calibrate")
    assert "No model in use" in page.text


def test_the_viewer_is_given_what_the_engine_says(add_model: AddModel, home: Path) -> None:
    entry = add_model("Parts")
    model = Workspace(home).open(entry.id)
    page = Session("calibrate", model=entry.id)
    report = page.viewer
    threshold = model.current_threshold
    assert threshold is not None
    assert report["decision"] == {
        "basis": "image",
        "permille": 950,
        "level": threshold.level,
        "min_area": model.config.min_area,
    }
    assert report["saved"]["level"] == threshold.level
    assert report["quantizer"] == {
        "offset": model.state.fitted.quantizer.offset,
        "step": model.state.fitted.quantizer.step,
    }
    scores = model.state.part_scores(model.config.min_area)
    assert report["held"]["parts"] == len(scores) == 22
    for above, upper in enumerate(report["held"]["upper"]):
        level = int(np.sort(scores)[::-1][above]) if above < len(scores) else -1
        if (scores > level).sum() == above:
            assert upper == model.state.false_rejects(level, model.config.min_area).upper
    assert (
        report["pixel_levels"][949]
        == model.state.threshold(Choice("pixel", 950), model.config.min_area).level
    )
    assert [item["name"] for item in report["items"]] == [normal.name for normal in model.normals_]
    assert [item["score"] for item in report["items"]] == model.state.image_levels(
        model.config.min_area
    ).tolist()
    assert {item["group"] for item in report["items"]} == {"normal"}
    assert page.app.button(key="calibrate-use").disabled  # nothing to save yet
    assert "If 40 parts scored alike" in page.text  # few normals make a coarse threshold


def test_no_choice_runs_the_network(add_model: AddModel, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = add_model("Parts")
    runs: list[tuple[int, ...]] = []
    fed = FeatureExtractor.fed

    def counted(self: FeatureExtractor, rgb: npt.NDArray[np.uint8]) -> object:
        runs.append(rgb.shape)
        return fed(self, rgb)

    monkeypatch.setattr(FeatureExtractor, "fed", counted)
    page = Session("calibrate", model=entry.id)
    page.upload(DEFECTS)
    scored = len(runs)
    assert scored > 0  # the count counts
    before = page.viewer["decision"]["level"]
    page.decide(entry.id, Draft("image", 800, None, 40))
    assert page.viewer["decision"]["level"] != before
    page.decide(entry.id, Draft("pixel", 990, None, 40))
    page.decide(entry.id, Draft("manual", 950, 3.5, 2))
    page.click("try-best_f1")
    page.click("calibrate-use")
    assert len(runs) == scored


def test_a_draft_decides_nothing_until_it_is_used(add_model: AddModel, home: Path) -> None:
    entry = add_model("Parts")
    page = Session("calibrate", model=entry.id)
    page.decide(entry.id, Draft("image", 850, None, 12))
    assert "A draft" in page.text
    assert Workspace(home).open(entry.id).decision.choice.permille == 950
    page.click("calibrate-use")
    model = Workspace(home).open(entry.id)
    assert model.decision.choice.permille == 850
    assert model.config.min_area == 12
    assert "This threshold is in use" in page.text
    assert page.viewer["saved"]["min_area"] == 12
    assert page.viewer["decision"] == page.viewer["saved"], "the viewer follows what was saved"


def test_by_hand_in_map_units(add_model: AddModel, home: Path) -> None:
    entry = add_model("Parts")
    page = Session("calibrate", model=entry.id)
    page.decide(entry.id, Draft("manual", 950, 12.5, 16))
    page.click("calibrate-use")
    model = Workspace(home).open(entry.id)
    threshold = model.current_threshold
    assert threshold is not None
    assert threshold.level == model.state.fitted.quantizer.to_level(12.5)


@pytest.mark.parametrize(
    "expected",
    [
        None,
        "950",
        {},
        {"basis": "image", "permille": 950, "level": 5},
        {"basis": "image", "permille": 0, "level": 5, "min_area": 4},
        {"basis": "image", "permille": True, "level": 5, "min_area": 4},
        {"basis": "other", "permille": 950, "level": 5, "min_area": 4},
        {"basis": "manual", "permille": 950, "level": 65535, "min_area": 4},
        {"basis": "manual", "permille": 950, "level": -1, "min_area": 4},
        {"basis": "manual", "permille": 950, "level": 5.5, "min_area": 4},
        {"basis": "manual", "permille": 950, "level": 5, "min_area": 10**9},
    ],
)
def test_an_invalid_decision_from_the_browser_is_ignored(
    expected: object, add_model: AddModel, home: Path, tried: calibrate.CalibrateState
) -> None:
    entry = add_model("Parts")
    model = Workspace(home).open(entry.id)
    if isinstance(expected, dict):
        expected = {
            "scale": [model.state.fitted.quantizer.offset, model.state.fitted.quantizer.step],
            "count": 3,
            **expected,
        }
    calibrate.on_decision(entry, model, expected)
    assert tried.draft is None


def test_a_decision_from_the_browser(
    add_model: AddModel, home: Path, tried: calibrate.CalibrateState
) -> None:
    entry = add_model("Parts")
    model = Workspace(home).open(entry.id)
    scale = [model.state.fitted.quantizer.offset, model.state.fitted.quantizer.step]
    expected = {"basis": "manual", "permille": 900, "level": 1234, "min_area": 9, "scale": scale, "count": 3}
    calibrate.on_decision(entry, model, expected)
    wanted = Draft("manual", 900, model.state.fitted.quantizer.to_value(1234), 9)
    assert (tried.draft, tried.handled.decision) == (wanted, 3)
    assert calibrate.threshold(model, wanted).level == 1234
    # A level of a scale that the model had before would be another threshold now.
    calibrate.on_decision(
        entry, model, {**expected, "level": 999, "scale": [scale[0], 2 * scale[1]], "count": 4}
    )
    assert (tried.draft, tried.handled.decision) == (wanted, 4), "handled, so that the viewer takes the draft"


def test_the_viewer_gets_the_counts_of_handled_actions(add_model: AddModel, home: Path) -> None:
    entry = add_model("Parts")
    page = Session("calibrate", model=entry.id)
    assert page.viewer["handled"] == {"decision": 0, "selected": 0, "labels": 0}
    received = page.app.session_state[f"padim:{calibrate.__name__}._CalibrateStates"].of[entry.id].handled
    received.decision, received.selected, received.labels = 5, 6, 7
    page.run()
    assert page.viewer["handled"] == {"decision": 5, "selected": 6, "labels": 7}


def test_defects_give_thresholds_worth_trying(add_model: AddModel, home: Path) -> None:
    entry = add_model("Parts")
    page = Session("calibrate", model=entry.id)
    assert "They need defects" in page.text
    page.upload([*DEFECTS, ("broken.png", DEFECTS[0][1][:100])])
    model = Workspace(home).open(entry.id)
    scores = {scored.name: scored.score_level for scored in model.predict(DEFECTS)}
    report = {item["name"]: item for item in page.viewer["items"] if item["group"] == "defect"}
    assert {name: item["score"] for name, item in report.items()} == scores
    assert "broken.png" in page.text
    points = operating_points(
        model.state.part_scores(model.config.min_area),
        np.fromiter(scores.values(), np.int64),
        Costs(100, 1, 0.01),
    )
    for point in points:
        value = model.state.fitted.quantizer.to_value(point.level)
        assert f"{value:.2f}" in page.text
        if page.viewer["decision"]["level"] != point.level:  # several points may be the same threshold
            page.click(f"try-{point.kind}")
        assert page.viewer["decision"]["level"] == point.level
    assert page.viewer["decision"]["basis"] == "manual"
    assert Workspace(home).open(entry.id).decision.choice.basis == "image", "trying saves nothing"
    page.click("calibrate-forget")
    assert {item["group"] for item in page.viewer["items"]} == {"normal"}
    assert "They need defects" in page.text


def test_labels_make_known_images_and_come_back(add_model: AddModel, home: Path) -> None:
    entry = add_model("Parts")
    page = Session("calibrate", model=entry.id)
    page.app.segmented_control(key="known-kind").set_value("unknown")
    page.run().upload(DEFECTS)
    assert {item["group"] for item in page.viewer["items"]} == {"normal", "unknown"}
    assert "They need defects" in page.text
    sha256 = hashlib.sha256(DEFECTS[0][1]).hexdigest()
    labels.put(entry, sha256, "defect")
    page.run()
    (labeled,) = [item for item in page.viewer["items"] if item["label"] == "defect"]
    assert labeled["name"] == DEFECTS[0][0]
    assert "1 defect image" in page.text
    # In another session the same image is recognized.
    again = Session("calibrate", model=entry.id)
    again.app.segmented_control(key="known-kind").set_value("unknown")
    again.run().upload(DEFECTS)
    assert "1 defect image" in again.text


def test_a_normal_called_a_defect_can_be_taken_out(add_model: AddModel, home: Path) -> None:
    entry = add_model("Parts")
    model = Workspace(home).open(entry.id)
    labels.put(entry, model.normals_[3].sha256, "defect")
    page = Session("calibrate", model=entry.id)
    assert f"{model.normals_[3].name} is here as a good part" in page.text.replace("**", "")
    page.click("doubted-out-3")
    assert Workspace(home).open(entry.id).normals_[3].status == "not_good"
    assert "is here as a good part" not in page.text


ZERO, ONE, TWO = "0" * 64, "1" * 64, "2" * 64


def labels_message(*expected: tuple[str, str | None, int]) -> list[dict[str, object]]:
    return [{"sha256": one, "label": label, "count": count} for one, label, count in expected]


@pytest.fixture
def tried(monkeypatch: pytest.MonkeyPatch) -> calibrate.CalibrateState:
    """Return the draft of a session without a browser."""
    found = calibrate.CalibrateState()
    monkeypatch.setattr(calibrate, "page_state", lambda _entry: found)
    return found


def test_labels_from_the_browser_are_applied_once_and_in_order(
    add_model: AddModel, monkeypatch: pytest.MonkeyPatch, tried: calibrate.CalibrateState
) -> None:
    entry = add_model("Parts")
    off: set[str] = set()
    monkeypatch.setattr(labels, "kept", lambda _entry: off)
    calibrate.on_labels(entry, labels_message((ZERO, "defect", 5), (ONE, "good", 6)))
    assert labels.labels(entry) == {ZERO: "defect", ONE: "good"}
    # Said again with what came since: only the new ones count.
    labels.put(entry, ZERO, "good")
    calibrate.on_labels(entry, labels_message((ZERO, "defect", 5), (ONE, None, 8), (TWO, "kept", 9)))
    assert labels.labels(entry) == {ZERO: "good"}
    assert off == {TWO}
    assert tried.handled.labels == 9
    calibrate.on_labels(entry, labels_message((TWO, "unkept", 11)))
    assert off == set()


def test_a_label_that_is_not_saved_is_not_shown_as_if_it_were(
    add_model: AddModel, tried: calibrate.CalibrateState
) -> None:
    entry = add_model("Parts")
    shutil.rmtree(entry.path)
    with pytest.raises(OSError, match="deleted"):
        calibrate.on_labels(entry, labels_message((ZERO, "defect", 5), (ONE, "good", 6)))
    # All of them count as handled, so that the viewer shows the labels that were saved.
    assert tried.handled.labels == 6


def test_undo_restores_the_former_label_but_not_over_that_of_another_session(
    add_model: AddModel, tried: calibrate.CalibrateState
) -> None:
    entry = add_model("Parts")

    def undone(sha256: str, label: str | None, count: int, instead_of: str | None) -> list[dict[str, object]]:
        return [{"sha256": sha256, "label": label, "count": count, "undo": True, "instead_of": instead_of}]

    labels.put(entry, ZERO, "good")
    calibrate.on_labels(entry, labels_message((ZERO, "defect", 1), (ONE, "defect", 2)))
    calibrate.on_labels(entry, undone(ONE, None, 3, "defect"))
    calibrate.on_labels(entry, undone(ZERO, "good", 4, "defect"))
    assert labels.labels(entry) == {ZERO: "good"}
    # Done again, and labelled anew by another session before it is undone once more.
    calibrate.on_labels(entry, undone(ONE, "defect", 5, None))
    assert labels.labels(entry) == {ZERO: "good", ONE: "defect"}
    labels.put(entry, ONE, "good")
    calibrate.on_labels(entry, undone(ONE, None, 6, "defect"))
    assert labels.labels(entry) == {ZERO: "good", ONE: "good"}
    assert tried.handled.labels == 6


@pytest.mark.parametrize(
    "expected",
    [
        None,
        {},
        ZERO,
        [{"sha256": ZERO}],
        [{"sha256": ZERO, "label": "evil", "count": 1}],
        [{"sha256": ZERO[1:], "label": "good", "count": 1}],
        [{"sha256": f"{ZERO}\n", "label": "good", "count": 1}],
        [{"sha256": "../labels", "label": "good", "count": 1}],
        [{"sha256": ZERO, "label": "good", "count": -1}],
        [{"sha256": 0, "label": None}],
    ],
)
def test_invalid_labels_are_ignored(
    add_model: AddModel, expected: object, tried: calibrate.CalibrateState
) -> None:
    entry = add_model("Parts")
    calibrate.on_labels(entry, expected)
    assert labels.labels(entry) == {}
    assert tried.handled.labels == 0


def test_a_change_from_elsewhere_reaches_the_viewer(add_model: AddModel, home: Path) -> None:
    entry = add_model("Parts")
    page = Session("calibrate", model=entry.id)
    Workspace(home).open(entry.id).set_decision(percentile=80.0, min_area=12).save(entry.path)
    page.run()
    after = page.viewer["decision"]
    assert (after["permille"], after["min_area"]) == (800, 12)
    # A draft by hand keeps its value in map units when the scale changes, at another level.
    page.decide(entry.id, Draft("manual", 950, 9.0, 12))
    changed = Workspace(home).open(entry.id)
    changed.exclude(0, "not_good").save(entry.path)
    page.run()
    report = page.viewer
    assert report["decision"]["level"] == changed.state.fitted.quantizer.to_level(9.0)


def test_an_impossible_draft_does_not_lock_the_page(add_model: AddModel, home: Path) -> None:
    entry = add_model("Parts")
    page = Session("calibrate", model=entry.id)
    model = Workspace(home).open(entry.id)
    # Too small for any part's hot spot to be judged by pixels: no pixel of the good parts is judged at all.
    page.decide(entry.id, Draft("manual", 950, -1.0, model.config.min_area))
    assert "There is no threshold yet" in page.text
    page.click("calibrate-back")
    assert page.viewer["decision"]["permille"] == 950
    assert page.app.button(key="calibrate-use").disabled


def test_a_large_smallest_region_reaches_further(add_model: AddModel, home: Path) -> None:
    entry = add_model("Parts")
    model = Workspace(home).open(entry.id)
    model.set_decision(min_area=300).save(entry.path)
    page = Session("calibrate", model=entry.id).upload(DEFECTS)
    assert page.viewer["areas"] == 512
    page.decide(entry.id, Draft("image", 950, None, 400))
    page.decide(entry.id, Draft("image", 950, None, 10)).click("calibrate-use")
    report = page.viewer
    assert (report["areas"], report["decision"]["min_area"]) == (256, 10)
    truth = Workspace(home).open(entry.id)
    assert [item["score"] for item in report["items"] if item["group"] == "defect"] == [
        scored.score_level for scored in truth.predict(DEFECTS)
    ]


def test_the_guard_band_is_drawn(add_model: AddModel, home: Path) -> None:
    entry = add_model("Parts")
    assert Session("calibrate", model=entry.id).viewer["band"] == 0
    model = Workspace(home).open(entry.id)
    model.set_guard(Guard(20.5 * model.state.fitted.quantizer.step, 1.0, 4, 5, 1)).save(entry.path)
    assert Session("calibrate", model=entry.id).viewer["band"] == 20


def test_a_model_of_two_parts_takes_a_threshold_by_hand_only(home: Path, small_model: Padim) -> None:
    from tests.parts import normals

    store = Workspace(home)
    entry = store.create("Two")
    Padim(small_model.config, work_dir=store.work_dir(entry.id)).fit(normals(2)).save(entry.path)
    page = Session("calibrate", model=entry.id)
    assert page.viewer["held"]["parts"] == 0
    assert page.viewer["decision"]["basis"] == "manual"
    assert page.viewer["saved"] is None
    page.click("calibrate-use")
    assert store.open(entry.id).decision.choice.basis == "manual"


def test_a_damaged_bundle_is_named(add_model: AddModel) -> None:
    entry = add_model("Parts")
    mean = next(entry.path.glob("mean-*.npy"))
    mean.write_bytes(mean.read_bytes()[:-8])
    page = Session("calibrate", model=entry.id)
    assert "The model cannot be opened." in page.text
    assert mean.name in page.text
    assert str(entry.path.parent) not in page.text


@pytest.mark.slow
def test_a_threshold_beyond_the_scale_is_replaced_by_a_usable_draft(add_model: AddModel, home: Path) -> None:
    model = Workspace(home).open(add_model("Parts").id)
    # As models could be saved before this was checked.
    model.decision = replace(model.decision, choice=Choice("manual", 950, 1e9))
    entry = add_model("Beyond", model)
    page = Session("calibrate", model=entry.id)
    assert page.viewer["saved"] is None
    assert page.viewer["decision"]["basis"] == "image"
    page.app.button(key="calibrate-use").click().run()
    assert not page.app.exception
    assert Workspace(home).open(entry.id).threshold_level == page.viewer["decision"]["level"]
    for name in ("inspect", "fit", "evaluate", "region", "result", "repeatability"):
        assert not Session(name, model=add_model(name, model).id).app.exception
