"""``padim watch``: a folder is worked off, told as text and JSON, and stopped from elsewhere."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from padim import Padim, Workspace
from padim.records.inspections import InspectionQuery, InspectionRecords
from padim.records.recipes import Recipes
from padim.records.watches import WatchedFolder, Watches, WatchOptions
from padim.service.inspecting_models import InspectingModels
from padim.service.watch_status import read_status
from padim.service.watching import FolderWatch
from tests.cli.conftest import Run, write
from tests.parts import defects, normals


@pytest.fixture
def home(tmp_path: Path, small_model: Padim, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace with the small model, which inspects FL-100."""
    monkeypatch.setenv("PADIM_HOME", str(tmp_path / "home"))
    workspace = Workspace(tmp_path / "home")
    entry = workspace.create("Plate")
    workspace.save(entry.id, small_model)
    Recipes(workspace.root).set("FL-100", entry.id, "Ann")
    return workspace.root


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write(tmp_path / "in", [*normals(2, first=60), *defects(1)])


def test_a_folder_is_worked_off(run: Run, home: Path, folder: Path, tmp_path: Path) -> None:
    command = (
        "watch",
        "FL-100",
        folder,
        "--out",
        tmp_path / "out",
        "--once",
        "--station",
        "2",
        "--who",
        "Ann",
    )
    done = run(*command)
    assert done.code == 0, done.err
    assert [line.split()[:2] for line in done.out.splitlines()[1:4]] == [
        ["reject", "bad_000.png"],
        ["accept", "good_060.png"],
        ["accept", "good_061.png"],
    ]
    assert "2 accept, 1 reject: " in done.out
    found = InspectionRecords(home).page(InspectionQuery(), order="oldest").items
    assert [(one.part_number, one.station, one.who, one.source) for one in found] == [
        ("FL-100", "2", "Ann", "watch")
    ] * 3
    again = run("--json", *command)
    assert again.code == 0
    assert again.json["counts"]["inspected"] == 3
    assert again.json["recording"] is True
    assert InspectionRecords(home).count() == 3
    assert Watches(home).all() == [], "with --once there is nothing to be watched"
    status = read_status(tmp_path / "out")
    assert status is not None
    assert status.phase == "stopped"


def test_a_watch_is_entered_and_stopped_from_elsewhere(
    run: Run, home: Path, folder: Path, tmp_path: Path
) -> None:
    seen: list[WatchedFolder] = []
    gave_up = threading.Event()

    def stop() -> None:
        watches = Watches(home)
        while not gave_up.wait(0.05):
            entries, status = watches.all(), read_status(tmp_path / "out")
            if entries and status is not None and status.running and status.counts["inspected"] == 3:
                seen.extend(entries)
                watches.set_wanted(entries[0].uid, False)
                return

    other = threading.Thread(target=stop)
    other.start()
    done = run("watch", "Plate", folder, "--out", tmp_path / "out", "--polling")
    gave_up.set()
    other.join()
    assert done.code == 0, done.err
    (entry,) = seen
    assert (entry.target, entry.folder, entry.starter) == ("Plate", folder.resolve(), "shell")
    assert not Watches(home).all()[0].wanted
    # As the app starts one of its own.
    options = WatchOptions(station="-2", panels=False)
    mine = Watches(home).add("Plate", folder, tmp_path / "out", "Ann", options=options)
    name, *words = mine.arguments
    assert run(name, "--once", *words).code == 0
    assert read_status(tmp_path / "out").uid == mine.uid  # type: ignore[union-attr]


def test_what_cannot_be_watched_is_one_sentence(run: Run, home: Path, folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert "there is no such folder" in run("watch", "Plate", tmp_path / "no", "-o", out, "--once").sentence
    assert "has no model" in run("watch", "XY", folder, "-o", out, "--once").sentence
    assert "inside the watched one" in run("watch", "Plate", folder, "-o", folder / "out", "--once").sentence
    assert "settle must be" in run("watch", "Plate", folder, "-o", out, "--settle", "-1").sentence
    assert Watches(home).all() == []
    models = InspectingModels(home)
    with FolderWatch(WatchedFolder("", "Plate", folder, out), models):
        assert "in use by another watch" in run("watch", "Plate", folder, "-o", out, "--once").err
        Watches(home).add("Plate", folder, out, "Ann")
    refused = run("watch", "Plate", folder, "-o", tmp_path / "out 2")
    assert "is watched already, by Plate; remove that watch first" in refused.sentence
    assert read_status(tmp_path / "out 2") is None


def test_a_model_outside_of_a_workspace_says_that_nothing_is_recorded(
    run: Run, home: Path, own_model: Path, folder: Path, tmp_path: Path
) -> None:
    done = run("watch", own_model, folder, "-o", tmp_path / "out", "--once", "--no-panels")
    assert done.code == 0, done.err
    assert "results are in files only" in " ".join(done.err.split())
    assert len(list((tmp_path / "out" / "results").rglob("*.json"))) == 3
    assert InspectionRecords(home).count() == 0
