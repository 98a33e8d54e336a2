"""Models that inspect: found by path, id, name and part number, and always the approved version."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from padim import Workspace
from padim.errors import PadimError, StorageError
from padim.records.recipes import PartNumberError, Recipes
from padim.records.versions import ModelVersions
from padim.records.workspace_settings import ApprovalSettings, WorkspaceSettings
from padim.service.inspecting_models import InspectingModels
from tests.service.conftest import PART_NUMBER, Line


def test_one_model_is_found_in_four_ways_and_opened_once(line: Line) -> None:
    models = InspectingModels(line.root)
    found = [models.of(target) for target in (line.model_path, line.model_id, "Flange", PART_NUMBER)]
    assert all(one is found[0] for one in found)
    assert found[0].model_id == line.model_id
    assert found[0].name == "Flange"
    assert found[0].version_number == 1
    assert found[0].note == ""


def test_from_the_next_image_on_another_approved_version_inspects(line: Line) -> None:
    models = InspectingModels(line.root)
    before = models.of_model(line.model_id)
    line.set_threshold(9.5)
    after = models.of_model(line.model_id)
    assert after.version_number == 2
    assert after.model.threshold_ == pytest.approx(9.5, rel=1e-2)
    ModelVersions(line.root, line.model_id).approve(1, "Ann")
    again = models.of_model(line.model_id)
    assert again.version_number == 1
    assert again.model.threshold_level == before.model.threshold_level


def test_a_draft_does_not_inspect(line: Line) -> None:
    WorkspaceSettings(line.root, line.model_id).set(ApprovalSettings(approval="by_hand"), "Ann")
    models = InspectingModels(line.root)
    before = models.of_model(line.model_id)
    line.set_threshold(9.5)
    assert models.of_model(line.model_id) is before


def test_without_an_approved_version_the_saved_model_inspects_and_says_so(line: Line) -> None:
    workspace = Workspace(line.root)
    entry = workspace.create("Draft")
    WorkspaceSettings(line.root, entry.id).set(ApprovalSettings(approval="by_hand"), "Ann")
    shutil.copytree(line.model_path, entry.path, dirs_exist_ok=True)
    shutil.rmtree(entry.path / "versions")
    found = InspectingModels(line.root).of_model(entry.id)
    assert found.note == "No version is approved: version 1, the saved model, inspects."
    assert found.version_number == 1


def test_a_model_outside_of_a_workspace_is_opened_anew_when_it_is_saved_anew(
    saved_model: Path, tmp_path: Path
) -> None:
    path = tmp_path / "alone"
    shutil.copytree(saved_model, path)
    models = InspectingModels()
    before = models.of(path)
    assert before.root is None
    assert models.of(str(path)) is before
    before.model.set_decision(value=9.5)
    before.model.save(path, force=True)
    assert models.of(path) is not before


def test_what_is_not_there_is_named(line: Line, tmp_path: Path) -> None:
    models = InspectingModels(line.root)
    with pytest.raises(PartNumberError, match="part number XX-1 has no model"):
        models.of("XX-1")
    with pytest.raises(PadimError, match="nothing-there"):
        models.of(tmp_path / "nothing-there")
    with pytest.raises(PadimError, match="give the path of a saved model"):
        InspectingModels().of("XX-1")
    Workspace(line.root).delete(line.model_id)
    with pytest.raises(PadimError, match=line.model_id):
        models.of_model(line.model_id)


def test_two_models_of_one_name_are_told_apart_by_their_id(line: Line) -> None:
    workspace = Workspace(line.root)
    shutil.copytree(line.model_path, workspace.create("Flange").path, dirs_exist_ok=True)
    for entry in workspace.models():
        workspace.rename(entry.id, "Flange")
    with pytest.raises(PadimError, match="2 models have this name"):
        InspectingModels(line.root).of("Flange")


def test_only_the_latest_stay_open(line: Line, saved_model: Path) -> None:
    models = InspectingModels(line.root, keep=1)
    first = models.of(line.model_id)
    models.of(saved_model)
    assert models.of(line.model_id) is not first


def test_a_database_that_is_away_stops_nothing_that_was_known(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = InspectingModels(line.root)
    known = models.of_part_number(PART_NUMBER)

    def away(*_: object) -> None:
        raise StorageError("the database is away")

    monkeypatch.setattr(ModelVersions, "approved", away)
    monkeypatch.setattr(Recipes, "all", away)
    assert models.of_part_number(PART_NUMBER) is known
    assert models.wrong_part(PART_NUMBER, known) == ""
    with pytest.raises(StorageError):
        models.of_part_number("FL-200")
    alone = InspectingModels(line.root).of_model(line.model_id)
    assert "the saved model inspects" in alone.note


def test_a_part_of_another_model_is_not_inspected(line: Line) -> None:
    models = InspectingModels(line.root)
    using = models.of_model(line.model_id)
    Recipes(line.root).set("FL-200", "other-abc123", "Ann")
    assert models.wrong_part("", using) == ""
    assert models.wrong_part(PART_NUMBER, using) == ""
    assert "inspected by the model other-abc123" in models.wrong_part("FL-200", using)
    assert "has no model" in models.wrong_part("FL-300", using)
