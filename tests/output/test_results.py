"""Names of files that never collide, and results that are whole however writing them ends."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from padim.decision.anomaly_map import Quantizer
from padim.decision.prediction import decide
from padim.output.results import (
    CSV_COLUMNS,
    FileNames,
    Results,
    csv_cells,
    csv_line,
    decision_document,
    spelt,
    unusable,
)

names = st.lists(
    st.text(
        st.sampled_from(["a", "A", ".", "/", "\\", ":", " ", "ü", "\n", "0", "(", "2", ")"]), max_size=12
    ),
    max_size=30,
)


@given(names)
def test_no_two_files_are_the_same_on_any_system(given: list[str]) -> None:
    files = FileNames()
    working_files = [f"{files.take(name)}.jpg" for name in given]
    assert len({name.lower() for name in working_files}) == len(given)
    folders = {str(Path(name).parent).lower() for name in working_files}
    assert not folders & {name.lower() for name in working_files}, "no file is in the way of a folder"
    for name in working_files:
        parts = name.split("/")
        assert all(part.strip(" .") and part not in ("..", ".") for part in parts), name
        assert not set(name) & set('<>:"|?*\\\n')
        assert not name.startswith("/")


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("a.png", "a"),
        ("line 1/shot.2.tiff", "line 1/shot.2"),
        ("../../etc/passwd", "etc/passwd"),
        ("C:\\x\\y.png", "C_/x/y"),
        ("...", "image"),
        ("CON.png", "_CON"),
        ("a.jpg/b.png", "a.jpg_/b"),
        (".hidden.png", "_hidden"),
        ("ü" * 100 + ".png", "ü" * 60),
    ],
)
def test_sub_folders_are_kept_and_the_rest_is_plain(name: str, plain: str) -> None:
    assert FileNames().take(name) == plain


def row_of(place: dict[str, Any] | None = None, pixel_size_mm: float | None = None) -> dict[str, Any]:
    """A row of an image of 200 x 100 pixels with one region: a map of 10 x 20 whose pixels are 10 wide."""
    levels = np.zeros((10, 20), np.uint16)
    levels[2:4, 5:9] = 50
    decision = decide(levels, 20, 2, original_size=(100, 200))
    return decision_document(
        "a.png",
        "0" * 64,
        (100, 200),
        decision.score_level,
        Quantizer(0.0, 0.1),
        decision,
        "reject",
        in_fit=False,
        place=place,
        pixel_size_mm=pixel_size_mm,
    )


def test_regions_are_measured_in_mm_where_the_size_of_a_pixel_is_known() -> None:
    row = row_of(pixel_size_mm=0.05)
    (region,) = row["regions"]
    assert (region["width"], region["height"], region["area"]) == (40, 20, 800)
    assert (region["width_mm"], region["height_mm"], region["area_mm2"]) == (2.0, 1.0, 2.0)
    cells = dict(zip(CSV_COLUMNS, csv_cells({**row, "pixel_size_mm": 0.05}), strict=True))
    assert cells["largest_region_area"] == "800"
    assert cells["largest_region_area_mm2"] == "2"
    assert cells["largest_region_width_mm"] == "2"
    assert cells["pixel_size_mm"] == "0.05"
    (plain,) = row_of()["regions"]
    assert "area_mm2" not in plain
    cells = dict(zip(CSV_COLUMNS, csv_cells(row_of()), strict=True))
    assert cells["largest_region_area_mm2"] == cells["pixel_size_mm"] == cells["shift"] == ""


def test_where_the_part_lies_is_in_the_row() -> None:
    place = {
        "lost": "", "shift": 5.0, "shift_x": 3.0, "shift_y": -4.0, "turn": 1.5, "scale": 1.01, "match": 0.9
    }  # fmt: skip
    cells = dict(zip(CSV_COLUMNS, csv_cells(row_of(place, 0.1)), strict=True))
    assert [cells[name] for name in place] == ["", "5", "3", "-4", "1.5", "1.01", "0.9"]
    assert cells["shift_mm"] == "0.5"
    lost = {**dict.fromkeys(place), "lost": "nothing was found"}
    cells = dict(zip(CSV_COLUMNS, csv_cells(row_of(lost, 0.1)), strict=True))
    assert cells["lost"] == "nothing was found"
    assert cells["shift"] == cells["shift_mm"] == ""


def read(folder: Path) -> tuple[dict[str, Any], list[dict[str, str]]]:
    text = (folder / "results.csv").read_bytes().decode("utf-8-sig")
    return (
        json.loads((folder / "results.json").read_text(encoding="utf-8")),
        list(csv.DictReader(io.StringIO(text))),
    )


def test_nothing_is_there_before_the_end(tmp_path: Path) -> None:
    with Results(tmp_path / "out", {"model": "m"}, {"about": 1}) as results:
        results.add(unusable("a", "broken"))
        assert not (tmp_path / "out" / "results.json").exists()
    document, lines = read(tmp_path / "out")
    assert document["about"] == 1
    assert document["images"] == [{"name": "a", "verdict": None, "error": "broken", "sha256": None}]
    assert document["counts"]["unreadable"] == 1
    assert [(line["name"], line["error"], line["model"]) for line in lines] == [("a", "broken", "m")]


def test_no_rows_are_valid_files_too(tmp_path: Path) -> None:
    with Results(tmp_path, {}, {}):
        pass
    assert read(tmp_path) == (
        {
            "images": [],
            "counts": {"accept": 0, "review": 0, "reject": 0, "unreadable": 0},
            "files": {"used": 0, "refused": 0, "passed_over": []},
            "interrupted": None,
        },
        [],
    )


def stopped_short(folder: Path) -> None:
    """Results of one row, and then an error."""
    with Results(folder, {}, {}) as results:
        results.add(unusable("a", "broken"))
        raise ZeroDivisionError("of all things")


def test_an_error_on_the_way_leaves_whole_files_that_say_so(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        stopped_short(tmp_path)
    document, lines = read(tmp_path)
    assert document["interrupted"] == "of all things"
    assert lines[-1]["error"] == "interrupted: of all things"
    # The journal stays, for a later run to go on from.
    assert sorted(place.name for place in tmp_path.iterdir()) == [
        "results.csv",
        "results.json",
        "results.partial.jsonl",
    ]


def test_a_disk_that_fills_up_leaves_nothing_half(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("padim.storage.atomic.os.fsync", full)
    with pytest.raises(OSError, match="No space"), Results(tmp_path, {}, {}):
        pass
    assert not [*tmp_path.iterdir()]


# What a spreadsheet leaves out before a formula, and the signs that begin one.
BEFORE = [
    "",
    " ",
    "   ",
    "\u00a0",
    "\ufeff",
    "\u200b",
    "\u2060",
    "\u3000",
    "\u2009",
    "\t",
    "\r",
    "\n",
    "\r\n",
    "\x00",
    "\x1f",
    "\u00ad",
    "\u202e",
]
SIGNS = ["=", "+", "-", "@", "＝", "＋", "－", "＠", "﹢", "﹣", "﹦", "﹫", "⁺"]


@pytest.mark.parametrize("sign", SIGNS)
@pytest.mark.parametrize("before", BEFORE, ids=ascii)
def test_nothing_that_begins_like_a_formula_is_one(before: str, sign: str) -> None:
    (cell,) = next(csv.reader([csv_line([f"{before}{sign}cmd|' /c calc'!A1"])]))
    assert cell.startswith("'")


@pytest.mark.parametrize(
    "text", ["", "a=1", "bolt-3.png", "'quoted'", "1.5", "-1.5", "+3", "-1e-05", " plain", "\u00a0a", "é"]
)
def test_what_is_no_formula_stays_as_it_is(text: str) -> None:
    assert next(csv.reader([csv_line([text])]), [""]) == [text]


def test_numbers_stay_numbers() -> None:
    assert csv_line([-1, -2.5, None, True]) == "-1,-2.5,,True\r\n"


def test_a_defused_cell_is_not_defused_twice() -> None:
    assert spelt(spelt("=1")) == "'=1"


def test_a_name_that_is_no_text_does_not_end_the_run(tmp_path: Path) -> None:
    with Results(tmp_path, {}, {}) as results:
        results.add(unusable("bolt\udcff.png", "cannot be read"))
        results.add(unusable("=1+1.png", "cannot be read"))
    assert "bolt?.png" in (tmp_path / "results.csv").read_text(encoding="utf-8-sig")
    names = [row["name"] for row in json.loads((tmp_path / "results.json").read_bytes())["images"]]
    assert names == ["bolt\udcff.png", "=1+1.png"]


def test_every_csv_of_the_product_is_made_of_these_lines() -> None:
    root = Path(__file__).parents[2]
    texts = {
        str(path.relative_to(root)): path.read_text(encoding="utf-8")
        for folder in ("padim", "ui", "pages")
        for path in sorted((root / folder).rglob("*.py"))
    }
    assert [name for name, text in texts.items() if "csv.writer" in text] == ["padim/output/csv_form.py"]
    # Cells are escaped in results.py alone.
    using = [name for name, text in texts.items() if "form_line" in text]
    assert using == ["padim/output/csv_form.py", "padim/output/results.py"]
