"""``learning-curve``: the engine's figures as a JSON document, as a table and as advice."""

from __future__ import annotations

from pathlib import Path

import pytest

from padim import Padim
from padim.analysis.learning_curve import learning_curve
from padim.output.to_json import learning_curve as document
from tests.cli.conftest import SMALL, Run, write
from tests.parts import defects, normals

FEW = ("--sizes", "10,15,22", "--draws", 2, "--seed", 4)


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory, small_model: Padim) -> Path:
    """Save ``small_model`` as a bundle with its features beside it."""
    path = tmp_path_factory.mktemp("kept") / "model.padim"
    model = Padim(small_model.config, work_dir=path / "work").fit(normals(22))
    return model.save(path)


def test_the_document_holds_the_engines_figures(
    run: Run, kept: Path, labeled: Path, small_model: Padim
) -> None:
    done = run("learning-curve", kept, "--labelled", labeled, *FEW, "--json")
    assert done.code == 0, done.err
    bad = [
        (f"chip/{name}" if i < 4 else f"scratch/{name}", data) for i, (name, data) in enumerate(defects(6))
    ]
    found = document(learning_curve(small_model, bad, sizes=(10, 15, 22), draws=2, seed=4))
    report = done.json["learning_curve"]
    assert len(report["defects"].pop("names")) == len(found["defects"].pop("names")) == 6
    assert report == found
    assert done.json["folder"] == str(labeled)


def test_people_get_a_table_and_advice(run: Run, kept: Path) -> None:
    done = run("learning-curve", kept, *FEW, "--painted", "--percentile", 90)
    assert done.code == 0, done.err
    # One line for each size, and advice; painted defects are called an indication.
    for words in ("parts", "expected", "left out", "caught", "at 90 %", "correlation of .3", "odd part"):
        assert words in " ".join(done.out.split())
    assert run("learning-curve", kept, *FEW).out.count("caught") == 0


def test_features_that_were_not_kept_come_from_the_images(
    run: Run, saved_model: Path, good: Path, kept: Path
) -> None:
    refused = run("learning-curve", saved_model, *FEW).sentence
    assert "--images" in refused
    assert "--keep-features" in refused
    again = run("learning-curve", saved_model, *FEW, "--images", good, "--json")
    assert again.code == 0, again.err
    assert again.json["learning_curve"] == run("learning-curve", kept, *FEW, "--json").json["learning_curve"]


def test_what_cannot_be_done_is_one_sentence(
    run: Run, kept: Path, good: Path, labeled: Path, tmp_path: Path
) -> None:
    assert "--sizes" in run("learning-curve", kept, "--sizes", "10,many").sentence
    assert "3 to 22" in run("learning-curve", kept, "--sizes", "10,23").sentence
    assert "not both" in run("learning-curve", kept, "--labelled", labeled, "--painted").sentence
    assert run("learning-curve", tmp_path / "none").sentence
    only_good = write(tmp_path / "good" / "good", normals(2, first=50)).parent
    assert run("learning-curve", kept, "--labelled", only_good).sentence
    few = write(tmp_path / "few", normals(12))
    assert run("fit", few, "-o", tmp_path / "few.padim", *SMALL, "--keep-features").code == 0
    assert "add 8 or more" in run("learning-curve", tmp_path / "few.padim").sentence


def test_files_that_are_not_used_are_named(run: Run, kept: Path, tmp_path: Path) -> None:
    folder = write(tmp_path / "labeled" / "scratch", [*defects(4), ("raw.cr2", b"x"), ("cut.png", b"x")])
    write(folder.parent / "good", normals(2, first=70))
    write(folder, [("notes.txt", b"x")])
    done = run("learning-curve", kept, "--labelled", folder.parent, *FEW, "--json")
    assert done.code == 0, done.err
    files = done.json["files"]
    assert files["used"] == 4
    assert {one["name"] for one in files["refused"]} == {"scratch/raw.cr2", "scratch/cut.png"}
    assert [one["name"] for one in files["passed_over"]] == ["scratch/notes.txt"]
    assert "notes.txt" in done.err
