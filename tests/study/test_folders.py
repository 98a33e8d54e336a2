"""Folders of studies: the same images have the same one, and only those with results are listed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from filelock import FileLock

from padim.errors import BusyError
from padim.study.data import categories
from padim.study.folders import earlier_studies, remove_study, study_folder
from tests.data import layouts
from tests.parts import normals


def images(root: Path, *more: str) -> Path:
    for name in ("train/good/0.png", "train/good/1.png", "train/good/2.png", "test/good/3.png", *more):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(bytes(normals(1)[0][1]))
    return root


def test_the_same_images_have_the_same_folder(tmp_path: Path) -> None:
    one, other = images(tmp_path / "a" / "plate"), images(tmp_path / "b" / "plate")
    larger = images(tmp_path / "c" / "plate", "test/good/4.png")
    root = tmp_path / "studies"
    folders = [study_folder(root, categories(place), "Line 3: Plates!") for place in (one, other, larger)]
    assert folders[0] == folders[1] != folders[2]
    assert folders[0].parent == root
    assert folders[0].name.startswith("line-3-plates-")
    assert study_folder(root, categories(one), "…").name.startswith("study-")


def test_studies_with_results_are_listed_newest_first(tmp_path: Path) -> None:
    for age, name in enumerate(("newest-0a", "line-3-plates-1b", "empty-2c")):
        (tmp_path / name / "results").mkdir(parents=True)
        (tmp_path / name / "study.json").write_text("{}")
        if not name.startswith("empty"):
            (tmp_path / name / "results" / "1.json").write_text("{}")
        os.utime(tmp_path / name / "study.json", (1e9 - age, 1e9 - age))
    found = earlier_studies(tmp_path)
    assert [one.label for one in found] == ["newest", "line 3 plates"]
    assert found[0].changed.timestamp() == 1e9
    assert earlier_studies(tmp_path / "missing") == []


def test_only_a_study_of_that_folder_is_removed(tmp_path: Path) -> None:
    inside, outside = tmp_path / "studies" / "one", tmp_path / "other"
    for folder in (inside, outside):
        folder.mkdir(parents=True)
        remove_study(tmp_path / "studies", folder)
    assert not inside.exists()
    assert outside.exists()


def test_a_folder_of_data_sets_in_any_layout_gives_a_category_each(tmp_path: Path) -> None:
    for category, train, test in (("01", "Train/OK", "Test/ok"), ("02", "train/ok", "test/ok")):
        layouts.images(tmp_path, f"{category}/{train}", 4)
        layouts.images(tmp_path, f"{category}/{test}", 2)
        layouts.images(tmp_path, f"{category}/{test[:4]}/ko", 1)
    found = categories(tmp_path)
    assert [one.name for one in found] == ["01", "02"]
    assert [(len(one.normals), len(one.tests), one.defects) for one in found] == [(4, 3, 1)] * 2


def test_a_study_at_work_is_not_deleted(tmp_path: Path) -> None:
    """By another session, or in another process: the runner holds this lock."""
    folder = tmp_path / "parts-1"
    folder.mkdir()
    (folder / "study.json").write_text("{}")
    with FileLock(folder / ".lock"), pytest.raises(BusyError, match="a comparison is at work there"):
        remove_study(tmp_path, folder)
    assert (folder / "study.json").exists()
    remove_study(tmp_path, folder)
    assert not folder.exists()
    remove_study(tmp_path, folder)  # another session has deleted it already
