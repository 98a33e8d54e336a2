"""``score --record``: verdicts in the workspace's database, once, and parts of other models refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from padim import Padim, Workspace
from padim.records.inspections import InspectionQuery, InspectionRecords
from padim.records.recipes import Recipes
from tests.cli.conftest import Run, write
from tests.parts import defects, normals


@pytest.fixture
def model(tmp_path: Path, small_model: Padim) -> Path:
    """The small model, saved in a workspace."""
    workspace = Workspace(tmp_path / "home")
    entry = workspace.create("Plate")
    workspace.save(entry.id, small_model)
    return entry.path


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Two good parts and two defects, their names with lot and serial number, and one without."""
    found = [data for _, data in (*normals(2, first=60), *defects(2))]
    names = ["L7-0001.png", "L7-0002.png", "L8-0001.png", "odd.png"]
    write(tmp_path / "images", list(zip(names, found, strict=True)))
    return tmp_path / "images"


def test_verdicts_are_recorded_once(run: Run, model: Path, images: Path, tmp_path: Path) -> None:
    command = ("score", model, images, "-o", tmp_path / "out", "--record", "--who", "Anna", "--station", "2")
    done = run(*command, "--name-pattern", "{lot}-{serial}", "--lot", "typed")
    assert done.code == 0, done.err
    assert "1 name does not match and take the options: odd.png: does not match" in " ".join(done.err.split())
    home = model.parent.parent
    found = InspectionRecords(home).page(InspectionQuery(), order="oldest").items
    assert [(one.name, one.lot, one.serial) for one in found] == [
        ("L7-0001.png", "L7", "0001"),
        ("L7-0002.png", "L7", "0002"),
        ("L8-0001.png", "L8", "0001"),
        ("odd.png", "typed", ""),
    ]
    assert {(one.who, one.source, one.station, one.model_id) for one in found} == {
        ("Anna", "shell", "2", model.name)
    }
    assert {(one.version_number, one.model_name) for one in found} == {(1, "Plate")}
    expected = Padim.load(model)
    for one, prediction in zip(found, expected.predict(images), strict=True):
        assert (one.verdict, one.score) == (prediction.verdict, prediction.score)
        assert InspectionRecords(home).thumbnail(one.id)
    # The same command again, as after a failure: nothing twice.
    assert run(*command, "--force").code == 0
    assert InspectionRecords(home).count(InspectionQuery()) == 4


def test_parts_of_other_models_are_refused(run: Run, model: Path, images: Path, tmp_path: Path) -> None:
    home = model.parent.parent
    recipes = Recipes(home)
    recipes.set("L7", model.name, "Anna")
    recipes.set("L8", "another", "Anna")
    command = ("score", model, images, "-o", tmp_path / "out", "--record")
    said = run(*command, "--name-pattern", "{part_number}-{serial}").sentence
    assert "L8-0001.png (part number L8 belongs to another model), odd.png (no part number)" in said
    assert "nothing was scored" in said
    assert not (tmp_path / "out").exists()
    assert "--part-number (part number X has no model)" in run(*command, "--part-number", "X").sentence
    assert run(*command, "--part-number", "L7").code == 0
    assert {one.part_number for one in InspectionRecords(home).page(InspectionQuery()).items} == {"L7"}
    kinds = [(one.kind, one.part_number, one.how) for one in recipes.events()]
    assert kinds[:3] == [
        ("switched", "L7", "shell"),
        ("refused", "X", "shell"),
        ("refused", "L8", "file name"),
    ]


def test_what_cannot_be_recorded_is_said(run: Run, model: Path, images: Path, tmp_path: Path) -> None:
    database = model.parent.parent / "records.sqlite"
    database.rename(database.with_name("aside"))
    database.mkdir()
    done = run("score", model, images, "-o", tmp_path / "out", "--record")
    assert done.code == 2
    assert "4 images are not on record" in " ".join(done.err.split())
    assert (tmp_path / "out" / "results.csv").is_file()


def test_options_that_need_it_and_models_without_a_workspace(
    run: Run, saved_model: Path, model: Path, images: Path, tmp_path: Path
) -> None:
    out = ("-o", tmp_path / "out")
    assert "add --record" in run("score", model, images, *out, "--lot", "7").sentence
    assert "needs a model of a workspace" in run("score", saved_model, images, *out, "--record").sentence
    pattern = ("--record", "--name-pattern", "{batch}")
    assert "there is no field {batch}" in run("score", model, images, *out, *pattern).sentence
