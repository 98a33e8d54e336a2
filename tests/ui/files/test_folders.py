"""Folders on the server: only below the configured roots, with links and ``..`` resolved."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ui.files.folders import FolderError, resolve, suggestions


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "open"
    (folder / "line 3").mkdir(parents=True)
    (folder / "good.zip").write_bytes(b"")
    (folder / "notes.txt").write_bytes(b"")
    (tmp_path / "open-too").mkdir()
    (tmp_path / "secret").mkdir()
    monkeypatch.setenv("PADIM_FOLDERS", str(folder))
    return folder


def test_folders_and_zips_below_a_root(root: Path) -> None:
    assert resolve("line 3") == root / "line 3"
    assert resolve(" line 3/ ") == root / "line 3"
    assert resolve(str(root / "line 3")) == root / "line 3"
    assert resolve("good.zip") == root / "good.zip"
    assert resolve(".") == root


@pytest.mark.parametrize(
    "named", ["../secret", "line 3/../../secret", "/etc", "..", "../open-too", "../missing"]
)
def test_a_path_outside_is_refused_and_not_described(root: Path, named: str) -> None:
    with pytest.raises(FolderError, match="lies outside"):
        resolve(named)


def test_a_link_that_leads_out_is_refused(root: Path, tmp_path: Path) -> None:
    (root / "way-out").symlink_to(tmp_path / "secret")
    with pytest.raises(FolderError, match="lies outside"):
        resolve("way-out")


@pytest.mark.parametrize(
    ("named", "why"),
    [
        ("nowhere", "There is no folder"),
        ("notes.txt", "There is no folder"),
        ("", "Name a folder"),
        ("a\0b", "not a"),
    ],
)
def test_a_missing_folder_is_reported(root: Path, named: str, why: str) -> None:
    with pytest.raises(FolderError, match=why):
        resolve(named)


def test_nothing_is_open_unless_configured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PADIM_FOLDERS", raising=False)
    with pytest.raises(FolderError, match="No folder on this server is open"):
        resolve("/")


def test_several_roots(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PADIM_FOLDERS", os.pathsep.join([str(tmp_path / "open-too"), str(root)]))
    assert resolve("line 3") == root / "line 3"
    assert suggestions() == ["good.zip", "line 3"]
