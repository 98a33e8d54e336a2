"""``backup`` and ``restore``: the workspace goes to a file and comes back."""

from __future__ import annotations

from pathlib import Path

import pytest

from padim.records.inspections import InspectionRecords
from padim.storage.model_folders import ModelFolders
from tests.cli.conftest import Run
from tests.recorded import new


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    home = tmp_path / "home"
    monkeypatch.setenv("PADIM_HOME", str(home))
    return home


def test_the_workspace_goes_to_a_file_and_comes_back(
    run: Run, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "no workspace to back up" in run("backup", tmp_path / "a.zip").sentence
    InspectionRecords(home).add([new(1), new(2)])
    ModelFolders(home).create("Under way")
    done = run("backup", tmp_path)
    assert done.code == 0, done.err
    assert "not in the backup: “Under way”: its fit has not ended" in " ".join(done.err.split())
    (file,) = tmp_path.glob("padim-backup-*.zip")
    assert "2 inspections, without their images" in done.out
    assert "is there already" in run("backup", file).sentence
    assert run("backup", file, "--force", "--json").json["inspections"] == 2
    assert run("backup", file, "--check", "--json").json["files"] == 1
    assert "is not empty" in run("restore", file).sentence
    again = run("restore", file, "--replace", "--json").json
    assert Path(again["replaced"]).parent == home / "bin"
    monkeypatch.setenv("PADIM_HOME", str(tmp_path / "other"))
    restored = run("restore", file)
    assert restored.code == 0, restored.err
    assert "restored to" in restored.out
    assert "no images of inspections" in " ".join(restored.err.split())
    assert "part 0001.png" in run("records", "list").out
    file.write_bytes(file.read_bytes()[:400])
    assert "is no backup" in run("backup", file, "--check").sentence
