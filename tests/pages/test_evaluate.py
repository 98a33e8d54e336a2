"""Evaluate page: the engine's metrics, the cells of the confusion matrix, missing metrics, and files."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest

from padim import Padim, PadimConfig, Workspace
from padim.analysis.evaluation import Evaluation, evaluate_dataset
from padim.data.datasets import open_dataset
from padim.errors import Cancelled
from padim.output.evaluation_files import figures_csv, images_csv
from tests.pages.session import AddModel, Session
from tests.parts import defects, normals, part, png
from ui import evaluate
from ui.app.pages import PAGES

GOOD = [(name, data) for name, data in normals(5, first=100) if isinstance(data, bytes)]
BAD = [(name, data) for name, data in defects(4) if isinstance(data, bytes)]


def labeled(root: Path, *, masks: bool = True, good: bool = True) -> Path:
    """Write five good parts, three dents and one hole."""
    files = [*((f"good/{name}", data) for name, data in GOOD if good)]
    files += [(f"{'hole' if i == 3 else 'dent'}/{name}", data) for i, (name, data) in enumerate(BAD)]
    if masks:
        mask = part(1) * 0
        mask[24:72, 24:72] = 255
        files += [(f"ground_truth/dent/{name}", png(mask)) for name, _ in BAD[:3]]
    for name, data in files:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    return root


def packed(root: Path) -> bytes:
    """As one zip."""
    buffer = io.BytesIO()
    with ZipFile(buffer, "w") as archive:
        for path in sorted(root.rglob("*.*")):
            archive.write(path, path.relative_to(root).as_posix())
    return buffer.getvalue()


def submit(page: Session) -> None:
    """Send the form that names a folder on the server."""
    next(button for button in page.app.button if button.label == "Evaluate this folder").click()
    page.run()


def test_without_a_model_it_says_where_to_get_one() -> None:
    assert "No model in use" in Session("evaluate").text


def test_an_empty_page_says_what_to_do(add_model: AddModel) -> None:
    page = Session("evaluate", model=add_model("Parts").id)
    assert "No labelled images yet" in page.text
    assert "ground_truth" in page.text


def test_a_zip_gives_the_engines_figures(add_model: AddModel, home: Path, tmp_path: Path) -> None:
    entry = add_model("Parts")
    root = labeled(tmp_path / "set")
    page = Session("evaluate", model=entry.id).upload([("set.zip", packed(root))])
    model = Workspace(home).open(entry.id)
    evaluation = evaluate_dataset(model, open_dataset(root))
    report = evaluation.report(model, model.threshold_level)
    for figure in (report.image_auroc, report.aupro, report.pixel_f1, report.zero_miss):
        value, between = evaluate.figure_text(figure)
        assert f"<b>{value}</b></td><td>{between}</td>" in page.text
    assert f"{report.misses.count} of 4" in page.text
    of_the_page = {tab.label for one in PAGES for tab in one.tabs}
    titles = [tab.label for tab in page.app.tabs if tab.label not in of_the_page]
    assert titles == ["Scores", "ROC", "Precision and recall", "Kinds of defect"]
    assert len(page.app.get("plotly_chart")) == 4
    assert "3" in page.text


@pytest.mark.slow
def test_every_cell_shows_its_images_errors_worst_first(
    add_model: AddModel, home: Path, tmp_path: Path
) -> None:
    entry = add_model("Parts")
    root = labeled(tmp_path / "set")
    model = Workspace(home).open(entry.id)
    evaluation = evaluate_dataset(model, open_dataset(root))
    scores = {image.name: image.score for image in evaluation.images}
    # A threshold amid the scores, with errors of both kinds if possible.
    level = sorted(scores.values())[4]
    model.set_decision(value=model.state.fitted.quantizer.to_value(level)).save(entry.path)
    page = Session("evaluate", model=entry.id).upload([("set.zip", packed(root))])
    good = {name for name in scores if name.startswith("good/")}
    cells = {
        "false_reject": [n for n in good if scores[n] > level],
        "miss": [n for n in scores.keys() - good if scores[n] <= level],
        "caught": [n for n in scores.keys() - good if scores[n] > level],
        "passed": [n for n in good if scores[n] <= level],
    }
    for cell, names in cells.items():
        page.set("segmented_control", "evaluate-cell", cell)
        highest = cell in ("false_reject", "passed")
        wanted = sorted(names, key=lambda name: -scores[name] if highest else scores[name])
        text = page.text
        shown = [name for name in scores if f'title="{name}"' in text]
        assert sorted(shown) == sorted(wanted)
        places = [text.index(f'title="{name}"') for name in wanted]
        assert places == sorted(places)
        assert ("No images here" in text) == (not wanted)


def test_missing_metrics_are_explained(add_model: AddModel, tmp_path: Path) -> None:
    entry = add_model("Parts")
    page = Session("evaluate", model=entry.id)
    page.upload([("bad.zip", packed(labeled(tmp_path / "bad", masks=False, good=False)))])
    assert "There are no good images to compare with" in page.text
    assert "No masks: nobody has drawn where the defects are" in page.text
    assert "There is no curve" in page.text
    page.click("evaluate-clear")
    assert "No labelled images yet" in page.text


def test_a_zip_without_labels_is_one_sentence(add_model: AddModel) -> None:
    buffer = io.BytesIO()
    with ZipFile(buffer, "w") as archive:
        archive.writestr("a.png", GOOD[0][1])
    page = Session("evaluate", model=add_model("Parts").id).upload([("flat.zip", buffer.getvalue())])
    assert "holds no labelled images" in page.app.error[0].value
    assert len(page.app.error) == 1


def test_a_folder_on_the_server_only_below_the_open_ones(
    add_model: AddModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    labeled(tmp_path / "open" / "set")
    labeled(tmp_path / "closed")
    monkeypatch.setenv("PADIM_FOLDERS", str(tmp_path / "open"))
    page = Session("evaluate", model=add_model("Parts").id)
    page.set("segmented_control", "evaluate-origin", "server")
    page.app.text_input(key="evaluate-server-path").set_value("../closed")
    submit(page)
    assert "outside the folders" in page.app.error[0].value
    page.app.text_input(key="evaluate-server-path").set_value("set")
    submit(page)
    assert "AUPRO" in page.text
    assert not page.app.error


def test_masks_beside_an_open_folder_are_not_read(
    add_model: AddModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = labeled(tmp_path / "set")
    (root / "ground_truth").rename(tmp_path / "ground_truth")
    monkeypatch.setenv("PADIM_FOLDERS", str(root))
    page = Session("evaluate", model=add_model("Parts").id)
    page.set("segmented_control", "evaluate-origin", "server")
    page.app.text_input(key="evaluate-server-path").set_value(".")
    submit(page)
    assert "No masks" in page.text


def test_a_model_that_has_changed_asks_for_the_images_again(
    add_model: AddModel, home: Path, tmp_path: Path
) -> None:
    entry = add_model("Parts")
    page = Session("evaluate", model=entry.id).upload([("set.zip", packed(labeled(tmp_path / "set")))])
    model = Workspace(home).open(entry.id)
    # Another smallest region, and so another threshold, does not count as another model.
    model.set_decision(min_area=20).save(entry.path)
    page.run()
    scores = [one.score for one in evaluate_dataset(model, open_dataset(tmp_path / "set")).images]
    assert evaluated(page, entry.id).scored.scores(model) == scores
    model.exclude(0, "not_good").save(entry.path)
    page.run()
    assert "has changed since" in page.text


def evaluated(page: Session, model_id: str) -> evaluate.Evaluated:
    """Return the session's evaluation of this model."""
    found: evaluate.Evaluated = page.outcome(evaluate._Sessions, model_id)
    return found


def test_files_say_what_the_page_says(add_model: AddModel, home: Path, tmp_path: Path) -> None:
    entry = add_model("Parts")
    page = Session("evaluate", model=entry.id).upload([("=set.zip", packed(labeled(tmp_path / "set")))])
    model, found = Workspace(home).open(entry.id), evaluated(page, entry.id)
    level = model.threshold_level
    metrics_report = found.scored.report(model, level)
    text = figures_csv(metrics_report, at_threshold=True, model=entry.name, data=found.label).decode(
        "utf-8-sig"
    )
    rows = list(csv.DictReader(io.StringIO(text)))
    assert {row["data"] for row in rows} == {"'=set.zip"}
    (aupro,) = [row for row in rows if row["figure"] == "aupro" and not row["kind"]]
    assert float(aupro["value"]) == pytest.approx(metrics_report.aupro.value, rel=1e-5)
    assert float(aupro["low_95"]) == pytest.approx(metrics_report.aupro.low, rel=1e-5)
    (hole,) = [row for row in rows if row["figure"] == "aupro" and row["kind"] == "hole"]
    assert hole["value"] == ""
    assert "masks" in hole["why_not"]
    assert {row["of"] for row in rows if row["figure"] == "caught"} == {"3", "1"}
    text = images_csv(found.scored, model, level).decode("utf-8-sig")
    images = list(csv.DictReader(io.StringIO(text)))
    assert len(images) == 9
    for row, score in zip(images, found.scored.scores(model), strict=True):
        assert (row["above_threshold"] == "yes") == (score > level)


def test_a_cancelled_evaluation_has_no_figures(
    add_model: AddModel, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = add_model("Parts")
    root = labeled(tmp_path / "set")
    model = Workspace(home).open(entry.id)
    with pytest.raises(Cancelled):
        evaluate_dataset(model, open_dataset(root), cancel=lambda: True)

    def at_once(*arguments: Any, cancel: Any, **options: Any) -> Evaluation:
        assert not cancel()
        return evaluate_dataset(*arguments, cancel=lambda: True, **options)

    monkeypatch.setattr("padim.analysis.scored_dataset.evaluate_dataset", at_once)
    page = Session("evaluate", model=entry.id).upload([("set.zip", packed(root))])
    assert "Stopped." in page.text
    assert "AUPRO" not in page.text
    assert len(page.app.file_uploader) == 1


def test_images_of_which_none_can_be_used(add_model: AddModel) -> None:
    buffer = io.BytesIO()
    with ZipFile(buffer, "w") as archive:
        archive.writestr("good/a.png", b"no image")
    page = Session("evaluate", model=add_model("Parts").id).upload([("set.zip", buffer.getvalue())])
    assert "none of the images could be used" in page.app.error[0].value.lower()


def test_without_a_threshold_there_is_ranking_and_no_confusion(
    add_model: AddModel, small_config: PadimConfig, tmp_path: Path
) -> None:
    model = Padim(small_config, work_dir=tmp_path / "work").fit(normals(2))
    assert model.current_threshold is None
    page = Session("evaluate", model=add_model("Few", model).id)
    page.upload([("set.zip", packed(labeled(tmp_path / "set")))])
    assert "no threshold yet" in page.text
    assert "Defects missed" not in page.text
    assert "Image AUROC" in page.text
    assert len(page.app.get("plotly_chart")) == 4


def test_good_parts_alone(add_model: AddModel, tmp_path: Path) -> None:
    root = tmp_path / "set"
    (root / "good").mkdir(parents=True)
    for name, data in GOOD:
        (root / "good" / name).write_bytes(data)
    page = Session("evaluate", model=add_model("Parts").id).upload([("set.zip", packed(root))])
    assert "There are no defects to compare with" in page.text
    assert "There are no defects among these images" in page.text
    assert "False rejects (overkill)" in page.text
    assert len(page.app.get("plotly_chart")) == 1
