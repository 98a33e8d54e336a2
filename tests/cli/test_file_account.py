"""The shell accounts for every file: in its summary, in results.csv, in JSON and in the exit code."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import SMALL, Run, write
from tests.parts import normals, part, png


@pytest.fixture(scope="module")
def delivery(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write twelve good parts as a network drive keeps them, with files of other kinds beside them."""
    folder = tmp_path_factory.mktemp("delivery")
    write(folder, normals(12))
    (folder / "@eaDir" / "0.png").mkdir(parents=True)
    (folder / "@eaDir" / "0.png" / "SYNOPHOTO_THUMB_M.jpg").write_bytes(png(part(900, defect=True)))
    for number in range(8):
        (folder / f"raw{number}.xyz").write_bytes(bytes([7, number]) * 40)
    (folder / "empty.png").write_bytes(b"")
    return folder


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write twelve good parts with nothing beside them but what a system leaves."""
    folder = tmp_path_factory.mktemp("clean")
    write(folder, normals(12))
    (folder / "Thumbs.db").write_bytes(b"-")
    return folder


def outcomes(out: Path) -> dict[str, list[str]]:
    """Return the names in results.csv by what became of the file."""
    text = (out / "results.csv").read_bytes().decode("utf-8-sig")
    found: dict[str, list[str]] = {}
    for row in csv.DictReader(io.StringIO(text)):
        found.setdefault(row["file"], []).append(row["name"])
        assert (row["verdict"] != "") == (row["file"] == "used")
        assert (row["error"] != "") == (row["file"] != "used")
    return found


def test_score_names_every_file(run: Run, saved_model: Path, delivery: Path, tmp_path: Path) -> None:
    done = run("score", saved_model, delivery, "-o", tmp_path / "out", "--no-panels", "--no-masks")
    assert done.code == 0, done.err
    found = outcomes(tmp_path / "out")
    assert {became: len(names) for became, names in found.items()} == {
        "used": 12,
        "refused": 1,
        "passed over": 9,
    }
    assert found["refused"] == ["empty.png"]
    assert "'@eaDir/" in found["passed over"]
    document = json.loads((tmp_path / "out" / "results.json").read_text(encoding="utf-8"))
    files: dict[str, Any] = document["files"]
    assert (files["used"], files["refused"]) == (12, 1)
    assert sum(one["files"] for one in files["passed_over"]) == 9
    assert "22 files: " in done.out
    assert "9 passed over" in done.out
    assert "9 files passed over:" in done.err
    assert "not an image (.xyz): raw0.xyz, raw1.xyz, raw2.xyz and 5 more" in done.err
    assert "system leftover: thumbnails: @eaDir/" in done.err


def test_fail_on_reject_counts_what_is_no_image(
    run: Run, saved_model: Path, delivery: Path, clean: Path, tmp_path: Path
) -> None:
    loose = ("--threshold", "200", "--no-panels", "--no-masks", "--fail-on-reject")
    assert run("score", saved_model, clean, "-o", tmp_path / "a", *loose).code == 0
    (delivery / "empty.png").rename(tmp_path / "empty.png")
    try:
        assert run("score", saved_model, delivery, "-o", tmp_path / "b", *loose).code == 1
    finally:
        (tmp_path / "empty.png").rename(delivery / "empty.png")


def test_fit_names_every_file(run: Run, delivery: Path, tmp_path: Path) -> None:
    done = run("fit", delivery, "-o", tmp_path / "m", "--json", *SMALL)
    assert done.code == 0, done.err
    files = done.json["files"]
    assert files["used"] == 12
    assert [one["name"] for one in files["refused"]] == ["empty.png"]
    assert sum(one["files"] for one in files["passed_over"]) == 9


def test_strict_counts_what_is_no_image_but_no_leftovers(
    run: Run, delivery: Path, clean: Path, tmp_path: Path
) -> None:
    assert run("fit", clean, "-o", tmp_path / "a", "--strict", *SMALL).code == 0
    done = run("fit", delivery, "-o", tmp_path / "b", "--strict", *SMALL)
    assert done.code == 2
    assert "9 files not used, and --strict was given" in done.err
    assert "raw0.xyz" in done.err
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize("command", ["fit", "score", "adapt"])
def test_an_input_without_images_says_what_is_there(
    run: Run, command: str, saved_model: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "texts"
    folder.mkdir()
    for number in range(5):
        (folder / f"{number}.txt").write_text("text")
    model = (saved_model,) if command == "score" else ()
    said = run(command, *model, folder, "-o", tmp_path / "out").sentence
    assert "holds no images, only 0.txt (not an image (.txt)), 1.txt" in said
    assert "and 2 more" in said


def test_evaluate_names_every_file(run: Run, saved_model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "labeled"
    folder.mkdir()
    write(folder / "scratch", [("d.png", png(part(700, defect=True)))])
    write(folder / "good", normals(3, first=40))
    (folder / "good" / "notes.txt").write_text("of Monday")
    (folder / "good" / "Thumbs.db").write_bytes(b"-")
    done = run("evaluate", saved_model, folder, "--json")
    assert done.code == 0, done.err
    assert done.json["files"]["used"] == 4
    assert {one["name"] for one in done.json["files"]["passed_over"]} == {"good/notes.txt", "good/Thumbs.db"}


def test_a_complete_fit_accounts_for_every_file_again(run: Run, delivery: Path, tmp_path: Path) -> None:
    model = tmp_path / "m"
    first = run("fit", delivery, "-o", model, "--json", *SMALL)
    again = run("fit", delivery, "-o", model, "--json", "--resume", *SMALL)
    assert again.code == 0, again.err
    assert again.json["files"] == first.json["files"]
    assert "empty.png" in again.err
    strict = run("fit", delivery, "-o", model, "--resume", "--strict", *SMALL)
    assert strict.code == 2
    assert "9 files not used by this fit, and --strict was given" in strict.err
    assert model.exists()


def test_study_says_how_many_files_it_used(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "parts"
    write(folder / "good", [*normals(14, first=50), ("n.txt", b"x")])
    write(folder / "scratch", [("d.png", png(part(700, defect=True))), ("raw.cr2", b"x")])
    (folder / "good" / "@eaDir").mkdir()
    write(folder / "good" / "@eaDir", [("1.jpg", b"x"), ("2.jpg", b"x")])
    options = ("--input-size", "64", "--n-features", "20", "--smoothing", "2", "--min-area", "8")
    done = run("study", folder, "-o", tmp_path / "study", "--method", "padim", *options)
    assert done.code == 0, done.err
    assert "Files: 15 files used, 1 refused, 3 passed over." in done.out
    assert "scratch/raw.cr2: is a CR2 file" in done.err
    assert "system leftover: thumbnails: good/@eaDir/ (2 files)" in done.err
    again = run("study", folder, "-o", tmp_path / "study", "--method", "padim", "--json", *options)
    (files,) = [one["files"] for one in again.json["runs"]]
    assert (files["used"], [one["name"] for one in files["refused"]]) == (15, ["scratch/raw.cr2"])
    assert sum(one["files"] for one in files["passed_over"]) == 3


@pytest.mark.slow
def test_adapt_counts_a_damaged_member_of_a_zip_once(run: Run, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    path = tmp_path / "parts.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in normals(18):
            archive.writestr(name, bytes(data))
    content = bytearray(path.read_bytes())
    content[content.find(b"good_003.png") + 200] ^= 0xFF
    path.write_bytes(content)
    done = run("adapt", path, "-o", tmp_path / "m", "--epochs", "1", "--json", *SMALL)
    assert done.code == 0, done.err
    assert done.json["files"]["used"] == 17
    assert [one["name"] for one in done.json["files"]["refused"]] == ["good_003.png"]
