"""``models``: models and their versions listed, two compared, one approved, and back again."""

from __future__ import annotations

import getpass
import shutil
from pathlib import Path

import pytest

from padim import Padim, Workspace
from padim.records.library import ImageLibrary, NewImage
from padim.records.version import VersionChange
from padim.storage.model_folders import Entry
from tests.cli.conftest import Run
from tests.parts import defects, normals


@pytest.fixture
def entry(tmp_path: Path, saved_model: Path, monkeypatch: pytest.MonkeyPatch) -> Entry:
    """A model with two versions, and a library of a good part and a defect."""
    monkeypatch.setenv("PADIM_HOME", str(tmp_path / "home"))
    store = Workspace(tmp_path / "home")
    entry = store.create("Flange, left")
    shutil.copytree(saved_model, entry.path, dirs_exist_ok=True)
    with store.edit(entry.id, change=VersionChange("Ann", reason="too many rejects")) as model:
        model.set_decision(value=200.0)
    shown = [*((*one, "good") for one in normals(1, first=60)), *((*one, "defect") for one in defects(1))]
    images = [NewImage(name, data, label) for name, data, label in shown]  # type: ignore[arg-type]
    ImageLibrary(store.root, entry.id).add(images, "files")
    return entry


def test_versions_are_listed_with_who_why_and_what(run: Run, entry: Entry, small_model: Padim) -> None:
    listed = run("models", "list")
    assert "Flange, left" in listed.out
    assert run("models", "list", "--json").json["models"] == [
        {
            "id": entry.id,
            "name": "Flange, left",
            "broken": None,
            "approved": 2,
            "newer_draft": None,
            "versions": 2,
        }
    ]
    text = " ".join(run("models", "versions", "Flange, left").out.split())
    assert "too many" in text
    report = run("models", "versions", entry.id, "--json").json
    first, second = report["versions"]
    assert (first["state"], second["state"], second["who"], second["reason"]) == (
        "retired",
        "approved",
        "Ann",
        "too many rejects",
    )
    assert first["threshold"] == pytest.approx(small_model.threshold_)
    assert report["saved"] == 2
    assert [event["kind"] for event in report["events"]][:2] == ["made", "approved"]


def test_a_comparison_names_the_defects_that_would_pass(run: Run, entry: Entry) -> None:
    report = run("models", "compare", entry.id, 1, 2, "--json").json
    (defect,) = [one for one in report["images"] if one["label"] == "defect"]
    assert report["would_pass"] == 1
    assert defect["would_pass"]
    assert defect["verdicts"] == ["reject", "accept"]
    text = run("models", "compare", entry.id, 1, 2).out
    assert "1 known defect would pass with version 2" in text
    assert "known defect" not in run("models", "compare", entry.id, 2, 1).out


def test_approved_rolled_back_and_retired_by_somebody(run: Run, entry: Entry) -> None:
    done = run("models", "rollback", "Flange, left", "--comment", "a defect passed")
    assert "version 1 of “Flange, left” inspects from now on" in done.out
    assert run("models", "rollback", entry.id).sentence.startswith("no version of “Flange, left”")
    assert run("models", "approve", entry.id, 2, "--who", "Ben", "--json").json["state"] == "approved"
    assert "approve another one first" in run("models", "retire", entry.id, 2).sentence
    assert run("models", "retire", entry.id, 1, "--json").json["state"] == "retired"
    assert run("models", "prune", entry.id, "--json").json["pruned"] == []
    events = run("models", "versions", entry.id, "--json").json["events"]
    by = [(one["version"], one["kind"], one["who"]) for one in events if one["kind"] == "approved"]
    assert by == [
        (1, "approved", "not on record"),
        (2, "approved", "Ann"),
        (1, "approved", getpass.getuser()),
        (2, "approved", "Ben"),
    ]


def test_what_is_not_there_is_said(run: Run, entry: Entry) -> None:
    assert "`padim models list` lists them" in run("models", "versions", "Cup").sentence
    assert "no version 7" in run("models", "approve", entry.id, 7).sentence


def test_a_threshold_set_from_the_shell_makes_a_version(run: Run, entry: Entry) -> None:
    assert run("calibrate", entry.path, "--threshold", 50, "--write").code == 0
    made = run("models", "versions", entry.id, "--json").json["versions"][-1]
    assert (made["number"], made["who"], made["cause"]) == (3, getpass.getuser(), "threshold")
    assert made["threshold"] == pytest.approx(50, abs=0.1)
