"""How many good parts, on the Checks page: the engine's curve, its words, its files; what cannot be done."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from padim import Padim, Workspace
from padim.analysis.learning_advice import odd_parts, outlook
from padim.analysis.learning_curve import learning_curve
from padim.errors import Cancelled
from padim.output.to_json import learning_curve as document
from padim.storage.model_folders import Entry
from tests.pages.session import AddModel, Session
from tests.parts import defects, normals
from ui import learning_curve as curve_page
from ui.app import workspace
from ui.learning_curve import CurveRun
from ui.widgets import learning_chart

BAD = [(name, data) for name, data in defects(3) if isinstance(data, bytes)]


def drawn(page: Session, source: str = "none") -> Session:
    """The curve of this model, of few subsets."""
    (control,) = [one for one in page.app.segmented_control if "learning-" in (one.key or "")]
    control.set_value(source)
    page.app.number_input(key="learning-draws").set_value(2)
    return page.click("learning-start")


def test_it_says_at_once_what_the_ranks_say(add_model: AddModel) -> None:
    page = Session("result", model=add_model("Parts").id)
    assert page.app.subheader[-1].value == "How many good parts do I need?"
    assert odd_parts(950, 22) in page.text
    assert "2 fits on subsets of 22 good parts" not in page.text
    assert "5 fits on subsets of 22 good parts" in page.text
    (control,) = [one for one in page.app.segmented_control if "learning-" in (one.key or "")]
    assert control.value == "painted"


@pytest.mark.slow
def test_the_curve_is_the_engines(add_model: AddModel, small_model: Padim) -> None:
    entry = add_model("Parts")
    page = drawn(Session("result", model=entry.id))
    curve = learning_curve(small_model, draws=2)
    assert outlook(curve) in page.text
    assert odd_parts(950, 22) in page.text
    found = page.outcome(curve_page._Curves, entry.id)
    assert document(found.curve) == document(curve)
    assert "the model itself" in page.text
    share = curve.sizes[0].left_out
    assert share is not None
    assert f"{share.mean * 100:.1f} %" in page.text
    assert "Defects caught" not in page.text
    # Another percentile makes it out of date, another model makes it go.
    with Workspace(workspace.root()).edit(entry.id) as model:
        model.set_decision(percentile=90)
    assert "What follows is for 95 %" in page.run().text
    with Workspace(workspace.root()).edit(entry.id) as model:
        model.exclude(3, "not_good")
    page.run()
    assert "The model has changed since. Draw the curve again." in page.text
    assert "the model itself" not in page.text


@pytest.mark.slow
def test_defects_labelled_on_calibrate_are_counted(add_model: AddModel, small_model: Padim) -> None:
    entry = add_model("Parts")
    page = Session("calibrate", model=entry.id).upload(BAD)
    page.go("result")
    (control,) = [one for one in page.app.segmented_control if "learning-" in (one.key or "")]
    assert control.value == "labelled"
    assert "3 defects labelled on Calibrate" in str(control.options)
    drawn(page, "labelled")
    found = page.outcome(curve_page._Curves, entry.id)
    curve = learning_curve(small_model, BAD, draws=2)
    assert document(found.curve) == document(curve)
    assert "Defects caught" in page.text
    # The files stay readable when the list on the other page is cleared.
    assert found.curve.names == tuple(name for name, _ in BAD)


@pytest.mark.slow
def test_painted_defects_are_called_an_indication(add_model: AddModel) -> None:
    page = drawn(Session("result", model=add_model("Parts").id), "painted")
    assert "correlation of .3 to real defects" in page.text
    assert "Painted defects caught" in page.text


def test_what_cannot_be_done_says_what_to_do(
    add_model: AddModel, home: Path, small_model: Padim, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = Padim(small_model.config, work_dir=home / "few").fit(normals(6))
    page = Session("result", model=add_model("Few", few).id)
    assert "at least 20 good parts, and this model has 6; add 14 or more" in page.text
    assert not [button for button in page.app.button if button.key == "learning-start"]
    entry = add_model("Parts")
    with Workspace(home).edit(entry.id) as model:
        model.working_set.delete()
    page = Session("result", model=entry.id)
    assert "“Give the same images again” on the Fit page" in page.text


def test_a_cancelled_curve_says_so(add_model: AddModel, monkeypatch: pytest.MonkeyPatch) -> None:
    def cancelled(*_: object, **__: object) -> None:
        raise Cancelled("stopped")

    page = Session("result", model=add_model("Parts").id)
    with monkeypatch.context() as patch:
        patch.setattr("padim.analysis.learning_curve.learning_curve", cancelled)
        drawn(page)
    assert "Stopped. Figures over some of the subsets" in page.text
    assert page.app.button(key="learning-start")


# -- files and figures ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def found(small_model: Padim) -> CurveRun:
    return CurveRun("identity", learning_curve(small_model, BAD, draws=2), ())


def entry_of(tmp_path: Path) -> Entry:
    return Workspace(tmp_path / "home").create("Line 3")


def test_the_csv_has_a_line_for_every_fit(found: CurveRun, tmp_path: Path) -> None:
    text = curve_page.figures_csv(found, entry_of(tmp_path)).decode("utf-8-sig")
    lines = list(csv.DictReader(io.StringIO(text)))
    assert [int(line["parts"]) for line in lines] == [10, 10, 22]
    for line, trial in zip(lines, found.curve.sizes[0].trials, strict=False):
        assert float(line["threshold"]) == pytest.approx(trial.threshold, rel=1e-5)
        assert float(line["share_caught"]) == pytest.approx(np.mean(trial.caught), rel=1e-5)
        assert (int(line["left_out_rejected"]), int(line["left_out"])) == (trial.left_out.count, 12)
    assert json.loads(curve_page.document(found, entry_of(tmp_path)))["parts"] == 22


def test_the_charts_show_means_and_ranges(found: CurveRun) -> None:
    chart = learning_chart.caught(found.curve, 20)
    band, line = chart.data
    assert list(line.x) == [10, 22]
    recalls = [size.recall for size in found.curve.sizes]
    assert list(line.y) == [one.mean for one in recalls if one is not None]
    assert list(band.y)[:2] == [one.high for one in recalls if one is not None]
    assert chart.layout.shapes[0].x0 == 20
    other = learning_chart.false_rejects(found.curve, 39)
    assert not other.layout.shapes  # 39 parts are more than there are
    assert [trace.name for trace in other.data if trace.name] == [
        "left-out parts rejected",
        "expected",
        "at most, with 95 % confidence",
    ]
    assert (
        learning_chart.caught(replace(found.curve, defects="painted"), 20).data[1].name.startswith("painted")
    )
