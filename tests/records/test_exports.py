"""Exports of inspections: tables with the recorded values, archives of what is kept, labels that return."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from datetime import UTC
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest
from pycocotools.coco import COCO

from padim.data.datasets import open_dataset
from padim.errors import Cancelled
from padim.output.csv_form import CsvForm
from padim.records.exports.columns import COLUMNS
from padim.records.exports.exporting import EXPORTS, SUFFIXES, ExportFormat, export_records
from padim.records.inspection_query import InspectionQuery
from padim.records.inspections import InspectionRecords
from padim.records.recorded_map import recorded_decision
from padim.records.retention import prune_evidence
from padim.records.reviews import ReviewRecords
from padim.records.workspace_settings import OriginalsSettings, WorkspaceSettings
from tests.recorded import FIRST, new

SIZE = (48, 64)


def image(number: int) -> bytes:
    return cv2.imencode(".png", np.full((*SIZE, 3), 30 + number, np.uint8))[1].tobytes()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A workspace with five inspections: a scratch, a dent, a good one, one undecided, and one unsure."""
    WorkspaceSettings(tmp_path).set(OriginalsSettings(keep="all"), "Anna")
    records, reviews = InspectionRecords(tmp_path, draw=lambda: 0.0), ReviewRecords(tmp_path)
    names = ("scratched.png", "dented.png", "fine.png", "unseen.png", "=cmd|'/c calc'!A1.png")
    ids = records.add(
        [
            new(number, 1.0 if number == 2 else 3.0, name=name, data=image(number), context={"lot": "L1"})
            for number, name in enumerate(names)
        ]
    )
    reviews.decide(ids[0], "Anna", "reject", "scratch", "long")
    reviews.decide(ids[1], "Ben", "reject", "dent/large")
    reviews.decide(ids[2], "Ben", "accept")
    reviews.decide(ids[4], "Ben", "unsure")
    return tmp_path


def export(root: Path, kind: ExportFormat, query: InspectionQuery | None = None, **given: Any) -> Path:
    path = root / f"out{SUFFIXES[kind]}"
    export_records(root, query or InspectionQuery(), kind, path, **given)
    return path


@pytest.mark.parametrize("form", ["comma", "semicolon"])
def test_a_csv_has_what_the_filter_selects(root: Path, form: CsvForm) -> None:
    text = export(root, "csv", csv_form=form).read_text("utf-8-sig")
    rows = list(csv.DictReader(io.StringIO(text), delimiter="," if form == "comma" else ";"))
    assert [row["name"] for row in rows][:2] == ["scratched.png", "dented.png"]
    assert rows[4]["name"] == "'=cmd|'/c calc'!A1.png", "no spreadsheet may run it"
    first = rows[0]
    assert [first[key] for key in ("verdict", "decision", "defect_type", "decided_by", "lot", "waits")] == [
        *("reject", "reject", "scratch", "Anna", "L1", "no")
    ]
    assert first["scored_at"] == "2026-03-02T06:00:00.000Z"
    assert first["score"] == "3"
    assert json.loads(first["regions_json"])[0]["width"] == 10
    only = export(root, "csv", InspectionQuery(decision="accept")).read_text("utf-8-sig")
    assert len(only.splitlines()) == 2


def test_parquet_has_the_same_values_with_types(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from padim.records.exports import tables

    monkeypatch.setattr(tables, "ROW_GROUP", 2)
    found = pq.ParquetFile(export(root, "parquet"))
    assert found.num_row_groups == 3
    assert found.schema_arrow.names == [column.name for column in COLUMNS]
    table = found.read().to_pylist()
    assert table[0]["scored_at"].astimezone(UTC) == FIRST
    assert table[4]["name"].startswith("=cmd"), "as it was: no spreadsheet reads this"
    assert [row["waits"] for row in table] == [False, False, False, True, False]
    assert table[2]["decision"] == "accept"


def test_evidence_shows_what_is_kept_and_names_what_is_not(root: Path) -> None:
    records = InspectionRecords(root)
    gone = records.get(2)
    assert gone is not None
    records.files.original_path(gone.sha256).unlink()
    records.files.map_path(gone.uid).unlink()
    with zipfile.ZipFile(export(root, "zip")) as archive:
        assert archive.testzip() is None
        names = archive.namelist()
        record = json.loads(archive.read("records/1.json"))
        missing = archive.read("missing.csv").decode("utf-8-sig")
        panels = cv2.imdecode(np.frombuffer(archive.read(record["image"]), np.uint8), cv2.IMREAD_COLOR)
        small = archive.read(json.loads(archive.read("records/2.json"))["image"])
    assert sum(name.startswith("images/") for name in names) == 5
    assert panels is not None
    assert panels.shape[1] > 4 * SIZE[1]
    assert [event["comment"] for event in record["reviews"]] == ["long"]
    assert record["missing"] == []
    assert "the file of the image is gone" in missing
    assert "level map" in missing
    assert small == records.thumbnail(2)


@pytest.mark.parametrize("kind", ["mvtec", "coco"])
def test_labels_come_back_as_they_went(root: Path, kind: ExportFormat) -> None:
    records = InspectionRecords(root)
    path = export(root, kind)
    found = open_dataset(path)
    assert found.layout == ("COCO" if kind == "coco" else found.layout)
    assert not found.skipped
    by_name = {name.rpartition("/")[2]: sample for name, sample in found.samples.items()}
    type_of = "dent/large" if kind == "coco" else "dent_large"
    assert {name: sample.kind for name, sample in by_name.items()} == {
        "scratched.png": "scratch",
        "dented.png": type_of,
        "fine.png": "good",
    }
    for number, name in ((1, "scratched.png"), (2, "dented.png")):
        one, levels = records.get(number), records.levels(number)
        assert one is not None
        assert levels is not None
        decision = recorded_decision(one, levels, records.evidence(number))
        assert decision is not None
        assert decision.mask.any()
        np.testing.assert_array_equal(found.mask(by_name[name], SIZE), decision.mask)
        assert found.content(by_name[name].file) == records.original(number)
    with zipfile.ZipFile(path) as archive:
        missing = archive.read("missing.csv").decode("utf-8-sig")
    assert "nobody has decided it" in missing
    assert "unsure" in missing


def test_the_boxes_of_coco_are_those_of_the_masks(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with zipfile.ZipFile(export(root, "coco")) as archive:
        archive.extract("annotations.json", root)
    coco = COCO(str(root / "annotations.json"))
    capsys.readouterr()
    annotations = coco.loadAnns(coco.getAnnIds())
    assert len(annotations) == 2
    for one in annotations:
        mask = coco.annToMask(one) > 0
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        assert one["bbox"] == [*(columns[0], rows[0], columns[-1] + 1 - columns[0], rows[-1] + 1 - rows[0])]
        assert one["area"] == mask.sum()
    assert {one["name"] for one in coco.loadCats(coco.getCatIds())} == {"scratch", "dent/large"}


def test_without_level_maps_coco_has_the_recorded_regions(root: Path) -> None:
    settings = OriginalsSettings(keep="all", map_gigabytes=1e-9)
    prune_evidence(root, settings, now=FIRST)
    found = open_dataset(export(root, "coco"))
    masks = [found.mask(sample, SIZE) for sample in found.samples.values() if not sample.good]
    for mask in masks:
        assert mask is not None
        expected = np.zeros(SIZE, bool)
        expected[6:14, 4:14] = True
        np.testing.assert_array_equal(mask, expected)


@pytest.mark.parametrize("kind", EXPORTS)
def test_a_cancelled_export_leaves_nothing(root: Path, kind: ExportFormat) -> None:
    calls: list[int] = []

    def cancel() -> bool:
        calls.append(1)
        return len(calls) > 2

    with pytest.raises(Cancelled):
        export(root, kind, cancel=cancel)
    assert {one.name.partition("-")[0] for one in root.iterdir()} == {"evidence", "records.sqlite"}


@pytest.mark.parametrize("kind", EXPORTS)
def test_an_export_of_nothing_is_a_file(tmp_path: Path, kind: ExportFormat) -> None:
    assert export(tmp_path, kind).stat().st_size > 0


def test_progress_is_reported(root: Path) -> None:
    seen: list[tuple[int, int]] = []
    export(root, "csv", progress=lambda *now: seen.append(now))
    assert seen == [(done, 5) for done in range(5)]
