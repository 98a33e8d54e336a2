"""Images of the fit among those given to the commands: named, marked or left out."""

from __future__ import annotations

import csv
import json
from pathlib import Path

from tests.cli.conftest import SMALL, Run, write
from tests.parts import defects, normals


def test_score_marks_them(run: Run, saved_model: Path, tmp_path: Path) -> None:
    write(folder := tmp_path / "in", [("copy.png", normals(1)[0][1]), *normals(2, first=100)])
    done = run("score", saved_model, folder, "-o", tmp_path / "out", "--no-panels", "--no-masks")
    assert done.code == 0, done.err
    assert "1 of 3 images was in the fit and is marked" in " ".join(done.err.split())
    rows = list(csv.DictReader((tmp_path / "out" / "results.csv").open(encoding="utf-8-sig")))
    assert {row["name"]: row["in_fit"] for row in rows} == {
        "copy.png": "yes",
        "good_100.png": "no",
        "good_101.png": "no",
    }
    document = json.loads((tmp_path / "out" / "results.json").read_text("utf-8"))
    assert {row["name"]: row["in_fit"] for row in document["images"]} == {
        "copy.png": True,
        "good_100.png": False,
        "good_101.png": False,
    }


def test_evaluate_leaves_them_out_and_names_them(run: Run, saved_model: Path, tmp_path: Path) -> None:
    write(folder := tmp_path / "in", [(f"good/{name}", data) for name, data in normals(3, first=100)])
    write(folder, [("good/copy.png", normals(1)[0][1])])
    write(folder, [(f"dent/{name}", data) for name, data in defects(3)])
    write(folder, [("dent/same.png", normals(1, first=100)[0][1])])
    done = run("evaluate", saved_model, folder, "--json")
    assert done.code == 0, done.err
    assert done.json["fitted_on"] == 1
    assert done.json["counted_false_rejects"]["of"] == 3
    assert done.json["two_labels"] == [{"good": "good/good_100.png", "defect": "dent/same.png"}]
    assert {"name": "good/copy.png", "reason": "in the fit, so not counted", "files": 1} in done.json[
        "files"
    ]["passed_over"]
    text = " ".join(done.err.split())
    assert "1 of 8 images was in the fit and is left out" in text
    assert "good/good_100.png and dent/same.png" in text


def test_nothing_but_the_fit_is_an_error(run: Run, saved_model: Path, tmp_path: Path) -> None:
    write(folder := tmp_path / "in", [(f"good/{name}", data) for name, data in normals(3)])
    write(folder, [("dent/copy.png", normals(5)[4][1])])
    assert "all 4 images were in the fit" in run("evaluate", saved_model, folder).sentence
    for command in ("sensitivity", "robustness"):
        done = run(command, saved_model, folder / "good")
        assert done.code == 2
        assert "fitted on 3 of them" in " ".join(done.err.split())


def test_a_study_leaves_out_what_its_fit_has(run: Run, tmp_path: Path) -> None:
    files = [(f"train/good/{name}", data) for name, data in normals(8)]
    files += [(f"test/good/{name}", data) for name, data in normals(4, first=100)]
    files += [(f"test/dent/{name}", data) for name, data in defects(4)]
    files += [("test/good/copy.png", normals(1)[0][1]), ("test/dent/copy.png", normals(2)[1][1])]
    write(folder := tmp_path / "ring", files)
    done = run("study", folder, "-o", tmp_path / "study", *SMALL, "--json")
    assert done.code == 0, done.err
    (result,) = done.json["runs"]
    assert result["known"] == 2
    assert (result["false_rejects"]["of"], result["caught"]["of"]) == (4, 4)
    text = " ".join(done.err.split())
    assert "2 of 10 images were in the fit and are left out" in text
    assert "dent/copy.png" in text


def test_sensitivity_and_robustness_account_for_them(run: Run, saved_model: Path, tmp_path: Path) -> None:
    write(
        folder := tmp_path / "in", [("copy.png", normals(1)[0][1]), *normals(3, first=100), ("n.txt", b"x")]
    )
    small = ("--kinds", "spot", "--sizes", "8", "--contrasts", "40", "--places", "1")
    for command in (("sensitivity", saved_model, folder, *small), ("robustness", saved_model, folder)):
        done = run(*command, "--json")
        assert done.code == 0, done.err
        files = done.json["files"]
        assert files["used"] + len(files["refused"]) + sum(one["files"] for one in files["passed_over"]) == 5
        assert {one["name"]: one["reason"] for one in files["passed_over"]} == {
            "copy.png": "in the fit, so not counted",
            "n.txt": "not an image (.txt)",
        }
