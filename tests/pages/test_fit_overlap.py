"""Images of the fit among the test images of the pages: marked where scored, left out where counted."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from zipfile import ZipFile

from padim import Workspace
from padim.output.evaluation_files import images_csv
from tests.pages.session import AddModel, Session
from tests.parts import defects, normals
from ui import exports, inspect, suggested_thresholds, viewing

FIT = [(f"copy_{name}", bytes(data)) for name, data in normals(2)]
NEW = [(name, bytes(data)) for name, data in normals(4, first=100)]
BAD = [(name, bytes(data)) for name, data in defects(3)]


def zipped(**kinds: list[tuple[str, bytes]]) -> bytes:
    out = io.BytesIO()
    with ZipFile(out, "w") as archive:
        for kind, files in kinds.items():
            for name, data in files:
                archive.writestr(f"{kind}/{name}", data)
    return out.getvalue()


def test_inspect_marks_them(add_model: AddModel, home: Path) -> None:
    entry = add_model("Parts")
    page = Session("inspect", model=entry.id).upload([*FIT[:1], *NEW[:2]])
    assert "1 of 3 images was in the fit and is marked" in page.text
    assert {item["name"]: item["in_fit"] for item in page.viewer["items"]} == {
        FIT[0][0]: True,
        NEW[0][0]: False,
        NEW[1][0]: False,
    }
    clean = Session("inspect", model=entry.id).upload(NEW[:2])
    assert "in the fit" not in clean.text


def test_the_csv_of_inspect_marks_them(add_model: AddModel, home: Path) -> None:
    from ui.jobs.jobs import Job
    from ui.scoring import Pile

    entry = add_model("Parts")
    model = Workspace(home).open(entry.id)

    class Files(dict[str, bytes]):
        skipped: tuple[()] = ()
        passed_over: tuple[()] = ()

        def __iter__(self) -> object:  # type: ignore[override]
            return iter(self.items())

    pile = Pile("one")
    job: Job[None] = Job("t", "t", lambda job: pile.add(Files([*FIT, *NEW]), model, job))  # type: ignore[arg-type]
    job.run()
    assert job.state == "done", job.error
    rows = [inspect.Row(item, 1, "accept", 0) for item in pile.items]
    text = exports.csv_bytes(rows, model, entry, model.threshold_level).decode("utf-8-sig")
    marks = {line["name"]: line["in_fit"] for line in csv.DictReader(io.StringIO(text))}
    assert marks == {name: "yes" for name, _ in FIT} | {name: "no" for name, _ in NEW}
    shown = viewing.tests_shown(model, pile.items, model.config.min_area)
    assert [one.in_fit for one in shown] == [item.name.startswith("copy") for item in pile.items]


def test_evaluate_leaves_them_out(add_model: AddModel, home: Path) -> None:
    entry = add_model("Parts")
    page = Session("evaluate", model=entry.id)
    page.upload([("set.zip", zipped(good=[*FIT, *NEW], dent=BAD))])
    assert "2 of 9 images were in the fit and are left out" in page.text
    assert "Good parts</dt><dd>4" in page.text
    assert "in the fit, so not counted" in page.text


def test_evaluate_says_that_everything_was_in_the_fit(add_model: AddModel) -> None:
    page = Session("evaluate", model=add_model("Parts").id)
    page.upload([("set.zip", zipped(good=FIT))])
    assert "all 2 images were in the fit" in "".join(error.value for error in page.app.error)


def test_evaluate_lists_them_in_its_file(add_model: AddModel, home: Path, tmp_path: Path) -> None:
    from padim.analysis.scored_dataset import score_dataset
    from padim.data.datasets import open_dataset

    entry = add_model("Parts")
    model = Workspace(home).open(entry.id)
    (tmp_path / "set.zip").write_bytes(zipped(good=[*FIT, *NEW], dent=BAD))
    found = score_dataset(model, open_dataset(tmp_path / "set.zip"))
    assert len(found.images) == 7
    lines = list(csv.DictReader(io.StringIO(images_csv(found, model, 1).decode("utf-8-sig"))))
    left_out = {line["name"]: (line["verdict"], line["error"]) for line in lines if line["file"] != "used"}
    assert left_out == {f"good/{name}": ("", "in the fit, so not counted") for name, _ in FIT}


def test_calibrate_counts_new_test_images_alone(add_model: AddModel, home: Path) -> None:
    entry = add_model("Parts")
    page = Session("calibrate", model=entry.id)
    page.set("segmented_control", "known-kind", "good")
    page.upload([*FIT[:1], *NEW[:2]])
    assert "Of the test images, 1 of 3 images was in the fit and is left out" in page.text
    items = {item["name"]: item["in_fit"] for item in page.viewer["items"] if item["held"] < 0}
    assert items == {FIT[0][0]: True, NEW[0][0]: False, NEW[1][0]: False}
    model = Workspace(home).open(entry.id)
    # Of the suggestions' good parts, two are test images; the others are the good parts' held-out scores.
    unmoved = SimpleNamespace(displaced=lambda model: 0, to_review=lambda model: False)
    images: list[Any] = [
        SimpleNamespace(item=unmoved, in_fit=in_fit, sha256="b", group="good", score=5)
        for in_fit in (True, False)
    ]
    found = suggested_thresholds.known(entry, model, images, model.config.min_area)
    assert len(found.good) == 1 + len(model.state.part_scores(model.config.min_area))
