"""Checks: the figures are the engine's, a guard band is kept and removed, a second session joins the fit."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

from padim import Guard, Padim, Workspace, advise, align, check_session, pooled
from padim.analysis.repeat_shots import band_of, shots_in_fit, under_review
from padim.data.decode import decode
from padim.errors import Cancelled, PadimError
from padim.storage.model_folders import Entry
from tests.pages.session import AddModel, Session
from tests.parts import normals, part, png
from ui import repeatability
from ui.app.text import share_of

File = tuple[str, bytes]
GOOD = [(name, data) for name, data in normals(6, first=200) if isinstance(data, bytes)]
# The same kind of parts lit from one side: good, and unlike what the model has seen.
_SIDE = np.linspace(0.3, 1.9, 96)[:, None]
BRIGHT = [(f"bright_{i}.png", png(np.clip(part(300 + i) * _SIDE, 0, 255).astype(np.uint8))) for i in range(6)]
SHOTS = [(f"part{i:02d}_{k}.png", png(part(400 + i, shot=k))) for i in range(3) for k in range(4)]


def drop(page: Session, name: str, files: Sequence[File]) -> Session:
    """Upload files by the control with this name."""
    (uploader,) = [found for found in page.app.file_uploader if (found.key or "").startswith(f"{name}-")]
    uploader.set_value([(name, data, "application/octet-stream") for name, data in files])
    return page.run()


def fitted(home: Path, small_model: Padim, files: Sequence[File], groups: dict[str, str]) -> Entry:
    """Fit a model on these images and save it with its features."""
    store = Workspace(home)
    entry = store.create("Fitted")
    Padim(small_model.config, work_dir=store.work_dir(entry.id)).fit(files, groups=groups).save(entry.path)
    return store.get(entry.id)


def test_without_a_model_it_says_where_to_get_one() -> None:
    assert "No model in use" in Session("checks").text


def test_an_empty_page_says_what_to_do(add_model: AddModel) -> None:
    page = Session("repeatability", model=add_model("Parts").id)
    assert "Ten shots of one part" in page.text
    assert "No guard band is in use" in page.text
    assert len(page.app.file_uploader) == 1
    page.go("second-session")
    assert "Twenty or more good parts" in page.text
    assert len(page.app.file_uploader) == 1


def test_a_damaged_bundle_is_named(add_model: AddModel) -> None:
    entry = add_model("Parts")
    mean = next(entry.path.glob("mean-*.npy"))
    mean.write_bytes(mean.read_bytes()[:-8])
    page = Session("checks", model=entry.id)
    assert "The model cannot be opened." in page.text
    assert mean.name in page.text


# -- alignment -----------------------------------------------------------------------------------------------


def test_the_alignment_is_what_the_engine_measures(add_model: AddModel, home: Path) -> None:
    entry = add_model("Parts")
    page = Session("result", model=entry.id)
    model = Workspace(home).open(entry.id)
    found = align(
        [
            model.network.preprocess(decode(model.working_set.thumbnail(i), "one"))
            for i in range(len(model.normals_))
        ]
    )
    too_far, advice = advise(found, 8, 64)
    assert not too_far
    assert advice in page.text
    cells = found.shift95 / 8
    assert f"{found.shift95:.1f} px · {cells:.2f} cells" in page.text
    assert f"{found.angle95:.1f}°" in page.text
    assert "Measured on 22 images" in page.text


def test_parts_in_arbitrary_poses_are_reported(home: Path, small_model: Padim) -> None:
    rng = np.random.default_rng(3)
    files = []
    for i in range(12):
        turn = cv2.getRotationMatrix2D((48, 48), float(rng.normal(0, 3)), 1)
        turn[:, 2] += rng.normal(0, 9, 2)
        moved = cv2.warpAffine(part(i, variety=0.5), turn, (96, 96), borderMode=cv2.BORDER_REFLECT)
        files.append((f"<b>{i}</b>.png", png(np.asarray(moved, np.uint8))))
    page = Session("result", model=fitted(home, small_model, files, {}).id)
    assert "Parts lie further apart than a grid cell." in page.text
    assert "Shifted furthest" in page.text
    assert "<b>0</b>" not in page.text


def test_two_parts_are_too_few_to_measure(home: Path, small_model: Padim) -> None:
    entry = fitted(home, small_model, GOOD[:2], {})
    page = Session("result", model=entry.id)
    assert "Not measurable." in page.text
    assert "at least 3 images" in page.text
    drop(page.go("second-session"), "second", GOOD[2:])
    assert "no threshold yet" in page.text  # and so nothing is rejected


def test_a_cancelled_measurement_can_be_made_again(
    add_model: AddModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cancelled(*_: object) -> None:
        raise Cancelled("stopped")

    with monkeypatch.context() as patch:
        patch.setattr("padim.analysis.pose_spread.align", cancelled)
        page = Session("result", model=add_model("Parts").id)
    assert "The measurement was cancelled." in page.text
    page.click("checks-measure")
    assert "Measured on 22 images" in page.text


def test_a_failed_measurement_says_why_and_the_rest_works(
    add_model: AddModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: object) -> None:
        raise PadimError("the images are gone")

    monkeypatch.setattr("padim.analysis.pose_spread.align", failing)
    page = Session("result", model=add_model("Parts").id)
    assert "could not be measured. The images are gone." in page.text
    assert "How many good parts do I need?" in page.text


# -- repeatability -------------------------------------------------------------------------------------------


def expected_guard(model: Padim, files: Sequence[File], of: list[slice]) -> Guard:
    """Return the guard band of shots scored by the engine, some of which show one part."""
    values = [model.state.fitted.quantizer.to_value(scored.score_level) for scored in model.predict(files)]
    found = pooled(values[group] for group in of)
    assert found is not None
    return Guard.of(found)


@pytest.mark.slow
def test_repeat_shots_make_a_guard_band_and_it_can_be_removed(add_model: AddModel, home: Path) -> None:
    entry = add_model("Parts")
    model = Workspace(home).open(entry.id)
    page = drop(Session("repeatability", model=entry.id), "repeats", SHOTS)
    guard = expected_guard(model, SHOTS, [slice(0, 4), slice(4, 8), slice(8, 12)])
    limit = model.state.fitted.quantizer.to_value(model.threshold_level)
    assert "12 shots of 3 parts" in page.text
    assert f"± {repeatability.amount(guard.half_width)}" in page.text
    assert f"± {repeatability.in_thresholds(guard.half_width, limit)}" in page.text
    assert f"smallest region of {model.config.min_area} px²" in page.text
    inside = under_review(model, guard)
    assert inside is not None
    assert f"{inside.count} would fall into review" in page.text
    assert Workspace(home).open(entry.id).decision.guard is None  # a measurement changes nothing
    page.click("checks-guard-use")
    assert Workspace(home).open(entry.id).decision.guard == guard
    assert page.app.button(key="checks-guard-use").disabled
    assert "A guard band is in use" in page.text
    page.click("checks-guard-remove")
    assert Workspace(home).open(entry.id).decision.guard is None
    assert "No guard band is in use" in page.text
    page.click("checks-repeats-clear")
    assert "Ten shots of one part" in page.text


@pytest.mark.slow
def test_a_band_that_decides_little_is_reported(add_model: AddModel, home: Path) -> None:
    entry = add_model("Parts")
    # "Shots" of one part that are unlike each other: some of good parts, some under another light.
    unlike = [(f"part01_{k}.png", data) for k, (_, data) in enumerate([*GOOD[:3], *BRIGHT[:3]])]
    page = drop(Session("repeatability", model=entry.id), "repeats", unlike)
    model = Workspace(home).open(entry.id)
    inside = under_review(model, expected_guard(model, unlike, [slice(0, 6)]))
    assert inside is not None
    assert inside.count > inside.of / 4
    assert "A band this wide decides little" in page.text
    steady = drop(page.click("checks-repeats-clear"), "repeats", SHOTS)
    assert "A band this wide decides little" not in steady.text


@pytest.mark.slow
def test_the_user_decides_which_shots_show_one_part(add_model: AddModel, home: Path) -> None:
    entry = add_model("Parts")
    model = Workspace(home).open(entry.id)
    page = drop(Session("repeatability", model=entry.id), "repeats", SHOTS)
    (ways,) = [found for found in page.app.segmented_control if "split" in (found.key or "")]
    ways.set_value("one")
    page.run().click("checks-guard-use")
    assert Workspace(home).open(entry.id).decision.guard == expected_guard(model, SHOTS, [slice(0, 12)])


def test_copies_and_the_models_own_images_do_not_count(add_model: AddModel, home: Path) -> None:
    entry = add_model("Parts")
    model = Workspace(home).open(entry.id)
    own = ("own.png", png(part(5)))
    page = drop(
        Session("repeatability", model=entry.id), "repeats", [*SHOTS[:4], ("copy.png", SHOTS[0][1]), own]
    )
    assert "1 copy of the same file left out" in page.text
    assert "1 of these 6 images belongs to the model already" in page.text
    page.click("checks-guard-use")
    assert Workspace(home).open(entry.id).decision.guard == expected_guard(model, SHOTS[:4], [slice(0, 4)])


def test_one_shot_is_no_repeat(add_model: AddModel) -> None:
    page = drop(Session("repeatability", model=add_model("Parts").id), "repeats", SHOTS[:1])
    assert "No part was shot twice" in page.text
    assert not [button for button in page.app.button if button.key == "checks-guard-use"]


@pytest.mark.slow
def test_good_parts_photographed_repeatedly_need_no_upload(home: Path, small_model: Padim) -> None:
    groups = {name: name.split("_")[0] for name, _ in SHOTS}
    entry = fitted(home, small_model, [*GOOD, *SHOTS], groups)
    page = Session("repeatability", model=entry.id)
    assert "12 shots of 3 parts" in page.text
    page.click("checks-guard-use")
    model = Workspace(home).open(entry.id)
    band = band_of(shots_in_fit(model))
    assert band is not None
    assert model.decision.guard == band.guard
    page.set("segmented_control", f"checks-{entry.id}-source", "drop")
    assert "Ten shots of one part" in page.text


@pytest.mark.slow
def test_repeat_shots_follow_the_models_changes(add_model: AddModel, home: Path) -> None:
    entry = add_model("Parts")
    page = drop(Session("repeatability", model=entry.id), "repeats", SHOTS)
    changed = Workspace(home).open(entry.id)
    changed.exclude(0, "not_good").save(entry.path)
    page.run().click("checks-guard-use")
    of = [slice(0, 4), slice(4, 8), slice(8, 12)]
    assert Workspace(home).open(entry.id).decision.guard == expected_guard(changed, SHOTS, of)


# -- second session ------------------------------------------------------------------------------------------


def test_a_session_that_keeps_the_promise(add_model: AddModel, home: Path) -> None:
    entry = add_model("Parts")
    model = Workspace(home).open(entry.id)
    page = drop(Session("second-session", model=entry.id), "second", [*GOOD, ("cut.png", GOOD[0][1][:99])])
    scores = np.array([scored.score_level for scored in model.predict(GOOD)])
    check = check_session(model.state.part_scores(model.config.min_area), scores, model.threshold_level)
    assert share_of(check.rejected, 6, check.low, check.high) in page.text
    assert check.disagrees is None
    assert "no further apart than chance explains" in page.text
    assert "cut.png" in page.text
    page.click("checks-second-clear")
    assert "Twenty or more good parts" in page.text


@pytest.mark.slow
def test_another_light_breaks_it_and_the_parts_join_the_fit(add_model: AddModel, home: Path) -> None:
    entry = add_model("Parts")
    model = Workspace(home).open(entry.id)
    page = drop(Session("second-session", model=entry.id), "second", BRIGHT)
    rejected = [scored.name for scored in model.predict(BRIGHT) if model.decide(scored).rejected]
    assert len(rejected) > 3  # otherwise this would test nothing
    assert "More false rejects than expected." in page.text
    assert all(f'title="{name}"' in page.text for name in rejected)
    page.click("checks-second-fit")
    assert "6 images added" in page.text
    assert "the list was cleared" in page.text
    assert "false rejects than expected" not in page.text  # of a model that contains them
    joined = Workspace(home).open(entry.id)
    assert [normal.name for normal in joined.normals_][-6:] == [name for name, _ in BRIGHT]
    # Another day starts afresh.
    drop(page, "second", GOOD)
    assert "the list was cleared" not in page.text
    assert "False rejects in this session" in page.text


def test_the_models_own_images_test_nothing(add_model: AddModel) -> None:
    own = [(name, data) for name, data in normals(4) if isinstance(data, bytes)]
    page = drop(Session("second-session", model=add_model("Parts").id), "second", own)
    assert "These images belong to the model already." in page.text
    assert "False rejects in this session" not in page.text
    drop(page, "second", [*own[:1], *GOOD])
    assert "1 of these 7 images belongs to the model already" in page.text
    assert "False rejects in this session" in page.text


def test_files_that_could_not_be_added_are_reported(
    add_model: AddModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = add_model("Parts")
    page = drop(Session("second-session", model=entry.id), "second", GOOD)

    def full(self: Padim, path: object, **_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Padim, "save", full)
    page.click("checks-second-fit")
    assert "The model was not changed." in page.text
    assert "No space left on the disk" in page.text
    assert "False rejects in this session" in page.text  # the list is still there


def test_rejected_within_the_guard_band_is_called_for_review(add_model: AddModel, home: Path) -> None:
    entry = add_model("Parts")
    model = Workspace(home).open(entry.id)
    value = model.state.fitted.quantizer.to_value
    scores = sorted(scored.score_level for scored in model.predict(BRIGHT))
    over = [value(score) - value(model.threshold_level) for score in scores]
    # Up to the third of them, all of which lie above the threshold.
    model.set_guard(Guard((over[2] + over[3]) / 2, 1.0, 9, 10, 1)).save(entry.path)
    page = drop(Session("second-session", model=entry.id), "second", BRIGHT)
    assert over[0] > 0
    assert "False rejects in this session (95 % interval)</dt><dd>3 of 6" in page.text
    assert "In review, within the guard band</dt><dd>3 of 6" in page.text
    assert page.text.count('pv-verdict pv-review"') == 3
    assert page.text.count('pv-verdict pv-reject"') == 3


def test_the_session_is_decided_at_the_threshold_in_use(add_model: AddModel, home: Path) -> None:
    entry = add_model("Parts")
    page = drop(Session("second-session", model=entry.id), "second", BRIGHT)
    assert "More false rejects" in page.text
    model = Workspace(home).open(entry.id)
    model.set_decision(value=model.state.fitted.quantizer.to_value(60000)).save(entry.path)
    page.run()
    assert "0 of 6 (0.0 to" in page.text
    assert "More false rejects" not in page.text
