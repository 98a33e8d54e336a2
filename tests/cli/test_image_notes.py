"""Images unlike the good parts, and good parts of mixed shapes, in the shell."""

from __future__ import annotations

import csv
import json
from pathlib import Path

from padim import Padim
from tests.cli.conftest import SMALL, Run, write
from tests.parts import normals, part, png
from tests.test_notes import CONFIG, NOTES, unlike


def test_results_have_the_notes_and_the_summary_counts_them(run: Run, tmp_path: Path) -> None:
    write(tmp_path / "in", unlike())
    Padim(CONFIG).fit(normals(6)).save(tmp_path / "m")
    done = run("score", tmp_path / "m", tmp_path / "in", "-o", tmp_path / "out", "--no-panels", "--no-masks")
    assert done.code == 0, done.err
    assert "4 images are unlike the good parts in shape, size or colors" in done.err
    document = json.loads((tmp_path / "out" / "results.json").read_text(encoding="utf-8"))
    assert {row["name"]: tuple(row["notes"]) for row in document["images"]} == NOTES
    with (tmp_path / "out" / "results.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = {row["name"]: row["notes"] for row in csv.DictReader(file)}
    assert rows == {name: " ".join(notes) for name, notes in NOTES.items()}


def test_mixed_shapes_are_padded_by_the_shell_with_a_warning(run: Run, tmp_path: Path) -> None:
    write(folder := tmp_path / "in", [*normals(4), ("wide.png", png(part(9, size=(60, 120))))])
    for by in ("likeness", "none"):
        done = run("fit", folder, "-o", tmp_path / by, *SMALL, "--groups-by", by)
        assert done.code == 0, done.err
        assert "the good parts differ in shape, from 96 × 96 to 120 × 60 pixels: they are padded" in done.err
        assert Padim.load(tmp_path / by).config.fit == "pad"
    # A complete fit is known again, although the command does not say that it pads.
    assert run("fit", folder, "-o", tmp_path / "none", *SMALL, "--groups-by", "none", "--resume").code == 0
    for chosen in ("stretch", "pad"):
        done = run("fit", folder, "-o", tmp_path / chosen, *SMALL, "--resize", chosen)
        assert "differ in shape" not in done.err
        assert Padim.load(tmp_path / chosen).config.fit == chosen


def test_one_shape_is_stretched_without_a_word(run: Run, tmp_path: Path) -> None:
    write(folder := tmp_path / "in", [*normals(3), ("large.png", png(part(9, size=(192, 192))))])
    done = run("fit", folder, "-o", tmp_path / "m", *SMALL)
    assert "differ in shape" not in done.err
    assert Padim.load(tmp_path / "m").config.fit == "stretch"
