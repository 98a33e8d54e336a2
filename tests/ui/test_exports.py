"""Downloads as CSV, ZIP and ONNX: they contain what the page shows, in files that other programs open."""

from __future__ import annotations

import csv
import io
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import cv2
import numpy as np
import onnxruntime as ort
import pytest

from padim import Padim, Workspace
from padim.data.sources import UploadSource
from padim.network.model_network import ModelNetwork
from padim.output.inspection_files import CSV_COLUMNS
from padim.output.scorer_graph import OutputType
from padim.storage.model_folders import Entry
from tests.parts import defects, normals, part, png
from ui import exports
from ui.inspect import Row
from ui.jobs.jobs import Job
from ui.scoring import Pile

FILES = [(name, data) for name, data in (*normals(2, first=60), *defects(2)) if isinstance(data, bytes)]


@pytest.fixture
def rows(small_model: Padim) -> list[Row]:
    """Return the rows of four scored images; one has a name like a spreadsheet formula."""
    pile = Pile("any")
    files = [("=1+1.png", FILES[0][1]), ("a/../b.png", FILES[1][1]), *FILES[2:]]
    pile.add(UploadSource(files), small_model, Job("k", "t", lambda _: None))
    level, area = small_model.threshold_level, small_model.config.min_area
    pile_of_rows = []
    for item in pile.items:
        score = item.score(small_model, area)
        verdict = "reject" if score > level else "accept"
        pile_of_rows.append(Row(item, score, verdict, item.regions(small_model, level, area)))  # type: ignore[arg-type]
    # Rows refer to files in the pile's folder, which must outlive them.
    pile_of_rows[0].item.__dict__["pile"] = pile
    return pile_of_rows


@pytest.fixture
def entry(tmp_path: Path) -> Entry:
    return Workspace(tmp_path).create("Line 3")


def test_the_csv_has_the_engines_decisions(rows: list[Row], small_model: Padim, entry: Entry) -> None:
    text = exports.csv_bytes(rows, small_model, entry, small_model.threshold_level).decode("utf-8-sig")
    lines = list(csv.DictReader(io.StringIO(text)))
    assert tuple(lines[0]) == CSV_COLUMNS
    assert {line["verdict"] for line in lines} == {"accept", "reject"}
    for line, row in zip(lines, rows, strict=True):
        decision = row.item.decide(small_model, small_model.threshold_level, small_model.config.min_area)
        assert line["verdict"] == ("reject" if decision.rejected else "accept")
        assert int(line["regions"]) == len(decision.regions) == row.regions
        assert (float(line["score_over_threshold"]) > 1) == decision.rejected
        assert (line["width"], line["height"]) == ("96", "96")
        assert len(line["sha256"]) == 64
        if decision.rejected:
            largest = max(decision.regions, key=lambda region: region.area)
            assert int(line["largest_region_area"]) == largest.area


def test_the_csv_has_the_notes(small_model: Padim, entry: Entry) -> None:
    pile = Pile("any")
    pile.add(
        UploadSource([("small.png", png(part(900, size=(48, 48)))), FILES[0]]),
        small_model,
        Job("k", "t", lambda _: None),
    )
    found = [Row(item, 0, "accept", 0) for item in pile.items]
    text = exports.csv_bytes(found, small_model, entry, None).decode("utf-8-sig")
    assert {line["name"]: line["notes"] for line in csv.DictReader(io.StringIO(text))} == {
        "small.png": "The image has 48 × 48 pixels; the good parts have 96 × 96.",
        FILES[0][0]: "",
    }


def test_a_name_that_looks_like_a_formula_is_not_one(
    rows: list[Row], small_model: Padim, entry: Entry
) -> None:
    text = exports.csv_bytes(rows, small_model, entry, small_model.threshold_level).decode("utf-8-sig")
    assert text.splitlines()[1].startswith("'=1+1.png,")


def test_without_a_threshold_the_verdict_is_left_open(
    rows: list[Row], small_model: Padim, entry: Entry
) -> None:
    lines = list(
        csv.DictReader(io.StringIO(exports.csv_bytes(rows, small_model, entry, None).decode("utf-8-sig")))
    )
    assert {line["verdict"] for line in lines} == {""}
    assert all(float(line["score"]) > 0 for line in lines)


def test_the_zip_has_one_image_each_in_its_verdicts_folder(rows: list[Row], small_model: Padim) -> None:
    data = exports.zip_of_panels(
        rows, small_model, small_model.threshold_level, colormap="inferno", opacity=0.4
    )
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        names = archive.namelist()
        assert len(names) == len(rows)
        assert all(".." not in name and not name.startswith("/") for name in names)
        for name, row in zip(names, rows, strict=True):
            assert name.startswith(f"{row.verdict}/")
            image = cv2.imdecode(np.frombuffer(archive.read(name), np.uint8), cv2.IMREAD_COLOR)
            assert image is not None
            assert image.shape[1] > 4 * 96


def test_the_scorer_is_the_saved_model(small_model: Padim, entry: Entry, tmp_path: Path) -> None:
    small_model.save(entry.path)
    entry = Workspace(tmp_path).get(entry.id)
    assert exports.scorer_hindrance(entry) is None
    session = ort.InferenceSession(exports.scorer_bytes(entry), providers=["CPUExecutionProvider"])
    facts = session.get_modelmeta().custom_metadata_map
    assert (facts["name"], int(facts["threshold_level"])) == ("Line 3", small_model.threshold_level)
    rgb = small_model.network.preprocess(part(500, defect=True))[None]
    _, maps = small_model.state.scorer(rgb)
    (score,) = session.run(["score"], {"rgb": rgb})
    assert float(score[0]) == pytest.approx(int(maps.max()), rel=1e-3)


def test_the_scorer_in_float32_has_the_same_numbers(small_model: Padim, entry: Entry) -> None:
    small_model.save(entry.path)
    rgb = np.random.default_rng(3).integers(0, 256, (1, 64, 64, 3), np.uint8)
    maps, plain = (
        ort.InferenceSession(exports.scorer_bytes(entry, kind), providers=["CPUExecutionProvider"]).run(
            ["map"], {"rgb": rgb}
        )[0]
        for kind in get_args(OutputType)
    )
    assert (maps.dtype, plain.dtype) == (np.uint16, np.float32)
    np.testing.assert_array_equal(maps, plain)


def test_a_scorer_that_cannot_be_downloaded_gives_the_reason(
    small_model: Padim, entry: Entry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_model.save(entry.path)
    entry = Workspace(tmp_path).get(entry.id)
    undecided = replace(entry, manifest={**entry.manifest, "threshold": None})
    assert "no threshold yet" in str(exports.scorer_hindrance(undecided))
    monkeypatch.setattr(exports, "LARGEST_SCORER", 1000)
    assert "python -m padim export" in str(exports.scorer_hindrance(entry))


def test_downloads_state_random_weights(
    rows: list[Row], small_model: Padim, entry: Entry, monkeypatch: pytest.MonkeyPatch
) -> None:
    from padim.output import render

    level = small_model.threshold_level
    drawn: list[str] = []
    real = render.four_panel

    def listening(*arguments: Any, caption: str, **more: Any) -> Any:
        drawn.append(caption)
        return real(*arguments, caption=caption, **more)

    monkeypatch.setattr(render, "four_panel", listening)

    def stated() -> set[str]:
        text = exports.csv_bytes(rows, small_model, entry, level).decode("utf-8-sig")
        drawn.clear()
        exports.zip_of_panels(rows, small_model, level, colormap="turbo", opacity=0.5)
        return {line["random_weights"] for line in csv.DictReader(io.StringIO(text))}

    assert stated() == {"no"}
    assert not any("andom" in caption for caption in drawn)
    monkeypatch.setattr(ModelNetwork, "random_weights", property(lambda _: True))
    assert stated() == {"yes"}
    assert all(caption.startswith("Random weights, for trials only: ") for caption in drawn)
