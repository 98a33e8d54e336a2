"""Sensitivity page: the engine's counts, the images used, outdated results, and invalid input."""

from __future__ import annotations

import io
import json
from pathlib import Path
from zipfile import ZipFile

import pytest

from padim import Workspace
from padim.analysis.sensitivity import measure
from tests.pages.session import AddModel, Session
from tests.parts import defects, normals
from ui import sensitivity

NEW = [(name, data) for name, data in normals(3, first=100) if isinstance(data, bytes)]
SIZES, CONTRASTS = [4.0, 16.0], [0.1, 0.4]


def opened(add_model: AddModel, files: list[tuple[str, bytes]] | None = None) -> tuple[Session, str]:
    """Return the page with images and few settings chosen, ready to start."""
    entry = add_model("Parts")
    page = Session("sensitivity", model=entry.id).upload(NEW if files is None else files)
    page.set("button_group", "sensitivity-sizes-64", SIZES)
    page.set("button_group", "sensitivity-contrasts", CONTRASTS)
    return page, entry.id


def measured(page: Session, model_id: str) -> sensitivity.SensitivityRun:
    """Return the session's measurement of a model."""
    found: sensitivity.SensitivityRun = page.outcome(sensitivity._SensitivityRuns, model_id)
    return found


def test_an_empty_page_says_what_to_do(add_model: AddModel) -> None:
    page = Session("sensitivity", model=add_model("Parts").id)
    assert "No good parts to paint on yet" in page.text
    assert len(page.app.file_uploader) == 1


@pytest.mark.slow
def test_the_page_shows_what_the_engine_counts(add_model: AddModel, home: Path) -> None:
    page, model_id = opened(add_model)
    assert "120 painted images to score: 20 settings at 6 places" in page.text
    page.click("sensitivity-start")
    found = measured(page, model_id)
    same = measure(Workspace(home).open(model_id), NEW, sizes=SIZES, contrasts=CONTRASTS, cells=2)
    assert (found.result.caught == same.caught).all()
    assert (found.result.places == same.places).all()
    _, rows = sensitivity.smallest(found, sensitivity.Unit.of((1.5, 1.5)))
    for row in rows:
        for cell in row[1:]:
            # The table's HTML escapes the "more than".
            text = cell.text.replace(">", "&gt;")
            assert f"<td><b>{text}</b><small>{cell.note.replace('>', '&gt;')}</small></td>" in page.text
    assert sensitivity.weakest(found.result, None) in page.text
    assert len(page.app.get("plotly_chart")) == 2
    assert page.text.count("Caught</span>") + page.text.count("Missed</span>") == 2
    # Another kind has another text below its map.
    page.set("button_group", "sensitivity-kind-scratch-spot-stain-dent-missing", "dent")
    assert sensitivity.weakest(found.result, "dent") in page.text
    assert "Examples: dent" in page.text


def test_sizes_are_stated_in_millimeters_if_the_pixel_size_is_known(add_model: AddModel) -> None:
    page, model_id = opened(add_model)
    page.click("sensitivity-start")
    page.set("number_input", "sensitivity-mm", 0.02)
    _, rows = sensitivity.smallest(measured(page, model_id), sensitivity.Unit.of((1.5, 1.5), 0.02))
    assert rows[1][2].text.endswith("mm")
    assert rows[1][2].text.replace(">", "&gt;") in page.text


@pytest.mark.slow
def test_a_changed_threshold_makes_it_out_of_date_and_running_again_mends_it(
    add_model: AddModel, home: Path
) -> None:
    page, model_id = opened(add_model)
    page.click("sensitivity-start")
    before = measured(page, model_id)
    entry = Workspace(home).get(model_id)
    model = Workspace(home).open(model_id)
    model.set_decision(value=model.state.fitted.quantizer.to_value(before.result.threshold // 2)).save(
        entry.path
    )
    page.run()
    assert "has changed since" in page.app.warning[0].value
    assert f"{before.threshold:.2f}" in page.app.warning[0].value
    page.click("sensitivity-start")
    after = measured(page, model_id)
    assert after.result.threshold == before.result.threshold // 2
    assert after.result.share > before.result.share
    assert "has changed since" not in page.text


@pytest.mark.slow
def test_of_labelled_images_only_good_ones_are_painted_on(add_model: AddModel) -> None:
    packed = io.BytesIO()
    with ZipFile(packed, "w") as archive:
        for name, data in NEW:
            archive.writestr(f"set/good/{name}", data)
        for name, chipped in defects(4):
            archive.writestr(f"set/chip/{name}", bytes(chipped))
    page, model_id = opened(add_model, [("set.zip", packed.getvalue())])
    assert "Defects, not used" in page.text
    page.click("sensitivity-start")
    assert set(measured(page, model_id).result.images) == {f"good/{name}" for name, _ in NEW}


def test_images_of_the_fit_are_refused_and_a_few_passed_over(add_model: AddModel) -> None:
    own = [(name, data) for name, data in normals(2) if isinstance(data, bytes)]
    page, _ = opened(add_model, own)
    page.click("sensitivity-start")
    assert "fitted on 2 of them" in page.app.error[0].value
    page.click("sensitivity-clear")
    page.upload([*own[:1], *NEW[:1], ("broken.png", b"no image")])
    page.click("sensitivity-start")
    assert "1 image passed over" in page.text
    assert "broken.png" in page.text
    page.click("sensitivity-clear")
    assert "No good parts to paint on yet" in page.text


def test_images_rejected_before_painting_are_reported(add_model: AddModel) -> None:
    page, _ = opened(add_model, [(name, bytes(data)) for name, data in defects(2)])
    page.click("sensitivity-start")
    assert "2 of 2 images are rejected before anything is painted" in page.text


def test_nothing_chosen_cannot_be_started(add_model: AddModel) -> None:
    page, _ = opened(add_model)
    page.set("button_group", "sensitivity-kinds", [])
    assert "at least one" in page.app.error[0].value
    assert page.app.button(key="sensitivity-start").disabled


@pytest.mark.slow
def test_files_say_what_the_page_says(add_model: AddModel, home: Path) -> None:
    page, model_id = opened(add_model)
    page.click("sensitivity-start")
    found = measured(page, model_id)
    whole = json.loads(sensitivity.document(found, Workspace(home).get(model_id)))
    assert whole["threshold"] == found.threshold
    assert whole["painted_on"] == [name for name, _ in NEW]
    assert len(page.app.get("download_button")) == 2
