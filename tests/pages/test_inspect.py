"""Inspect page: the engine's verdicts, the list, bad files, and what the list keeps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from padim import Padim, Workspace
from padim.decision.anomaly_map import Quantizer
from padim.decision.guard_band import Guard
from padim.errors import PadimError
from padim.records.library import ImageLibrary
from tests.altered import expecting, hotter, one_level
from tests.pages.session import AddModel, Session
from tests.parts import defects, normals, part, png
from tests.posed import any_pose, posed
from ui import inspect
from ui.app.text import ratio
from ui.calibrate import Draft

FILES = [(name, data) for name, data in (*normals(3, first=100), *defects(3)) if isinstance(data, bytes)]


def table(page: Session) -> list[dict[str, object]]:
    """Return the rows of the list, top first, as the viewer draws them from its data."""
    report = page.viewer
    level, band = report["decision"]["level"], report["band"]
    quantizer = Quantizer(report["quantizer"]["offset"], report["quantizer"]["step"])

    def verdict(score: int) -> str:
        if band and abs(score - level) <= band:
            return "Review"
        return "Reject" if score > level else "Accept"

    return [
        {
            "Name": item["name"],
            "Score": ratio(quantizer.to_value(item["score"]), quantizer.to_value(level)),
            "Verdict": verdict(item["score"]),
            "Regions": item["regions"],
        }
        for item in report["items"]
    ]


def listed(page: Session) -> bool:
    """Whether there is a list at all."""
    return bool(page.app.get("bidi_component"))


def test_without_a_model_it_says_where_to_get_one() -> None:
    assert "No model in use" in Session("inspect").text


def test_an_empty_list_says_what_to_do(add_model: AddModel) -> None:
    page = Session("inspect", model=add_model("Parts").id)
    assert "No images yet" in page.text
    assert len(page.app.file_uploader) == 1


def test_verdicts_are_the_engines_worst_first(add_model: AddModel, home: Path) -> None:
    entry = add_model("Parts")
    page = Session("inspect", model=entry.id).upload(FILES)
    model = Workspace(home).open(entry.id)
    expected = {s.name: (model.decide(s), s.score_level) for s in model.predict(FILES)}
    lines = table(page)
    assert [line["Name"] for line in lines] == sorted(expected, key=lambda name: -expected[name][1])
    for line in lines:
        decision, _ = expected[str(line["Name"])]
        assert line["Verdict"] == ("Reject" if decision.rejected else "Accept")
        assert line["Regions"] == len(decision.regions)
        assert (float(str(line["Score"])) > 1) == decision.rejected
    assert {line["Verdict"] for line in lines} == {"Reject", "Accept"}
    report = page.viewer
    assert [item["name"] for item in report["items"]] == [line["Name"] for line in lines]
    assert report["decision"]["level"] == model.threshold_level
    assert [item["score"] for item in report["items"]] == [
        expected[str(item["name"])][1] for item in report["items"]
    ]


def test_bad_files_are_listed_and_the_others_scored(add_model: AddModel) -> None:
    bad = [("cut.png", FILES[0][1][:99]), ("../up.png", b"nothing")]
    page = Session("inspect", model=add_model("Parts").id).upload([*FILES, *bad])
    assert len(table(page)) == len(FILES)
    assert "2 files cannot be used" in "".join(e.label for e in page.app.expander)
    assert "cut.png" in page.text
    assert "up.png" in page.text


def test_only_bad_files(add_model: AddModel) -> None:
    page = Session("inspect", model=add_model("Parts").id).upload([("cut.png", FILES[0][1][:99])])
    assert "cut.png" in page.text
    assert not listed(page)
    page.click("inspect-clear")
    assert "No images yet" in page.text


def test_the_guard_band_calls_for_review(add_model: AddModel, home: Path) -> None:
    entry = add_model("Parts")
    model = Workspace(home).open(entry.id)
    scores = {scored.name: scored.score_level for scored in model.predict(FILES)}
    levels = sorted(abs(score - model.threshold_level) for score in scores.values())
    band = (levels[1] + levels[2]) // 2  # two of the six lie within it
    model.set_guard(Guard((band + 0.5) * model.state.fitted.quantizer.step, 1.0, 4, 5, 1)).save(entry.path)
    page = Session("inspect", model=entry.id).upload(FILES)
    assert page.viewer["band"] == band
    for line in table(page):
        assert line["Verdict"] == model.verdict(scores[str(line["Name"])]).capitalize()
    assert sum(line["Verdict"] == "Review" for line in table(page)) == 2
    page.app.segmented_control(key="inspect-show").set_value("review")
    page.run()
    assert len(table(page)) == len(page.viewer["items"]) == 2


def test_filter_search_and_order(add_model: AddModel) -> None:
    page = Session("inspect", model=add_model("Parts").id).upload(FILES)
    everything = table(page)
    page.app.segmented_control(key="inspect-show").set_value("reject")
    page.run()
    assert {line["Verdict"] for line in table(page)} == {"Reject"}
    page.app.segmented_control(key="inspect-show").set_value("all")
    page.set("selectbox", "inspect-order", "name")
    names = [str(line["Name"]) for line in table(page)]
    assert names == sorted(names)
    assert len(names) == len(everything)
    page.set("text_input", "inspect-search", "bad_001")
    assert [line["Name"] for line in table(page)] == ["bad_001.png"]
    page.set("text_input", "inspect-search", "no such name")
    assert "None of the images matches" in page.text


def test_a_new_threshold_decides_again_without_scoring_again(add_model: AddModel, home: Path) -> None:
    entry = add_model("Parts")
    page = Session("inspect", model=entry.id).upload(FILES)
    scores = {line["Name"]: line["Score"] for line in table(page)}
    page.go("calibrate")
    model = Workspace(home).open(entry.id)
    top = model.state.fitted.quantizer.to_value(65534)
    page.decide(entry.id, Draft("manual", 950, top, model.config.min_area))
    page.click("calibrate-use")
    page.go("inspect")
    lines = table(page)
    assert len(lines) == len(FILES)  # still there
    assert {line["Verdict"] for line in lines} == {"Accept"}
    assert {line["Name"]: line["Score"] for line in lines} != scores


@pytest.mark.slow
def test_a_changed_model_scores_its_images_again(add_model: AddModel, home: Path) -> None:
    entry = add_model("Parts")
    page = Session("inspect", model=entry.id).upload([*FILES, ("cut.png", FILES[0][1][:99])])
    before = {line["Name"]: line["Score"] for line in table(page)}
    # Another session excludes a normal, which no page of this session knows of.
    changed = Workspace(home).open(entry.id)
    changed.exclude(0, "not_good").save(entry.path)
    page.run()
    lines = table(page)
    assert {line["Name"] for line in lines} == set(before)
    assert {line["Name"]: line["Score"] for line in lines} != before
    for scored in changed.predict(FILES):
        (line,) = [line for line in lines if line["Name"] == scored.name]
        decision = changed.decide(scored)
        assert line["Verdict"] == ("Reject" if decision.rejected else "Accept")
        level = changed.threshold_level
        expected = ratio(
            changed.state.fitted.quantizer.to_value(scored.score_level),
            changed.state.fitted.quantizer.to_value(level),
        )
        assert line["Score"] == expected
    assert "cut.png" in page.text  # unusable files are still named


def test_images_to_calibrate_by_follow_the_model_too(add_model: AddModel, home: Path) -> None:
    entry = add_model("Parts")
    bad = [file for file in FILES if file[0].startswith("bad")]
    page = Session("calibrate", model=entry.id).upload(bad)
    changed = Workspace(home).open(entry.id)
    changed.exclude(1, "not_good").save(entry.path)
    page.run()
    expected = {scored.name: scored.score_level for scored in changed.predict(bad)}
    report = {item["name"]: item["score"] for item in page.viewer["items"] if item["group"] == "defect"}
    assert report == expected, "scored again, and still known as defects"


def test_every_model_keeps_its_own_list(add_model: AddModel) -> None:
    one, other = add_model("One"), add_model("Other")
    page = Session("inspect", model=one.id).upload(FILES)
    page.set("selectbox", "model-in-use", other.id)
    assert not listed(page)
    page.set("selectbox", "model-in-use", one.id)
    assert len(table(page)) == len(FILES)


def test_another_model_starts_another_list(add_model: AddModel, home: Path) -> None:
    one, other = add_model("One"), add_model("Other")
    with_fewer = Workspace(home).open(other.id)
    with_fewer.exclude(0, "not_good").save(other.path)
    page = Session("inspect", model=one.id).upload(FILES)
    assert listed(page)
    page.set("selectbox", "model-in-use", other.id)
    assert not listed(page)  # scores of another model are not valid for this one


def test_the_same_name_twice_is_two_images(add_model: AddModel) -> None:
    page = Session("inspect", model=add_model("Parts").id).upload([FILES[0], (FILES[0][0], FILES[4][1])])
    assert len({line["Name"] for line in table(page)}) == 2


def test_without_a_threshold_there_is_no_verdict(home: Path, add_model: AddModel) -> None:
    from padim import Padim

    store = Workspace(home)
    entry = store.create("Two")
    config = Workspace(home).open(add_model("Other").id).config
    Padim(config, work_dir=store.work_dir(entry.id)).fit(normals(2)).save(entry.path)
    page = Session("inspect", model=entry.id).upload(FILES)
    assert len(page.app.dataframe[0].value) == len(FILES)
    assert not listed(page)
    assert "no threshold yet" in page.text


def test_images_unlike_the_good_parts_say_so(add_model: AddModel) -> None:
    entry = add_model("Parts")
    small = ("small.png", png(part(900, size=(48, 48))))
    page = Session("inspect", model=entry.id).upload([*FILES, small])
    note = "The image has 48 × 48 pixels; the good parts have 96 × 96."
    expected = {name: [note] if name == "small.png" else [] for name, _ in [*FILES, small]}
    assert {item["name"]: item["notes"] for item in page.viewer["items"]} == expected
    assert "1 of 7 images is unlike the good parts in shape, size or colors" in page.text


def test_images_like_the_good_parts_are_not_noted(add_model: AddModel) -> None:
    page = Session("inspect", model=add_model("Parts").id).upload(FILES)
    assert "unlike the good parts" not in page.text


def test_parts_that_are_not_found_or_lie_too_far_are_named_and_filtered(add_model: AddModel) -> None:
    align = {"method": "outline", "shift_weight": 3.0, "max_shift": 60}
    model = Padim(align=align, input_size=64, n_features=20, smoothing_sigma=1.0, min_area=4)
    entry = add_model("Turned", model.fit(any_pose(12, shift=2.0)))
    files = [
        ("blank.png", png(np.full((120, 160, 3), 30, np.uint8))),
        ("good.png", png(posed(77, dx=1, turn=40))),
        ("far.png", png(posed(78, dx=30, dy=3, turn=10))),
    ]
    page = Session("inspect", model=entry.id).upload(files)
    items = {item["name"]: item for item in page.viewer["items"]}
    assert items["blank.png"]["lost"]
    assert items["blank.png"]["placement"] is None
    assert not items["good.png"]["lost"]
    (prediction,) = model.predict([files[1]])
    assert prediction.placement is not None
    assert items["good.png"]["placement"]["matrix"] == prediction.placement.matrix.ravel().tolist()
    (far,) = model.predict([files[2]])
    assert "shift" in [check.name for check in far.checks if check.fired]
    labels = page.app.segmented_control(key="inspect-show").options
    assert "Part not found 1" in labels
    assert "Displaced 1" in labels
    page.set("segmented_control", "inspect-show", "lost")
    assert [item["name"] for item in page.viewer["items"]] == ["blank.png"]
    page.set("segmented_control", "inspect-show", "displaced")
    assert [item["name"] for item in page.viewer["items"]] == ["far.png"]


def as_the_page(page: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the viewer's messages reach this session's list from the test."""
    lists = page.app.session_state[f"padim:{inspect.__name__}.InspectState"]
    monkeypatch.setattr(inspect, "review", lists.of)


def test_labels_by_key_are_those_of_the_library(
    add_model: AddModel, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = add_model("Parts")
    page = Session("inspect", model=entry.id).upload(FILES)
    as_the_page(page, monkeypatch)
    store = ImageLibrary(home, entry.id)
    assert page.viewer["labeling"]
    by_name = {item["name"]: item["sha256"] for item in page.viewer["items"]}
    good, defect = (by_name[FILES[place][0]] for place in (0, -1))
    inspect.on_labels(
        entry,
        [
            {"sha256": good, "label": "defect", "count": 3},
            {"sha256": defect, "label": "defect", "count": 4},
            {"sha256": good, "label": "good", "count": 5},
        ],
    )
    # Labeled images are in the library, for Calibrate and Validate.
    assert {one.sha256: (one.label, one.origin) for one in store.images()} == {
        good: ("good", "inspect"),
        defect: ("defect", "inspect"),
    }
    page.run()
    labeled = {item["sha256"]: item["label"] for item in page.viewer["items"] if item["label"]}
    assert labeled == {good: "good", defect: "defect"}
    inspect.on_labels(
        entry, [{"sha256": good, "label": None, "count": 6, "undo": True, "instead_of": "good"}]
    )
    assert store.counts() == {"good": 0, "defect": 1, "unknown": 1}
    page.go("evaluate").click("evaluate-library")
    assert "1 labelled image of the library" in page.text


def test_a_label_stands_where_the_library_has_no_room(
    add_model: AddModel, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PADIM_LIBRARY_LIMIT", "0.000001")
    entry = add_model("Parts")
    page = Session("inspect", model=entry.id).upload(FILES[:1])
    as_the_page(page, monkeypatch)
    sha256 = page.viewer["items"][0]["sha256"]
    with pytest.raises(PadimError, match="PADIM_LIBRARY_LIMIT"):
        inspect.on_labels(entry, [{"sha256": sha256, "label": "good", "count": 3}])
    assert page.run().viewer["items"][0]["label"] == "good"


def test_the_sample_is_not_offered_to_a_model_of_other_parts(add_model: AddModel) -> None:
    page = Session("inspect", model=add_model("Parts").id)
    assert "tests-sample" not in [button.key for button in page.app.button]


def test_the_self_test_of_a_model_is_noted_or_refuses(add_model: AddModel) -> None:
    entry = add_model("Parts")
    expecting(entry.path, one_level)
    page = Session("inspect", model=entry.id).upload(FILES[:1])
    assert "Self-test of the model: 3 reference images score within one level" in page.text
    expecting(entry.path, hotter)
    page = Session("inspect", model=entry.id).upload(FILES[:1])
    assert "Some images were not scored." in page.text
    assert "the self-test of the model failed, nothing is scored" in page.text
    assert not listed(page)
