"""Robustness page: the engine's counts, images with and without labels, outdated results, invalid input."""

from __future__ import annotations

import io
from pathlib import Path
from zipfile import ZipFile

import pytest

from padim import Workspace
from padim.analysis.image_changes import ChangeKind
from padim.analysis.robustness import BAND_NOTE, Robustness, measure
from padim.decision.guard_band import Guard
from tests.pages.session import AddModel, Session
from tests.parts import defects, normals
from ui import robustness

NEW = [(name, data) for name, data in normals(4, first=100) if isinstance(data, bytes)]
BAD = [(name, data) for name, data in defects(3) if isinstance(data, bytes)]
SOME: dict[ChangeKind, tuple[float, ...]] = {"darker": (5.0, 60.0), "blur": (0.5, 4.0)}


def packed(*, good: str = "good", bad: bool = True) -> bytes:
    """Return a zip of good and chipped parts."""
    buffer = io.BytesIO()
    with ZipFile(buffer, "w") as archive:
        for name, data in NEW:
            archive.writestr(f"{good}/{name}", data)
        for name, data in BAD if bad else ():
            archive.writestr(f"chip/{name}", data)
    return buffer.getvalue()


def opened(add_model: AddModel, data: bytes | None = None) -> tuple[Session, str]:
    """Return the page with images and few changes chosen, ready to start."""
    entry = add_model("Parts")
    page = Session("robustness", model=entry.id).upload([("set.zip", packed() if data is None else data)])
    page.set("button_group", "robustness-kinds", list(SOME))
    for kind, severities in SOME.items():
        page.set("text_input", f"robustness-severities-{kind}", ", ".join(f"{s:g}" for s in severities))
    return page, entry.id


def shifted(page: Session, model_id: str) -> robustness.RobustnessRun:
    """Return the session's measurement of a model."""
    found: robustness.RobustnessRun = page.outcome(robustness._RobustnessRuns, model_id)
    return found


def engine(home: Path, model_id: str) -> Robustness:
    """Return the same measurement, made without the page."""
    images = [*((f"good/{n}", d) for n, d in NEW), *((f"chip/{n}", d) for n, d in BAD)]
    model = Workspace(home).open(model_id)
    return measure(model, images, lambda name: name.partition("/")[0], severities=SOME)


def test_an_empty_page_says_what_to_do(add_model: AddModel) -> None:
    page = Session("robustness", model=add_model("Parts").id)
    assert "No images yet" in page.text
    assert len(page.app.file_uploader) == 1


def test_the_page_shows_what_the_engine_counts(add_model: AddModel, home: Path) -> None:
    page, model_id = opened(add_model)
    assert "35 images to score" in page.text
    page.click("robustness-start")
    found = shifted(page, model_id)
    assert found.result == engine(home, model_id)
    _, rows = robustness.table(found.result, 0.05)
    for row in rows:
        assert f"<b>{row[1].text}</b>" in page.text
        assert row[2].text in page.text
    assert robustness.summary(found.result, 0.05) in page.text
    assert robustness.tolerated_changes(found.result, 0.05) in page.text
    assert len(page.app.get("plotly_chart")) == 2
    assert page.text.count('class="pv-verdict') == 3
    page.set("button_group", "robustness-change-darker-blur", "blur")
    assert "pixel for pixel" in page.text


def test_what_may_be_lost_is_chosen_without_another_run(add_model: AddModel) -> None:
    page, model_id = opened(add_model)
    page.click("robustness-start")
    found = shifted(page, model_id)
    page.set("number_input", "robustness-margin", 70)
    assert shifted(page, model_id) is found
    assert robustness.tolerated_changes(found.result, 0.7) in page.text
    for row in robustness.table(found.result, 0.7)[1]:
        assert f"<b>{row[1].text}</b>" in page.text


def test_good_parts_alone_need_no_labels(add_model: AddModel) -> None:
    entry = add_model("Parts")
    page = Session("robustness", model=entry.id).upload(NEW)
    assert "all are taken for good parts" in page.text
    page.set("button_group", "robustness-kinds", ["darker"])
    page.click("robustness-start")
    found = shifted(page, entry.id)
    assert (found.result.good, found.result.defects) == (4, 0)
    assert "Defects caught" not in page.text
    assert "Defects that may be lost" not in [field.label for field in page.app.number_input]


def test_a_folder_of_no_known_name_is_asked_about(add_model: AddModel) -> None:
    page, model_id = opened(add_model, packed(good="line3", bad=False))
    (shows,) = [group for group in page.app.button_group if (group.key or "").startswith("robustness-shows")]
    assert "“line3”" in shows.label
    assert shows.value == "good"
    page.click("robustness-start")
    assert shifted(page, model_id).result.good == 4
    page.set("button_group", shows.key or "", "defects")
    page.click("robustness-start")
    found = shifted(page, model_id)
    assert (found.result.good, found.result.defects) == (0, 4)
    assert found.shown_kind == "line3"


@pytest.mark.slow
def test_a_changed_threshold_makes_it_out_of_date_and_running_again_mends_it(
    add_model: AddModel, home: Path
) -> None:
    page, model_id = opened(add_model)
    page.click("robustness-start")
    before = shifted(page, model_id)
    entry, model = Workspace(home).get(model_id), Workspace(home).open(model_id)
    model.set_decision(value=model.state.fitted.quantizer.to_value(before.result.threshold // 2)).save(
        entry.path
    )
    page.run()
    assert "has changed since" in page.app.warning[0].value
    page.click("robustness-start")
    assert shifted(page, model_id).result == engine(home, model_id)
    assert not page.app.warning


def test_another_guard_band_makes_it_out_of_date(add_model: AddModel, home: Path) -> None:
    """The counts go by the band, and say so."""
    page, model_id = opened(add_model)
    page.set("button_group", "robustness-kinds", ["blur"])
    page.click("robustness-start")
    note = f"{BAND_NOTE[:1].upper()}{BAND_NOTE[1:]}."
    assert note not in page.text
    entry, model = Workspace(home).get(model_id), Workspace(home).open(model_id)
    # Wide enough to hold whatever scores above the threshold.
    model.set_guard(Guard(1e6, 1.0, 9, 10, 1)).save(entry.path)
    page.run()
    assert "its guard band" in page.app.warning[0].value
    page.click("robustness-start")
    assert not page.app.warning
    assert note in page.text
    after = shifted(page, model_id).result
    assert (after.series[0].false_rejects[0].count, after.guard) == (0, model.decision.guard)
    model.set_guard(None).save(entry.path)
    assert "its guard band" in page.run().app.warning[0].value


def test_invalid_severities_cannot_be_started(add_model: AddModel) -> None:
    page, _ = opened(add_model)
    page.set("text_input", "robustness-severities-blur", "2, 1")
    assert "must be above 0 and grow" in page.app.error[0].value
    assert page.app.button(key="robustness-start").disabled
    page.set("button_group", "robustness-kinds", [])
    assert "at least one change" in page.app.error[0].value


def test_images_of_the_fit_are_refused(add_model: AddModel) -> None:
    entry = add_model("Parts")
    page = Session("robustness", model=entry.id).upload([(n, bytes(d)) for n, d in normals(2)])
    page.set("button_group", "robustness-kinds", ["darker"])
    page.click("robustness-start")
    assert "fitted on 2 of them" in page.app.error[0].value
    page.click("robustness-clear")
    page.upload([*((n, bytes(d)) for n, d in normals(1)), *NEW[:1], ("broken.png", b"no image")])
    page.click("robustness-start")
    assert "1 good part passed over" in page.text
    assert "broken.png" in page.text


def test_a_folder_on_the_server_only_below_the_open_ones(
    add_model: AddModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "open" / "set" / "good").mkdir(parents=True)
    (tmp_path / "open" / "set" / "good" / "a.png").write_bytes(NEW[0][1])
    monkeypatch.setenv("PADIM_FOLDERS", str(tmp_path / "open"))
    page = Session("robustness", model=add_model("Parts").id)
    page.set("segmented_control", "robustness-origin", "server")
    for named, expected in (("../closed", "outside the folders"), ("set", "one folder a kind")):
        page.app.text_input(key="robustness-server-path").set_value(named)
        next(button for button in page.app.button if button.label == "Use this folder").click()
        page.run()
        assert expected in page.text
