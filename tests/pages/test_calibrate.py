"""Calibrate: the promise in words, drafts, defects, and that no slider runs the network."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from padim import Padim, Workspace
from padim.features import FeatureExtractor
from tests.pages.session import AddModel, Session
from tests.parts import defects
from ui.words import false_rejects

DEFECTS = [(name, data) for name, data in defects(4) if isinstance(data, bytes)]


def test_without_a_model_it_says_where_to_get_one() -> None:
    page = Session("calibrate")
    assert "No model in use" in page.text


def test_it_says_what_the_engine_says(add_model: AddModel, home: Path) -> None:
    entry = add_model("Parts")
    model = Workspace(home).open(entry.id)
    page = Session("calibrate", model=entry.id)
    assert false_rejects(model.false_rejects()) in page.text
    threshold = model.threshold_
    assert threshold is not None
    assert f"{model.quantizer.to_value(threshold.level):.2f}" in page.text
    assert page.app.button(key="calibrate-use").disabled  # nothing to save yet
    assert "Good pictures nearest the threshold" in page.text


def test_sliders_move_the_promise_and_never_run_the_network(
    add_model: AddModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = add_model("Parts")
    runs: list[tuple[int, ...]] = []
    run = FeatureExtractor.run

    def counted(self: FeatureExtractor, rgb: npt.NDArray[np.uint8]) -> object:
        runs.append(rgb.shape)
        return run(self, rgb)

    monkeypatch.setattr(FeatureExtractor, "run", counted)
    page = Session("calibrate", model=entry.id)
    page.upload(DEFECTS)
    scored = len(runs)
    assert scored > 0  # the count counts
    key = f"calibrate-{entry.id}"
    before = page.text
    page.set("slider", f"{key}-percentile", 80.0)
    assert page.text != before
    page.set("slider", f"{key}-area", 40)
    page.app.segmented_control(key=f"{key}-basis").set_value("pixel")
    page.run()
    page.app.segmented_control(key=f"{key}-basis").set_value("manual")
    page.run()
    page.set("number_input", f"{key}-value", 3.5)
    page.click("calibrate-use")
    assert len(runs) == scored


def test_a_draft_judges_nothing_until_it_is_used(add_model: AddModel, home: Path) -> None:
    entry = add_model("Parts")
    page = Session("calibrate", model=entry.id)
    key = f"calibrate-{entry.id}"
    page.set("slider", f"{key}-percentile", 85.0)
    page.set("slider", f"{key}-area", 12)
    assert "A draft" in page.text
    assert Workspace(home).open(entry.id).choice.permille == 950
    page.click("calibrate-use")
    model = Workspace(home).open(entry.id)
    assert model.choice.permille == 850
    assert model.config.min_area == 12
    assert "This threshold is in use" in page.text


def test_by_hand_in_map_units(add_model: AddModel, home: Path) -> None:
    entry = add_model("Parts")
    page = Session("calibrate", model=entry.id)
    page.app.segmented_control(key=f"calibrate-{entry.id}-basis").set_value("manual")
    page.run()
    page.set("number_input", f"calibrate-{entry.id}-value", 12.5)
    page.click("calibrate-use")
    model = Workspace(home).open(entry.id)
    threshold = model.threshold_
    assert threshold is not None
    assert threshold.level == model.quantizer.to_level(12.5)


def test_more_than_the_parts_support_is_said_plainly(add_model: AddModel) -> None:
    entry = add_model("Parts")
    page = Session("calibrate", model=entry.id)
    page.set("slider", f"calibrate-{entry.id}-percentile", 99.0)
    assert "asks for at least 99 good parts; there are 22" in page.text
    assert "If 40 parts scored alike" in page.text  # few normals make a blunt threshold


def test_defects_show_what_share_is_caught(add_model: AddModel, home: Path) -> None:
    entry = add_model("Parts")
    page = Session("calibrate", model=entry.id)
    page.upload([*DEFECTS, ("broken.png", DEFECTS[0][1][:100])])
    model = Workspace(home).open(entry.id)
    caught = sum(model.decide(scored).rejected for scored in model.score(DEFECTS))
    assert f"{caught} of 4 defect pictures caught" in page.text
    assert "broken.png" in page.text
    page.set("slider", f"calibrate-{entry.id}-percentile", 80.0)
    assert "of 4 defect pictures caught" in page.text
    page.click("calibrate-forget")
    assert "defect pictures caught" not in page.text
    assert len(page.app.file_uploader) == 1


def test_a_model_of_two_parts_takes_a_threshold_by_hand_only(home: Path, small_model: Padim) -> None:
    from tests.parts import normals

    store = Workspace(home)
    entry = store.create("Two")
    Padim(small_model.config, work_dir=store.work_dir(entry.id)).fit(normals(2)).save(entry.path)
    page = Session("calibrate", model=entry.id)
    assert "Nothing can be promised" in page.text
    page.click("calibrate-use")
    assert store.open(entry.id).choice.basis == "manual"


def test_a_damaged_bundle_is_named(add_model: AddModel) -> None:
    entry = add_model("Parts")
    mean = next(entry.path.glob("mean-*.npy"))
    mean.write_bytes(mean.read_bytes()[:-8])
    page = Session("calibrate", model=entry.id)
    assert "The model cannot be opened." in page.text
    assert mean.name in page.text
    assert str(entry.path.parent) not in page.text
