"""Backup and restore: everything comes back as it was, while others go on working, or nothing is changed."""

from __future__ import annotations

import hashlib
import json
import signal
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from padim import Padim, Workspace, doctor
from padim.errors import BusyError, PadimError
from padim.records import backup_file, records_copy
from padim.records.backup import last_backup, make_backup, read_backup
from padim.records.database import RecordsDatabase
from padim.records.inspections import InspectionRecords
from padim.records.library import ImageLibrary, NewImage
from padim.records.restore import restore_backup, unfinished_restore
from padim.records.reviews import ReviewRecords
from padim.records.schema import METADATA, WORKSPACE
from padim.records.server_url import VARIABLE
from padim.records.versions import ModelVersions
from padim.storage import bin as model_bin
from padim.storage.model_folders import ModelFolders
from tests.parts import defects
from tests.recorded import new
from tests.records.postgresql_server import PostgresqlServer

ROOT = Path(__file__).parents[2]


@pytest.fixture
def root(tmp_path: Path, small_model: Padim) -> Path:
    """A workspace with a model of two versions, its library, inspections with reviews, settings and sinks."""
    root = tmp_path / "workspace"
    store = Workspace(root)
    entry = store.create("Flange, left")
    store.save(entry.id, small_model)
    with store.edit(entry.id) as model:
        model.set_decision(value=model.threshold_ * 1.1)
    (store.work_dir(entry.id) / "features").mkdir(parents=True)
    (store.work_dir(entry.id) / "features" / "content.bin").write_bytes(b"features")
    images = [NewImage(f"{i}.png", bytes([i]) * 99, "defect", "dent") for i in range(3)]
    ImageLibrary(root, entry.id).add(images, "files")
    InspectionRecords(root, draw=lambda: 0.999).add([new(i, model_id=entry.id) for i in range(5)])
    ReviewRecords(root).decide(1, "Anna", "reject", defect_type="dent")
    (root / "settings.yaml").write_text("keep_hours: 3\n", encoding="utf-8")
    (root / "sinks.yaml").write_text("sinks: []\n", encoding="utf-8")
    (root / "studies" / "trial-123").mkdir(parents=True)
    (root / "studies" / "trial-123" / "study.json").write_text("{}", encoding="utf-8")
    return root


def rows(root: Path) -> dict[str, list[tuple[object, ...]]]:
    with RecordsDatabase(root).reading() as connection:
        assert connection is not None
        return {
            table.name: [tuple(row) for row in connection.execute(select(table).order_by(*table.primary_key))]
            for table in METADATA.sorted_tables
            if table is not WORKSPACE
        }


def tree(root: Path, *, evidence: bool = True) -> dict[str, str]:
    """The files of a workspace with their hashes, but for the database and locks."""
    tops = ("models", "studies", "settings.yaml", "sinks.yaml", *(["evidence"] if evidence else []))
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in root.rglob("*")
        if path.is_file() and path.relative_to(root).parts[0] in tops and not path.name.endswith(".lock")
    }


def model_of(root: Path) -> Padim:
    (entry,) = Workspace(root).models()
    return Workspace(root).open(entry.id)


@pytest.mark.parametrize("evidence", [False, True])
def test_everything_comes_back_in_an_empty_workspace(root: Path, tmp_path: Path, evidence: bool) -> None:
    index = make_backup(root, tmp_path / "kept" / "a.zip", evidence=evidence)
    before, files = rows(root), tree(root, evidence=evidence)
    assert read_backup(tmp_path / "kept" / "a.zip") == index
    assert (index.inspections, len(index.models), index.left_out) == (5, 1, ())
    last = last_backup(root)
    assert last is not None
    assert last.bytes == (tmp_path / "kept" / "a.zip").stat().st_size
    other = tmp_path / "other"
    report = restore_backup(tmp_path / "kept" / "a.zip", other)
    assert report.replaced is None
    assert unfinished_restore(other) is None
    assert rows(other) == before
    assert tree(other) == files
    (entry,) = Workspace(other).models()
    assert [one.number for one in ModelVersions(other, entry.id).all()] == [1, 2]
    (name, content), *_ = defects(1)
    expected, found = (
        next(iter(model_of(place).predict([(name, content)]))).score_level for place in (root, other)
    )
    assert found == expected
    # What versions share is on the disk once, as before.
    versions = other / "models" / entry.id / "versions" / "files"
    assert any(path.stat().st_nlink > 1 for path in versions.iterdir())


def test_records_of_a_server_are_replaced_in_it(
    root: Path, tmp_path: Path, postgresql: PostgresqlServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with postgresql.database() as url:
        monkeypatch.setenv(VARIABLE, url)
        before = rows(root)
        make_backup(root, tmp_path / "a.zip")
        InspectionRecords(root).add([new(77)])
        more = rows(root)
        report = restore_backup(tmp_path / "a.zip", root, replace=True)
        assert rows(root) == before
        # Numbers go on, and what was there is in the bin as a workspace of its own.
        InspectionRecords(root).add([new(78)])
        assert rows(root)["inspections"][-1][0] == 6
        monkeypatch.delenv(VARIABLE)
        assert report.replaced is not None
        assert rows(report.replaced) == more


def test_what_is_there_is_replaced_only_when_told_and_kept_in_the_bin(root: Path, tmp_path: Path) -> None:
    make_backup(root, tmp_path / "a.zip", evidence=True)
    before, files = rows(root), tree(root)
    store = Workspace(root)
    (entry,) = store.models()
    with store.edit(entry.id) as model:
        model.set_decision(value=model.threshold_ * 2)
    store.save(store.create("Another").id, model_of(root))
    InspectionRecords(root).add([new(77)])
    (root / "settings.yaml").unlink()
    (root / "sinks.yaml").write_text("sinks: [] # other\n", encoding="utf-8")
    changed, changed_files = rows(root), tree(root)
    with pytest.raises(PadimError, match=r"is not empty, it has 2 models, records, comparisons, settings"):
        restore_backup(tmp_path / "a.zip", root)
    assert (rows(root), tree(root)) == (changed, changed_files)
    report = restore_backup(tmp_path / "a.zip", root, replace=True)
    assert rows(root) == before
    assert {name: sha for name, sha in tree(root).items() if name in files} == files
    assert set(tree(root, evidence=False)) == {name for name in files if not name.startswith("evidence")}
    assert report.replaced is not None
    assert rows(report.replaced) == changed
    there = tree(report.replaced)
    assert there == {name: sha for name, sha in changed_files.items() if not name.startswith("evidence")}
    assert {one.name for one in Workspace(report.replaced).models()} == {"Flange, left", "Another"}
    models = ModelFolders(root)
    ((folder, when),) = model_bin.replaced_workspaces(models)
    assert folder == report.replaced
    model_bin.sweep(models, when + timedelta(days=29))
    assert folder.exists()
    model_bin.sweep(models, when + timedelta(days=31))
    assert not folder.exists()


def test_a_failure_on_the_way_leaves_all_as_it_was(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_backup(root, tmp_path / "a.zip")
    InspectionRecords(root).add([new(77)])
    (root / "settings.yaml").write_text("keep_hours: 4\n", encoding="utf-8")
    before, files = rows(root), tree(root)

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device", str(root))

    monkeypatch.setattr(records_copy, "replace_records", fail)
    with pytest.raises(PadimError, match="no space left"):
        restore_backup(tmp_path / "a.zip", root, replace=True)
    assert (rows(root), tree(root)) == (before, files)
    assert unfinished_restore(root) is None
    assert model_bin.replaced_workspaces(ModelFolders(root)) == []


_KILLED = """
import os, signal, sys
from padim.records import records_copy, restore

records_copy.replace_records = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
restore.restore_backup(sys.argv[1], sys.argv[2], replace=True)
"""


def test_restoring_again_completes_what_a_kill_has_interrupted(root: Path, tmp_path: Path) -> None:
    file = tmp_path / "a.zip"
    make_backup(root, file)
    before = rows(root)
    InspectionRecords(root).add([new(77)])
    done = subprocess.run([sys.executable, "-c", _KILLED, file, root], cwd=ROOT, timeout=60, check=False)
    assert done.returncode == -signal.SIGKILL
    assert unfinished_restore(root) == str(file)
    with pytest.raises(PadimError, match=r"part of .*a\.zip, whose restoring was interrupted"):
        restore_backup(file, root)
    with _later():
        restore_backup(file, root, replace=True)
    assert rows(root) == before
    assert unfinished_restore(root) is None
    assert model_of(root).threshold_ is not None


@contextmanager
def _later() -> Iterator[None]:
    """The next folder in the bin has another name, as it would a second later."""
    former = model_bin.replaced_folder
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            model_bin, "replaced_folder", lambda models, now: former(models, now + timedelta(seconds=5))
        )
        yield


def test_a_model_under_change_is_in_the_backup_without_its_features(root: Path, tmp_path: Path) -> None:
    (entry,) = Workspace(root).models()
    held, done = threading.Event(), threading.Event()

    def change() -> None:
        with Workspace(root).locked(entry.id):
            held.set()
            done.wait(60)

    thread = threading.Thread(target=change)
    thread.start()
    assert held.wait(60)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("padim.records.backup._PATIENCE", 0.1)
            patch.setattr("padim.records.restore._PATIENCE", 0.1)
            index = make_backup(root, tmp_path / "a.zip")
            (sentence,) = index.left_out
            assert "“Flange, left”: the features of its good parts" in sentence
            with pytest.raises(BusyError):
                restore_backup(tmp_path / "a.zip", root, replace=True)
    finally:
        done.set()
        thread.join()
    report = restore_backup(tmp_path / "a.zip", tmp_path / "other")
    assert any("not in the backup" in note for note in report.notes)
    assert model_of(tmp_path / "other").threshold_ is not None
    assert not list((tmp_path / "other").rglob("content.bin"))


def test_a_backup_is_consistent_while_models_are_saved_and_images_recorded(
    root: Path, tmp_path: Path
) -> None:
    (entry,) = Workspace(root).models()
    stop, errors = threading.Event(), list[BaseException]()

    def saving() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            with Workspace(root).edit(entry.id) as model:
                model.set_decision(value=2 + number % 7 / 10)

    def recording() -> None:
        number = 100
        while not stop.is_set():
            number += 3
            InspectionRecords(root).add([new(number + i, model_id=entry.id) for i in range(3)])

    def guarded(work: Any) -> None:
        try:
            work()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(work,)) for work in (saving, recording)]
    for thread in threads:
        thread.start()
    try:
        for number in range(2):
            make_backup(root, tmp_path / f"{number}.zip")
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert not errors
    for number in range(2):
        place = tmp_path / f"restored-{number}"
        restore_backup(tmp_path / f"{number}.zip", place)
        model_of(place)  # all its hashes are those of its manifest
        assert not doctor.workspace(ModelFolders(place)).damaged
        versions = ModelVersions(place, entry.id)
        for version in versions.all():
            versions.open(version)
        # Recorded in threes, each in one transaction.
        assert len(rows(place)["inspections"]) % 3 == 5 % 3


@pytest.fixture
def kept(root: Path, tmp_path: Path) -> Path:
    file = tmp_path / "a.zip"
    make_backup(root, file)
    return file


def rewritten(file: Path, change: Any) -> Path:
    """A backup whose index was changed and sealed anew."""
    with zipfile.ZipFile(file) as old:
        contents = {name: old.read(name) for name in old.namelist()}
    index = json.loads(contents[backup_file.INDEX])
    index.pop("seal")
    change(index)
    contents[backup_file.INDEX] = json.dumps({**index, "seal": backup_file._seal(index)}).encode()
    other = file.with_name("other.zip")
    with zipfile.ZipFile(other, "w") as target:
        for name, content in contents.items():
            target.writestr(name, content)
    return other


def test_a_damaged_backup_changes_nothing(kept: Path, tmp_path: Path) -> None:
    whole = kept.read_bytes()
    other = tmp_path / "other"
    with zipfile.ZipFile(kept) as file:
        largest = max(file.infolist(), key=lambda one: one.file_size)
    for name, content in {
        "cut.zip": whole[: len(whole) // 2],
        "empty.zip": b"",
        "flipped.zip": whole[: largest.header_offset + 200]
        + bytes([whole[largest.header_offset + 200] ^ 1])
        + whole[largest.header_offset + 201 :],
    }.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(PadimError, match=r"(cut|empty|flipped)\.zip: is (damaged|no backup)"):
            restore_backup(tmp_path / name, other)
        with pytest.raises(PadimError):
            read_backup(tmp_path / name)
        assert not tree(other)
    with pytest.raises(PadimError, match="cannot be read"):
        restore_backup(tmp_path / "none.zip", other)
    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as file:
        file.writestr("a.png", b"x")
    with pytest.raises(PadimError, match="is no backup of a workspace"):
        restore_backup(tmp_path / "photos.zip", other)


@pytest.mark.parametrize(
    "path",
    [
        "../a",
        "/etc/a",
        "models/../../a",
        "models",
        "jobs/a",
        "models//a",
        "settings.yaml/a",
        "models/./a",
        "",
    ],
)
def test_no_file_of_a_backup_leaves_the_workspace(kept: Path, tmp_path: Path, path: str) -> None:
    def change(index: dict[str, Any]) -> None:
        index["files"][0]["path"] = path

    with pytest.raises(PadimError, match="has an index that cannot be read"):
        restore_backup(rewritten(kept, change), tmp_path / "other")
    assert not tree(tmp_path / "other")


def test_a_backup_of_a_later_version_is_refused(kept: Path, tmp_path: Path) -> None:
    with pytest.raises(PadimError, match="version 2, this program reads 1"):
        restore_backup(rewritten(kept, lambda index: index.update(version=2)), tmp_path / "other")


def test_a_backup_needs_a_workspace(tmp_path: Path) -> None:
    with pytest.raises(PadimError, match="no workspace to back up"):
        make_backup(tmp_path / "none", tmp_path / "a.zip")
    (tmp_path / "empty").mkdir()
    index = make_backup(tmp_path / "empty", tmp_path / "a.zip")
    assert (index.files, index.inspections) == ((), 0)
    restore_backup(tmp_path / "a.zip", tmp_path / "other")
    assert index.made <= datetime.now(UTC)
